"""Scores of the reset protocol (Kristan et al., VOT 2015 to 2019): accuracy, robustness, expected average overlap.

Legend: ``K`` runs (one repetition of one sequence), ``F`` frames of all runs one after another, ``Q`` sequences, ``L``
frames of the longest sequence. A result row is a region (xywh or polygon) or [code, nan, ...]: 1 start, 2 failure,
0 skipped.

All scores are ratios of sums over sequences (:class:`Sums`), so the scores of any resampling of sequences are products
with the same sums.

A mark of frames (an attribute) restricts accuracy and failures to the frames that have it; in the expected overlap a
fragment then weighs as much as the share of its frames that have it, the frame of the next start included.

Two conventions, one switch:

- ``pysot`` (default; the published scores). Accuracy: mean overlap of all valid frames, repetitions of a frame averaged
  first, regions clipped to an image one pixel wider and higher than elsewhere. Robustness: failures per 100 frames.
  Expected overlap: a fragment that ends in a failure is continued with zeros to the longest sequence, but only to the
  end of its own sequence where it was too late for a new start (failure at zero-based frame f of n, f + 5 > n); where
  the start would come right after the last frame (f + 5 = n) its weight is m / (m + 1), m being the frames from its
  start to the end. A length of one frame scores 1.
- ``vot`` (vot-toolkit 0.9). Accuracy: mean of each run, averaged over runs, weighted by sequence length. Failures are
  weighted likewise. Expected overlap: failed fragments are continued to the longest *fragment*; every fragment counts 1
  (not 1 over the repetitions); the interval of lengths starts one frame later. A length of one frame scores 0.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.regions import FAILURE, START, Overlap, Runs, collect
from lib.evaluation.sequences import Sequence
from lib.geometry.polygons import Convention

Array = NDArray[np.float64]

RESTART = 5  # frames from a failure to the next start
BURN_IN = 10  # frames from a start on that accuracy ignores
SENSITIVITY = 30  # frames over which reliability is the chance of no failure
# one-based sequence lengths over which the expected overlap is averaged, as the challenges published them
INTERVALS = {
    "VOT2015": (108, 371),
    "VOT2016": (108, 371),
    "VOT2017": (100, 356),
    "VOT2018": (100, 356),
    "VOT2019": (46, 291),
}


@dataclass(frozen=True)
class Sums:
    """What each sequence adds to the scores; means over its repetitions."""

    overlap: Array  # (Q,) numerator of accuracy
    valid: Array  # (Q,) denominator of accuracy
    failures: Array  # (Q,)
    frames: Array  # (Q,)
    curve: Array  # (Q, L) sums of the fragments' mean overlaps, by one-based length less one
    alive: Array  # (Q, L) weight of the fragments that have that length
    first: float  # expected overlap of one frame
    lengths: slice  # columns over which the curve is averaged

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]:
        """(...) scores of the data set in which sequence q occurs ``weights[..., q]`` times (once, by default).

        accuracy; robustness: failures per 100 frames; failures: in total, mean over repetitions; failures_weighted:
        mean of the sequences weighted by length; reliability: exp(-30 failures_weighted / mean length); eao.
        """
        added = self.added()
        return scores_of(added.sum(0) if weights is None else np.asarray(weights, np.float64) @ added)

    def added(self) -> Array:
        """(Q, C) what each sequence adds to the data set's totals, from which :func:`scores_of` makes scores."""
        one = np.ones_like(self.frames)
        columns = (self.overlap, self.valid, self.failures, self.frames, self.failures * self.frames, one)
        curve, alive = self._in_interval(self.curve), self._in_interval(self.alive)
        if self.lengths.start == 0:
            curve[:, 0] = self.first * alive[:, 0]
        return np.hstack([np.stack(columns, 1), curve, alive])

    def _in_interval(self, each: Array) -> Array:
        """(Q, lengths) columns over which the curve is averaged; those beyond all fragments are 0."""
        whole = np.zeros((len(each), self.lengths.stop - self.lengths.start))
        part = each[:, self.lengths]
        whole[:, : part.shape[1]] = part
        return whole

    def values(self) -> dict[str, Array]:
        """(Q,) accuracy, robustness and failures of each sequence alone."""
        return {
            "accuracy": _ratio(self.overlap, self.valid),
            "robustness": 100 * _ratio(self.failures, self.frames),
            "failures": self.failures,
        }

    def expected_overlap(self) -> Array:
        """(L,) expected average overlap of a sequence of each length, from one frame on; NaN beyond all fragments."""
        curve = _ratio(self.curve.sum(0), self.alive.sum(0))
        curve[0] = self.first
        return curve


