"""A whole job of a few seconds on rendered data, and what two of its runs must have in common."""

import json
import multiprocessing
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

import torch
import yaml

from benchmarks.disturb.process import Run
from lib.core.checkpoint import load_checkpoint
from lib.data.demo import make_demo
from lib.evaluation.report import settings_from_html

COUNTS = {"train": (3, 9), "val": (2, 6), "test": (3, 7)}  # split: (sequences, frames in each)
STAGES = ("train", "test", "tune", "score", "report", "done")  # as state.json calls them, in this order
SETTINGS = """\
SIAMFC:
  DEVICE: cpu
  WORKERS: 1
  PRINT_FREQ: 1
  OUTPUT_DIR: '{folder}/output'
  CHECKPOINT_DIR: '{folder}/output/snapshot'
  DATASET_ROOT: '{data}'
  TRAIN: {{MODEL: SiamFCRes22, WIDTH: 0.125, END_EPOCH: 3, BATCH: 2, PAIRS: 6, LR: 0.01, LR_END: 0.001,
    FREEZE_OUT: none}}
  TEST: {{DATA: demo-val}}
  TUNE: {{DATA: demo-val, TRIALS: 4, BATCH: 2}}
  FINAL: {{DATA: demo-test}}
  DATASET: {{DEMO: {{PATH: '{data}/demo-train', ANNOTATION: '{data}/demo-train.json'}}}}
"""


class Job:
    """Runs of onekey.py in folders of their own, on the data in ``root/data``."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        # in another process: one in which OpenCV has threads cannot be forked
        told = {"counts": COUNTS, "workers": 1, "quiet": True}
        render = multiprocessing.get_context("fork").Process(target=make_demo, args=(self.data,), kwargs=told)
        render.start()
        render.join()
        self.started = 0

    def onekey(self, folder: Path, *, data: Path | None = None, forked: bool = True) -> Run:
        """Start the job in ``folder``, or go on with it."""
        cfg = self.settings(folder, data)
        return self.script(["siamese_tracking/onekey.py", "--cfg", cfg, "--quiet"], forked=forked)

    def settings(self, folder: Path, data: Path | None = None) -> Path:
        """The training file of a run in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        cfg = folder / "tiny.yaml"
        if not cfg.is_file():
            cfg.write_text(SETTINGS.format(folder=folder, data=data or self.data))
        return cfg

    def crops(self, out: Path, workers: int) -> Run:
        """Start cropping the test videos, or go on with it."""
        words = ["siamese_tracking/prepare_data.py", "crops", self.data / "demo-test", "--out", out]
        return self.script([*words, "--check", 4, "--workers", workers])

    def script(self, words: list[object], *, forked: bool = True) -> Run:
        """Start any command; what it says is kept under a number."""
        self._age()
        self.started += 1
        (self.root / "said").mkdir(exist_ok=True)
        return Run(words, self.root / "said" / f"{self.started:03d}.txt", forked=forked)

    def _age(self) -> None:
        """Make what killed commands left so old that the next one clears it away: a run waits an hour for that."""
        for path in self.root.rglob(".*.part"):
            with suppress(FileNotFoundError):  # of a command that still runs
                os.utime(path, (0, 0))


def stage_of(folder: Path) -> str:
    """What the run in ``folder`` was doing last; empty where it has not begun."""
    path = folder / "output" / "state.json"
    return json.loads(path.read_text())["stage"] if path.is_file() else ""


class Watch:
    """Tells when a run that is about to start or go on comes to a stage; what an earlier run noted is no news."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "output" / "state.json"
        self.before = self._version()

    def _version(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def reached(self, stage: str) -> bool:
        """Whether the run is at ``stage`` or past it."""
        return self._version() != self.before and STAGES.index(stage_of(self.folder)) >= STAGES.index(stage)


def check_whole(folder: Path) -> None:
    """Every file below ``folder`` can be read, but for the last line of a log and what is beside a file being written.

    Raises:
        ValueError: a file is cut or corrupt.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.endswith((".part", "-journal")):
            continue
        match path.suffix:
            case ".pth":
                load_checkpoint(path)
            case ".json":
                json.loads(path.read_text())
            case ".yaml":
                yaml.safe_load(path.read_text())
            case ".html":
                settings_from_html(path.read_text())
            case ".jsonl":
                for line in path.read_text().split("\n")[:-1]:
                    json.loads(line)
            case ".db":
                with sqlite3.connect(path) as database:
                    if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                        raise ValueError(f"{path} is corrupt")
            case ".txt" if not path.read_text().endswith("\n"):
                raise ValueError(f"{path} is cut")


def same_job(folder: Path, whole: Path) -> None:
    """The run in ``folder`` has ended with the files of the one in ``whole``: weights, momenta, log, results, best.

    Raises:
        ValueError: it has not.
    """
    ours, theirs = ({p.relative_to(f): p for p in f.rglob("*") if p.is_file()} for f in (folder, whole))
    ours, theirs = ({k: p for k, p in each.items() if "tfevents" not in p.name} for each in (ours, theirs))
    if ours.keys() != theirs.keys():
        raise ValueError(f"{folder} has other files: {sorted(map(str, ours.keys() ^ theirs.keys()))}")
    for name, path in ours.items():
        if path.suffix == ".pth":
            one, other = load_checkpoint(path), load_checkpoint(theirs[name])
            same = all(_equal(one[key], other[key]) for key in ("state_dict", "optimizer", "losses", "epoch"))
        elif path.suffix in (".txt", ".jsonl", ".jpg", ".json") or path.name == "tuned.yaml":
            same = path.name == "state.json" or path.read_bytes() == theirs[name].read_bytes()
        else:
            same = True  # where it lies, when it was made: settings, report, study
        if not same:
            raise ValueError(f"{path} is not what an undisturbed run writes")


def same_crops(folder: Path, whole: Path) -> None:
    """Crops, annotation and sheet are those of an undisturbed run; the journal has its lines in any order."""
    ours, theirs = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (folder, whole))
    for files in (ours, theirs):
        for name in [name for name in files if name.name == ".done.jsonl"]:
            files[name] = b"\n".join(sorted(files[name].splitlines()))
    if ours != theirs:
        other = sorted(str(name) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise ValueError(f"{folder} differs in {other[:4]}")


def _equal(one: object, other: object) -> bool:
    """Same numbers, bit by bit, in nested dicts and lists."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_equal, one, other))
    return one == other
