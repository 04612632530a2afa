"""A contact sheet of random crops with their boxes, to see at a glance whether the annotation was understood."""

import json
from pathlib import Path

import cv2
import numpy as np

from lib.data.prepare.crops import EXEMPLAR, crop_name, encode_jpeg
from lib.files import UserError, atomic_write
from lib.geometry.crop import context_side

TILE = 200  # px
CAPTION = 18  # px


def contact_sheet(out: Path, count: int, seed: int = 0) -> Path:
    """Draw ``count`` random crops of the set ``out``; writes and returns ``<out>.check.jpg``."""
    data = json.loads(out.with_name(out.name + ".json").read_text())
    all_crops = [(clip, track, frame) for clip, ts in data.items() for track, fs in ts.items() for frame in fs]
    if not all_crops:
        raise UserError(f"{out} must hold crops to draw a contact sheet, but it has none; see what was left out")
    picks = np.sort(np.random.default_rng(seed).choice(len(all_crops), min(count, len(all_crops)), replace=False))
    tiles = []
    for clip, track, frame in (all_crops[pick] for pick in picks):
        path = out / clip / crop_name(int(frame), int(track))
        crop = cv2.imread(str(path))
        if crop is None:
            raise UserError(f"{path} must be a crop, but it cannot be read; delete {out} and prepare it again")
        tiles.append(_tile(crop, data[clip][track][frame], f"{clip} {int(frame)}.{track}"))
    columns = int(np.ceil(np.sqrt(1.5 * len(tiles))))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[n : n + columns]) for n in range(0, len(tiles), columns)])
    drawing = out.with_name(out.name + ".check.jpg")
    atomic_write(drawing, encode_jpeg(sheet))
    return drawing


def _tile(crop: np.ndarray, corners: list[float], caption: str) -> np.ndarray:
    """One crop, its box in green, its name below."""
    side = len(crop)
    width, height = corners[2] - corners[0], corners[3] - corners[1]
    half = np.array([width, height]) * EXEMPLAR / context_side(width, height) / 2
    zoom = TILE / side
    image = cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA)
    low, high = (np.rint(zoom * (side // 2 + sign * half)).astype(int).tolist() for sign in (-1, 1))
    cv2.rectangle(image, low, high, (0, 255, 0), 1)
    label = np.full((CAPTION, TILE, 3), 255, np.uint8)
    cv2.putText(label, caption[-32:], (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([image, label])
