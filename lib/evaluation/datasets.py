"""Readers of test sets: annotation json, OTB folders, VOT folders; or an annotation alone (``truth``), without images.

What a data set looks like decides how it is read, its name only where the layouts are the same:

- ``<root>/<name>.json`` = {sequence: {name, image_files, gt_rect, [width, height, attribute: [...]]}}, frames in
  ``<root>/<name>/<sequence name>/img/`` or in that folder itself. OTB boxes are one-based, VOT polygons as they are.
- ``<root>/<name>/<sequence>/groundtruth_rect[.k].txt`` (OTB: one-based x y w h) with ``img/*.jpg``; k counts targets.
- ``<root>/<name>/[list.txt]`` and ``<sequence>/groundtruth.txt`` (VOT: 8 or 4 numbers), ``color/*.jpg`` or ``*.jpg``,
  ``*.tag`` files of per-frame attributes.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as List
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.evaluation.boxfiles import read_bytes, read_rows
from lib.evaluation.names import LEFT_OUT, OTB_FRAMES, SUBSETS, canonical, key, match, scored_part, spellings
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh

Array = NDArray[np.float64]
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def load(
    name: str, root: str | Path = "dataset", *, truth: str | Path | None = None, max_frames: int | None = None
) -> list[Sequence]:
    """The sequences of data set ``name`` under ``root``, the first ``max_frames`` frames of each.

    ``truth`` names an annotation (a json of the layout above, or a folder of ``<sequence>.txt``) to be used instead of
    the data set's own; images are then optional, and only scoring is possible without them.
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames must be at least 1, got {max_frames}")
    root = Path(root).expanduser()
    if truth is not None:
        found = _from_truth(name, root, Path(truth).expanduser(), max_frames)
    else:
        found = _from_disk(name, root, max_frames)
    _all_members(name, found)
    if not found:
        raise UserError(f"data set {name} must hold at least one sequence, none was found under {truth or root}")
    return found


def _from_truth(name: str, root: Path, truth: Path, max_frames: int | None) -> list[Sequence]:
    folder = next((found for each in spellings(name) if (found := _child(root, each))), None)
    if truth.is_dir():
        return _from_texts(name, truth, max_frames)
    return _from_json(name, truth, folder, max_frames, images_needed=False)


def _from_disk(name: str, root: Path, max_frames: int | None) -> list[Sequence]:
    for each in spellings(name):
        folder, listing = _child(root, each), _child(root, f"{each}.json")
        if listing is not None:
            return _from_json(name, listing, folder or root / each, max_frames, images_needed=True)
        if folder is not None and folder.is_dir():
            return _from_folders(name, folder, max_frames)
    has = ", ".join(sorted(path.name for path in root.iterdir())[:12]) if root.is_dir() else "no such folder"
    raise UserError(
        f"data set {name} must lie at {root / name} or be listed by {root / name}.json; {root} holds: "
        f"{has or 'nothing'}; put it there, or name its folder with --dataset_root"
    )


def _members(name: str) -> set[str] | None:
    """Keys of the sequences of a data set that may lie within a larger one; None if it is whole."""
    own = canonical(name)
    return {key(member) for member in SUBSETS[own][1]} if own in SUBSETS else None


def _all_members(name: str, sequences: list[Sequence]) -> None:
    """Complain about members that the data set lacks."""
    members = _members(name) or set()
    missing = members - {key(sequence.name) for sequence in sequences}
    if missing:
        _say(f"{name}: not on disk: {', '.join(sorted(missing))}")
        raise UserError(
            f"{name} must have {len(members)} sequences, {len(missing)} are missing (listed above): add them"
        )


# ------------------------------------------------------------------------------------------------ annotation json


def _from_json(
    name: str, listing: Path, folder: Path | None, max_frames: int | None, *, images_needed: bool
) -> list[Sequence]:
    only = _members(name)
    data = {title: entry for title, entry in _json(listing).items() if only is None or key(title) in only}
    vot = name.upper().startswith("VOT") or any(len(row) == 8 for v in data.values() for row in v["gt_rect"][:1])
    folders = _subfolders(folder)
    found, lacking = [], []
    for title, entry in data.items():
        boxes = _boxes(entry["gt_rect"], f"{listing}, {title}", vot)
        files = [Path(file).name for file in entry.get("image_files") or entry.get("img_names") or ()]
        part = slice(None) if vot else _part(name, title, len(boxes))
        tags = {k: _tag(v, part) for k, v in entry.items() if _is_tag(k, v, len(boxes))}
        boxes = boxes[part]
        if files and not vot:
            files = files[_part_of_images(title, len(boxes), len(files))]
        home = _home(title, entry, folder, folders)
        frames = _frames(home, files)
        count = min(len(boxes), max_frames or len(boxes))
        lacking += _lacking(title, frames, count, home or folder) if images_needed else []
        size = (int(entry["width"]), int(entry["height"])) if {"width", "height"} <= entry.keys() else None
        usable = tuple(frames) if len(frames) >= count else ()
        found.append(_cut(Sequence(title, usable, boxes, size, tags, "vot" if vot else "otb"), count))
    _complain(name, folder, lacking)
    return found


