"""Index of training crops: which there are, of which video, track and frame, and how large the target is in each.

A set is a folder of crops ``{root}/{video}/{frame:06d}.{track:02d}.x.jpg``, target in the middle, at the scale at which
its context square is 127 pixels wide, and an annotation {video: {track: {frame: [x1, y1, x2, y2] or [w, h]}}} (json) in
pixels of the original image.

Crops are numbered 0 .. K-1, sorted by set, video, track and frame, so that each of these is a range of numbers:
``track_start`` and the like hold where the ranges begin, with one more entry for the end of the last.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.data.prepare.crops import EXEMPLAR, crop_name
from lib.files import UserError
from lib.geometry.crop import context_side

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CropSet:
    """Where a set of crops lies, and how its pairs are made."""

    name: str
    path: Path  # folder of the crops
    annotation: Path  # json
    reach: int = 100  # RANGE: most positions between template and search frame in the list of a track's frames
    held_back: tuple[str, ...] = ()  # videos that are not used


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """K crops. Arrays are on the host."""

    sets: tuple[CropSet, ...]
    videos: tuple[str, ...]  # names, V
    tracks: tuple[str, ...]  # names within their video, T
    frame: Ints  # (K,) number in the file name
    size: NDArray[np.float64]  # (K, 2) width and height of the target in the crop, pixels
    set_start: Ints  # (S + 1,) of videos
    video_start: Ints  # (V + 1,) of tracks
    track_start: Ints  # (T + 1,) of crops
    degenerate: int  # boxes without area, left out
    missing: int  # annotated crops without a file, left out

    def __len__(self) -> int:
        return len(self.frame)

    def track_of(self, ids: Ints) -> Ints:
        return np.searchsorted(self.track_start, ids, "right") - 1

    def video_of(self, ids: Ints) -> Ints:
        return np.searchsorted(self.video_start, self.track_of(ids), "right") - 1

    def set_of(self, ids: Ints) -> Ints:
        return np.searchsorted(self.set_start, self.video_of(ids), "right") - 1

    def crops_of_set(self, number: int) -> range:
        video = self.set_start[number : number + 2]
        first, last = self.track_start[self.video_start[video]]
        return range(first, last)

    def path(self, crop: int) -> Path:
        track = int(self.track_of(np.asarray(crop)))
        video = int(np.searchsorted(self.video_start, track, "right")) - 1
        part = int(np.searchsorted(self.set_start, video, "right")) - 1
        name = crop_name(int(self.frame[crop]), int(self.tracks[track]))
        return self.sets[part].path / self.videos[video] / name

    def report(self) -> str:
        """One line a set, and what was left out."""
        lines = []
        for number, part in enumerate(self.sets):
            crops, (first, last) = self.crops_of_set(number), self.set_start[number : number + 2]
            tracks = self.video_start[last] - self.video_start[first]
            lines.append(f"{part.name}: {len(crops)} crops, {tracks} tracks, {last - first} videos")
        for count, what in ((self.degenerate, "boxes without area"), (self.missing, "crops without a file")):
            if count:
                lines.append(f"left out: {count} {what}")
        return "\n".join(lines)


def size_in_crop(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 2) width and height in the original image -> in its crop: times 127 / context side."""
    return size * (EXEMPLAR / np.asarray(context_side(size[..., 0], size[..., 1])))[..., None]


def build_index(sets: Sequence[CropSet]) -> Index:
    """Read annotations and folders. Boxes without area and crops without a file are left out and counted."""
    tables = [_SetTable(part) for part in sets]
    if not tables:
        raise UserError("training needs at least one set of crops; got none: name one in DATASET")
    frames, boxes, videos, tracks = ([x for t in tables for x in getattr(t, key)] for key in _COLUMNS)
    return Index(
        sets=tuple(sets),
        videos=tuple(name for name, _ in videos),
        tracks=tuple(name for name, _ in tracks),
        frame=np.array(frames, np.int64),
        size=size_in_crop(np.array(boxes, np.float64)),
        set_start=_starts(len(t.videos) for t in tables),
        video_start=_starts(count for _, count in videos),
        track_start=_starts(count for _, count in tracks),
        degenerate=sum(t.degenerate for t in tables),
        missing=sum(t.missing for t in tables),
    )


_COLUMNS = ("frames", "boxes", "videos", "tracks")


class _SetTable:
    """One set while it is read: columns that grow. Plain lists: a million entries take seconds."""

    def __init__(self, part: CropSet) -> None:
        self.part = part
        self.frames: list[int] = []
        self.boxes: list[tuple[float, float]] = []
        self.tracks: list[tuple[str, int]] = []  # name, crops
        self.videos: list[tuple[str, int]] = []  # name, tracks
        self.degenerate = self.missing = 0
        found = read_annotation(part)
        for video in part.held_back:
            if found.pop(video, None) is None:
                raise UserError(
                    f"set {part.name}: HELD_BACK names {video}, which {part.annotation} has not: correct it"
                )
        for video, tracks in sorted(found.items()):
            self._add_video(video, tracks)
        if not self.frames:
            raise UserError(
                f"set {part.name} must have crops: of what {part.annotation} names, {self.missing} have no file under "
                f"{part.path}, {self.degenerate} no area (x1 < x2, y1 < y2), and no more is there; "
                "check PATH and ANNOTATION"
            )

    def _add_video(self, video: str, tracks: dict[str, dict[str, Any]]) -> None:
        there = _names(self.part.path / video)
        before = len(self.tracks)
        for track, entries in sorted(tracks.items()):
            try:
                crops = sorted(self._crops(there, int(track), entries))
            except (TypeError, ValueError, AttributeError):
                raise UserError(
                    f"{self.part.annotation}: {video}, track {track}: frames must be "
                    "{frame: [x1, y1, x2, y2] or [w, h]} of numbers; write it anew"
                ) from None
            if crops:
                self.tracks.append((track, len(crops)))
                self.frames += [frame for frame, _, _ in crops]
                self.boxes += [(w, h) for _, w, h in crops]
        if len(self.tracks) > before:
            self.videos.append((video, len(self.tracks) - before))

    def _crops(self, there: frozenset[str], track: int, entries: dict[str, Any]) -> Iterator[tuple[int, float, float]]:
        for key, box in entries.items():
            frame = int(key)
            if len(box) == 4:
                x1, y1, x2, y2 = box
                w, h = float(x2 - x1), float(y2 - y1)
            else:
                w, h = map(float, box)
            if not (0 < w < float("inf") and 0 < h < float("inf")):  # NaN is neither
                self.degenerate += 1
            elif crop_name(frame, track) not in there:
                self.missing += 1
            else:
                yield frame, w, h


def read_annotation(part: CropSet) -> dict[str, dict[str, dict[str, Any]]]:
    """{video: {track: {frame: box}}} of a set."""
    try:
        content = json.loads(part.annotation.read_bytes())
    except OSError as error:
        raise UserError(
            f"set {part.name}: cannot read {part.annotation} ({error.strerror}); check ANNOTATION"
        ) from None
    except ValueError as error:
        raise UserError(f"set {part.name}: {part.annotation} is not json ({error}); check ANNOTATION") from None
    if not isinstance(content, dict) or not all(isinstance(tracks, dict) for tracks in content.values()):
        raise UserError(f"{part.annotation} must hold {{video: {{track: {{frame: box}}}}}}; check ANNOTATION")
    return content


def _names(folder: Path) -> frozenset[str]:
    """Names in a folder: one listing instead of a look-up for each crop."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _starts(counts: Iterator[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(np.fromiter(counts, np.int64))])
