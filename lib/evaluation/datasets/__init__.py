"""Readers of test sets: those of the benchmarks, as they come, and anyone's own; or an annotation alone (``truth``).

What a data set looks like decides how it is read, its name only where the layouts are the same. Case and punctuation of
folders' names do not matter, nor does a folder that holds nothing but the data set.

- ``<root>/<name>.json`` = {sequence: {name, image_files, gt_rect, [width, height, attribute: [...]]}} (SiamDW's and
  pysot's), frames in ``<root>/<name>/<sequence name>/img/`` or in that folder itself.
- ``<root>/<name>/<sequence>/groundtruth_rect[.k].txt`` (OTB) with ``img/*.jpg``; k counts targets.
- ``<root>/<name>/[sequences/][list.txt]`` and ``<sequence>/groundtruth.txt`` (VOT: 8 or 4 numbers), ``color/*.jpg`` or
  ``*.jpg``, ``*.tag`` files of per-frame attributes. VOT2018-LT and VOT2019-LT likewise, ``nan`` where there is no box.
- TColor-128, UAV123, UAV20L, NFS, LaSOT, GOT-10k and TrackingNet: see ``official.py``.
- Anything else: folders of images with one text of boxes in or beside them, and videos with a text of the same name;
  rows x y w h or four corners, one a frame, or frame x y w h. The frames of a video are decoded once, to a folder
  beside it. ``name`` may also be the path of such a folder or video.

Boxes count pixels from 1 in the files of all but VOT's short-term sets, NFS and TrackingNet, as do the results.
"""

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lib.evaluation import names
from lib.evaluation.datasets.annotation import from_listing, from_texts
from lib.evaluation.datasets.disk import VIDEOS, child, complain, members
from lib.evaluation.datasets.official import FINDERS
from lib.evaluation.datasets.plain import find_plain, video_target
from lib.evaluation.datasets.target import Target
from lib.evaluation.facts import OTB_ATTRIBUTES, VOT_SIZES
from lib.evaluation.sequences import Sequence
from lib.files import UserError

__all__ = ["load", "place"]

OF_KNOWN_SIZE = ("VOT2017", "VOT2018", "VOT2019")


def load(
    name: str,
    root: str | Path = "dataset",
    *,
    truth: str | Path | None = None,
    max_frames: int | None = None,
    images_needed: bool = True,
) -> list[Sequence]:
    """The sequences of data set ``name`` under ``root``, the first ``max_frames`` frames of each.

    ``truth`` names an annotation to be used instead of the data set's own: a json of the layout above, a folder of
    ``<sequence>.txt``, or the data set without its images, or what holds one of these. Only scoring is possible without
    images (``images_needed``).
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames must be at least 1, got {max_frames}")
    root = Path(root).expanduser()
    if truth is not None:
        found = _from_truth(name, root, Path(truth).expanduser(), max_frames)
    else:
        found = _from_disk(name, root, max_frames, images_needed)
    if not found:
        raise UserError(f"data set {name} must hold at least one sequence, none was found under {truth or root}")
    return [_with_facts(name, sequence) for sequence in found]


def _with_facts(name: str, sequence: Sequence) -> Sequence:
    """What is known of a sequence though its files do not tell: attributes of OTB, sizes of VOT's images."""
    attributes = OTB_ATTRIBUTES.get(names.key(sequence.name)) if names.is_otb(name) else None
    if attributes is not None and "attributes" not in sequence.tags:
        return replace(sequence, tags={**sequence.tags, "attributes": np.array(attributes)})
    if names.canonical(name) in OF_KNOWN_SIZE and sequence.size is None and not sequence.frames:
        return replace(sequence, size=VOT_SIZES.get(sequence.name.lower()))
    return sequence


def _from_truth(name: str, root: Path, truth: Path, max_frames: int | None) -> list[Sequence]:
    if truth.is_dir():
        places = [(f"{each}.json", each)[: 1 if _is_named(truth, name) else 2] for each in names.spellings(name)]
        if (inner := child(truth, *chain.from_iterable(places))) is not None:
            return _from_truth(name, root, inner, max_frames)
    if truth.is_dir():
        texts = from_texts(name, truth, max_frames)
        return texts or _read(name, truth, _find(name, truth), max_frames, images_needed=False)
    return from_listing(name, truth, child(root, *names.spellings(name)), max_frames, images_needed=False)


def _from_disk(name: str, root: Path, max_frames: int | None, images_needed: bool) -> list[Sequence]:
    wanted: dict[str, Any] = {"max_frames": max_frames, "images_needed": images_needed}
    for each in names.spellings(name):
        folder, listing = child(root, each), child(root, f"{each}.json")
        if listing is not None:
            return from_listing(name, listing, folder or root / each, **wanted)
        if folder is not None and folder.is_dir():
            return _read(name, folder, _find(name, folder), **wanted)
    path = Path(name).expanduser()
    if path.is_dir():
        return _read(name, path, find_plain(path, path.name), **wanted)
    for video in (path, root / name):
        if video.suffix.lower() in VIDEOS and video.is_file():
            text = child(video.parent, f"{video.stem}.txt", f"{video.stem}_gt.txt")
            return _read(name, video.parent, [video_target(video, text)], **wanted)
    itself = _find(name, root) if root.is_dir() and _is_named(root, name) else _find_official(name, root)
    if itself:
        return _read(name, root, itself, **wanted)
    has = ", ".join(sorted(path.name for path in root.iterdir())[:12]) if root.is_dir() else "no such folder"
    raise UserError(
        f"data set {name} must lie at {root / name} or be listed by {root / name}.json; {root} holds: "
        f"{has or 'nothing'}; put it there, or name its folder (--dataset_root; DATASET_ROOT in a training file)"
    )


def place(name: str, root: str | Path = "dataset") -> Path:
    """Where :func:`load` looks for a data set, as an absolute path: under ``root``, else where ``name`` is a path."""
    root, path = Path(root).expanduser(), Path(name).expanduser()
    in_root = (child(root, each, f"{each}.json") for each in names.spellings(name))
    return (root / name if any(in_root) or not path.exists() else path).resolve()


def _is_named(root: Path, name: str) -> bool:
    """Whether ``root`` is the data set's folder itself, not the folder that holds it."""
    return names.letters(root.resolve().name) in map(names.letters, names.spellings(name))


def _find(name: str, folder: Path) -> list[Target]:
    return _find_official(name, folder) or find_plain(folder, name)


def _find_official(name: str, folder: Path) -> list[Target] | None:
    if not folder.is_dir():
        return None
    return next((found for finder in FINDERS if (found := finder(folder, name))), None)


def _read(
    name: str, folder: Path, targets: list[Target], max_frames: int | None, images_needed: bool
) -> list[Sequence]:
    kept = members(name, [target.title for target in targets])
    targets = [target for target in targets if target.title in kept]
    found = [target.read(max_frames, images_needed) for target in targets]
    complain(name, folder, [line for target in targets for line in target.lacking])
    return [sequence for sequence in found if sequence is not None]
