"""Test sequences out of training crops: held-back videos to choose epochs and hyper-parameters by.

A crop has its target in the middle and at one size, whatever the camera did. Here camera and target get a motion back:
place and size follow a random walk over a larger frame, beyond the crop lies its mirror image.
"""

import json
import math
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lib.data.index import Index
from lib.data.prepare.crops import encode_jpeg
from lib.files import UserError, atomic_write
from lib.images import read_image

Array = NDArray[np.float64]
SIDE = 480  # of a frame, pixels
ROOM = 0.22  # of the frame, that the target's centre keeps from the border
STEP, TAIL = 4.0, 3  # pixels a frame along x and y: Student's t of few degrees, small moves and now and then a leap
ZOOM = 0.01  # standard deviation of the logarithm of the size's change from frame to frame, as in real videos
ZOOM_LIMITS = (0.6, 1.5)  # size of the crop in the frame
MOTION = {"side": SIDE, "room": ROOM, "step": STEP, "tail": TAIL, "zoom": ZOOM, "limits": ZOOM_LIMITS}


def write_walks(index: Index, videos: list[str], folder: Path, *, seed: int = 0, quiet: bool = False) -> int:
    """Write every track of ``videos`` (set/video) as ``<folder>/<name>/img`` and, last, ``<folder>.json`` (one-based).

    Returns how many sequences; bytes depend on the crops and the seed alone.
    """
    entries = {}
    for name, crops in tqdm(_tracks(index, videos), "held-back videos", unit="track", disable=quiet):
        motion = walk(len(crops), np.random.default_rng([seed, zlib.crc32(name.encode())]))
        files, rows = [], []
        for number, (crop, (x, y, zoom)) in enumerate(zip(crops, motion, strict=True), 1):
            image = read_image(index.path(crop))
            if image is None:
                raise UserError(f"{index.path(crop)} must be readable: get it anew, or do not hold its video back")
            files.append(f"{number:04d}.jpg")
            atomic_write(folder / name / "img" / files[-1], encode_jpeg(place(image, x, y, zoom), 92))
            w, h = index.size[crop] * zoom
            rows.append([round(float(value), 2) for value in (x - w / 2 + 1, y - h / 2 + 1, w, h)])
        entries[name] = {"name": name, "image_files": files, "init_rect": rows[0], "gt_rect": rows}
    atomic_write(folder.with_name(folder.name + ".json"), json.dumps(entries))
    return len(entries)


def walk(frames: int, rng: np.random.Generator) -> Array:
    """(T, 3) x, y of the target's centre and zoom of the crop; reflected at the limits."""
    start = rng.uniform(ROOM, 1 - ROOM, 2) * SIDE
    x, y = (start + np.cumsum(STEP * rng.standard_t(TAIL, (frames, 2)), 0)).T
    low, high = (math.log(limit) for limit in ZOOM_LIMITS)
    zoom = np.cumsum(rng.normal(0, ZOOM, frames))
    inside = _reflect(np.stack([x, y]), ROOM * SIDE, (1 - ROOM) * SIDE)
    return np.stack([*inside, np.exp(_reflect(zoom, low, high))], 1)


def place(crop: np.ndarray, x: float, y: float, zoom: float) -> np.ndarray:
    """(SIDE, SIDE, 3): the crop with its middle pixel at x, y and this size; around it its mirror image."""
    middle = crop.shape[0] // 2
    affine = np.array([[zoom, 0, x - zoom * middle], [0, zoom, y - zoom * middle]], np.float64)
    return cv2.warpAffine(crop, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _reflect(values: Array, low: float, high: float) -> Array:
    return low + np.abs((values - high) % (2 * (high - low)) - (high - low))


def _tracks(index: Index, videos: list[str]) -> list[tuple[str, range]]:
    """(name, crops) of every track of at least two frames."""
    found = []
    for number, part in enumerate(index.sets):
        for video in range(*index.set_start[number : number + 2].tolist()):
            if f"{part.name}/{index.videos[video]}" not in videos:
                continue
            for track in range(*index.video_start[video : video + 2].tolist()):
                crops = range(*index.track_start[track : track + 2].tolist())
                if len(crops) > 1:
                    found.append((f"{part.name}-{index.videos[video]}-{index.tracks[track]}", crops))
    return found
