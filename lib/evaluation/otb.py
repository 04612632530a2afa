"""One-pass scores: success, precision, normalised precision (Wu, Lim, Yang: Online Object Tracking, CVPR 2013); average
overlap and success rates (Huang, Zhao, Huang: GOT-10k, PAMI 2019).

Legend: ``F`` frames of all runs one after another, ``K`` runs, ``Q`` sequences, leading axes ``...`` (trackers, trials)
free. Boxes are xywh in zero-based pixels. What the toolkits do unlike one another is told by ``conventions.py``.

All frames of all sequences and trackers are scored at once: a frame's overlap falls between two thresholds, the counts
of frames per interval and sequence are one histogram, and the curves are its cumulative sums.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.bins import Bins
from lib.evaluation.compare import compare, cut_overlaps, lenient, rasterised
from lib.evaluation.conventions import ONE_PASS, OnePass
from lib.evaluation.sequences import Sequence
from lib.files import UserError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

OVERLAPS = np.arange(0, 1.05, 0.05)  # (21,) thresholds of success; the last decimals matter where an overlap is equal
DISTANCES = np.arange(51.0)  # (51,) pixels
RATIOS = np.arange(51) / 100  # (51,) of the target's size
AT_DISTANCE = 20  # precision is quoted at 20 pixels
AT_RATIO = 20  # normalised precision at a ratio of .20
MEANS = ("ao", "sr50", "sr75")  # average overlap, success rates at overlaps of .5 and .75


@dataclass(frozen=True)
class Curves:
    """What each sequence got; means over its runs."""

    success: Array  # (..., Q, 21) fraction of frames with overlap > threshold
    precision: Array  # (..., Q, 51) centre distance <= threshold, in pixels
    norm_precision: Array  # (..., Q, 51) centre distance over the target's size <= threshold
    sums: Array  # (..., Q, 3) of MEANS over frames
    frames: Array  # (..., Q) of those sums
    weights: Array  # (..., Q) of a sequence in MEANS of the data set

    def values(self) -> dict[str, Array]:
        """(..., Q) headline numbers of each sequence.

        ``auc`` is the mean of success over the thresholds: a perfect track scores 20/21, as no overlap is above 1.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.sums / self.frames[..., None]
        return {
            "auc": self.success.mean(-1),
            "precision": self.precision[..., AT_DISTANCE],
            "norm_precision": self.norm_precision[..., AT_RATIO],
            "norm_precision_auc": self.norm_precision.mean(-1),
            **{name: means[..., k] for k, name in enumerate(MEANS)},
        }

    def added(self) -> Array:
        """(..., Q, C) what each sequence adds to the data set's totals, from which :func:`scores_of` makes scores."""
        values = self.values()
        weights = [self.weights if name in MEANS else np.ones_like(value) for name, value in values.items()]
        columns = []
        for value, weight in zip(values.values(), weights, strict=True):
            defined = np.where(np.isnan(value), 0, weight)
            columns += [np.where(np.isnan(value), 0, value * weight), defined]
        return np.stack(columns, -1)

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]:
        """(...) headline numbers of the data set; with weights (R, Q), sequence q occurring so often, (..., R).

        Every sequence counts alike (but see ``conventions.py`` for MEANS); those without any annotated frame do not.
        """
        added = self.added()
        return scores_of(added.sum(-2) if weights is None else np.asarray(weights, np.float64) @ added)


SCORES = ("auc", "precision", "norm_precision", "norm_precision_auc", *MEANS)


