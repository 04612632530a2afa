"""Trackers' result folders -> a table with intervals, the scores as json or csv, and a line for whatever was wrong."""

import csv
import io
import json
from collections.abc import Sequence as List
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.evaluation import otb, statistics, trackers, vot
from lib.evaluation.framewise import Framewise, framewise
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.polygons import Convention

Array = NDArray[np.float64]

Column = tuple[str, str, int]  # score, its title, decimals

OTB_COLUMNS: list[Column] = [
    ("auc", "AUC", 3),
    ("precision", "precision", 3),
    ("norm_precision", "norm. precision", 3),
]
VOT_COLUMNS: list[Column] = [
    ("accuracy", "A", 3),
    ("robustness", "R", 3),
    ("failures_weighted", "R weighted", 3),
    ("failures", "failures", 1),
    ("eao", "EAO", 3),
]
FRAME_COLUMNS: list[Column] = [
    ("distance_precision", "precision", 3),
    ("distance_precision_mean", "by sequence", 3),
    ("average_overlap", "overlap", 3),
    ("average_overlap_mean", "by sequence", 3),
    ("centre_error", "centre error", 2),
    ("centre_error_mean", "by sequence", 2),
    ("failures", "failures", 1),
]
INTERVALS = "[95 % intervals: bootstrap over sequences; p: paired randomisation test]"
OTB_LEGEND = f"AUC of success; precision at 20 px; normalised precision at 0.2; {INTERVALS}"
VOT_LEGEND = f"R: failures per 100 frames; R weighted: failures, weighted by length; {INTERVALS}"
FRAME_LEGEND = (
    "frames with a box: precision within 20 px, mean overlap, mean centre error in px; each over all frames pooled,"
    " then as the mean of sequences; frames after a failure have no box, so read the failures beside"
)


@dataclass(frozen=True)
class Entry:
    """One tracker on one data set."""

    name: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    sequences: dict[str, dict[str, float]]  # sequence -> its scores
    parts: otb.Curves | vot.Sums  # from which the scores of any weighting of its sequences follow
    note: str = ""


@dataclass
class Board:
    """All trackers, best first; ``headline`` is the score that orders them."""

    headline: str
    columns: list[Column]
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def table(self, columns: List[Column] | None = None) -> str:
        """Aligned text: a line a tracker, each score with its interval."""
        columns = columns or self.columns
        lines = [["", *(title for _, title, _ in columns), ""]]
        lines += [[e.name, *(_cell(e, name, places) for name, _, places in columns), e.note] for e in self.entries]
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in padded)

    def json(self) -> str:
        """{tracker: {score: value}}; what cannot be scored is null."""
        data = {e.name: {k: v if np.isfinite(v) else None for k, v in e.scores.items()} for e in self.entries}
        return json.dumps(data, indent=1) + "\n"

    def csv(self) -> str:
        """A line a tracker: each score with the ends of its interval."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = list(self.entries[0].scores)
        writer.writerow(["tracker", *(f"{name}{end}" for name in names for end in ("", " low", " high")), "note"])
        for entry in self.entries:
            cells: list[Any] = [entry.name]
            for name in names:
                triple = (entry.scores[name], *entry.intervals.get(name, (np.nan, np.nan)))
                cells += [f"{number:.6g}" if np.isfinite(number) else "" for number in triple]
            writer.writerow([*cells, entry.note])
        return text.getvalue()


def otb_board(sequences: List[Sequence], folders: List[Path], *, compare: bool = True) -> Board:
    """Score the trackers in ``folders`` by the one-pass protocol."""
    board = Board("auc", OTB_COLUMNS)
    for folder in folders:
        read = trackers.read_all(folder, sequences, "otb")
        if kept := _kept(folder, read, sequences, board):
            board.entries.append(_entry(folder, kept, sequences, otb.evaluate(kept, read.tracks())))
    return _finish(board, compare)


def vot_board(
    dataset: str,
    sequences: List[Sequence],
    folders: List[Path],
    *,
    convention: Convention = "pysot",
    overlap: vot.Overlap = "rasterised",
    with_frames: bool = False,
    compare: bool = True,
) -> Board:
    """Score the trackers in ``folders`` by the reset protocol; ``with_frames`` adds the scores frame by frame."""
    board = Board("eao", VOT_COLUMNS)
    interval = vot.interval(dataset, [len(sequence) for sequence in sequences])
    for folder in folders:
        read = trackers.read_all(folder, sequences, "vot")
        if kept := _kept(folder, read, sequences, board):
            runs = vot.collect(kept, read.runs, convention=convention, overlap=overlap)
            frames = framewise(kept, read.runs, runs) if with_frames else None
            sums = vot.sums(runs, interval, convention=convention)
            board.entries.append(_entry(folder, kept, sequences, sums, frames))
    return _finish(board, compare)


def _cell(entry: Entry, name: str, places: int) -> str:
    value, (low, high) = entry.scores[name], entry.intervals.get(name, (np.nan, np.nan))
    text = f"{value:.{places}f}" if np.isfinite(value) else "-"
    return text + (f" [{low:.{places}f}, {high:.{places}f}]" if np.isfinite(low) and np.isfinite(high) else "")


def _kept(folder: Path, read: trackers.Results, sequences: List[Sequence], board: Board) -> list[Sequence]:
    """The sequences that have a result."""
    board.problems += read.problems
    kept = [sequence for sequence in sequences if sequence.name in read.runs]
    if not kept:
        board.problems.append(f"{folder}: nothing in it can be scored, the tracker is left out")
    return kept


def _entry(
    folder: Path,
    kept: list[Sequence],
    sequences: List[Sequence],
    parts: otb.Curves | vot.Sums,
    frames: Framewise | None = None,
) -> Entry:
    once = parts.scores() | (frames.scores() if frames else {})
    scores = {name: float(value) for name, value in once.items()}
    intervals = {}
    if len(kept) > 1:
        weights = statistics.draws(len(kept))
        for name, samples in (parts.scores(weights) | (frames.scores(weights) if frames else {})).items():
            low, high = statistics.bounds(samples, scores[name])
            intervals[name] = (float(low), float(high))
    values = parts.values()
    each = {s.name: {name: float(value[q]) for name, value in values.items()} for q, s in enumerate(kept)}
    note = "" if len(kept) == len(sequences) else f"{len(kept)} of {len(sequences)} sequences"
    return Entry(folder.name, scores, intervals, each, parts, note)


def _finish(board: Board, compare: bool) -> Board:
    """Best first; each other one compared with the best, where both have the same sequences."""
    if not board.entries:
        raise UserError("at least one tracker must have results that can be scored: " + "; ".join(board.problems[:3]))
    board.entries.sort(key=lambda entry: (-np.nan_to_num(entry.scores[board.headline], nan=-1), entry.name))
    best = board.entries[0]
    for k, entry in enumerate(board.entries[1:] if compare else (), 1):
        if entry.sequences.keys() == best.sequences.keys():
            p = against(best, entry, board.headline).p
            remark = f"behind {best.name}: p = {p:.2g}" if np.isfinite(p) else ""
            board.entries[k] = replace(entry, note="; ".join(filter(None, (entry.note, remark))))
    return board


def against(a: Entry, b: Entry, score: str) -> statistics.Difference:
    """The paired test of two trackers that have the same sequences."""
    scores_of = otb.scores_of if isinstance(a.parts, otb.Curves) else vot.scores_of
    return statistics.paired(a.parts.added(), b.parts.added(), lambda totals: scores_of(totals)[score])
