"""A target that a layout found on disk, and what it takes to read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.evaluation.boxfiles import parse_rows_or_codes, read_bytes
from lib.evaluation.datasets.disk import cut, image_folder, images
from lib.evaluation.sequences import Sequence

Array = NDArray[np.float64]
Tags = Mapping[str, NDArray]


def read_boxes(text: Path) -> Array:
    """(T, 4 or 8) rows; NaN where a row says that there is no box: ``nan`` or a single 0."""
    rows = parse_rows_or_codes(read_bytes(text), text, (4, 8), codes=(0,))
    rows[np.isnan(rows).any(1)] = np.nan
    return rows


@dataclass
class Target:
    """One target in one video, not read yet."""

    title: str
    text: Path | None  # its boxes; None: not there
    home: Path | None  # folder of the sequence or of its images
    vot: bool = False  # polygons as in the file, restarts after failures; else one pass
    origin: int = 1  # what a one-pass file calls the first pixel
    rows: Callable[[Path], Array] = read_boxes
    pick: Callable[[list[Path], int], list[Path]] = lambda files, rows: files  # which images, for so many rows
    scored: Callable[[int], slice] = lambda rows: slice(None)  # which of so many rows
    tags: Callable[[], Tags] = dict
    size: tuple[int, int] | None = None
    only_start: bool = False  # one row may stand for all frames: boxes of the others are held back, or not needed
    lacking: list[str] = field(default_factory=list)  # what is not on disk

    def read(self, max_frames: int | None, images_needed: bool) -> Sequence | None:
        """The sequence's first frames; None where it has no boxes. What is not on disk is added to ``lacking``."""
        if self.text is None:
            self.lacking.append(f"{self.title}: no text of boxes in {self.home}")
            return None
        every = self.rows(self.text)
        boxes = every[self.scored(len(every))]
        home = image_folder(self.home) if self.home else None
        files = images(home)
        if len(boxes) == 1 and self.only_start:
            others = max(0, len(files or self.pick(files, 1)) - 1)
            boxes = np.concatenate([boxes, np.full((others, boxes.shape[1]), np.nan)])
        frames = self.pick(files, len(boxes))
        vot = self.vot or boxes.shape[1] == 8
        count = min(len(boxes), max_frames or len(boxes))
        if images_needed and len(frames) < count:
            self.lacking.append(f"{self.title}: {len(frames)} of {count} images in order under {home}")
        usable = tuple(frames) if len(frames) >= count else ()
        tags = {name: np.asarray(values) for name, values in self.tags().items()}
        boxes = boxes if vot else zero_based(boxes, self.origin)
        return cut(Sequence(self.title, usable, boxes, self.size, tags, "vot" if vot else "otb", self.origin), count)


def zero_based(boxes: Array, origin: int) -> Array:
    """xywh (or corners) whose first pixel is ``origin`` to zero-based."""
    boxes = boxes.copy()
    boxes[:, : 2 if boxes.shape[1] == 4 else 8] -= origin
    return boxes
