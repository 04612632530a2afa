"""Trackers' result folders -> a leaderboard: one pass, with restarts, or long-term."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation import conventions, longterm, names, otb, trackers, vot
from lib.evaluation.conventions import ONE_PASS
from lib.evaluation.framewise import framewise
from lib.evaluation.leaderboard import INTERVALS, Board, Column, Entry, Parts, ScoresOf, bootstrap, finish, share_of
from lib.evaluation.regions import Overlap, Runs, collect
from lib.evaluation.sequences import Sequence, kind
from lib.files import UserError
from lib.geometry.polygons import Convention

Array = NDArray[np.float64]

FPS: Column = ("fps", "fps", 1)
AR: Column = ("reliability", "reliability", 3)
OTB_COLUMNS: list[Column] = [
    ("auc", "AUC", 3),
    ("precision", "precision", 3),
    ("norm_precision", "norm. precision", 3),
]
AO_COLUMNS: list[Column] = [("ao", "AO", 3), ("sr50", "SR.50", 3), ("sr75", "SR.75", 3)]
VOT_COLUMNS: list[Column] = [
    ("accuracy", "A", 3),
    ("robustness", "R", 3),
    ("failures_weighted", "R weighted", 3),
    ("failures", "failures", 1),
    ("eao", "EAO", 3),
]
UNSUPERVISED = "unsupervised"  # VOT's experiment without restarts
AO_OF_REGIONS: Column = ("accuracy", "AO", 3)
LONG_TERM_COLUMNS: list[Column] = [("f_score", "F", 3), ("precision", "Pr", 3), ("recall", "Re", 3)]
FRAME_COLUMNS: list[Column] = [
    ("distance_precision", "precision", 3),
    ("distance_precision_mean", "by sequence", 3),
    ("average_overlap", "overlap", 3),
    ("average_overlap_mean", "by sequence", 3),
    ("centre_error", "centre error", 2),
    ("centre_error_mean", "by sequence", 2),
    ("failures", "failures", 1),
]
OTB_LEGEND = "AUC of success; precision at 20 px; normalised precision at 0.2"
AO_LEGEND = "AO: average overlap; SR: share of frames with an overlap above .50, .75"
VOT_LEGEND = "R: failures per 100 frames; R weighted: failures, weighted by length"
AR_LEGEND = "reliability: chance of no failure in 30 frames, with A the pair of an AR plot"
ONCE_LEGEND = "AO: average overlap without restarts, the first 10 frames left out"
LONG_TERM_LEGEND = "F at the best threshold of confidence, precision and recall there"
FRAME_LEGEND = (
    "frames with a box: precision within 20 px, mean overlap, mean centre error in px; each over all frames pooled,"
    " then as the mean of sequences; frames after a failure have no box, so read the failures beside"
)


def board_of(
    dataset: str,
    sequences: List[Sequence],
    folders: List[Path],
    *,
    convention: str | None = None,
    overlap: Overlap = "rasterised",
    interval: tuple[int, int] | None = None,
    experiment: str | None = None,
    attributes: bool = False,
) -> Board:
    """Score the trackers in ``folders`` as the data set wants it; ``convention``: see ``conventions.py``."""
    protocol = conventions.protocol(dataset, kind(sequences), experiment)
    chosen = conventions.chosen(convention, dataset, protocol)
    if not has_truth(sequences):
        raise UserError(
            f"{dataset} must have boxes to score with, only first ones are given: ask the benchmark's server"
        )
    if protocol == "one-pass":
        headline = "ao" if names.is_got10k(dataset) or chosen == "vot" else "auc"
        asked: dict[str, Any] = {"experiment": experiment, "attributes": attributes}
        return otb_board(sequences, folders, convention=chosen, headline=headline, **asked)
    regions: dict[str, Any] = {"convention": chosen, "overlap": overlap, "experiment": experiment}
    if protocol == "long-term":
        return long_term_board(sequences, folders, **regions)
    return vot_board(dataset, sequences, folders, interval=interval, attributes=attributes, **regions)


def has_truth(sequences: List[Sequence]) -> bool:
    """Whether there is anything to score with: some benchmarks give the first boxes alone."""
    return any(np.isfinite(sequence.truth).all(1).sum() > 1 or len(sequence) < 3 for sequence in sequences)


def legend(board: Board) -> str:
    """What the columns of a board are."""
    known = {
        "auc": OTB_LEGEND,
        "ao": AO_LEGEND,
        "accuracy": ONCE_LEGEND if board.headline == "accuracy" else "",
        "eao": VOT_LEGEND,
        "f_score": LONG_TERM_LEGEND,
        "reliability": AR_LEGEND,
    }
    shown = [name for name, _, _ in board.columns]
    return "\n".join([text for name, text in known.items() if name in shown and text] + [INTERVALS])


def otb_board(
    sequences: List[Sequence],
    folders: List[Path],
    *,
    convention: str = "otb",
    headline: str = "auc",
    experiment: str | None = None,
    attributes: bool = False,
    compare: bool = True,
) -> Board:
    """Score the trackers in ``folders`` by the one-pass protocol."""
    columns = [*AO_COLUMNS, *OTB_COLUMNS, FPS] if headline == "ao" else [*OTB_COLUMNS, *AO_COLUMNS, FPS]
    board = Board(headline, columns)
    for folder, read, kept in _scorable(folders, sequences, "otb", experiment, board):
        parts = otb.evaluate(kept, read.runs, convention)
        entry = _entry(folder, kept, sequences, read, parts, otb.scores_of, ONE_PASS[convention].rate_by_frame)
        if attributes:
            titles, added = [sequence.name for sequence in kept], parts.added()
            for attribute, has in sequence_attributes(kept).items():
                some = [title for title, it_has in zip(titles, has, strict=True) if it_has]
                entry.attributes[attribute] = share_of(some, added[has], otb.scores_of)
        board.entries.append(entry)
    if attributes:
        board.attributes = {name: int(has.sum()) for name, has in sequence_attributes(sequences).items()}
    return finish(board, compare)


def vot_board(
    dataset: str,
    sequences: List[Sequence],
    folders: List[Path],
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
    interval: tuple[int, int] | None = None,
    experiment: str | None = None,
    with_frames: bool = False,
    eao_of: Callable[[Runs, tuple[int, int]], float] | None = None,
    attributes: bool = False,
    compare: bool = True,
) -> Board:
    """Score the trackers in ``folders`` by the reset protocol; ``with_frames`` adds the scores frame by frame.

    ``interval`` of one-based lengths for the expected overlap: the year's, or one estimated, where none is given.
    ``eao_of`` computes that score instead (its interval is not computed anew).
    """
    once = experiment == UNSUPERVISED
    board = Board("accuracy", [AO_OF_REGIONS, FPS]) if once else Board("eao", [*VOT_COLUMNS, AR, FPS])
    interval = interval or vot.interval(dataset, [len(sequence) for sequence in sequences])
    if overlap == "rasterised" and any(sequence.image_size() is None for sequence in sequences):
        board.problems.append(
            "the images' sizes are not known, so regions are not cut at their borders: scores may differ"
        )
    for folder, read, kept in _scorable(folders, sequences, "vot", experiment, board):
        runs = collect(kept, read.runs, convention=convention, overlap=overlap)
        parts = vot.sums(runs, interval, convention=convention)
        more = [framewise(kept, read.runs, runs)] if with_frames else []
        entry = _entry(folder, kept, sequences, read, parts, vot.scores_of, False, more)
        if eao_of is not None:
            entry.scores["eao"] = eao_of(runs, interval)
        for name, marked in (frame_attributes(kept) if attributes else {}).items():
            part = vot.sums(runs, interval, convention=convention, marked=marked)
            entry.attributes[name] = share_of(list(entry.sequences), part.added(), vot.scores_of)
        board.entries.append(entry)
    ends = np.cumsum([len(sequence) for sequence in sequences])[:-1]
    for name, marked in (frame_attributes(sequences) if attributes else {}).items():
        board.attributes[name] = sum(bool(part.any()) for part in np.split(marked, ends))
    return finish(board, compare)


def long_term_board(
    sequences: List[Sequence],
    folders: List[Path],
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
    experiment: str | None = None,
    compare: bool = True,
) -> Board:
    """Score the trackers in ``folders`` by precision, recall and F over their confidences."""
    board = Board("f_score", [*LONG_TERM_COLUMNS, FPS])
    for folder, read, kept in _scorable(folders, sequences, "longterm", experiment, board):
        parts = longterm.evaluate(kept, read.runs, read.confidences, convention=convention, overlap=overlap)
        board.entries.append(_entry(folder, kept, sequences, read, parts, longterm.scores_of, False))
    return finish(board, compare)


def _scorable(
    folders: List[Path], sequences: List[Sequence], rows: str, experiment: str | None, board: Board
) -> Iterator[tuple[Path, trackers.Results, list[Sequence]]]:
    """Folders with something to score, what was read, the sequences that have a result; problems go to ``board``."""
    for folder in folders:
        read = trackers.read_all(folder, sequences, rows, experiment=experiment)
        board.problems += read.problems
        if kept := [sequence for sequence in sequences if sequence.name in read.runs]:
            yield folder, read, kept
        else:
            board.problems.append(f"{folder} is left out, nothing in it can be scored")


def _entry(
    folder: Path,
    kept: list[Sequence],
    sequences: List[Sequence],
    read: trackers.Results,
    parts: Parts,
    scores_of: ScoresOf,
    rate_by_frame: bool,
    more: List[Any] = (),
) -> Entry:
    """The tracker's scores, of ``parts`` and whatever ``more`` has scores, its speed, and all intervals."""
    sources = [parts, *more]
    if any(name in read.seconds for name in read.runs):
        sources.append(Speed.of(kept, read.seconds, rate_by_frame))

    def scores(weights: Array) -> dict[str, Array]:
        return {name: value for source in sources for name, value in source.scores(weights).items()}

    values = parts.values()
    each = {s.name: {name: float(value[q]) for name, value in values.items()} for q, s in enumerate(kept)}
    notes = [f"{len(kept)} of {len(sequences)} sequences" if len(kept) < len(sequences) else ""]
    notes.append(f"{read.identical} identical runs, one is enough" if read.identical > 1 else "")
    once = {name: float(value[0]) for name, value in scores(np.ones((1, len(kept)))).items()}
    note = "; ".join(filter(None, notes))
    return Entry(folder.name, once, bootstrap(scores, len(kept)), each, parts, scores_of, note)