def scores_of(totals: Array) -> dict[str, Array]:
    """(...) scores of totals (..., C) of :meth:`Sums.added`."""
    overlap, valid, failures, frames, by_length, count = np.moveaxis(totals[..., :6], -1, 0)
    curve, alive = np.split(totals[..., 6:], 2, -1)
    weighted = _ratio(by_length, frames)
    return {
        "accuracy": _ratio(overlap, valid),
        "robustness": 100 * _ratio(failures, frames),
        "failures": failures,
        "failures_weighted": weighted,
        "reliability": np.exp(-SENSITIVITY * _ratio(weighted * count, frames)),
        "eao": _mean_defined(_ratio(curve, alive)),
    }


def evaluate(
    sequences: List[Sequence],
    results: Mapping[str, Array | List[Array]],
    dataset: str = "",
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
) -> Sums:
    """Score one tracker: ``results[name]`` is the (T, 4) or (T, 8) rows of that sequence, or a list of repetitions.

    ``dataset`` names the year whose interval of lengths counts; any other name has it estimated from the lengths.
    """
    runs = collect(sequences, results, convention=convention, overlap=overlap)
    return sums(runs, interval(dataset, runs.frames), convention=convention)


# --------------------------------------------------------------------------------------------- sums of each sequence


def sums(
    runs: Runs, interval: tuple[int, int], *, convention: Convention = "pysot", marked: NDArray[np.bool_] | None = None
) -> Sums:
    """Sums of each sequence; ``interval`` of one-based lengths as in :data:`INTERVALS`.

    ``marked`` tells the frames that have an attribute, of all sequences one after another.
    """
    q = len(runs.frames)
    owner = np.repeat(np.arange(q), runs.frames)
    mark = np.ones(len(owner), np.bool_) if marked is None else marked
    overlap, valid = _accuracy(runs, convention, mark)
    curve, alive = _fragments(runs, convention, mark)
    vot = convention == "vot"
    low, high = interval if vot else (interval[0] - 1, interval[1] - 1)
    failed = (runs.codes == FAILURE) & mark[_place(runs)]
    return Sums(
        overlap=overlap,
        valid=valid,
        failures=_add(np.repeat(runs.sequence, runs.lengths), failed, q) / runs.repetitions,
        frames=_add(owner, mark, q),
        curve=curve,
        alive=alive,
        first=0.0 if vot else 1.0,
        lengths=slice(low, high + 1),
    )


