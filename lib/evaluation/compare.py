"""Overlaps and centre distances of boxes, frame by frame, in each convention (see ``conventions.py``).

Legend: ``F`` frames of all sequences one after another, leading axes ``...`` (trackers, trials) free. Boxes (..., F, 4)
and truth (F, 4) are xywh in zero-based pixels, NaN where there is none.
"""

from collections.abc import Sequence as List

import numpy as np
import torch
from numpy.typing import NDArray

from lib.evaluation.sequences import Sequence
from lib.geometry.polygons import rasterised_overlap

Array = NDArray[np.float64]
Columns = tuple[Array, Array, Array, Array]

FROM_ONE = np.array([1, 1, 0, 0])  # to pixels counted from 1, as in the toolkits' files
EPS = float(np.finfo(np.float64).eps)


def _columns(boxes: Array) -> Columns:
    """x, y, w, h, each (..., F) and in one piece, which is what makes comparing fast."""
    x, y, w, h = np.ascontiguousarray(np.moveaxis(boxes, -1, 0))
    return x, y, w, h


def compare(boxes: Array, truth: Array) -> tuple[Array, Array, Array]:
    """Overlap, centre distance (pixels), distance over the truth's (w, h); each (..., F); -1 and inf without a box."""
    (x, y, w, h), (u, v, a, b) = _columns(boxes), _columns(truth)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        overlap = _overlap((x, y, w, h), (u, v, a, b))
        across, down = x + w / 2 - (u + a / 2), y + h / 2 - (v + b / 2)
        distance = np.sqrt(across * across + down * down)
        across, down = np.where(across == 0, 0, across / a), np.where(down == 0, 0, down / b)
        relative = np.sqrt(across * across + down * down)
    lost = ~np.isfinite(x + y + w + h)
    return tuple(  # type: ignore[return-value]
        np.where(lost | np.isnan(values), worst, values)
        for values, worst in ((overlap, -1), (distance, np.inf), (relative, np.inf))
    )


def _overlap(box: Columns, truth: Columns, eps: float = 0) -> Array:
    """Intersection over union, 0 where the union is empty, at most 1: rounding may leave 1 + 1e-16."""
    (x, y, w, h), (u, v, a, b) = box, truth
    both = np.maximum(np.minimum(x + w, u + a) - np.maximum(x, u), 0)
    both *= np.maximum(np.minimum(y + h, v + b) - np.maximum(y, v), 0)
    either = w * h + a * b - both + eps
    return np.minimum(np.where(either == 0, 0, both / either), 1)


def lenient(truth: Array, overlaps: Array, distances: Array, ratios: Array) -> tuple[Array, Array, Array]:
    """pysot's way with odd truth: success fails without area; precision passes unless the centre is positive."""
    u, v, w, h = _columns(truth + FROM_ONE)
    sized = (w > 0) & (h > 0)
    centre = np.stack([u + (w - 1) / 2, v + (h - 1) / 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = centre / (np.stack([w, h]) + 1e-16)
    return (
        np.where(sized, overlaps, -1),
        np.where((centre > 0).all(0), distances, -1),
        np.where((relative > 0).all(0), ratios, -1),
    )


def cut_overlaps(boxes: Array, truth: Array, frames_of: List[Sequence]) -> Array:
    """(..., F) GOT-10k's overlaps: boxes begin within the image and end at its border; pixels count from 1."""
    size = _sizes(frames_of, len(truth))

    def cut(each: Array) -> Columns:
        x, y, w, h = _columns(each + FROM_ONE)
        x, y = np.clip(x, 0, size[:, 0]), np.clip(y, 0, size[:, 1])
        return x, y, np.clip(w, 0, size[:, 0] - x), np.clip(h, 0, size[:, 1] - y)

    plain = np.isinf(size).all()
    with np.errstate(invalid="ignore"):
        sides = (_columns(boxes), _columns(truth)) if plain else (cut(boxes), cut(truth))
        return np.nan_to_num(np.maximum(_overlap(*sides, EPS), 0))


def rasterised(boxes: Array, truth: Array, frames_of: List[Sequence]) -> Array:
    """(..., F) the VOT toolkit's overlaps of pixels counted from 1."""
    size = _sizes(frames_of, len(truth))
    track, target = (torch.from_numpy(np.broadcast_to(each + FROM_ONE, boxes.shape).copy()) for each in (boxes, truth))
    bound = None if np.isinf(size).any() else torch.from_numpy(size)
    return np.nan_to_num(rasterised_overlap(track, target, bound, convention="vot").numpy())


def _sizes(frames_of: List[Sequence], count: int) -> Array:
    """(F, 2) width and height of each frame's image, infinite where they are not known."""
    sizes = [sequence.image_size() or (np.inf, np.inf) for sequence in frames_of]
    if not sizes:
        return np.full((count, 2), np.inf)
    return np.repeat(np.array(sizes, np.float64), [len(sequence) for sequence in frames_of], 0)
