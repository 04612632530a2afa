# make onekey   everything, on demo data: set up, train, test every epoch, tune, report (SEED=1 for another run)
# make test     set up with the tools of development, check style and types, run the tests
SEED ?= 0
JOBS ?= 2

BIN := .venv/bin

.PHONY: onekey test lint install dev

onekey: install
	$(BIN)/python siamese_tracking/make_demo.py
	$(BIN)/python siamese_tracking/onekey.py --cfg experiments/train/demo.yaml \
		--seed $(SEED) --output output/demo-seed$(SEED)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install:
	@sh install_rpn.sh

dev: install .venv/tools
.venv/tools: requirements-dev.txt | install
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
