"""A stranger's walk through README: each command in it either runs here, in a fresh checkout, or says why it cannot.

The checkout holds what is under version control (and what is about to be), its environment is this one's. Sizes are
those of a demonstration: the training file's numbers are made small before the walk begins.
"""

import contextlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from lib.data.demo import make_demo
from tests.tracker.clips import render

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
S = "python siamese_tracking/"
RUN = (  # in README's order
    ". .venv/bin/activate",
    f"{S}onekey.py --cfg experiments/train/demo.yaml",
    f"{S}train_siamfc.py --cfg experiments/train/demo.yaml",
    f"{S}run_video.py --video video.mp4 --init_bbox '[20,20,30,40]' --save out.mp4",
    f"{S}evaluate.py RESULT_DIR --dataset NAME --trackers 'Siam*,Da*'"
    " --csv table.csv --latex table.tex --json out.json",
    f"{S}prepare_data.py crops my_videos --out dataset/mine --side 287 --check 24",
    f"{S}prepare_data.py test-set my_test_videos --out dataset/mine-test",
    "cp experiments/train/demo.yaml mine.yaml",
    f"{S}onekey.py --cfg mine.yaml",
    f"{S}run_video.py --resume output/mine/snapshot/checkpoint_e5.pth --video video.mp4 --init_bbox 10,20,30,40",
)
STAND_IN = "needs published weights and test sets; run on small stand-ins in tests/scripts/test_commands.py"
NOT_RUN = {  # how a command begins: why it is not run here
    "make onekey": "its commands are checked in tests/test_repository.py, the last one runs in this walk",
    "make test": "runs this walk",
    "sh install_rpn.sh": "downloads; what it would run is checked in tests/test_repository.py",
    "pip install": "downloads",
    f"{S}make_demo.py": "renders for half a minute; tests/data/test_demo.py",
    f"{S}train_siamrpn.py": STAND_IN,
    f"{S}test_siamfc.py": STAND_IN,
    f"{S}test_siamrpn.py": STAND_IN,
    f"{S}test_epochs.py": STAND_IN,
    f"{S}tune_tpe.py": STAND_IN,
    f"{S}tune_gene.py": STAND_IN,
    "python lib/core/eval_otb.py": STAND_IN,
    "python lib/core/eval_vot.py": STAND_IN,
    "python evalutionVOT.py": STAND_IN,
    f"{S}run_webcam.py": STAND_IN,
    f"{S}run_video.py --arch": STAND_IN,
    f"{S}run_video.py --resume snapshot/CIResNet22_RPN.onnx": "needs published weights; tests/models/test_export.py",
    f"{S}export.py": "needs published weights; tests/models/test_export.py",
    f"{S}transfer_weights.py": "needs published weights; tests/models/test_transfer.py",
    f"{S}release.py": "trains for hours",
}
SMALL = {"WIDTH": "0.125", "PAIRS": "8", "TRIALS": "2", "BATCH": "2", "MAX_FRAMES": "2"}


