"""Test sequences out of training crops: held-back videos to choose epochs and hyper-parameters by.

A crop shows its target in the middle and at one size. The annotation still knows where it was and how large: each crop
is put back there, so that the target moves and grows as it did. Beyond the crop lies its mirror image.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lib.data.index import CropSet, Index, Ints, read_annotation
from lib.data.prepare.crops import EXEMPLAR, encode_jpeg
from lib.files import UserError, atomic_write
from lib.geometry.crop import context_side
from lib.images import read_image

Array = NDArray[np.float64]
SIZE = 56  # pixels, the middle one of a target's sizes (root of its area) in the frames
ROOM = 112  # pixels around all its centres
MOST = 1600  # pixels, side of a frame: targets that go farther are left out
LAYOUT = {"size": SIZE, "room": ROOM, "most": MOST}


def write_replays(index: Index, videos: list[str], folder: Path, *, quiet: bool = False) -> int:
    """Write every track of ``videos`` (set/video) as ``<folder>/<name>/img`` and, last, ``<folder>.json`` (one-based).

    Returns how many sequences.
    """
    entries: dict[str, Any] = {}
    for name, crops, recorded in tqdm(_tracks(index, videos), "held-back videos", unit="track", disable=quiet):
        boxes, (width, height) = in_frame(recorded)
        if max(width, height) > MOST:
            continue
        files = []
        for number, (crop, box) in enumerate(zip(crops, boxes, strict=True), 1):
            image = read_image(index.path(crop))
            if image is None:
                raise UserError(f"{index.path(crop)} must be readable: get it anew, or do not hold its video back")
            files.append(f"{number:04d}.jpg")
            atomic_write(folder / name / "img" / files[-1], encode_jpeg(put_back(image, box, width, height), 92))
        rows = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2 + 1, boxes[:, 2:]], 1).round(2).tolist()
        entries[name] = {"name": name, "image_files": files, "init_rect": rows[0], "gt_rect": rows}
    atomic_write(folder.with_name(folder.name + ".json"), json.dumps(entries))
    return len(entries)


def in_frame(boxes: Array) -> tuple[Array, tuple[int, int]]:
    """(T, 4) recorded cxcywh -> the same motion in a frame of our own, and the frame's width and height."""
    boxes = boxes * (SIZE / np.median(np.sqrt(boxes[:, 2:].prod(1))))
    boxes[:, :2] += ROOM - boxes[:, :2].min(0)
    width, height = np.ceil(boxes[:, :2].max(0) + ROOM).astype(int).tolist()
    return boxes, (width, height)


def put_back(crop: np.ndarray, box: Array, width: int, height: int) -> np.ndarray:
    """(height, width, 3): the crop where its target is ``box`` (cxcywh); around it its mirror image."""
    x, y, w, h = box.tolist()
    zoom, middle = context_side(w, h) / EXEMPLAR, crop.shape[0] // 2
    affine = np.array([[zoom, 0, x - zoom * middle], [0, zoom, y - zoom * middle]], np.float64)
    return cv2.warpAffine(crop, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _tracks(index: Index, videos: list[str]) -> list[tuple[str, range, Array]]:
    """(name, crops, recorded boxes) of every track of at least two frames."""
    found = []
    for number, part in enumerate(index.sets):
        own = range(*index.set_start[number : number + 2].tolist())
        chosen = [video for video in own if f"{part.name}/{index.videos[video]}" in videos]
        annotation = read_annotation(part) if chosen else {}
        for video in chosen:
            name = index.videos[video]
            for track in range(*index.video_start[video : video + 2].tolist()):
                crops = range(*index.track_start[track : track + 2].tolist())
                if len(crops) > 1:
                    told, frames = annotation[name][index.tracks[track]], index.frame[crops.start : crops.stop]
                    boxes = _recorded(told, frames, part, name)
                    found.append((f"{part.name}-{name}-{index.tracks[track]}", crops, boxes))
    return found


def _recorded(told: dict[str, Any], frames: Ints, part: CropSet, video: str) -> Array:
    """(T, 4) cxcywh of a track in its own video, pixels."""
    by_frame = {int(frame): box for frame, box in told.items()}
    boxes = [by_frame[int(frame)] for frame in frames]
    if any(len(box) != 4 for box in boxes):
        raise UserError(
            f"{part.annotation} must say where targets are, of {video} it knows sizes alone: hold back others"
        )
    low, high = np.split(np.array(boxes, np.float64), 2, axis=1)
    return np.concatenate([(low + high) / 2, high - low], 1)
