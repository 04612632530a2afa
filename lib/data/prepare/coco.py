"""COCO in its official layout: ``annotations/instances_<split>.json``, ``<split>/<image>.jpg``. A clip is one image."""

import json
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from lib.data.prepare.clips import Boxes, Clip, Source
from lib.files import UserError


def find_coco(root: Path, *, split: str | None = None) -> Source:
    """The images of one split, or of all whose json and images are there. Clips are named ``<split>/<image>``."""
    paths = sorted(root.glob("annotations/instances_*.json"))
    listings = {path.stem.removeprefix("instances_"): path for path in paths}
    if split is not None and split not in listings:
        raise UserError(f"--split must be one of {', '.join(listings) or 'none found'} under {root}, got {split}")
    source: dict[str, partial[Clip]] = {}
    for name in [split] if split else listings:
        folder = next((root / place / name for place in ("", "images") if (root / place / name).is_dir()), None)
        if folder is not None:
            source.update(_find_split(name, listings[name], folder))
        elif split:
            raise UserError(f"the images of {split} must be in {root / split}; unpack {split}.zip there")
    return source


def _find_split(split: str, listing: Path, folder: Path) -> "dict[str, partial[Clip]]":
    try:
        data = json.loads(listing.read_bytes())
        images = {image["id"]: image["file_name"] for image in data["images"]}
        rows = defaultdict(list)
        for entry in data["annotations"]:
            rows[entry["image_id"]].append((*entry["bbox"], bool(entry.get("iscrowd"))))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{listing} must be a COCO instances file; it is not: {error!r}") from error
    return {
        f"{split}/{Path(file).stem}": partial(load_still, folder / file, np.array(rows[number], np.float64))
        for number, file in images.items()
        if number in rows
    }


def load_still(path: Path, rows: np.ndarray) -> Clip:
    """One image and its (K, 5) rows x y w h crowd; a group marked as a crowd has no box of its own."""
    crowd = rows[:, 4] != 0
    xywh = rows[~crowd, :4]
    boxes = Boxes(np.zeros(len(xywh), int), np.flatnonzero(~crowd), xywh)
    return Clip((path,), boxes, Counter(crowd=int(crowd.sum())))
