"""The command line that the evaluation scripts share: the published positional form, and the same by name."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from lib.evaluation import trackers
from lib.evaluation.datasets import load
from lib.evaluation.leaderboard import Board
from lib.evaluation.sequences import Sequence
from lib.files import UserError, atomic_write

FORM = "DATASET [RESULTS [TRACKERS [START [END]]]]"


@dataclass(frozen=True)
class Task:
    """What to score."""

    dataset: str
    sequences: list[Sequence]
    folders: list[Path]  # of the trackers
    options: argparse.Namespace


def parser(description: str, *, dataset: str | None = None) -> argparse.ArgumentParser:
    """Arguments of every evaluation script."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("form", nargs="*", default=[], metavar="ARG", help=f"{FORM}, as an alternative to the options")
    p.add_argument("--dataset", default=dataset, help="name of the data set, as OTB2015 or VOT2018")
    p.add_argument("--dataset_root", default="dataset", help="folder of data sets")
    p.add_argument("--truth", help="annotation to score with instead of the data set's: a json, or a folder of texts")
    p.add_argument("--result_path", default="result", help="folder of results: <data set>/<tracker>/")
    p.add_argument("--tracker_reg", default="*", help="pattern of trackers' names, as 'SE*'")
    p.add_argument("--start", type=int, default=0, help="first tracker in order of names")
    p.add_argument("--end", type=int, help="tracker to stop before")
    p.add_argument("--json", metavar="OUT", help="write {tracker: {score: value}} there")
    p.add_argument("--csv", metavar="OUT", help="write scores and intervals there")
    return p


def task(p: argparse.ArgumentParser) -> Task:
    """Parse the command line, read the annotation and find the trackers."""
    o = p.parse_args()
    if len(o.form) > 5:
        p.error(f"at most {FORM}, got {len(o.form)} words; quote a pattern of trackers")
    for name, value in zip(("dataset", "result_path", "tracker_reg", "start", "end"), o.form, strict=False):
        setattr(o, name, _number(name, value) if name in ("start", "end") else value)
    if not o.dataset:
        p.error("name a data set, as OTB2015")
    sequences = load(o.dataset, o.dataset_root, truth=o.truth)
    folders = trackers.find(o.result_path, o.dataset, o.tracker_reg, o.start, o.end)
    return Task(o.dataset, sequences, folders, o)


def _number(name: str, text: str) -> int:
    if not text.lstrip("-").isdigit():
        raise UserError(f"{name} must be a number, got {text!r}; the form is {FORM}")
    return int(text)


def finish(board: Board, options: argparse.Namespace) -> None:
    """Say what was wrong with the files, and write the scores where they were asked for."""
    for problem in board.problems:
        print(problem, file=sys.stderr)
    for path, text in ((options.json, board.json), (options.csv, board.csv)):
        if path:
            try:
                atomic_write(path, text())
            except OSError as error:
                raise UserError(f"{path} must be a place to write to: {error.strerror}; name another") from error
