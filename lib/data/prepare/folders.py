"""Folders of sequences (OTB, VOT, GOT-10k, LaSOT and the like), and videos with a text of boxes beside them.

A sequence is a folder with a ``groundtruth*.txt``; its frames are in ``img/``, ``imgs/``, ``color/`` or beside it.
Rows are 4 numbers (x y w h) or 8 (corners); ``groundtruth_rect.1.txt`` and ``.2.txt`` are two targets. A video
``walk.mp4`` has its boxes in ``walk.txt``: rows x y w h, one a frame; or frame x y w h, or frame track x y w h (frames
from 0), where only some frames are annotated or there are several targets.

Where the first pixel is 1: OTB (``groundtruth_rect*.txt``), GOT-10k and LaSOT; in all else it is 0.
"""

import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from lib.data.prepare.clips import (
    VIDEOS,
    Boxes,
    Clip,
    Source,
    bounding_xywh,
    images_of,
    join,
    keep,
    one_track,
    read_numbers,
)
from lib.files import UserError

FRAME_FOLDERS = ("img", "imgs", "color")
# A 1 in a row of these means that the target is not to be seen in that frame (GOT-10k; LaSOT).
ABSENCE = ("absence.label", "full_occlusion.txt", "out_of_view.txt")
ONE_BASED_SIGNS = (*ABSENCE, "cover.label", "meta_info.ini")


def find_folders(root: Path, *, base: int | None = None, starts: Mapping[str, int] | None = None) -> Source:
    """The sequences and videos under ``root``, which may be a sequence or a video itself.

    ``base``: number of the first pixel, where the layout does not tell. ``starts``: one-based first annotated image of
    sequences (lower-case name) that have more images than rows; elsewhere the rows belong to the first images.
    """
    if root.is_file():
        return {root.stem: _video_loader(root, base)}
    found = {}
    for folder, inner, files in os.walk(root, followlinks=True):
        inner.sort()
        home = Path(folder)
        name = home.relative_to(root).as_posix() if home != root else root.resolve().name
        texts = sorted(file for file in files if file.startswith("groundtruth") and file.endswith(".txt"))
        if texts:
            start = (starts or {}).get(home.name.lower(), 1)
            found[name] = partial(load_sequence, home, _of_targets(texts), base, start)
            inner[:] = []
        for file in sorted(files):
            path = home / file
            if path.suffix.lower() in VIDEOS and path.with_suffix(".txt").is_file():
                found[path.relative_to(root).with_suffix("").as_posix()] = _video_loader(path, base)
    return found


def find_got10k(root: Path, *, split: str | None = None) -> Source:
    """GOT-10k's sequences of one split; of all but ``test``, where only first frames are annotated."""
    found = find_folders(root)
    if split is not None:
        return {name: load for name, load in found.items() if name.startswith(f"{split}/")}
    return {name: load for name, load in found.items() if not name.startswith("test/")}


def find_lasot(root: Path, *, split: str | None = None) -> Source:
    """LaSOT's training sequences, or those that its ``testing_set.txt`` names (``split`` "test")."""
    if split not in (None, "train", "test"):
        raise UserError(f"--split of LaSOT must be train or test, got {split}")
    listing = next(iter(sorted(root.rglob("testing_set.txt"))), None)
    if listing is None:
        raise UserError(f"LaSOT must have its testing_set.txt in {root}, to keep test sequences apart; put it there")
    tests = set(listing.read_text().split())
    found = find_folders(root)
    return {name: load for name, load in found.items() if (name.split("/")[-1] in tests) == (split == "test")}


def _of_targets(texts: list[str]) -> tuple[str, ...]:
    """One text a target; the plain one alone where there is one (OTB's Human4 has three)."""
    plain = [text for text in ("groundtruth_rect.txt", "groundtruth.txt") if text in texts]
    return tuple(plain[:1] or texts)


def load_sequence(home: Path, texts: tuple[str, ...], base: int | None, start: int) -> Clip:
    """One folder of frames."""
    inside = next((home / name for name in FRAME_FOLDERS if (home / name).is_dir()), home)
    frames = images_of(inside)
    if not frames:
        raise UserError(f"{inside} must hold the frames of the sequence, but it holds no image")
    if base is None:
        signs = any((home / name).is_file() for name in ONE_BASED_SIGNS)
        base = int(signs or texts[0].startswith("groundtruth_rect"))
    tracks = []
    for track, text in enumerate(texts):
        rows = read_numbers(home / text, (4, 8))
        xywh = bounding_xywh(rows) if rows.shape[1] == 8 else rows
        tracks.append(one_track(xywh - [base, base, 0, 0], track))
        if start > 1 and start - 1 + len(rows) <= len(frames):
            tracks[-1] = Boxes(tracks[-1].frame + start - 1, tracks[-1].track, tracks[-1].xywh)
    boxes = join(tracks)
    absent = _absent(home, len(frames))[np.clip(boxes.frame, 0, len(frames) - 1)]
    return Clip(frames, keep(boxes, ~absent), Counter(absent=int(absent.sum())))


def _absent(home: Path, length: int) -> np.ndarray:
    """(length,) bool: the target is out of view or fully hidden."""
    absent = np.zeros(length, bool)
    for name in ABSENCE:
        if (home / name).is_file():
            words = (home / name).read_text().replace(",", " ").split()
            flags = np.array([word not in ("0", "0.0") for word in words[:length]], bool)
            absent[: len(flags)] |= flags
    return absent


def _video_loader(path: Path, base: int | None) -> "partial[Clip]":
    return partial(load_video, path, path.with_suffix(".txt"), base)


def load_video(path: Path, text: Path, base: int | None) -> Clip:
    """A video file and its text of boxes."""
    if not text.is_file():
        raise UserError(f"the boxes of {path.name} must be in {text}: a row x,y,w,h for each frame, or frame,x,y,w,h")
    rows = read_numbers(text, (4, 5, 6))
    xywh = rows[:, -4:] - [base or 0, base or 0, 0, 0]
    frame = rows[:, 0].astype(int) if rows.shape[1] > 4 else np.arange(len(rows))
    track = rows[:, 1].astype(int) if rows.shape[1] > 5 else np.zeros(len(rows), int)
    return Clip(path, Boxes(frame, track, xywh))
