"""Render the demo data sets and write them in the layouts of the real ones.

Under the folder: ``demo-test.json``, ``demo-test/<seq>/img/`` (OTB; also ``demo-val``), ``VOTdemo/`` (VOT: the test
sequences again, with polygons), ``demo-train.json``, ``demo-train/<video>/`` (training crops), and ``demo.json``,
written last, which says that all of it is there.
"""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from lib.data.demo.cast import cast
from lib.data.demo.photographs import read_photographs
from lib.data.demo.scene import HEIGHT, WIDTH, Scene
from lib.data.prepare.crops import crop_name, crop_target, encode_jpeg, mean_colour
from lib.files import atomic_write, beside
from lib.geometry.boxes import cxcywh_from_xywh

VERSION = 2  # raise it when other pixels or boxes come out: what is on disk is then rendered anew
COUNTS = {"train": (64, 45), "val": (4, 40), "test": (8, 60)}  # split: (sequences, frames in each)
CROP_EVERY = 3  # frames; neighbours are too alike to be worth a crop each
CROP_SIDE = 287  # px
ITEMS = ("demo-train", "demo-train.json", "demo-val", "demo-val.json", "demo-test", "demo-test.json", "VOTdemo")
MARKER = "demo.json"


def make_demo(
    folder: str | Path,
    seed: int = 0,
    *,
    counts: Mapping[str, tuple[int, int]] = COUNTS,
    workers: int = 2,
    quiet: bool = False,
) -> bool:
    """Render the demo data into ``folder``; False where they are there. Bytes depend on seed and counts alone."""
    folder = Path(folder)
    wanted = {"version": VERSION, "seed": seed, "counts": {split: list(count) for split, count in counts.items()}}
    if _is_complete(folder, wanted):
        return False
    part = folder / ".demo.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    jobs = [(split, number) for split, (sequences, _) in counts.items() for number in range(1, sequences + 1)]
    run, here = Parallel(n_jobs=min(workers, len(jobs)), return_as="generator"), os.getpid()
    done = run(delayed(beside)(here, _render, part, split, number, counts[split][1], seed) for split, number in jobs)
    entries: dict[str, dict] = {split: {} for split in counts}
    for (split, number), entry in tqdm(
        zip(jobs, done, strict=True), "demo data", len(jobs), unit="sequence", disable=quiet
    ):
        entries[split][_name(split, number)] = entry
    for split, entry in entries.items():
        atomic_write(part / f"demo-{split}.json", json.dumps(entry))
    if "test" in entries:
        atomic_write(part / "VOTdemo" / "list.txt", "".join(f"{name}\n" for name in entries["test"]))
    _move_in(part, folder)
    atomic_write(folder / MARKER, json.dumps(wanted) + "\n")
    return True


def _is_complete(folder: Path, wanted: dict) -> bool:
    try:
        return json.loads((folder / MARKER).read_text()) == wanted and all(
            (folder / f"demo-{split}.json").is_file() and (folder / f"demo-{split}").is_dir()
            for split in wanted["counts"]
        )
    except (OSError, ValueError):
        return False


def _move_in(part: Path, folder: Path) -> None:
    """Put the finished items in their places; the marker is gone meanwhile, so a kill here means rendering again."""
    (folder / MARKER).unlink(missing_ok=True)
    for item in ITEMS:
        if (folder / item).is_dir():
            shutil.rmtree(folder / item)
        if (part / item).exists():
            (part / item).replace(folder / item)
    shutil.rmtree(part)


def _name(split: str, number: int) -> str:
    return f"{split}{number:02d}"


def _render(part: Path, split: str, number: int, length: int, seed: int) -> dict:
    """Render and write one sequence; returns its entry in the split's json."""
    name = _name(split, number)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    scene = cast(rng, read_photographs(split), length, toned=split == "train")
    if split == "train":
        return _write_crops(part / "demo-train" / name, scene)
    vot = part / "VOTdemo" / name if split == "test" else None
    return _write_sequence(part / f"demo-{split}" / name, vot, scene)


def _write_sequence(otb: Path, vot: Path | None, scene: Scene) -> dict:
    """Frames in OTB's layout and, if asked, in VOT's; returns SiamDW's json entry (one-based x, y, w, h)."""
    (otb / "img").mkdir(parents=True)
    if vot:
        (vot / "color").mkdir(parents=True)
    files = []
    for t, frame in enumerate(scene.frames(), 1):
        data = encode_jpeg(frame)
        files.append(f"{t:04d}.jpg")
        (otb / "img" / files[-1]).write_bytes(data)
        if vot:
            (vot / "color" / f"{t:08d}.jpg").write_bytes(data)
    target = scene.actors[scene.target]
    boxes = np.stack([target.box(t) for t in range(len(scene))])
    boxes[:, :2] += 1  # one-based
    (otb / "groundtruth_rect.txt").write_text(_text(boxes))
    if vot:
        (vot / "groundtruth.txt").write_text(_text(np.stack([target.polygon(t) for t in range(len(scene))])))
    rows = np.round(boxes, 2).tolist()
    return {"name": otb.name, "image_files": files, "init_rect": rows[0], "gt_rect": rows}


def _text(rows: np.ndarray) -> str:
    return "".join(",".join(f"{value:.2f}" for value in row) + "\n" for row in rows)


def _write_crops(folder: Path, scene: Scene) -> dict:
    """Crops of the target (track 00) and of its nearest rival (01); returns {track: {frame: [x1, y1, x2, y2]}}."""
    folder.mkdir(parents=True)
    tracks: dict[str, dict[str, list[float]]] = {}
    for t in range(0, len(scene), CROP_EVERY):
        frame = scene.frame(t)
        fill = mean_colour(frame)
        for track, actor in enumerate((scene.actors[scene.target], scene.actors[scene.rival])):
            xywh = actor.box(t)
            if not _is_seen(xywh):
                continue
            crop = crop_target(frame, cxcywh_from_xywh(xywh), CROP_SIDE, fill)
            (folder / crop_name(t, track)).write_bytes(encode_jpeg(crop))
            corners = np.round(np.concatenate([xywh[:2], xywh[:2] + xywh[2:]]), 2).tolist()
            tracks.setdefault(f"{track:02d}", {})[f"{t:06d}"] = corners
    return tracks


def _is_seen(xywh: np.ndarray) -> bool:
    """Whether at least 0.7 of the box is inside the frame."""
    low, high = np.maximum(xywh[:2], 0), np.minimum(xywh[:2] + xywh[2:], (WIDTH, HEIGHT))
    return bool(np.prod(np.maximum(high - low, 0)) >= 0.7 * np.prod(xywh[2:]))
