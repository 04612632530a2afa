"""A whole job of a few seconds: crops, test sets and a training file."""

import json
from pathlib import Path

import cv2
import numpy as np

from lib.geometry.boxes import cxcywh_from_xywh
from lib.geometry.crop import context_side, subwindow
from lib.tracker.frames import read_image
from tests.tracker.clips import render

SETTINGS = """\
{family}:
  DEVICE: cpu
  WORKERS: 1
  PRINT_FREQ: 1
  OUTPUT_DIR: '{folder}/output'
  CHECKPOINT_DIR: '{folder}/output/snapshot'
  DATASET_ROOT: '{data}'
  TRAIN: {{MODEL: {model}, WIDTH: 0.125, END_EPOCH: 2, BATCH: 2, PAIRS: 6, FREEZE_OUT: none, LR: 0.001, LR_END: 0.0001}}
  TEST: {{DATA: choose, MAX_FRAMES: 3}}
  TUNE: {{DATA: choose, TRIALS: 3, BATCH: 2, MAX_FRAMES: 3}}
  FINAL: {{DATA: report, MAX_FRAMES: 4}}
  DATASET: {{CLIPS: {{PATH: '{data}/crops', ANNOTATION: '{data}/crops.json'}}}}
"""


def write_data(data: Path) -> None:
    """Two videos each to train on, to choose by and to report."""
    boxes: dict = {}
    for name, seed in (("choose", 10), ("report", 20)):
        listing = {}
        for n in range(2):
            title = f"{name}{n}"
            video = render(data / name / title, "img", frames=4, size=(120, 90), seed=seed + n)
            gt = (video.truth + np.array([1, 1, 0, 0])).tolist()
            files = [path.name for path in video.frames]
            listing[title] = {"name": title, "image_files": files, "init_rect": gt[0], "gt_rect": gt}
        (data / f"{name}.json").write_text(json.dumps(listing))
    for n in range(2):
        video = render(data / "raw", f"v{n}", frames=4, size=(140, 100), seed=n)
        (data / "crops" / f"v{n}").mkdir(parents=True)
        for t, (path, box) in enumerate(zip(video.frames, video.truth, strict=True)):
            x, y, w, h = box
            side = round(287 / 127 * context_side(w, h))
            crop = subwindow(read_image(path), cxcywh_from_xywh(box)[:2], side, 287, (128, 128, 128))
            cv2.imwrite(str(data / "crops" / f"v{n}" / f"{t:06d}.00.x.jpg"), crop)
            boxes.setdefault(f"v{n}", {}).setdefault("00", {})[f"{t:06d}"] = [x, y, x + w, y + h]
    (data / "crops.json").write_text(json.dumps(boxes))


def write_settings(folder: Path, data: Path, *, family: str = "SIAMFC", model: str = "SiamFCRes22") -> Path:
    """A training file whose output goes into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(SETTINGS.format(folder=folder, data=data, family=family, model=model))
    return path