@dataclass(frozen=True)
class Speed:
    """Frames a second, of the sequences whose times were kept."""

    sums: Array  # (Q, 2) numerator and denominator

    @classmethod
    def of(cls, sequences: List[Sequence], seconds: Mapping[str, Array], by_frame: bool) -> "Speed":
        """Frames by seconds, or the mean of each frame's rate."""
        known = [seconds.get(sequence.name, np.empty(0)) for sequence in sequences]
        return cls(np.array([[(1 / t).sum(), len(t)] if by_frame else [len(t), t.sum()] for t in known], np.float64))

    def scores(self, weights: ArrayLike) -> dict[str, Array]:
        """(R,) frames a second, sequence q occurring ``weights[r, q]`` times."""
        totals = np.asarray(weights, np.float64) @ self.sums
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"fps": totals[..., 0] / totals[..., 1]}


# ------------------------------------------------------------------------------------------------------- attributes


def sequence_attributes(sequences: List[Sequence]) -> dict[str, NDArray[np.bool_]]:
    """(Q,) which sequences have each attribute that any of them has."""
    own = [set(map(str, np.atleast_1d(sequence.tags.get("attributes", [])))) for sequence in sequences]
    return {name: np.array([name in each for each in own]) for name in sorted(set().union(*own))}


def frame_attributes(sequences: List[Sequence]) -> dict[str, NDArray[np.bool_]]:
    """(F,) which frames of all sequences have each attribute; ``empty``: those that have none."""
    own = [{k: np.asarray(v) for k, v in s.tags.items() if np.shape(v) == (len(s),)} for s in sequences]
    known = {name for tags in own for name, tag in tags.items() if tag.dtype.kind in "bif"}
    marks = {}
    for name in sorted(known):
        tags = [each.get(name, np.zeros(len(s))) for each, s in zip(own, sequences, strict=True)]
        marks[name] = np.concatenate(tags).astype(np.float64) > 0
    return marks | ({"empty": ~np.logical_or.reduce(list(marks.values()))} if marks else {})
