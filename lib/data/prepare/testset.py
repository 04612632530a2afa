"""The json of a test set, as SiamDW lays it out: {sequence: {name, image_files, init_rect, gt_rect}}."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from lib.data.prepare.clips import Clip, Source, keep, read_frames
from lib.data.prepare.crops import encode_jpeg
from lib.files import UserError, atomic_write, sweep


class AnnotatedFrames(Protocol):
    """What is asked of a sequence."""

    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> tuple[Path, ...]: ...
    @property
    def truth(self) -> np.ndarray: ...  # (T, 4) zero-based xywh or (T, 8) corners as in the file


def write_test_json(path: Path, sequences: Iterable[AnnotatedFrames]) -> int:
    """Write ``dataset/<NAME>.json`` for frames that lie in ``dataset/<NAME>/``; one-based. Returns how many."""
    folder, entries = path.with_name(path.name.removesuffix(".json")), {}
    for sequence in sequences:
        homes = {frame.parent for frame in sequence.frames}
        home = homes.pop() if len(homes) == 1 else folder
        if home.name in ("img", "imgs", "color"):
            home = home.parent
        if home.parent != folder:
            raise UserError(f"the frames of {sequence.name} must lie in {folder}/<sequence>/img, they are in {home}")
        rows = np.array(sequence.truth, np.float64)
        if rows.shape[1] == 4:
            rows[:, :2] += 1
        boxes = np.round(rows, 4).tolist()
        entries[sequence.name] = {
            "name": home.name,
            "image_files": [frame.name for frame in sequence.frames],
            "init_rect": boxes[0],
            "gt_rect": boxes,
        }
    atomic_write(path, json.dumps(entries))
    return len(entries)


def copy_test_set(source: Source, folder: Path, quality: int = 95) -> int:
    """Lay clips out as a test set: ``<folder>/<clip>/img/`` and ``groundtruth_rect.txt``, then ``<folder>.json``.

    Frames of a video are written as JPEG, image files are copied. A clip begins at the first box of its first track;
    frames without a box get a row of NaN. Returns how many sequences were written.
    """
    sweep(folder.parent, deep=False)
    sweep(folder)
    entries = {}
    for name, load in source.items():
        title = name.replace("/", "-")
        entries[title] = {"name": title, **_copy_clip(load(), folder / title, quality)}
    atomic_write(folder.with_name(folder.name + ".json"), json.dumps(entries))
    return len(entries)


def _copy_clip(clip: Clip, home: Path, quality: int) -> dict:
    """Write one sequence; returns the rest of its entry."""
    boxes = keep(clip.boxes, (clip.boxes.track == clip.boxes.track.min()) & np.isfinite(clip.boxes.xywh).all(1))
    if not len(boxes):
        raise UserError(f"a test sequence must have a box, {home.name} has none; annotate it, or take it away")
    start, stop = int(boxes.frame.min()), int(boxes.frame.max()) + 1
    rows = np.full((stop - start, 4), np.nan)
    rows[boxes.frame - start] = boxes.xywh
    rows[:, :2] += 1  # one-based
    (home / "img").mkdir(parents=True, exist_ok=True)
    files = []
    for place, image in read_frames(clip, np.arange(start, stop)):
        if image is None:
            raise UserError(
                f"frame {place} of {home.name} must be readable; mend it, or take the boxes from there on away"
            )
        known = clip.frames[place] if isinstance(clip.frames, tuple) else None
        files.append(f"{place - start + 1:06d}{known.suffix.lower() if known else '.jpg'}")
        atomic_write(home / "img" / files[-1], known.read_bytes() if known else encode_jpeg(image, quality))
    rows = np.round(rows, 2)
    text = "".join(",".join(f"{value:.2f}" for value in row) + "\n" for row in rows)
    atomic_write(home / "groundtruth_rect.txt", text)
    listed = [[None if np.isnan(v) else v for v in row] for row in rows.tolist()]
    return {"image_files": files, "init_rect": listed[0], "gt_rect": listed}
