"""Promises of the repository: short scripts, installation commands, versions that agree, no work at import."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*(ROOT / "siamese_tracking").glob("*.py"), *ROOT.glob("*.py")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_call_and_print(path: Path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80, "a script parses, calls lib and prints; what is more belongs in lib"
    assert "run_script(" in text, "bad input must end in one line and exit status 2"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_do_nothing_when_imported(path: Path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        harmless = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.If)
        assert isinstance(node, harmless) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) == "__name__ == '__main__'"


def printed_commands(*options: str, **environment: str) -> list[str]:
    """The commands that install_rpn.sh would run, by POSIX sh."""
    command = ["sh", str(ROOT / "install_rpn.sh"), *options, "--print"]
    environ = {**os.environ, "PYTHON": sys.executable, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("activate it with: . .venv/bin/activate")
    return [line.removeprefix("+ ") for line in done.stdout.splitlines() if line.startswith("+ ")]


@pytest.mark.parametrize(
    ("options", "environment", "index"),
    [
        ((), {}, ""),
        (("--cpu",), {}, "--extra-index-url https://download.pytorch.org/whl/cpu "),
        (("--cuda",), {}, "--extra-index-url https://download.pytorch.org/whl/cu130 "),
        (("--cuda",), {"CUDA": "cu126"}, "--extra-index-url https://download.pytorch.org/whl/cu126 "),
    ],
)
def test_installation_commands(options: tuple[str, ...], environment: dict[str, str], index: str):
    venv, requirements, project = printed_commands(*options, **environment)
    assert venv.endswith(" -m venv --clear .venv")
    assert requirements == f".venv/bin/python -m pip install {index}-r requirements.txt"
    assert project == ".venv/bin/python -m pip install --quiet --no-deps --editable ."


def test_installation_says_what_is_wrong(tmp_path: Path):
    script = str(ROOT / "install_rpn.sh")
    done = subprocess.run(["sh", script, "--gpu"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "unknown option --gpu; known: --cpu, --cuda" in done.stderr
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.0\nexit 1\n')
    old.chmod(0o755)
    environ = {**os.environ, "PYTHON": str(old)}
    done = subprocess.run(["sh", script, "--print"], capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 2
    assert "needs Python 3.11 or newer, got Python 3.8.0" in done.stderr


def test_requirements_pin_exactly_what_the_package_needs():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = {re.split(r"[<>=]", need)[0] for need in project["dependencies"]}
    assert set(pins) == needs
    assert all(re.fullmatch(r"[0-9][0-9.]*", version) for version in pins.values())


def test_readme_speaks_of_every_dependency_and_script():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    card = ["torch", "torchvision", "numpy", "opencv-python", "pyyaml", "easydict", "shapely", "scipy", "tqdm"]
    card += ["tensorboardx", "matlabengine"]
    ours = [re.split(r"[<>=]", need)[0].lower() for need in project["dependencies"]]
    assert not [name for name in {*card, *ours} if f"`{name}`" not in readme]
    assert not [script.name for script in SCRIPTS if script.name.lower() not in readme]


def test_reference_data_is_reached_through_the_fixture_alone():
    """A test that looked the variable up itself could skip where it is set."""
    here = Path(__file__)
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != here and path.name != "conftest.py"]
    asking = [
        path.name for path in files if re.search(r"environ.*TRACKING_REFERENCE", path.read_text(encoding="utf-8"))
    ]
    assert not asking


def test_make_onekey_passes_the_seed_and_keeps_runs_apart():
    done = subprocess.run(["make", "-n", "onekey", "SEED=2"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    commands = done.stdout.replace("\\\n", " ")
    assert re.search(r"onekey\.py --cfg experiments/train/demo\.yaml\s+--seed 2 --output output/demo-seed2", commands)
    assert commands.index("install_rpn.sh") < commands.index("make_demo.py") < commands.index("onekey.py")
