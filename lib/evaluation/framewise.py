"""Scores frame by frame of a reset-protocol run: distance precision, average overlap, average centre error.

Over frames that have a region: what happens between a failure and the next start is told by the failures beside. Pooled
scores count every frame alike, means count every sequence alike.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.regions import Runs
from lib.evaluation.sequences import Sequence

Array = NDArray[np.float64]

WITHIN = 20  # pixels of distance precision
NAMES = ("distance_precision", "average_overlap", "centre_error")


@dataclass(frozen=True)
class Framewise:
    """Sums over the frames of each sequence that have a region; means over its repetitions."""

    sums: Array  # (3, Q) in the order of NAMES: frames within 20 px, overlaps, centre distances in pixels
    frames: Array  # (Q,)

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]:
        """(...) pooled scores and means over sequences, sequence q occurring ``weights[..., q]`` times."""
        w = np.ones(len(self.frames)) if weights is None else np.asarray(weights, np.float64)
        some = self.frames > 0
        each = np.divide(self.sums, self.frames, out=np.zeros_like(self.sums), where=some)
        with np.errstate(invalid="ignore"):
            pooled = {name: (w @ total) / (w @ self.frames) for name, total in zip(NAMES, self.sums, strict=True)}
            means = {f"{name}_mean": (w @ value) / (w @ some) for name, value in zip(NAMES, each, strict=True)}
        return pooled | means


def framewise(sequences: List[Sequence], results: Mapping[str, List[Array]], runs: Runs) -> Framewise:
    """Score ``results`` (repetitions of each sequence), whose overlaps are in ``runs``."""
    centres = np.concatenate([_centres(rows) for sequence in sequences for rows in results[sequence.name]])
    truth = np.concatenate([_centres(sequence.truth) for sequence in sequences for _ in results[sequence.name]])
    distance = np.hypot(*(centres - truth).T)
    has = ~np.isnan(runs.overlaps) & ~np.isnan(distance)
    q = len(sequences)
    owner = np.repeat(runs.sequence, runs.lengths)[has]
    values = np.stack([distance <= WITHIN, runs.overlaps, distance])[:, has]
    sums = np.stack([np.bincount(owner, value, q) for value in values])
    return Framewise(sums / runs.repetitions, np.bincount(owner, minlength=q) / runs.repetitions)


def _centres(regions: Array) -> Array:
    """(T, 2) centres of xywh boxes or polygons: the mean of the corners."""
    if regions.shape[1] == 4:
        return regions[:, :2] + regions[:, 2:] / 2
    return regions.reshape(-1, 4, 2).mean(1)