def _accuracy(runs: Runs, convention: Convention, mark: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Numerator and denominator (Q,) of accuracy over the marked frames."""
    frame, start = np.arange(len(runs.codes)), _first_of_run(runs)
    since = frame - np.maximum.accumulate(np.where((runs.codes == START) | (frame == start), frame, 0))
    overlaps = runs.overlaps if convention == "vot" else runs.wide
    place, q = _place(runs), len(runs.frames)
    valid = (since >= BURN_IN) & ~np.isnan(overlaps) & mark[place]
    if convention == "vot":  # the mean of each run, weighted by its length; 0 for a run without a valid frame
        run = np.repeat(np.arange(len(runs.lengths)), runs.lengths)
        mean, _ = _means(run[valid], overlaps[valid], len(runs.lengths))
        frames = _add(np.repeat(np.arange(q), runs.frames), mark, q)
        return _add(runs.sequence, frames[runs.sequence] * mean, q) / runs.repetitions, frames
    mean, count = _means(place[valid], overlaps[valid], int(runs.frames.sum()))
    owner = np.repeat(np.arange(q), runs.frames)
    return _add(owner, mean, q), _add(owner, count > 0, q)


def _place(runs: Runs) -> NDArray[np.int64]:
    """(F,) index of a frame among the frames of all sequences, the same for all repetitions."""
    first = np.cumsum(runs.frames) - runs.frames
    return np.repeat(first[runs.sequence], runs.lengths) + np.arange(len(runs.codes)) - _first_of_run(runs)


def _means(group: NDArray, values: Array, groups: int) -> tuple[Array, NDArray]:
    """(groups,) mean of the values of each group, 0 for an empty one, and their number."""
    count = np.bincount(group, minlength=groups)
    return _add(group, values, groups) / np.maximum(count, 1), count


def _add(group: NDArray, values: NDArray, groups: int) -> Array:
    """(groups,) sum of the values of each group."""
    return np.bincount(group, values, groups).astype(np.float64, copy=False)


def _fragments(runs: Runs, convention: Convention, mark: NDArray[np.bool_]) -> tuple[Array, Array]:
    """(Q, L) sums over fragments of their mean overlap in frames 1 .. t, and of their weights, where t is in them.

    A fragment goes from a start to the frame before the next one. Its overlap at frame j adds to all t >= j at which it
    is alive, so it is entered at j, what was entered is taken out where the fragment ends, and the rest is a cumulative
    sum.
    """
    frame = np.arange(len(runs.codes))
    opens = np.flatnonzero((runs.codes == START) | (frame == _first_of_run(runs)))
    fragment = np.searchsorted(opens, frame, side="right") - 1
    step = frame - opens[fragment]
    run = np.searchsorted(np.cumsum(runs.lengths), opens, side="right")
    left = np.cumsum(runs.lengths)[run] - opens  # frames to the end of the run
    span = np.diff(np.append(opens, len(frame)))
    failure = np.full(len(opens), -1)
    failures = np.flatnonzero(runs.codes == FAILURE)[::-1]
    failure[fragment[failures]] = step[failures]  # the first of each, as it is written last
    failed = failure >= 0
    if convention == "vot":
        longest = int(np.where(failed, failure, span).max())
        weight = np.ones(len(opens))
    else:
        longest = int(runs.frames.max())
        weight = (1 / runs.repetitions)[runs.sequence[run]]
        failed &= failure + RESTART <= left
        weight = weight * _share_marked(mark, _place(runs)[opens], left, np.where(failed, failure + RESTART, left - 1))
    end = np.where(failed, longest, np.minimum(span, longest))
    counted = (step > 0) & ~np.isnan(runs.overlaps) & (step < end[fragment])
    q, width = len(runs.frames), longest + 1
    row = runs.sequence[run] * width
    gain = np.where(counted, runs.overlaps, 0) * weight[fragment]
    entered = _add((row[fragment] + step)[counted], gain[counted], q * width)
    entered -= _add(row + end, _add(fragment, gain, len(opens)), q * width)
    ended = _add(row + end, weight, q * width).reshape(q, width)
    curve = entered.reshape(q, width).cumsum(1)[:, :-1] / np.maximum(np.arange(longest), 1)
    return curve, ended[:, ::-1].cumsum(1)[:, ::-1][:, 1:]


def _share_marked(mark: NDArray[np.bool_], first: NDArray, left: NDArray, last: NDArray) -> Array:
    """Share of marked frames in each fragment from place ``first`` to ``last`` frames on, both ends included.

    Only ``left`` frames are there. A next start right after the last frame (last = left) is counted but not there, so
    even when all frames are marked the fragment's share is m / (m + 1).
    """
    before = np.append(0, np.cumsum(mark))
    return (before[first + np.minimum(last + 1, left)] - before[first]) / (last + 1)


def _first_of_run(runs: Runs) -> NDArray[np.int64]:
    """(F,) index of the first frame of each frame's run."""
    return np.repeat(np.cumsum(runs.lengths) - runs.lengths, runs.lengths)


def interval(dataset: str, lengths: ArrayLike) -> tuple[int, int]:
    """One-based lengths over which the expected overlap is averaged: the year's, else :func:`likely_lengths`."""
    return INTERVALS.get(dataset.upper()) or likely_lengths(lengths)


def likely_lengths(lengths: ArrayLike, mass: float = 0.5) -> tuple[int, int]:
    """Interval around the mode of sequence lengths that holds ``mass`` of their density (VOT 2015, section 3.2).

    A Gaussian kernel estimate on 1 .. the longest, bandwidth by Silverman's rule; grown from the mode towards the
    denser side. It gives 99..353 for VOT2018 and 48..294 for VOT2019; 100..356 and 46..291 were published.
    """
    values = np.asarray(lengths, np.float64)
    quarter, three = np.percentile(values, [25, 75])
    spread = min(filter(None, (values.std(ddof=1) if len(values) > 1 else 0.0, (three - quarter) / 1.349)), default=0.0)
    bandwidth = max(0.9 * spread * len(values) ** -0.2, 1.0)
    grid = np.arange(1, int(values.max()) + 1)
    density = np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2).sum(1)
    density /= density.sum()
    low = high = int(density.argmax())
    while density[low : high + 1].sum() < mass:
        below = density[low - 1] if low > 0 else -1.0
        above = density[high + 1] if high + 1 < len(density) else -1.0
        low, high = (low - 1, high) if below > above else (low, high + 1)
    return low + 1, high + 1


def _ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _mean_defined(values: Array) -> Array:
    """Mean over the last axis without NaN."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))
