"""Layouts of the benchmarks that are unlike all others; each finder gives None where a folder is not laid out so.

- TColor-128: ``<seq>/<seq>_gt.txt``, ``<seq>/<seq>_frames.txt`` (first and last image), ``<seq>/img/``.
- UAV123, UAV20L: ``anno/<set>/<seq>.txt``, ``data_seq/UAV123/<video>/``; a video may hold several sequences.
- NFS: ``<seq>/<30 or 240>/<seq>.txt`` (id, left, top, right, bottom, ...) and ``<seq>/<fps>/<seq>/``; boxes of 240
  frames a second, so that at 30 every eighth counts. Also ``anno/nfs_<seq>.txt`` with ``sequences/<seq>/``. Zero-based.
- LaSOT: ``<class>/<class>-<n>/groundtruth.txt`` and ``img/``; absent is what ``full_occlusion.txt`` or
  ``out_of_view.txt`` marks. Of the whole data set the test sequences are taken.
- GOT-10k: ``<train, val or test>/list.txt``, ``<seq>/groundtruth.txt`` (of test the first box only), ``*.label``.
- TrackingNet: ``<TEST or TRAIN_k>/anno/<seq>.txt`` and ``frames/<seq>/``. Zero-based.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.evaluation import names
from lib.evaluation.boxfiles import read_bytes, read_rows
from lib.evaluation.datasets.disk import child, images, numbered, subfolders, unwrapped
from lib.evaluation.datasets.plain import attributes
from lib.evaluation.datasets.target import Tags, Target
from lib.evaluation.facts import UAV_PARTS
from lib.files import UserError

Array = NDArray[np.float64]


def find_tcolor(folder: Path, name: str) -> list[Target] | None:
    """TColor-128."""
    folder = unwrapped(folder, lambda at: any(at.glob("*/*_gt.txt")))
    found = []
    for title in subfolders(folder):
        text = child(folder / title, f"{title}_gt.txt")
        if text is not None:
            pick = partial(_range_in, folder / title / f"{title}_frames.txt")
            found.append(Target(title, text, folder / title, pick=pick))
    return found or None


def _range_in(text: Path, files: list[Path], rows: int) -> list[Path]:
    """The images whose first and last number the text gives; all where there is none."""
    if not text.is_file():
        return files
    first, last = read_rows(text, (2,))[0].astype(int)
    return numbered(files, first, last)


def find_uav(folder: Path, name: str) -> list[Target] | None:
    """UAV123 or UAV20L."""
    folder = unwrapped(folder, lambda at: child(at, "anno") is not None and child(at, "data_seq") is not None)
    annotations, videos = child(folder, "anno"), child(folder, "data_seq")
    which = names.canonical(name) if names.canonical(name) in ("UAV123", "UAV20L") else name
    boxes = child(annotations, which, "UAV123")
    if boxes is None or videos is None:
        return None
    homes = [home for home in (child(videos, which), child(videos, "UAV123"), videos) if home is not None]
    found = []
    for text in sorted(boxes.glob("*.txt")):
        title = text.stem
        home = next((at for home in homes if (at := child(home, title))), None)
        pick = Target.pick
        if home is None and (whole := re.sub(r"_\d+$", "", title)) != title:
            home = next((at for home in homes if (at := child(home, whole))), homes[0] / whole)
            pick = partial(_part_of_video, title)
        found.append(
            Target(title, text, home or homes[0] / title, pick=pick, tags=partial(attributes, boxes, title, "UAV123"))
        )
    return found


def _part_of_video(title: str, files: list[Path], rows: int) -> list[Path]:
    first, last = UAV_PARTS.get(names.key(title), (1, rows))
    return numbered(files, first, last)


def find_nfs(folder: Path, name: str) -> list[Target] | None:
    """NFS at 30 frames a second, or at 240 where the name says so."""
    rate = "240" if "240" in name else "30"
    folder = unwrapped(folder, lambda at: bool(_nfs_texts(at, rate)))
    found = []
    for title, text in _nfs_texts(folder, rate):
        beside = folder.parent if text.parent.parent == folder.parent else folder
        home = child(text.parent, title) or child(child(beside, "sequences"), title)
        found.append(Target(title, text, home or text.parent / title, rows=_corner_rows, origin=0))
        if rate == "30":
            found[-1].rows = partial(_every_eighth, len(images(home)))
    return found or None


def _nfs_texts(folder: Path, rate: str) -> list[tuple[str, Path]]:
    """(sequence, text) of each annotation."""
    own = [(title, folder / title / rate / f"{title}.txt") for title in subfolders(folder)]
    own = [(title, text) for title, text in own if text.is_file()]
    anno = child(folder, "anno")
    if own or anno is None or child(folder, "sequences") is None:
        return own
    return [(re.sub(r"^nfs_", "", text.stem), text) for text in sorted(anno.glob("*.txt"))]


def _corner_rows(text: Path) -> Array:
    """(T, 4) xywh of rows ``id left top right bottom lost occluded generated "label"``, or of plain xywh."""
    lines = read_bytes(text).decode("utf-8", "replace").splitlines()
    words = [line.replace(",", " ").split() for line in lines if line.strip()]
    if not words or len(words[0]) == 4:
        return read_rows(text, (4,))
    try:
        corners = np.array([row[1:5] for row in words], np.float64).reshape(len(words), 4)
    except ValueError as error:
        raise UserError(f"{text}: rows must be id, left, top, right, bottom and more: {error}") from error
    corners[:, 2:] -= corners[:, :2]
    return corners


def _every_eighth(frames: int, text: Path) -> Array:
    """The boxes of ``frames`` images, of all boxes at 240 frames a second."""
    rows = _corner_rows(text)
    if frames and len(rows) != frames and abs(len(rows) / frames - 8) < 1:
        rows = rows[::8]
    return rows[:frames] if frames and len(rows) == frames + 1 else rows


def find_lasot(folder: Path, name: str) -> list[Target] | None:
    """LaSOT's test sequences, or all that are there where none of them is."""
    if not names.letters(name).startswith("lasot"):
        return None
    folder = unwrapped(folder, lambda at: len(subfolders(at)) > 1 or bool(_lasot_homes(at)))
    homes = _lasot_homes(folder)
    tests = set(map(names.key, names.TESTS["LaSOT"]))
    homes = [home for home in homes if names.key(home.name) in tests] or homes
    found = []
    for home in homes:
        tags = partial(_lasot_tags, folder, home)
        found.append(Target(home.name, home / "groundtruth.txt", home, tags=tags))
    return found or None


