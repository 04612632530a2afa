"""Annotations that are not laid out in folders: a json of all sequences, or a folder of texts; images are optional."""

from collections.abc import Mapping
from collections.abc import Sequence as List
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from lib.evaluation import names
from lib.evaluation.boxfiles import read_bytes
from lib.evaluation.datasets.disk import complain, cut, image_folder, images, members, subfolders
from lib.evaluation.datasets.official import flags_of
from lib.evaluation.datasets.plain import IGNORED, attributes, images_of_rows
from lib.evaluation.datasets.target import read_boxes, zero_based
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh

Array = NDArray[np.float64]

NO_TAGS = {"image_files", "img_names", "gt_rect", "init_rect", "name", "video_dir", "width", "height"}


def from_listing(
    name: str, listing: Path, folder: Path | None, max_frames: int | None, *, images_needed: bool
) -> list[Sequence]:
    """The sequences of a json: {sequence: {name, image_files, gt_rect, [width, height, attribute: [...]]}}."""
    data = _json(listing)
    kept = members(name, data)
    data = {title: entry for title, entry in data.items() if title in kept}
    vot = names.is_vot(name) or any(len(row) == 8 for v in data.values() for row in v["gt_rect"][:1] if row)
    folders = subfolders(folder)
    found, lacking = [], []
    for title, entry in data.items():
        boxes = _boxes(entry["gt_rect"], f"{listing}, {title}", vot)
        boxes = boxes if vot else zero_based(boxes, names.origin(name))
        files = [Path(file).name for file in entry.get("image_files") or entry.get("img_names") or ()]
        part = slice(None) if vot else _part(name, title, len(boxes))
        tags = _tags(entry, len(boxes), part)
        boxes = boxes[part]
        if files and not vot:
            files = images_of_rows(title, files, len(boxes))  # type: ignore[arg-type,assignment]  # names or paths
        home = _home(title, entry, folder, folders)
        frames = _frames(home, files)
        count = min(len(boxes), max_frames or len(boxes))
        if images_needed and len(frames) < count:
            lacking.append(f"{title}: {len(frames)} of {count} images in order under {home or folder}")
        size = (int(entry["width"]), int(entry["height"])) if {"width", "height"} <= entry.keys() else None
        usable = tuple(frames) if len(frames) >= count else ()
        found.append(
            cut(Sequence(title, usable, boxes, size, tags, "vot" if vot else "otb", names.origin(name)), count)
        )
    complain(name, folder, lacking)
    return _absent_is_one(found)


def _json(listing: Path) -> dict[str, dict]:
    text = read_bytes(listing)
    try:
        data = from_json(text)
    except ValueError as error:
        raise UserError(f"{listing} must be a json file: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(v, dict) and v.get("gt_rect") for v in data.values()):
        what = "an object with a gt_rect of boxes"
        raise UserError(f"{listing} must map each sequence to {what}; write it with prepare_data.py")
    return data


def _part(name: str, title: str, rows: int) -> slice:
    """The rows of an annotation that the OTB benchmark scores; all rows of other data sets."""
    return names.scored_part(title, rows) if names.is_otb(name) else slice(None)


def _boxes(rows: Any, where: str, vot: bool) -> Array:
    """(T, 4) xywh or (T, 8) polygons as in the file, where rows of both lengths may be mixed in VOT.

    A row of none or one number (VOT's long-term sets), or of nulls, says that there is no box.
    """
    try:
        try:
            boxes: Array | None = np.array(rows, np.float64)
        except ValueError:
            boxes = _mixed(rows, vot)
        if boxes is None or boxes.ndim != 2 or boxes.shape[1] not in (4, 8):
            lengths = sorted({len(row) for row in rows})
            raise UserError(f"{where}: gt_rect must be rows of 4 or 8 numbers, all alike, got lengths {lengths}")
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where}: gt_rect must be rows of 4 or 8 numbers: {error}") from error
    return boxes


def _mixed(rows: Any, vot: bool) -> Array | None:
    """Rows of several lengths as one array, where that makes sense."""
    width = max(len(row) for row in rows)
    lengths = {len(row) for row in rows if len(row) > 1}
    if (lengths == {4, 8} and not vot) or not lengths <= {4, 8}:
        return None
    filled = [[np.nan] * width if len(row) < 2 else row for row in rows]
    return np.array([polygon_from_xywh(row) if len(row) < width else row for row in filled], np.float64)


def _tags(entry: Mapping, rows: int, part: slice) -> dict[str, NDArray]:
    """Attributes of the sequence by name, and values of each frame."""
    tags = {}
    for name, values in entry.items():
        if name.startswith("attr"):
            tags["attributes"] = np.asarray(values)
        elif name not in NO_TAGS and isinstance(values, list) and len(values) == rows:
            array = np.asarray(values)
            tags[name] = array[part] if array.dtype.kind in "bif" else array
    return tags


def _absent_is_one(sequences: list[Sequence]) -> list[Sequence]:
    """pysot's files say ``absent`` 1 where LaSOT's own say 0; targets are in view most of the time, which tells."""
    flags = [s.tags["absent"] for s in sequences if "absent" in s.tags]
    if flags and np.mean(np.concatenate(flags)) > 0.5:
        for sequence in sequences:
            if "absent" in sequence.tags:
                sequence.tags["absent"][:] = 1 - sequence.tags["absent"]
    return sequences


def _home(title: str, entry: Mapping, folder: Path | None, folders: list[str]) -> Path | None:
    """The folder of a json entry's images."""
    named = str(entry.get("name") or entry.get("video_dir") or title)
    place = names.match([named, title], folders)
    return None if folder is None or not place else image_folder(folder / next(iter(place.values())))


def _frames(home: Path | None, files: List[str]) -> list[Path]:
    """Image files in their order, up to the first that is not there; whatever lies there if none is named."""
    if home is None:
        return []
    there = {path.name: path for path in images(home)}
    if not files:
        return list(there.values())
    first_gap = next((n for n, file in enumerate(files) if file not in there), len(files))
    return [there[file] for file in files[:first_gap]]


def from_texts(name: str, folder: Path, max_frames: int | None) -> list[Sequence]:
    """Boxes alone: ``<sequence>.txt``; ``absent/<sequence>.txt`` with 1 where the target is not in view; ``att/``."""
    found = []
    for path in sorted(path for path in folder.glob("*.txt") if not IGNORED.fullmatch(path.name)):
        boxes = read_boxes(path)
        vot = boxes.shape[1] == 8 or names.is_vot(name)
        absent = folder / "absent" / path.name
        tags = {"absent": flags_of(absent)} if absent.is_file() else {}
        tags |= {key: np.asarray(value) for key, value in attributes(folder, path.stem, name).items()}
        boxes = boxes if vot else zero_based(boxes, names.origin(name))
        sequence = Sequence(path.stem, (), boxes, None, tags, "vot" if vot else "otb", names.origin(name))
        found.append(cut(sequence, min(len(boxes), max_frames or len(boxes))))
    kept = members(name, [sequence.name for sequence in found])
    return [sequence for sequence in found if sequence.name in kept]