def scores_of(totals: Array) -> dict[str, Array]:
    """(...) scores of totals (..., C) of :meth:`Curves.added`; NaN where nothing was added."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: totals[..., 2 * k] / totals[..., 2 * k + 1] for k, name in enumerate(SCORES)}


def evaluate(sequences: List[Sequence], tracks: Mapping[str, Array | List[Array]], convention: str = "otb") -> Curves:
    """Curves (Q, ...) of one tracker, ``tracks[name]`` being its (T, 4) zero-based xywh, or a list of repetitions."""
    runs = [_as_runs(sequence, tracks[sequence.name]) for sequence in sequences]
    repeated = [sequence for sequence, run in zip(sequences, runs, strict=True) for _ in run]
    boxes = np.concatenate([box for run in runs for box in run])
    truth = np.concatenate([sequence.truth for sequence in repeated])
    lengths = [len(sequence) for sequence in repeated]
    got = curves(boxes, truth, lengths, convention, frames_of=repeated)
    counts = np.array([len(run) for run in runs])
    return got if (counts == 1).all() else _joined_runs(got, counts, ONE_PASS[convention])


def _as_runs(sequence: Sequence, tracks: Array | List[Array]) -> list[Array]:
    runs = [tracks] if isinstance(tracks, np.ndarray) and tracks.ndim == 2 else list(tracks)
    for run in runs:
        if run.shape != (len(sequence), 4):
            text = f"a track must have {len(sequence)} rows x, y, w, h, got shape {run.shape}"
            raise UserError(f"{sequence.name}: {text}")
    return runs


def _joined_runs(each: Curves, counts: NDArray[np.int64], rule: OnePass) -> Curves:
    """(Q, ...) of (K, ...): means over the ``counts`` (Q,) runs of each sequence; frames of all runs count alike."""
    starts = np.cumsum(counts) - counts

    def total(name: str) -> Array:
        return np.add.reduceat(getattr(each, name), starts, axis=0)

    def mean(name: str) -> Array:
        return (total(name).T / counts).T

    return Curves(
        success=mean("success"),
        precision=mean("precision"),
        norm_precision=mean("norm_precision"),
        sums=total("sums"),
        frames=total("frames"),
        weights=total("weights") if rule.average == "frames" else mean("weights"),
    )


def curves(
    boxes: ArrayLike,
    truth: ArrayLike,
    lengths: ArrayLike,
    convention: str = "otb",
    *,
    frames_of: List[Sequence] = (),
) -> Curves:
    """Curves of tracks (..., F, 4) against the truth (F, 4), both xywh; ``lengths`` (Q,) frames add up to F.

    A frame without a box (NaN) counts and passes no threshold. A truth without area overlaps nothing, and its
    normalised distance is infinite unless the centres agree. ``frames_of`` are the sequences themselves, where targets
    may be absent or images be bounded.
    """
    rule = ONE_PASS[convention]
    boxes, truth, lengths = np.asarray(boxes, np.float64), np.asarray(truth, np.float64), np.asarray(lengths, np.int64)
    if truth.shape != (lengths.sum(), 4) or boxes.shape[-2:] != truth.shape:
        raise ValueError(f"boxes (..., F, 4), truth (F, 4), F = {lengths.sum()}: got {boxes.shape}, {truth.shape}")
    boxes = _prepared(boxes, truth, lengths, rule)
    annotated = np.isfinite(truth).all(-1)
    absent = _tag(frames_of, "absent", len(truth), 0) > 0
    overlaps, distances, ratios = compare(boxes, truth)
    if rule.lenient:
        overlaps, distances, ratios = lenient(truth, overlaps, distances, ratios)
    if rule.absent_fails and absent.any():
        overlaps = np.where(absent, -1, overlaps)
        distances, ratios = (np.where(absent, np.inf, values) for values in (distances, ratios))
    bins = Bins(annotated if rule.truth_needed else np.ones_like(annotated), lengths)
    if rule.average == "sequences":
        sums, frames = _sums(overlaps, bins.counted, lengths)
    elif rule.average == "frames":
        cover = _tag(frames_of, "cover", len(truth), np.nan)
        visible = np.where(np.isnan(cover), ~absent, cover > 0)
        sums, frames = _sums(cut_overlaps(boxes, truth, frames_of), _after_start(annotated & visible, lengths), lengths)
    else:
        areas = np.where(absent, 0, rasterised(boxes, truth, frames_of))
        sums, frames = _sums(areas, _after_start(np.ones_like(annotated), lengths), lengths)
    weights = {"sequences": np.ones(len(lengths)), "frames": frames, "lengths": lengths.astype(np.float64)}
    return Curves(
        success=bins.above(overlaps, OVERLAPS, 20),
        precision=bins.within(distances, DISTANCES, 1),
        norm_precision=bins.within(ratios, RATIOS, 100),
        sums=sums,
        frames=np.broadcast_to(frames, sums.shape[:-1]),
        weights=np.broadcast_to(weights[rule.average], sums.shape[:-1]),
    )


def _after_start(counted: Mask, lengths: NDArray[np.int64]) -> Mask:
    """Without the first frame of each sequence."""
    return counted & ~_is_first(lengths)


def _is_first(lengths: NDArray[np.int64]) -> Mask:
    """(F,) the first frame of each sequence."""
    first = np.zeros(lengths.sum(), np.bool_)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    return first


def _sums(overlaps: Array, counted: Mask, lengths: NDArray[np.int64]) -> tuple[Array, Array]:
    """(..., Q, 3) sums of overlaps and successes over the frames that count, and (Q,) how many do."""
    kept = np.where(counted, np.maximum(overlaps, 0), 0)
    some = lengths > 0
    first = (np.cumsum(lengths) - lengths)[some]
    sums = np.zeros((*kept.shape[:-1], len(lengths), len(MEANS)))
    frames = np.zeros(len(lengths))
    for k, values in enumerate((kept, kept > 0.5, kept > 0.75)):
        sums[..., some, k] = np.add.reduceat(values, first, axis=-1, dtype=np.float64)
    frames[some] = np.add.reduceat(counted, first, dtype=np.float64)
    return sums, frames


def _prepared(boxes: Array, truth: Array, lengths: NDArray[np.int64], rule: OnePass) -> Array:
    """Boxes after what a convention does to them before it compares."""
    first = _is_first(lengths)
    if rule.repeat_invalid:
        valid = (np.isfinite(boxes).all(-1) & (boxes[..., 2:] > 0).all(-1)) | first
        last = np.maximum.accumulate(np.where(valid, np.arange(len(truth)), 0), -1)
        boxes = np.take_along_axis(boxes, last[..., None], -2)
    return np.where(first[:, None], truth, boxes) if rule.first_is_truth else boxes


def _tag(frames_of: List[Sequence], name: str, count: int, default: float) -> Array:
    """(F,) values of a tag of each frame; ``default`` where a sequence does not have it."""
    if not any(name in sequence.tags for sequence in frames_of):
        return np.full(count, default)
    parts = []
    for sequence in frames_of:
        values = np.asarray(sequence.tags.get(name, np.full(len(sequence), default)), np.float64)
        if values.shape != (len(sequence),):
            text = f"{name} must be marked for each of {len(sequence)} frames, got {values.size}; mend the annotation"
            raise UserError(f"{sequence.name}: {text}")
        parts.append(values)
    return np.concatenate(parts)
