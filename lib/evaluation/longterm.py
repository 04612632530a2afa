"""Scores where targets leave the view: precision, recall and F-score (Lukezic et al.: Now you see me, 2018; VOT-LT).

Legend: ``Q`` sequences, ``S`` thresholds of confidence, leading axes ``...`` (resamples) free.

A tracker says how sure it is in each frame. Above a threshold it claims that the target is where its box is. Precision
is the mean overlap of the claimed frames (an absent target is overlapped by 0), recall the sum of their overlaps by
the number of frames in which the target is in view. Both are means over sequences; the F-score is their harmonic mean
at the threshold where that is greatest. The thresholds are -inf, inf and 98 of the tracker's own confidences.

Two conventions:

- ``pysot`` (default): confidences that are missing count as 0; where nothing is cut off (-inf) frames with a confidence
  of 0 or less are still left out; regions are clipped to an image one pixel wider and higher.
- ``vot`` (vot-toolkit): missing confidences count as 0 when thresholds are chosen, too; regions as the toolkit
  rasterises them.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.compare import FROM_ONE
from lib.evaluation.regions import Overlap, overlaps_of
from lib.evaluation.sequences import Sequence
from lib.geometry.polygons import Convention

Array = NDArray[np.float64]

RESOLUTION = 100  # thresholds


@dataclass(frozen=True)
class TPR:
    """Precision and recall of each sequence at each threshold; means over its runs."""

    thresholds: Array  # (S,) from inf to -inf
    precision: Array  # (Q, S)
    recall: Array  # (Q, S)

    def added(self) -> Array:
        """(Q, C) what each sequence adds to the data set's totals, from which :func:`scores_of` makes scores."""
        return np.hstack([self.precision, self.recall, np.ones((len(self.precision), 1))])

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]:
        """(...) f_score, precision and recall of the data set in which sequence q occurs ``weights[..., q]`` times."""
        added = self.added()
        return scores_of(added.sum(0) if weights is None else np.asarray(weights, np.float64) @ added)

    def values(self) -> dict[str, Array]:
        """(Q,) f_score, precision and recall of each sequence at its own best threshold."""
        return scores_of(self.added())


def scores_of(totals: Array) -> dict[str, Array]:
    """(...) scores of totals (..., C) of :meth:`TPR.added`."""
    precision, recall = np.split(totals[..., :-1] / totals[..., -1:], 2, -1)
    both = precision + recall
    f = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0)
    best = f.argmax(-1)[..., None]
    named = {"f_score": f, "precision": precision, "recall": recall}
    return {name: np.take_along_axis(values, best, -1)[..., 0] for name, values in named.items()}


def evaluate(
    sequences: List[Sequence],
    runs: Mapping[str, List[Array]],
    confidences: Mapping[str, List[Array]],
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
) -> TPR:
    """Score one tracker: rows (T, 4) zero-based xywh and confidences (T,) of each repetition of each sequence."""
    counted = [replace(sequence, truth=sequence.truth + FROM_ONE) for sequence in sequences]
    rows = [run + FROM_ONE for sequence in sequences for run in runs[sequence.name]]
    repeated = [sequence for sequence in counted for _ in runs[sequence.name]]
    inside, wide = overlaps_of(rows, repeated, convention, overlap)
    ends = np.cumsum([len(run) for run in rows])[:-1]
    overlaps = np.split(np.nan_to_num(inside if convention == "vot" else wide), ends)
    claims = [np.asarray(each, np.float64) for sequence in sequences for each in confidences[sequence.name]]
    limits = thresholds(np.concatenate(claims), convention)
    in_view = [int(np.isfinite(sequence.truth).all(1).sum()) for sequence in repeated]
    curves = np.array(
        [_curve(*each, limits, convention) for each in zip(overlaps, map(np.nan_to_num, claims), in_view, strict=True)]
    )
    counts = np.array([len(runs[sequence.name]) for sequence in sequences])
    means = np.add.reduceat(curves, np.cumsum(counts) - counts, axis=0) / counts[:, None, None]
    return TPR(limits, means[:, 0], means[:, 1])


def thresholds(confidences: Array, convention: Convention = "pysot") -> Array:
    """(S,) inf, confidences at even steps of their order, -inf; all of them where they are few."""
    known = np.nan_to_num(confidences) if convention == "vot" else confidences[~np.isnan(confidences)]
    inner, n = RESOLUTION - 2, len(known)
    if n <= inner:
        chosen = np.sort(known)[::-1]
    elif convention == "vot":
        chosen = np.sort(known)[::-1][np.round(np.linspace(n // inner, n - n // inner, inner)).astype(int)]
    else:
        chosen = np.sort(known)[np.floor(np.linspace(n // inner - 1, n - n // inner, inner) + 0.5).astype(int)][::-1]
    return np.concatenate([[np.inf], chosen, [-np.inf]])


def _curve(overlaps: Array, claims: Array, in_view: int, limits: Array, convention: Convention) -> Array:
    """(2, S) precision and recall of one run."""
    order = np.argsort(claims)
    n = len(claims)
    claimed = n - np.searchsorted(claims[order], limits, "left")
    if convention == "pysot":
        claimed[-1] = n - np.searchsorted(claims[order], 0, "right")
    total = np.append(0, np.cumsum(overlaps[order][::-1]))[claimed]
    return np.stack([np.where(claimed > 0, total / np.maximum(claimed, 1), 1), total / max(in_view, 1)])
