"""The command line that the evaluation scripts share: the published positional form, and the same by name."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from lib.evaluation import conventions, trackers
from lib.evaluation.datasets import load
from lib.evaluation.leaderboard import Board
from lib.evaluation.sequences import Sequence
from lib.evaluation.vot import likely_lengths
from lib.files import UserError, atomic_write

OUTPUTS = {"csv": ".csv", "latex": ".tex", "json": ".json"}
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
    sequences = load(o.dataset, o.dataset_root, truth=o.truth, images_needed=False)
    folders = trackers.find(o.result_path, o.dataset, o.tracker_reg, o.start, o.end)
    return Task(o.dataset, sequences, folders, o)


def _number(name: str, text: str) -> int:
    if not text.lstrip("-").isdigit():
        raise UserError(f"{name} must be a number, got {text!r}; the form is {FORM}")
    return int(text)


def evaluate_parser() -> argparse.ArgumentParser:
    """Arguments of ``evaluate.py``."""
    p = argparse.ArgumentParser(description="Score results on a benchmark; every number comes with its interval.")
    p.add_argument("results", metavar="RESULT_DIR", help="<data set>/<tracker>/, the data set's folder, or an archive")
    p.add_argument("--dataset", required=True, help="OTB2015, LaSOT, GOT-10k, VOT2018, VOT2018-LT ... or your own")
    p.add_argument("--dataset_root", default="dataset", help="folder of data sets (default: %(default)s)")
    p.add_argument("--truth", help="annotation instead of a data set: a json, or a folder of <seq>.txt with absent/")
    p.add_argument("--trackers", default="*", help="patterns of names, with commas between: 'Siam*,DaSiam*'")
    p.add_argument("--convention", choices=conventions.CHOICES, help="whose details; default: the data set's own")
    p.add_argument("--exact", action="store_true", help="VOT: overlap of exact polygons, not of rasterised ones")
    p.add_argument("--interval", help="VOT: lengths for EAO, as 100:356, or 'density': estimated (default: year's)")
    p.add_argument("--experiment", help="folder of results: baseline, realtime, unsupervised, longterm (default: fits)")
    p.add_argument("--attributes", action="store_true", help="also by attribute")
    for kind in OUTPUTS:
        text = "there; without OUT beside the others, else on the terminal"
        p.add_argument(f"--{kind}", nargs="?", const="", metavar="OUT", help=f"write {kind} {text}")
    return p


def interval_of(text: str | None, sequences: list[Sequence]) -> tuple[int, int] | None:
    """One-based lengths of sequences for the expected overlap; None: the year's."""
    if text is None:
        return None
    if text == "density":
        return likely_lengths([len(sequence) for sequence in sequences])
    low, colon, high = text.partition(":")
    if not (colon and low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)):
        raise UserError(f"--interval must be density or LOW:HIGH, as 100:356, got {text!r}")
    return int(low), int(high)


def write_outputs(board: Board, options: argparse.Namespace) -> None:
    """The board in each form that was asked for, beside what was wrong with the files."""
    texts = {"csv": board.csv, "latex": board.latex, "json": lambda: board.json(full=True)}
    asked = {kind: getattr(options, kind) for kind in OUTPUTS if getattr(options, kind) is not None}
    named = next((Path(path) for path in asked.values() if path not in ("", "-")), None)
    for kind, path in asked.items():
        if path != "-" and (path or named):
            _write(path or named.with_suffix(OUTPUTS[kind]), texts[kind]())  # type: ignore[union-attr]
        else:
            print(texts[kind]())
    _say_problems(board)


def _say_problems(board: Board) -> None:
    for problem in board.problems:
        print(problem, file=sys.stderr)


def _write(path: str | Path, text: str) -> None:
    try:
        atomic_write(path, text)
    except OSError as error:
        raise UserError(f"{path} must be a place to write to: {error.strerror}; name another") from error


def finish(board: Board, options: argparse.Namespace) -> None:
    """Say what was wrong with the files, and write the scores where they were asked for."""
    _say_problems(board)
    for path, text in ((options.json, board.json), (options.csv, board.csv)):
        if path:
            _write(path, text())
