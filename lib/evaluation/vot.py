"""Scores of the reset protocol (Kristan et al., VOT 2015 to 2019): accuracy, robustness, expected average overlap.

Legend: ``K`` runs (one repetition of one sequence), ``F`` frames of all runs one after another, ``Q`` sequences, ``L``
frames of the longest sequence. A result row is a region (xywh or polygon) or [code, nan, ...]: 1 start, 2 failure,
0 skipped.

All scores are ratios of sums over sequences (:class:`Sums`), so the scores of any resampling of sequences are products
with the same sums.

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
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.polygons import Convention, polygon_overlap, rasterised_overlap

Array = NDArray[np.float64]
Overlap = Literal["rasterised", "exact"]

START, FAILURE, SKIPPED, REGION = 1, 2, 0, -1
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
class Runs:
    """Overlaps of all runs of one tracker on all sequences, in the order of the sequences."""

    overlaps: Array  # (F,) NaN where there is no region
    wide: Array  # (F,) the same in an image one pixel wider and higher
    codes: NDArray[np.int64]  # (F,) 1 start, 2 failure, 0 skipped, -1 a region
    lengths: NDArray[np.int64]  # (K,) frames
    sequence: NDArray[np.int64]  # (K,) which sequence
    frames: NDArray[np.int64]  # (Q,) frames of each sequence

    @property
    def repetitions(self) -> NDArray[np.int64]:
        """(Q,) runs of each sequence."""
        return np.bincount(self.sequence, minlength=len(self.frames))


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
        w = np.ones(len(self.frames)) if weights is None else np.asarray(weights, np.float64)
        frames, failures = w @ self.frames, w @ self.failures
        weighted = _ratio(w @ (self.failures * self.frames), frames)
        return {
            "accuracy": _ratio(w @ self.overlap, w @ self.valid),
            "robustness": 100 * _ratio(failures, frames),
            "failures": failures,
            "failures_weighted": weighted,
            "reliability": np.exp(-SENSITIVITY * _ratio(weighted * w.sum(-1), frames)),
            "eao": _mean_defined(_ratio(w @ self.curve[:, self.lengths], w @ self.alive[:, self.lengths])),
        }

    def values(self) -> dict[str, Array]:
        """(Q,) accuracy, robustness and failures of each sequence alone."""
        return {
            "accuracy": _ratio(self.overlap, self.valid),
            "robustness": 100 * _ratio(self.failures, self.frames),
            "failures": self.failures,
        }

    def joined(self, other: "Sums") -> "Sums":
        """The sequences of both, one after the other."""
        width = max(self.curve.shape[1], other.curve.shape[1])

        def pair(name: str) -> Array:
            parts = [getattr(each, name) for each in (self, other)]
            if parts[0].ndim == 2:
                parts = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
            return np.concatenate(parts)

        return replace(
            self,
            overlap=pair("overlap"),
            valid=pair("valid"),
            failures=pair("failures"),
            frames=pair("frames"),
            curve=pair("curve"),
            alive=pair("alive"),
        )

    def expected_overlap(self) -> Array:
        """(L,) expected average overlap of a sequence of each length, from one frame on; NaN beyond all fragments."""
        curve = _ratio(self.curve.sum(0), self.alive.sum(0))
        curve[0] = self.first
        return curve


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


# ----------------------------------------------------------------------------------------- overlaps of all frames


def collect(
    sequences: List[Sequence],
    results: Mapping[str, Array | List[Array]],
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
) -> Runs:
    """Overlaps of every frame of every repetition, all at once."""
    runs = [_as_runs(sequence, results[sequence.name]) for sequence in sequences]
    rows = [row for run in runs for row in run]
    repeated = [sequence for sequence, run in zip(sequences, runs, strict=True) for _ in run]
    codes = np.concatenate([np.where(np.isnan(row[:, 1]), np.nan_to_num(row[:, 0]), REGION) for row in rows])
    overlaps, wide = _overlaps(rows, repeated, convention, overlap)
    return Runs(
        overlaps=overlaps,
        wide=wide,
        codes=codes.astype(np.int64),
        lengths=np.array([len(row) for row in rows]),
        sequence=np.repeat(np.arange(len(sequences)), [len(run) for run in runs]),
        frames=np.array([len(sequence) for sequence in sequences]),
    )


def _as_runs(sequence: Sequence, result: Array | List[Array]) -> list[Array]:
    runs = [result] if isinstance(result, np.ndarray) and result.ndim == 2 else list(result)
    for run in runs:
        if len(run) != len(sequence):
            raise UserError(f"{sequence.name}: a result must have {len(sequence)} rows, got {len(run)}; run it again")
    if not runs:
        raise UserError(f"{sequence.name}: at least one result must be there, got none")
    return runs


def _overlaps(
    rows: list[Array], sequences: list[Sequence], convention: Convention, overlap: Overlap
) -> tuple[Array, Array]:
    """(F,) overlaps, and those in a wider image; runs with like regions are scored together."""
    groups: dict[tuple[int, int, bool], list[int]] = {}
    sizes = [sequence.image_size() for sequence in sequences]
    for k, (row, sequence, size) in enumerate(zip(rows, sequences, sizes, strict=True)):
        groups.setdefault((row.shape[1], sequence.truth.shape[1], size is None), []).append(k)
    found = [np.empty((2, 0))] * len(rows)
    for (_, _, unbounded), members in groups.items():
        lengths = [len(rows[k]) for k in members]
        track = torch.from_numpy(np.concatenate([rows[k] for k in members]))
        truth = torch.from_numpy(np.concatenate([sequences[k].truth for k in members]))
        bound = (
            None if unbounded else torch.tensor([sizes[k] for k in members]).repeat_interleave(torch.tensor(lengths), 0)
        )
        both = _two_overlaps(track, truth, bound, convention, overlap)
        for k, part in zip(members, np.split(both, np.cumsum(lengths)[:-1], 1), strict=True):
            found[k] = part
    inside, wide = np.concatenate(found, 1)
    return inside, wide


def _two_overlaps(
    track: torch.Tensor, truth: torch.Tensor, size: torch.Tensor | None, convention: Convention, overlap: Overlap
) -> Array:
    """(2, F) overlaps in the image and in one a pixel wider and higher; NaN where either region is missing."""
    values = np.full((2, len(track)), np.nan)
    scored = (track.isfinite().all(1) & truth.isfinite().all(1)).nonzero()[:, 0]
    a, b = track[scored], truth[scored]
    if overlap == "exact":
        values[:, scored] = polygon_overlap(a, b).numpy()
        return values
    bound = None if size is None else size[scored]
    values[:, scored] = rasterised_overlap(a, b, bound, convention=convention).numpy()
    if bound is not None and convention == "pysot":
        far = torch.maximum(_farthest(a), _farthest(b))
        beyond = (far > bound - 1).any(1).nonzero()[:, 0]  # all others are not clipped there
        values[1, scored[beyond]] = rasterised_overlap(a[beyond], b[beyond], bound[beyond] + 1).numpy()
    return values


def _farthest(region: torch.Tensor) -> torch.Tensor:
    """(F, 2) greatest x and y of each region."""
    return region[:, :2] + region[:, 2:] if region.shape[1] == 4 else region.unflatten(1, (4, 2)).amax(1)


# --------------------------------------------------------------------------------------------- sums of each sequence


def sums(runs: Runs, interval: tuple[int, int], *, convention: Convention = "pysot") -> Sums:
    """Sums of each sequence; ``interval`` of one-based lengths as in :data:`INTERVALS`."""
    overlap, valid = _accuracy(runs, convention)
    curve, alive = _fragments(runs, convention)
    vot = convention == "vot"
    low, high = interval if vot else (interval[0] - 1, interval[1] - 1)
    failed = np.bincount(_sequence_of_frame(runs)[runs.codes == FAILURE], minlength=len(runs.frames))
    return Sums(
        overlap=overlap,
        valid=valid,
        failures=failed / runs.repetitions,
        frames=runs.frames.astype(np.float64),
        curve=curve,
        alive=alive,
        first=0.0 if vot else 1.0,
        lengths=slice(low, high + 1),
    )


def _accuracy(runs: Runs, convention: Convention) -> tuple[Array, Array]:
    """Numerator and denominator (Q,) of accuracy."""
    frame, start = np.arange(len(runs.codes)), _first_of_run(runs)
    since = frame - np.maximum.accumulate(np.where((runs.codes == START) | (frame == start), frame, 0))
    overlaps = runs.overlaps if convention == "vot" else runs.wide
    valid = (since >= BURN_IN) & ~np.isnan(overlaps)
    if convention == "vot":  # the mean of each run, weighted by its length; 0 for a run without a valid frame
        mean, _ = _means(
            np.repeat(np.arange(len(runs.lengths)), runs.lengths)[valid], overlaps[valid], len(runs.lengths)
        )
        total = _add(runs.sequence, runs.lengths * mean, len(runs.frames))
        return total / runs.repetitions, runs.frames.astype(np.float64)
    first = np.cumsum(runs.frames) - runs.frames
    place = np.repeat(first[runs.sequence], runs.lengths) + frame - start  # the same for all repetitions of a frame
    mean, count = _means(place[valid], overlaps[valid], int(runs.frames.sum()))
    owner = np.repeat(np.arange(len(runs.frames)), runs.frames)
    q = len(runs.frames)
    return _add(owner, mean, q), _add(owner, count > 0, q)


def _means(group: NDArray, values: Array, groups: int) -> tuple[Array, NDArray]:
    """(groups,) mean of the values of each group, 0 for an empty one, and their number."""
    count = np.bincount(group, minlength=groups)
    return _add(group, values, groups) / np.maximum(count, 1), count


def _add(group: NDArray, values: NDArray, groups: int) -> Array:
    """(groups,) sum of the values of each group."""
    return np.bincount(group, values, groups).astype(np.float64, copy=False)


def _fragments(runs: Runs, convention: Convention) -> tuple[Array, Array]:
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
        weight[failed & (failure + RESTART == left)] *= (left / (left + 1))[failed & (failure + RESTART == left)]
        failed &= failure + RESTART <= left
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


def _first_of_run(runs: Runs) -> NDArray[np.int64]:
    """(F,) index of the first frame of each frame's run."""
    return np.repeat(np.cumsum(runs.lengths) - runs.lengths, runs.lengths)


def _sequence_of_frame(runs: Runs) -> NDArray[np.int64]:
    return np.repeat(runs.sequence, runs.lengths)


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