def _lasot_homes(folder: Path) -> list[Path]:
    texts = [*folder.glob("*-*/groundtruth.txt"), *folder.glob("*/*-*/groundtruth.txt")]
    numbered_names = ((text.parent, *text.parent.name.rpartition("-")[::2]) for text in texts)
    return [home for home, _, _ in sorted(numbered_names, key=lambda each: (each[1], each[2].zfill(4)))]


def _lasot_tags(folder: Path, home: Path) -> Tags:
    """Frames in which the target cannot be seen, and the sequence's attributes."""
    texts = [text for text in (home / "full_occlusion.txt", home / "out_of_view.txt") if text.is_file()]
    flags = [flags_of(text) for text in texts]
    unseen = {"absent": np.maximum.reduce(flags)} if flags else {}
    return {**unseen, **attributes(folder, home.name, "LaSOT")}


def flags_of(text: Path) -> Array:
    """Numbers of a text, whether in one line or one in each."""
    return np.array(read_bytes(text).replace(b",", b" ").split(), np.float64)


def find_got10k(folder: Path, name: str) -> list[Target] | None:
    """A split of GOT-10k: the one that the name ends in, else the first of val, test and train that is there."""
    if not names.letters(name).startswith("got10k"):
        return None
    folder = unwrapped(folder, lambda at: child(at, "val", "test", "train", "list.txt") is not None)
    ending = names.letters(name).removeprefix("got10k")
    home = child(folder, *([ending] if ending else ["val", "test", "train"])) or folder
    listing = child(home, "list.txt")
    titles = read_bytes(listing).decode().split() if listing else subfolders(home)
    found = []
    for title in titles:
        own = child(home, title) or home / title
        text = child(own, "groundtruth.txt")
        tags = partial(_got10k_tags, own)
        found.append(Target(title, text, own, tags=tags, size=_resolution(own), only_start=True))
    return found or None


def _got10k_tags(home: Path) -> Tags:
    """``absence`` (1: cannot be seen), ``cover`` (visible share, 0 to 8) and ``cut_by_image`` of each frame."""
    found = {text.stem: flags_of(text) for text in sorted(home.glob("*.label")) if text.stat().st_size}
    return {("absent" if stem == "absence" else stem): values for stem, values in found.items()}


def _resolution(home: Path) -> tuple[int, int] | None:
    text = home / "meta_info.ini"
    size = re.search(rb"resolution\s*[:=]\s*\(\s*(\d+)\D+(\d+)", text.read_bytes()) if text.is_file() else None
    return (int(size[1]), int(size[2])) if size else None


def find_trackingnet(folder: Path, name: str) -> list[Target] | None:
    """TrackingNet's test split, or the split that the name ends in (``TrackingNet_TRAIN_0``)."""
    folder = unwrapped(folder, lambda at: child(at, "TEST", "TRAIN_0") is not None or _is_split(at))
    ending = names.letters(name).removeprefix("trackingnet") or "test"
    splits = [folder / inner for inner in subfolders(folder) if names.letters(inner).startswith(ending)]
    splits = [split for split in splits if _is_split(split)] or ([folder] if _is_split(folder) else [])
    found = []
    for split in splits:
        frames = child(split, "frames")
        for text in sorted((child(split, "anno") or split).glob("*.txt")):
            home = child(frames, text.stem) or split / "frames" / text.stem
            found.append(Target(text.stem, text, home, only_start=True, origin=0))
    return found or None


def _is_split(folder: Path) -> bool:
    return child(folder, "anno") is not None and child(folder, "frames") is not None


FINDERS = (find_got10k, find_lasot, find_uav, find_trackingnet, find_nfs, find_tcolor)
