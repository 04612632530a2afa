"""A test sequence: frames on disk, the annotated boxes, and what else is known about it.

``T`` frames; boxes in pixels: ``xywh`` (T, 4) corner and size, or ``polygon`` (T, 8) corners.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.files import UserError
from lib.geometry.boxes import cxcywh_from_polygon, cxcywh_from_xywh
from lib.images import read_image

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sequence:
    """One target in one video."""

    name: str
    frames: tuple[Path, ...]  # image files in order; empty when only the annotation is at hand
    truth: Array  # (T, 4) zero-based xywh or (T, 8) polygon as in the file; NaN rows are not annotated
    size: tuple[int, int] | None = None  # (width, height) in pixels, where known without opening an image
    tags: Mapping[str, NDArray] = field(default_factory=dict)  # attribute -> (T,) values, or a single value
    kind: str = "otb"  # "otb" or "vot": the protocol and the layout of result files
    origin: int = 1  # what the files of a one-pass set, results included, call the first pixel

    def __len__(self) -> int:
        return len(self.truth)

    def start(self, frame: int = 0) -> Array:
        """(4,) cxcywh of the axis-aligned box that a tracker is started with at ``frame``."""
        box = self.truth[frame]
        if not np.isfinite(box).all():
            raise UserError(
                f"sequence {self.name}: a tracker starts on a box of finite numbers, frame {frame} has none: annotate "
                "it, or begin the sequence later"
            )
        start = cxcywh_from_xywh(box) if box.size == 4 else cxcywh_from_polygon(box)
        if not (start[2:] > 0).all():
            numbers = ", ".join(f"{number:g}" for number in box)
            what = f"a start box must have an area, frame {frame} has {numbers}"
            raise UserError(f"sequence {self.name}: {what}: mend it")
        return start

    def image_size(self) -> tuple[int, int] | None:
        """(width, height) in pixels: as known, or of the first frame; None where there is no frame."""
        if self.size is not None or not self.frames:
            return self.size
        return _size_of(self.frames[0])


@lru_cache(maxsize=10_000)
def _size_of(path: Path) -> tuple[int, int]:
    """Opened once, though each of many trackers asks."""
    image = read_image(path)
    if image is None:
        raise UserError(f"{path} must be an image, it cannot be read: replace it")
    return image.shape[1], image.shape[0]


def kind(sequences: Iterable[Sequence]) -> str:
    """The protocol that the sequences of one data set share: "otb" (one pass) or "vot" (reset on failure)."""
    kinds = sorted({sequence.kind for sequence in sequences})
    if len(kinds) != 1:
        raise UserError(f"sequences of one data set must share one protocol, got {kinds or 'no sequence'}")
    return kinds[0]
