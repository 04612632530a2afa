"""Anchors of the region proposal network: float64 cxcywh boxes on the grid of the response, pixels.

Axes: 4 = cx cy w h, A anchors (ratios outermost, scales innermost), n x n cells (rows are y).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def anchor_sizes(ratios: Sequence[float], scales: Sequence[float], stride: int = 8) -> Array:
    """Width and height of each anchor, (A, 2): for a ratio r = h / w of a cell of area stride^2,

    w0 = int(sqrt(stride^2 / r)), h0 = int(w0 r), both times the scale (SiamRPN, Li et al. 2018; trained weights
    depend on the truncations).
    """
    if not len(ratios) or not len(scales) or min(*ratios, *scales) <= 0:
        raise ValueError(f"anchors need positive ratios and scales; got ratios {ratios}, scales {scales}")
    widths = [int(np.sqrt(stride * stride / ratio)) for ratio in ratios]
    cells = np.array([[w, int(w * ratio)] for w, ratio in zip(widths, ratios, strict=True)], np.float64)
    if cells.min() < 1:
        raise ValueError(f"a ratio gives an anchor without area at stride {stride}; got ratios {ratios}")
    return (cells[:, None] * np.asarray(scales, np.float64)[:, None]).reshape(-1, 2)


def tracker_anchors(ratios: Sequence[float], scales: Sequence[float], n: int, stride: int = 8) -> Array:
    """(4, A, n, n): centres are offsets from the centre of the crop, -(n // 2) stride + stride k."""
    return _on_grid(anchor_sizes(ratios, scales, stride), n, stride, centre=0)


def training_anchors(ratios: Sequence[float], scales: Sequence[float], n: int, instance: int, stride: int = 8) -> Array:
    """(4, A, n, n): centres in pixels of a search image of side i = ``instance``: i//2 - (n//2) stride + stride k."""
    return _on_grid(anchor_sizes(ratios, scales, stride), n, stride, centre=instance // 2)


def _on_grid(sizes: Array, n: int, stride: int, centre: int) -> Array:
    offsets = centre + stride * (np.arange(n) - n // 2)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    anchors = np.empty((4, len(sizes), n, n))
    anchors[0], anchors[1] = x, y
    anchors[2:] = sizes.T[:, :, None, None]
    return anchors
