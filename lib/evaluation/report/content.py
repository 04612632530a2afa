"""What a report is made of: frozen records of plain values, checked as they are made.

NaN stands for "not known" throughout: a score without an interval, a frame without a box, a trial that failed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lib.files import UserError

Score = tuple[float, float, float]
"""A value and the two ends of its interval; NaN ends where there is no interval."""

Curve = tuple[ArrayLike, ArrayLike]
"""Thresholds (or frames) and values, equally long."""

CURVES = ("success", "precision", "normalised precision", "eao")


@dataclass(frozen=True)
class Row:
    """One line of the final table: a tracker, its scores by name ("AUC", "precision", "A", "R", "EAO"), a remark."""

    name: str
    scores: Mapping[str, Score]
    note: str = ""

    def __post_init__(self) -> None:
        for column, score in self.scores.items():
            if len(score) != 3:
                raise UserError(f"score {column!r} of {self.name!r} must be (value, low, high), got {score!r}")
            value, low, high = (float(number) for number in score)
            if low > value or high < value:
                raise UserError(f"score {column!r} of {self.name!r} must have low <= value <= high, got {score!r}")


@dataclass(frozen=True)
class SequenceRow:
    """One line of the per-sequence table: a score per tracker, and the overlap in each frame per tracker (0..1)."""

    name: str
    frames: int
    scores: Mapping[str, float]
    overlaps: Mapping[str, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tracker, overlap in self.overlaps.items():
            if np.ndim(overlap) != 1:
                where = f"overlaps of {tracker!r} on {self.name!r}"
                raise UserError(f"{where} must be one number a frame, got shape {np.shape(overlap)}")


@dataclass(frozen=True)
class Strip:
    """A film strip: (image (H, W, 3) uint8 BGR, frame number, {label: box}) a frame.

    A box is ``xywh`` or a polygon of 8 numbers, zero-based pixels; NaN in it means that the label has no box there.
    """

    title: str
    frames: Sequence[tuple[np.ndarray, int, Mapping[str, ArrayLike]]]

    def __post_init__(self) -> None:
        for image, number, boxes in self.frames:
            where = f"frame {number} of strip {self.title!r}"
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
                raise UserError(f"{where} must be an (H, W, 3) uint8 image, got {image.shape} {image.dtype}")
            for label, box in boxes.items():
                if np.shape(box) not in ((4,), (8,)):
                    raise UserError(f"{where}: the box of {label!r} must have 4 or 8 numbers, got {np.shape(box)}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows. Only the title is needed; what is empty is left out.

    training: a record a logged step: epoch (one-based), loss, and any of step, lr and further loss terms by name.
    epochs: a record an epoch: epoch, score, and low, high of its interval where known.
    chosen_epoch: the epoch that goes on to the final score; the best one where None.
    trials: a record a trial: number, value (None or NaN where it failed), params by name. Higher values are better.
    importance: share of each parameter in the score's variation, 0..1.
    curves: tracker -> kind (one of ``CURVES``) -> (thresholds, values).
    eao_interval: first and last sequence length over which the expected overlap is averaged.
    lower_is_better: scores whose column name, or its first word, is here are best when small.
    """

    title: str
    created: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    settings_yaml: str = ""
    warnings: Sequence[str] = ()
    rows: Sequence[Row] = ()
    lower_is_better: frozenset[str] = frozenset({"R", "failures", "error"})
    training: Sequence[Mapping[str, Any]] = ()
    epochs: Sequence[Mapping[str, Any]] = ()
    epoch_score: str = "AUC"
    chosen_epoch: int | None = None
    trials: Sequence[Mapping[str, Any]] = ()
    trial_score: str = "AUC"
    importance: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    eao_interval: tuple[float, float] | None = None
    sequences: Sequence[SequenceRow] = ()
    sequence_score: str = "AUC"
    strips: Sequence[Strip] = ()

    def __post_init__(self) -> None:
        _need("training", self.training, ("epoch", "loss"))
        _need("epochs", self.epochs, ("epoch", "score"))
        _need("trials", self.trials, ("number", "value", "params"))
        if self.chosen_epoch is not None and self.chosen_epoch not in {record["epoch"] for record in self.epochs}:
            raise UserError(f"chosen_epoch must be one of the epochs, got {self.chosen_epoch}")
        for tracker, kinds in self.curves.items():
            for kind, curve in kinds.items():
                _check_curve(tracker, kind, curve)


def _need(name: str, records: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> None:
    for position, record in enumerate(records):
        missing = [key for key in keys if key not in record]
        if missing:
            raise UserError(f"{name}[{position}] must have {', '.join(keys)}, it lacks {', '.join(missing)}")


def _check_curve(tracker: str, kind: str, curve: Curve) -> None:
    if kind not in CURVES:
        raise UserError(f"a curve must be one of {', '.join(CURVES)}, got {kind!r} of {tracker!r}")
    if len(curve) != 2:
        raise UserError(f"curve {kind!r} of {tracker!r} must be (thresholds, values), got {len(curve)} parts")
    shapes = np.shape(curve[0]), np.shape(curve[1])
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or shapes[0] == (0,):
        raise UserError(f"curve {kind!r} of {tracker!r} must have equally many thresholds and values, got {shapes}")


def tracker_names(report: Report) -> list[str]:
    """Names of all trackers in the order in which the page first speaks of them."""
    names = [row.name for row in report.rows] + list(report.curves)
    for sequence in report.sequences:
        names += [*sequence.scores, *sequence.overlaps]
    for strip in report.strips:
        for _, _, boxes in strip.frames:
            names += list(boxes)
    return list(dict.fromkeys(names))
