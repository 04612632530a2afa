"""Anyone's results on a benchmark as a leaderboard: scores with intervals and paired tests; also csv, LaTeX and json.

python siamese_tracking/evaluate.py result --dataset OTB2015
python siamese_tracking/evaluate.py results --dataset VOT2018 --truth VOT2018.json --trackers 'Siam*,Da*' --json o.json
python siamese_tracking/evaluate.py LaSOT.tar.xz --dataset LaSOT --truth LaSOT.tar.xz/LaSOT_anno --latex table.tex
"""

from contextlib import ExitStack

import torch

from lib.core.device import prepare_process
from lib.core.evaluation_args import evaluate_parser, interval_of, write_outputs
from lib.evaluation import conventions
from lib.evaluation.archives import unpacked
from lib.evaluation.boards import UNSUPERVISED, board_of, legend
from lib.evaluation.datasets import load
from lib.evaluation.facts import COUNTS
from lib.evaluation.names import canonical
from lib.evaluation.sequences import kind
from lib.evaluation.trackers import find
from lib.files import run_script


def main() -> None:
    """Read, score, print, write."""
    o = evaluate_parser().parse_args()
    prepare_process()
    torch.set_num_threads(1)  # many small operations: a second thread costs more than it brings
    with ExitStack() as stack:
        truth = stack.enter_context(unpacked(o.truth)) if o.truth else None
        results = stack.enter_context(unpacked(o.results))
        sequences = load(o.dataset, o.dataset_root, truth=truth, images_needed=False)
        board = board_of(
            o.dataset,
            sequences,
            find(results, o.dataset, o.trackers),
            convention=o.convention,
            overlap="exact" if o.exact else "rasterised",
            interval=interval_of(o.interval, sequences),
            experiment=o.experiment,
            attributes=o.attributes,
        )
    protocol = conventions.protocol(o.dataset, kind(sequences), o.experiment)
    convention = o.convention or f"{conventions.default(o.dataset, protocol)} (default)"
    told = "without restarts" if protocol == "reset" and o.experiment == UNSUPERVISED else protocol
    of = f" of {COUNTS[canonical(o.dataset)]}" if COUNTS.get(canonical(o.dataset), 0) > len(sequences) else ""
    print(f"{o.dataset}, {len(sequences)}{of} sequences, {told}, convention {convention}\n{board.table()}")
    print(legend(board))
    if o.attributes:
        known = board.attribute_table() if board.attributes else "the annotation marks none"
        print(f"\n{board.headline} by attribute (* p < .05 against the best)\n{known}")
    write_outputs(board, o)


if __name__ == "__main__":
    run_script(main)
