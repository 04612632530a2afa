"""A video as a test sequence: its frames, decoded once to lossless images beside it; and texts of boxes of any kind."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.evaluation.boxfiles import read_rows
from lib.evaluation.datasets.disk import images, say
from lib.files import UserError, part_of

Array = NDArray[np.float64]


def rows_of(text: Path) -> Array:
    """(T, 4 or 8) boxes of anyone's text: x y w h or four corners a row, one a frame; or frame x y w h, frames from 0.

    Frames between those that are named have no box (NaN).
    """
    rows = read_rows(text, (4, 5, 8))
    if rows.shape[1] != 5:
        return rows
    frame = rows[:, 0].astype(int)
    if (frame != rows[:, 0]).any() or frame.min() < 0 or len(np.unique(frame)) != len(frame):
        raise UserError(f"{text}: rows of 5 numbers must be frame, x, y, w, h with each frame once, counted from 0")
    boxes = np.full((frame.max() + 1, 4), np.nan)
    boxes[frame] = rows[:, 1:]
    return boxes


def frames_of(video: Path) -> list[Path]:
    """The frames of a video as PNG files in ``<video>.frames/``, which is written if it is not there yet."""
    folder = video.with_name(f"{video.stem}.frames")
    if not folder.is_dir():
        say(f"{video}: decoding to {folder}")
        _decode(video, folder)
    return images(folder)


def _decode(video: Path, folder: Path) -> None:
    """Write all frames, then give the folder its name, so that a folder of that name is whole."""
    part = part_of(folder)
    capture = cv2.VideoCapture(str(video))
    try:
        part.mkdir(parents=True)
        count = 0
        while (frame := capture.read()[1]) is not None:
            count += 1
            if not cv2.imwrite(str(part / f"{count:08d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise OSError(0, "no space left")
        if not count:
            raise UserError(f"{video} must be a video that can be decoded, it yields no frame: convert it to MP4")
        part.rename(folder)
    except OSError as error:
        raise UserError(f"frames of {video} are kept in {folder}, which cannot be written: {error.strerror}") from error
    finally:
        capture.release()
        shutil.rmtree(part, ignore_errors=True)
