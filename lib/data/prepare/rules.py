"""Which boxes are good enough to train on, and why the others are not."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rules:
    """Limits of a usable box."""

    min_side: float = 4.0  # px, of the shorter side
    max_ratio: float = 8.0  # longer side over shorter
    min_visible: float = 0.4  # share of the box that is inside the image
    max_fill: float = 0.75  # share of the image that the box covers (SiamFC's own limit)


# In the order in which they are tried: a box is counted under the first that applies.
REASONS = ("no box", "degenerate", "tiny", "too elongated", "outside", "fills the image")


def judge(xywh: np.ndarray, width: int, height: int, rules: Rules) -> np.ndarray:
    """(K, 4) zero-based xywh in an image -> (K,) index into REASONS, -1 for a good box."""
    xywh = np.asarray(xywh, np.float64).reshape(-1, 4)
    size = xywh[:, 2:]
    short, long = size.min(1), size.max(1)
    low = np.maximum(xywh[:, :2], 0)
    high = np.minimum(xywh[:, :2] + size, (width, height))
    seen = np.prod(np.maximum(high - low, 0), 1)
    area = np.prod(size, 1)
    with np.errstate(invalid="ignore"):
        faults = [
            ~np.isfinite(xywh).all(1),
            ~(short > 0),
            short < rules.min_side,
            long > rules.max_ratio * short,
            seen < rules.min_visible * area,
            seen > rules.max_fill * width * height,
        ]
    table = np.stack([*faults, np.ones(len(xywh), bool)])
    first = table.argmax(0)
    return np.where(first == len(REASONS), -1, first)
