"""One-pass scores (Wu, Lim, Yang: Online Object Tracking, CVPR 2013): success, precision, normalised precision.

Legend: ``F`` frames of all sequences one after another, ``Q`` sequences, leading axes ``...`` (trackers, trials) free.
Boxes are xywh in pixels; success and precision do not depend on where counting starts, so zero- and one-based do alike.

All frames of all sequences and trackers are scored at once: a frame's overlap falls between two thresholds, the counts
of frames per interval and sequence are one histogram, and the curves are its cumulative sums.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import iou_xywh

Array = NDArray[np.float64]

OVERLAPS = np.arange(0, 1.05, 0.05)  # (21,) thresholds of success; the last decimals matter where an overlap is equal
DISTANCES = np.arange(51.0)  # (51,) pixels
RATIOS = np.arange(51) / 100  # (51,) of the target's size
AT_DISTANCE = 20  # precision is quoted at 20 pixels
AT_RATIO = 20  # normalised precision at a ratio of .20


@dataclass(frozen=True)
class Curves:
    """Curves of each sequence; the fraction of its annotated frames that pass each threshold."""

    success: Array  # (..., Q, 21) overlap > threshold
    precision: Array  # (..., Q, 51) centre distance <= threshold, in pixels
    norm_precision: Array  # (..., Q, 51) centre distance over the target's size <= threshold

    def values(self) -> dict[str, Array]:
        """(..., Q) headline numbers of each sequence; a data set's are their means over Q.

        ``auc`` is the mean of success over the thresholds: a perfect track scores 20/21, as no overlap is above 1.
        """
        return {
            "auc": self.success.mean(-1),
            "precision": self.precision[..., AT_DISTANCE],
            "norm_precision": self.norm_precision[..., AT_RATIO],
            "norm_precision_auc": self.norm_precision.mean(-1),
        }

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]:
        """(...) headline numbers of the data set; with weights (R, Q), sequence q occurring so often, (..., R).

        Every sequence counts alike; those without any annotated frame do not.
        """
        return {name: _mean_defined(value, weights) for name, value in self.values().items()}

    def joined(self, other: "Curves") -> "Curves":
        """The sequences of both, one after the other."""
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("success", "precision", "norm_precision")]
        return Curves(*(np.concatenate(pair, -2) for pair in pairs))


def curves(boxes: ArrayLike, truth: ArrayLike, lengths: ArrayLike) -> Curves:
    """Curves of tracks (..., F, 4) against the truth (F, 4), both xywh; ``lengths`` (Q,) frames add up to F.

    Frames whose truth is NaN are left out. A frame without a box (NaN) counts and passes no threshold. A truth without
    area overlaps nothing, and its normalised distance is infinite unless the centres agree.
    """
    boxes, truth, lengths = np.asarray(boxes, np.float64), np.asarray(truth, np.float64), np.asarray(lengths, np.int64)
    if truth.shape != (lengths.sum(), 4) or boxes.shape[-2:] != truth.shape:
        raise ValueError(f"boxes (..., F, 4), truth (F, 4), F = {lengths.sum()}: got {boxes.shape}, {truth.shape}")
    annotated = np.isfinite(truth).all(-1)
    overlaps, distances, ratios = compare(boxes, truth)
    bins = _Bins(annotated, lengths)
    return Curves(
        success=bins.above(overlaps, OVERLAPS),
        precision=bins.within(distances, DISTANCES),
        norm_precision=bins.within(ratios, RATIOS),
    )


def compare(boxes: Array, truth: Array) -> tuple[Array, Array, Array]:
    """Overlap, centre distance (pixels), distance over the truth's (w, h); each (..., F); -1 and inf without a box."""
    offset = boxes[..., :2] + boxes[..., 2:] / 2 - (truth[..., :2] + truth[..., 2:] / 2)
    size = truth[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(offset == 0, 0, offset / size)
        overlap = np.minimum(iou_xywh(boxes, truth), 1)  # rounding may leave 1 + 1e-16
        distance, relative = np.hypot(offset[..., 0], offset[..., 1]), np.hypot(ratio[..., 0], ratio[..., 1])
    lost = np.logical_not(np.isfinite(boxes).all(-1))
    return _where_lost(overlap, lost, -1), _where_lost(distance, lost, np.inf), _where_lost(relative, lost, np.inf)


class _Bins:
    """Counts frames by (leading axes, sequence, interval between thresholds) and turns the counts into curves."""

    def __init__(self, annotated: NDArray[np.bool_], lengths: NDArray[np.int64]):
        self.annotated = annotated
        self.sequence = np.repeat(np.arange(len(lengths)), lengths)[annotated]
        self.count = np.bincount(self.sequence, minlength=len(lengths))[:, None]

    def above(self, values: Array, thresholds: Array) -> Array:
        """(..., Q, K) fraction of frames with value > threshold."""
        passed = self._histogram(np.searchsorted(thresholds, values, side="left"), len(thresholds))
        return self._fraction(passed[..., ::-1].cumsum(-1)[..., ::-1][..., 1:])

    def within(self, values: Array, thresholds: Array) -> Array:
        """(..., Q, K) fraction of frames with value <= threshold."""
        passed = self._histogram(np.searchsorted(thresholds, values, side="left"), len(thresholds))
        return self._fraction(passed.cumsum(-1)[..., :-1])

    def _histogram(self, interval: NDArray[np.int64], thresholds: int) -> NDArray[np.int64]:
        interval = interval[..., self.annotated]
        lead, each = interval.shape[:-1], (len(self.count), thresholds + 1)
        cell = (np.arange(int(np.prod(lead))).reshape(*lead, 1) * each[0] + self.sequence) * each[1] + interval
        counts = np.bincount(cell.ravel(), minlength=int(np.prod((*lead, *each))))
        return counts.reshape(*lead, *each)

    def _fraction(self, passed: NDArray[np.int64]) -> Array:
        with np.errstate(invalid="ignore"):
            return passed / self.count  # NaN for a sequence without an annotated frame


def evaluate(sequences: List[Sequence], tracks: Mapping[str, Array]) -> Curves:
    """Curves (Q, ...) of one tracker, ``tracks[name]`` being its (T, 4) zero-based xywh of that sequence."""
    for sequence in sequences:
        shape = tracks[sequence.name].shape
        if shape != (len(sequence), 4):
            raise UserError(f"{sequence.name}: a track must have {len(sequence)} rows x, y, w, h, got shape {shape}")
    truth = np.concatenate([sequence.truth for sequence in sequences])
    boxes = np.concatenate([tracks[sequence.name] for sequence in sequences])
    return curves(boxes, truth, [len(sequence) for sequence in sequences])


def _where_lost(values: Array, lost: NDArray, worst: float) -> Array:
    return np.where(lost | np.isnan(values), worst, values)


def _mean_defined(values: Array, weights: ArrayLike | None) -> Array:
    """(..., R) mean over the last axis without NaN; NaN where nothing is left."""
    w = np.ones(values.shape[-1]) if weights is None else np.asarray(weights, np.float64)
    defined = ~np.isnan(values)
    total, count = (np.tensordot(part, w, (-1, -1)) for part in (np.where(defined, values, 0), defined))
    with np.errstate(invalid="ignore"):
        return total / count
