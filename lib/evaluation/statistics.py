"""How sure a score is: bootstrap intervals over sequences, and paired tests between two trackers.

Legend: ``Q`` sequences, ``R`` resamples. A benchmark's sequences are a sample of videos, so they are what is drawn
again. Every score here is a function of how often each sequence occurs: ``score(weights (R, Q)) -> (R,)``. That covers
means over sequences and scores that are no such mean (expected average overlap), at the price of one matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], Array]

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


def paired(
    score: Score, sequences: int, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Compare two trackers; ``score(weights (R, 2Q))`` scores the first one's sequences followed by the second one's.

    The interval is a bootstrap over sequences, both trackers drawn together. The test draws for each sequence which
    tracker's result counts as the first's, which changes nothing if neither is better (Fisher's randomisation test).
    """
    q = sequences
    counts = draws(q, resamples, seed)
    none = np.zeros_like(counts)
    one = np.ones((1, q))
    value = float((score(np.hstack([one, 0 * one])) - score(np.hstack([0 * one, one])))[0])
    if q < 2:
        return Difference(value, np.nan, np.nan, np.nan)
    low, high = bounds(score(np.hstack([counts, none])) - score(np.hstack([none, counts])), value, level=level)
    keep = np.random.default_rng([seed, q, 1]).integers(2, size=(resamples, q)).astype(np.float64)
    swapped = score(np.hstack([keep, 1 - keep])) - score(np.hstack([1 - keep, keep]))
    as_great = np.count_nonzero(np.abs(swapped) >= abs(value) - 1e-12)
    return Difference(value, float(low), float(high), (1 + as_great) / (1 + resamples))
