"""How sure a score is: bootstrap intervals over sequences, and paired tests between two trackers.

Legend: ``Q`` sequences, ``R`` resamples, ``C`` columns. A benchmark's sequences are a sample of videos, so they are
what is drawn again. Every score here is a function of totals (C,), to which each sequence adds a row of (Q, C). That
covers means over sequences and scores that are no such mean (expected average overlap, F-score), at the price of one
matrix product: weights (R, Q), how often each sequence occurs, times (Q, C).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95


@lru_cache(maxsize=4)
def draws(sequences: int, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """(R, Q) how often each sequence occurs in each resample of the same size, drawn with replacement."""
    chosen = np.random.default_rng([seed, sequences]).integers(sequences, size=(resamples, sequences))
    chosen += np.arange(resamples)[:, None] * sequences
    counts = np.bincount(chosen.ravel(), minlength=resamples * sequences).reshape(resamples, sequences)
    weights = counts.astype(np.float64)
    weights.flags.writeable = False  # shared by all who ask
    return weights


def bounds(samples: Array, value: ArrayLike | None = None, *, level: float = LEVEL) -> tuple[Array, Array]:
    """Percentile interval of resampled scores (R, ...), NaN left out; widened to hold ``value`` where it does not."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    missing = np.isnan(samples)
    if missing.all():
        low = high = np.full(samples.shape[1:], np.nan)
    else:  # the plain quantile is much faster
        low, high = (np.nanquantile if missing.any() else np.quantile)(samples, tails, axis=0)
    if value is not None:
        low, high = np.fmin(low, value), np.fmax(high, value)
    return low, high


def interval(
    values: ArrayLike, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Array, Array]:
    """Interval (low, high), each (...), of the mean over sequences of values (..., Q); NaN for fewer than two."""
    values = np.asarray(values, np.float64)
    lead, sequences = values.shape[:-1], values.shape[-1]
    if sequences < 2:
        return np.full(lead, np.nan), np.full(lead, np.nan)
    flat = values.reshape(-1, sequences).T
    defined = ~np.isnan(flat)
    weights = draws(sequences, resamples, seed)
    filled = np.where(defined, flat, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = (weights @ filled) / (weights @ defined)
        mean = filled.sum(0) / defined.sum(0)
    low, high = bounds(samples, mean, level=level)
    return np.reshape(low, lead), np.reshape(high, lead)


@dataclass(frozen=True)
class Difference:
    """First tracker minus second, on the same sequences."""

    value: float
    low: float
    high: float
    p: float  # two-sided: how often swapping the trackers at random in each sequence gives a difference as great

    def behind(self, best: str) -> str:
        """The second's place beside the first, in words."""
        return f"behind {best}: p = {self.p:.2g}" if self.value else f"equal to {best}"


def paired(
    first: Array,
    second: Array,
    score: Callable[[Array], Array],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two trackers: what each sequence adds to the totals of either (Q, C); ``score`` is of totals (..., C).

    The interval is a bootstrap over sequences, both trackers drawn together. The test draws for each sequence which
    tracker's result counts as the first's, which changes nothing if neither is better (Fisher's randomisation test).
    """
    q = len(first)
    value = float(score(first.sum(0)) - score(second.sum(0)))
    if q < 2:
        return Difference(value, np.nan, np.nan, np.nan)
    counts = draws(q, resamples, seed)
    low, high = bounds(score(counts @ first) - score(counts @ second), value, level=level)
    one = second.sum(0) + swaps(q, resamples, seed) @ (first - second)
    swapped = score(one) - score(first.sum(0) + second.sum(0) - one)
    as_great = np.count_nonzero(np.abs(swapped) >= abs(value) * (1 - 1e-9) - 1e-12)
    return Difference(value, float(low), float(high), (1 + as_great) / (1 + resamples))


@lru_cache(maxsize=4)
def swaps(sequences: int, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """(R, Q) 1 where a sequence's two results stay, 0 where they are swapped, each with a chance of a half."""
    keep = np.random.default_rng([seed, sequences, 1]).integers(2, size=(resamples, sequences)).astype(np.float64)
    keep.flags.writeable = False  # shared by all who ask
    return keep
