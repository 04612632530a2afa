"""Box formats and overlaps; NumPy arrays in, float64 arrays out, any leading axes.

``cxcywh`` centre and size, ``xywh`` top-left corner and size, ``xyxy`` two corners, ``polygon`` x1 y1 .. x4 y4; pixels.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def cxcywh_from_xywh(xywh: ArrayLike) -> Array:
    """(..., 4) corner and size -> (..., 4) centre and size."""
    boxes = np.array(xywh, np.float64)
    boxes[..., :2] += boxes[..., 2:] / 2
    return boxes


def xywh_from_cxcywh(cxcywh: ArrayLike) -> Array:
    """(..., 4) centre and size -> (..., 4) corner and size."""
    boxes = np.array(cxcywh, np.float64)
    boxes[..., :2] -= boxes[..., 2:] / 2
    return boxes


def rectangle_from_cxcywh(cxcywh: ArrayLike) -> Array:
    """What a tracker writes for its box: xywh with the corner cut at zero, width and height uncut."""
    boxes = xywh_from_cxcywh(cxcywh)
    boxes[..., :2] = np.maximum(boxes[..., :2], 0)
    return boxes


def polygon_from_xywh(xywh: ArrayLike) -> Array:
    """(..., 4) corner and size -> (..., 8) corners, clockwise from the top left: (x,y) (x+w,y) (x+w,y+h) (x,y+h)."""
    x, y, w, h = np.moveaxis(np.asarray(xywh, np.float64), -1, 0)
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], -1)


def cxcywh_from_polygon(polygon: ArrayLike) -> Array:
    """Axis-aligned start box of a rotated one: (..., 8) -> (..., 4) cxcywh.

    Centre = mean of the corners. The bounding box is shrunk to the area of the polygon: with A1 = |p1p2| |p2p3| and A2
    the area of the bounding box, s = sqrt(A1 / A2), w = s (x2 - x1) + 1 and h likewise (the VOT toolkit's rule).
    """
    points = np.asarray(polygon, np.float64)
    points = points.reshape(*points.shape[:-1], 4, 2)
    low, high = points.min(-2), points.max(-2)
    sides = np.linalg.norm(points[..., :2, :] - points[..., 1:3, :], axis=-1)
    area = np.maximum(np.prod(high - low, -1), np.finfo(np.float64).tiny)  # a point or a line has no area
    shrink = np.sqrt(np.prod(sides, -1) / area)
    return np.concatenate([points.mean(-2), shrink[..., None] * (high - low) + 1], -1)


def iou_xywh(a: ArrayLike, b: ArrayLike) -> Array:
    """Intersection over union of (..., 4) xywh boxes, pair by pair; 0 where the union is empty."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    both = np.prod(np.maximum(high - low, 0), -1)
    either = np.prod(a[..., 2:], -1) + np.prod(b[..., 2:], -1) - both
    return np.divide(both, either, out=np.zeros_like(either), where=either != 0)
