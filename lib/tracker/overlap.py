"""Overlap of the tracked boxes with the truth, on the device, inside a step."""

import torch
from torch import Tensor

from lib.geometry.crop import Frames
from lib.geometry.polygons import rasterised_overlap
from lib.tracker.state import Flags


def flags_of(box: Tensor, truth: Tensor | None, frames: Frames) -> Flags | None:
    """Flags of boxes (N, 4) cxcywh against polygons (N, 8); None without truth.

    A frame whose truth is NaN is no failure. The rectangle is that of a result file, its corner cut at zero.
    """
    if truth is None:
        return None
    corner = (box[:, :2] - box[:, 2:] / 2).clamp(min=0)
    x1, y1, x2, y2 = *corner.unbind(1), *(corner + box[:, 2:]).unbind(1)
    rectangle = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1)
    image = torch.stack([frames.width, frames.height], 1)
    rows = max(height for height, _ in frames.shapes) + 1
    overlap = rasterised_overlap(rectangle, truth, image, rows)
    return Flags(overlap, overlap <= 0)
