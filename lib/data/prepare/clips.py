"""What every layout is read into: clips of frames with boxes. And what all readers use: texts of numbers, images."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from lib.files import UserError
from lib.images import read_image

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
VIDEOS = {".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}


@dataclass(frozen=True)
class Boxes:
    """Annotated targets of a clip, a row each, in any order."""

    frame: np.ndarray  # (K,) int, zero-based place of the frame in the clip
    track: np.ndarray  # (K,) int, which target
    xywh: np.ndarray  # (K, 4) float64, zero-based pixels; NaN: none

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Clip:
    """One video, or one still image."""

    frames: tuple[Path, ...] | Path  # image files in order, or a video file
    boxes: Boxes
    left_out: Counter = field(default_factory=Counter)  # reason -> boxes that the reader already dropped


# Name of each clip (may hold slashes) -> its reader, which is called in another process.
Source = Mapping[str, Callable[[], Clip]]


def one_track(xywh: np.ndarray, track: int = 0) -> Boxes:
    """A box in each frame (T, 4) -> boxes of one track."""
    return Boxes(np.arange(len(xywh)), np.full(len(xywh), track), np.asarray(xywh, np.float64).reshape(-1, 4))


def join(parts: list[Boxes]) -> Boxes:
    """The boxes of several tracks as one table."""
    if not parts:
        return Boxes(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))
    columns = zip(*((part.frame, part.track, part.xywh) for part in parts), strict=True)
    return Boxes(*(np.concatenate(column) for column in columns))


def keep(boxes: Boxes, which: np.ndarray) -> Boxes:
    """The rows where ``which`` (K,) bool is set."""
    return Boxes(boxes.frame[which], boxes.track[which], boxes.xywh[which])


def bounding_xywh(polygon: np.ndarray) -> np.ndarray:
    """(T, 8) corners -> (T, 4) the box round them."""
    points = polygon.reshape(-1, 4, 2)
    low, high = points.min(1), points.max(1)
    return np.concatenate([low, high - low], -1)


def read_numbers(path: Path, columns: tuple[int, ...]) -> np.ndarray:
    """Rows of numbers, separated by comma, semicolon, tab or space; all rows have one of the ``columns`` counts."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be a text of boxes, but it cannot be read: {error}") from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = re.split(r"[,;\s]+", line.strip(" ,;\t\r"))
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            raise UserError(f"{path}, line {number}: must be numbers, got {line[:60]!r}; correct the line") from None
        if len(rows[-1]) not in columns or len(rows[-1]) != len(rows[0]):
            allowed, got = " or ".join(map(str, columns)), len(rows[-1])
            raise UserError(f"{path}, line {number}: rows must have {allowed} numbers alike, got {got}; correct it")
    return np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else columns[0])


def images_of(folder: Path) -> tuple[Path, ...]:
    """The image files of a folder, in the order of the numbers in their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
    return tuple(sorted(files, key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name)))


def read_frames(clip: Clip, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray | None]]:
    """(place, image) of the ``wanted`` frames, ascending; None where the image is missing or damaged."""
    if isinstance(clip.frames, Path):
        yield from _read_video(clip.frames, wanted)
        return
    for place in wanted.tolist():
        yield place, read_image(clip.frames[place]) if 0 <= place < len(clip.frames) else None


def _read_video(path: Path, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray | None]]:
    """Decode in order; frames between are grabbed, not converted."""
    capture = cv2.VideoCapture(str(path))
    try:
        at = -1
        for place in wanted.tolist():
            image = None
            while at < place and capture.grab():
                at += 1
            if at == place:
                done, frame = capture.retrieve()
                image = frame if done else None
            yield place, image
    finally:
        capture.release()