def commands() -> list[str]:
    """The lines of README's blocks of shell commands, without comments, continued lines joined."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if command := " ".join(re.sub(r"(^|\s)#.*", "", line).split()):
                found.append(command)
    return found


def test_every_command_runs_or_says_why_not():
    unknown = [c for c in commands() if c not in RUN and not any(c.startswith(start) for start in NOT_RUN)]
    assert not unknown, f"run {unknown} in this walk, or say why not"
    assert [c for c in commands() if c in RUN] == list(RUN), "the walk must go as README goes"
    stale = [start for start in NOT_RUN if not any(c.startswith(start) for c in commands())]
    assert not stale, f"README has no command {stale} any more"
    stand_ins = (ROOT / "tests/scripts/test_commands.py").read_text()
    for start in (start for start, reason in NOT_RUN.items() if reason is STAND_IN):
        assert re.search(r"(\w+\.py)", start)[1] in stand_ins, start


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy of the repository with small demo data, an environment and a stranger's own videos."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("the walk begins with what git knows of: this is no git checkout")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and not name.startswith("tests/") and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"  # no link: Python would look for its packages beside the link
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    activate = f"export PATH={tmp_path}/.venv/bin:$PATH PYTHONPATH={tmp_path} VIRTUAL_ENV={tmp_path}/.venv"
    (tmp_path / ".venv/bin/activate").write_text(activate)
    make_demo(tmp_path / "dataset", counts={"train": (2, 6), "val": (2, 3), "test": (2, 3)}, workers=1, quiet=True)
    cfg = tmp_path / "experiments/train/demo.yaml"
    text = cfg.read_text()
    for key, value in SMALL.items():
        text = re.sub(rf"\b{key}: [\d.]+", f"{key}: {value}", text)
    cfg.write_text(text)
    for folder in ("my_videos", "my_test_videos"):
        for n in range(2):
            clip = render(tmp_path / folder, f"v{n}", frames=4, size=(120, 90), seed=n)
            boxes = "\n".join(",".join(map(str, row)) for row in clip.truth.tolist())
            (tmp_path / folder / f"v{n}" / "groundtruth.txt").write_text(boxes)
    writer = cv2.VideoWriter(str(tmp_path / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (120, 90))
    for path in clip.frames:
        writer.write(cv2.imread(str(path)))
    writer.release()
    return tmp_path


def test_the_commands_run_one_after_the_other(checkout: Path):
    environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH")}
    said = {}
    for command in RUN:
        real = command.replace("RESULT_DIR --dataset NAME", "output/demo/result/demo-test --dataset demo-test")
        line = f". .venv/bin/activate && {real}"
        done = subprocess.run(
            ["sh", "-ec", line], cwd=checkout, env=environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
        if command.startswith("cp "):
            _edit_as_readme_says(checkout / "mine.yaml")
    assert "report: output/demo/report.html" in said[RUN[1]]
    assert "report: output/mine/report.html" in said[RUN[-2]]
    assert "4 frames" in said[RUN[-1]]
    for file in ("out.mp4", "output/demo/report.html", "table.csv", "table.tex", "out.json", "dataset/mine.check.jpg"):
        assert (checkout / file).is_file(), file


def _edit_as_readme_says(path: Path) -> None:
    """The comment above README's cp names each key and its new value."""
    (comment,) = re.findall(r"# in mine.yaml: (.*?)\ncp ", README, re.DOTALL)
    text = path.read_text()
    for key, value in re.findall(r"(\w+): ([\w/.-]+)", comment):
        text, count = re.subn(rf"(\b{key}: )'[^']*'", rf"\1'{value}'", text)
        assert count, f"{path.name} has no {key}"
    path.write_text(text)


def test_links_and_paths_lead_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    named = re.findall(r"`((?:lib|tests|experiments|siamese_tracking|benchmarks|dataset)/[\w./-]*)[`:]", README)
    missing = [path for path in {*links, *named} if not (ROOT / path).exists()]
    assert not missing, f"README names {missing}, which are not there"


@pytest.fixture(scope="module")
def options() -> dict[str, str]:
    """What each script's --help says."""
    told = {}
    words = {c.split()[1] for c in commands() if c.startswith("python ")} | {"siamese_tracking/report.py"}
    for script in sorted(words):
        for part in ("crops", "test-set") if script.endswith("prepare_data.py") else ("",):
            done = _help(script, part)
            told[script] = told.get(script, "") + done
    return told


def _help(script: str, part: str) -> str:
    argv, sys.argv = sys.argv, [script, *([part] if part else []), "--help"]
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
            runpy.run_path(str(ROOT / script), run_name="__main__")
    finally:
        sys.argv = argv
    return text.getvalue()


def test_options_are_known(options: dict[str, str]):
    for command in commands():
        if command.startswith("python "):
            known = set(re.findall(r"--[\w-]+", options[command.split()[1]]))
            unknown = set(re.findall(r"(?<=\s)--[\w-]+", command)) - known
            assert not unknown, f"{command}: {unknown}"
    everywhere = set(re.findall(r"--[\w-]+", " ".join(options.values()))) | {"--cpu", "--cuda", "--nproc_per_node"}
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    unknown = {o for code in re.findall(r"`([^`]+)`", prose) for o in re.findall(r"--[\w-]+", code)} - everywhere
    assert not unknown, f"README names {unknown}, which no script takes"
