"""Curves of "how many frames pass a threshold", for all frames of all sequences and trackers at once.

Legend: ``F`` frames of all sequences one after another, ``Q`` sequences, ``K`` thresholds.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Bins:
    """Counts frames by (leading axes, sequence, interval between thresholds) and turns the counts into curves."""

    def __init__(self, counted: NDArray[np.bool_], lengths: NDArray[np.int64]):
        self.counted = counted
        self.every = bool(counted.all())
        self.sequence = np.repeat(np.arange(len(lengths)), lengths)[counted]
        self.count = np.bincount(self.sequence, minlength=len(lengths))[:, None]

    def above(self, values: Array, thresholds: Array, per_unit: float) -> Array:
        """(..., Q, K) fraction of frames with value > threshold."""
        passed = self._histogram(below(values, thresholds, per_unit), len(thresholds))
        return self._fraction(passed[..., ::-1].cumsum(-1)[..., ::-1][..., 1:])

    def within(self, values: Array, thresholds: Array, per_unit: float) -> Array:
        """(..., Q, K) fraction of frames with value <= threshold."""
        passed = self._histogram(below(values, thresholds, per_unit), len(thresholds))
        return self._fraction(passed.cumsum(-1)[..., :-1])

    def _histogram(self, interval: NDArray[np.int64], thresholds: int) -> NDArray[np.int64]:
        interval = interval if self.every else interval[..., self.counted]
        lead, each = interval.shape[:-1], (len(self.count), thresholds + 1)
        cell = (np.arange(int(np.prod(lead))).reshape(*lead, 1) * each[0] + self.sequence) * each[1] + interval
        counts = np.bincount(cell.ravel(), minlength=int(np.prod((*lead, *each))))
        return counts.reshape(*lead, *each)

    def _fraction(self, passed: NDArray[np.int64]) -> Array:
        with np.errstate(invalid="ignore"):
            return passed / self.count  # NaN for a sequence without an annotated frame


def below(values: Array, thresholds: Array, per_unit: float) -> NDArray[np.int64]:
    """How many of the thresholds k / per_unit (k = 0, 1, ...) are less than each value, by their last bit.

    A multiplication is a guess that may be one off where a value equals a threshold, so neighbours are looked at: a
    tenth of the time of a binary search.
    """
    last = len(thresholds) - 1
    guess = np.clip(np.ceil(values * per_unit), 0, last).astype(np.intp)
    guess -= (guess > 0) & (thresholds[guess - 1] >= values)
    return guess + (thresholds[guess] < values)