def _json(listing: Path) -> dict[str, dict]:
    try:
        data = json.loads(read_bytes(listing))
    except ValueError as error:
        raise UserError(f"{listing} must be a json file: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(v, dict) and v.get("gt_rect") for v in data.values()):
        raise UserError(f"{listing} must map each sequence to an object with gt_rect; write it with prepare_data.py")
    return data


def _part(name: str, title: str, rows: int) -> slice:
    """The rows of an annotation that the OTB benchmark scores; all rows of other data sets."""
    return scored_part(title, rows) if name.upper().startswith(("OTB", "TB", "CVPR")) else slice(None)


def _part_of_images(title: str, rows: int, images: int) -> slice:
    """The images that belong to ``rows`` annotated rows of an OTB sequence, of all images of its video."""
    return scored_part(title, images) if OTB_FRAMES.get(key(title), (1, 0))[1] == rows else slice(None)


def _boxes(rows: Any, where: str, vot: bool) -> Array:
    """(T, 4) zero-based xywh, or (T, 8) polygons, where rows of both lengths may be mixed in VOT."""
    try:
        lengths = {len(row) for row in rows}
        if vot and lengths == {4, 8}:
            rows = [polygon_from_xywh(row) if len(row) == 4 else row for row in rows]
            lengths = {8}
        boxes = np.array(rows, np.float64) if lengths in ({4}, {8}) else None
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: gt_rect must be rows of 4 or 8 numbers: {error}") from error
    if boxes is None:
        raise UserError(f"{where}: gt_rect must be rows of 4 or 8 numbers, all alike, got lengths {sorted(lengths)}")
    return boxes if vot else _zero_based(boxes)


def _zero_based(boxes: Array) -> Array:
    """One-based xywh (or corners) to zero-based."""
    boxes = boxes.copy()
    boxes[:, : 2 if boxes.shape[1] == 4 else 8] -= 1
    return boxes


def _is_tag(name: str, values: Any, frames: int) -> bool:
    if name in ("image_files", "img_names", "gt_rect", "init_rect", "name", "video_dir", "width", "height"):
        return False
    return name.startswith("attr") or (isinstance(values, list) and len(values) == frames)


def _tag(values: Any, part: slice) -> NDArray:
    array = np.asarray(values)
    return array[part] if array.dtype.kind in "bif" else array


def _home(title: str, entry: Mapping, folder: Path | None, folders: list[str]) -> Path | None:
    """The folder of a json entry's images."""
    named = str(entry.get("name") or entry.get("video_dir") or title)
    place = match([named, title], folders)
    return None if folder is None or not place else _image_folder(folder / next(iter(place.values())))


def _frames(home: Path | None, files: List[str]) -> list[Path]:
    """Image files in their order, up to the first that is not there; whatever lies there if none is named."""
    if home is None:
        return []
    there = {path.name: path for path in _images(home)}
    if not files:
        return list(there.values())
    first_gap = next((n for n, file in enumerate(files) if file not in there), len(files))
    return [there[file] for file in files[:first_gap]]


# ------------------------------------------------------------------------------------------------ folders


def _from_folders(name: str, folder: Path, max_frames: int | None) -> list[Sequence]:
    listing = folder / "list.txt"
    if listing.is_file():
        titles = read_bytes(listing).decode().split()
    else:
        titles = [title for title in _subfolders(folder) if _truth_files(folder / title)]
    vot = listing.is_file() or name.upper().startswith("VOT")
    only = _members(name)
    found, lacking = [], []
    for title in titles:
        texts = _truth_files(folder / title)
        if not texts:
            lacking.append(f"{title}: no groundtruth.txt or groundtruth_rect.txt in {folder / title}")
        if vot or _is_plain(texts):
            texts = texts[:1]
        texts = [text for text in texts if key(f"{title}{_target(text)}") not in LEFT_OUT]
        for text in texts:
            target = title if len(texts) == 1 else title + _target(text)
            if only is not None and key(target) not in only:
                continue
            sequence = _from_folder(name, target, folder / title, text, vot)
            count = min(len(sequence), max_frames or len(sequence))
            lacking += _lacking(target, sequence.frames, count, folder)
            found.append(_cut(sequence, count))
    _complain(name, folder, lacking)
    return found


def _from_folder(name: str, target: str, home: Path, text: Path, vot: bool) -> Sequence:
    boxes = read_rows(text, (4, 8))
    vot = vot or boxes.shape[1] == 8
    frames = _images(_image_folder(home))
    if vot:
        tags = {path.stem: read_rows(path, (1,))[:, 0] for path in sorted(home.glob("*.tag")) if path.stat().st_size}
        return Sequence(target, tuple(frames), boxes, None, tags, "vot")
    boxes = boxes[_part(name, target, len(boxes))]
    frames = frames[_part_of_images(target, len(boxes), len(frames))]
    return Sequence(target, tuple(frames), _zero_based(boxes))


def _truth_files(home: Path) -> list[Path]:
    """The annotations of a sequence's folder: groundtruth_rect*.txt before groundtruth.txt; one per target."""
    rect = sorted(
        home.glob("groundtruth_rect*.txt"), key=lambda path: (len(path.name), path.name)
    )  # the plain one first
    return rect if rect and not (home / "color").is_dir() else sorted(home.glob("groundtruth.txt")) or rect


def _is_plain(texts: list[Path]) -> bool:
    """Whether there is one file for the sequence beside those of targets (Human4 has .1 and .2; the plain one wins)."""
    return bool(texts) and texts[0].name in ("groundtruth.txt", "groundtruth_rect.txt")


def _target(text: Path) -> str:
    """``.2`` of groundtruth_rect.2.txt, nothing where a file has no number."""
    number = re.search(r"\.(\d+)\.txt$", text.name)
    return f".{number[1]}" if number else ""


def _from_texts(name: str, folder: Path, max_frames: int | None) -> list[Sequence]:
    """Annotations alone: ``<sequence>.txt``, and ``absent/<sequence>.txt`` with 1 where the target is not in view."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        boxes = read_rows(path, (4, 8))
        vot = boxes.shape[1] == 8 or name.upper().startswith("VOT")
        absent = folder / "absent" / path.name
        tags = {"absent": read_bytes(absent).replace(b",", b" ").split()} if absent.is_file() else {}
        values = {k: np.array(v, np.float64) for k, v in tags.items()}
        sequence = Sequence(path.stem, (), boxes if vot else _zero_based(boxes), None, values, "vot" if vot else "otb")
        found.append(_cut(sequence, min(len(boxes), max_frames or len(boxes))))
    return found


# ------------------------------------------------------------------------------------------------ shared


def _cut(sequence: Sequence, count: int) -> Sequence:
    """The first ``count`` frames."""
    whole = len(sequence)
    tags = {k: v[:count] if np.ndim(v) and len(v) == whole else v for k, v in sequence.tags.items()}
    return replace(sequence, frames=sequence.frames[:count], truth=sequence.truth[:count], tags=tags)


def _lacking(title: str, frames: Iterable[Path], count: int, folder: Path | None) -> list[str]:
    have = len(tuple(frames))
    return [] if have >= count else [f"{title}: {have} of {count} images in order under {folder}"]


def _complain(name: str, folder: Path | None, lacking: list[str]) -> None:
    """Lists what is not on disk, then stops."""
    if lacking:
        _say("\n".join(lacking))
        raise UserError(
            f"{name} must lie complete under {folder}: {len(lacking)} sequences lack files (listed above); fetch them, "
            "or score without images with --truth"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _child(root: Path, name: str) -> Path | None:
    """``root / name``, whatever its case on disk."""
    if (root / name).exists():
        return root / name
    if not root.is_dir():
        return None
    return next((path for path in sorted(root.iterdir()) if path.name.casefold() == name.casefold()), None)


def _subfolders(folder: Path | None) -> list[str]:
    if folder is None or not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _image_folder(home: Path) -> Path:
    return next((home / inner for inner in ("img", "color", "imgs") if (home / inner).is_dir()), home)


def _images(folder: Path) -> list[Path]:
    """Image files of a folder in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
    return sorted(files, key=lambda path: (tuple(map(int, re.findall(r"\d+", path.stem))), path.name))
