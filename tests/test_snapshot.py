"""The weights that are shipped: small, safe to load, without folders of the machine that made them, able to track."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.core.config import load_train
from lib.geometry.boxes import iou_xywh
from lib.models.weights import load_model
from lib.tracker.live import SHIPPED, load

ROOT = Path(__file__).parents[1]
NAMES = ("siamfc", "siamfc_small", "siamrpn")


@pytest.mark.parametrize("name", NAMES)
def test_weights_carry_what_they_were_made_with(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKING_REFERENCE", str(tmp_path))
    loaded = load_model(ROOT / f"snapshot/{name}.pth")
    assert loaded.extra["provenance"]["commit"] and str(tmp_path) not in loaded.extra["settings"]
    (tmp_path / "again.yaml").write_text(loaded.extra["settings"])
    recipe, again = load_train(ROOT / f"experiments/train/release/{name}.yaml"), load_train(tmp_path / "again.yaml")
    assert (again.FAMILY, again.TRAIN, again.DATASET) == (recipe.FAMILY, recipe.TRAIN, recipe.DATASET)
    assert f"`{name}.pth`" in (ROOT / "snapshot/README.md").read_text()


def test_what_is_shipped_is_small_and_the_default_is_there():
    files = sorted((ROOT / "snapshot").glob("siam*.pth"))
    assert {file.stem for file in files} >= set(NAMES) and SHIPPED in files
    assert sum(file.stat().st_size for file in files) < 40e6


@pytest.mark.parametrize(("name", "least"), [("siamfc", 0.15), ("siamfc_small", 0.3), ("siamrpn", 0.3)])
def test_a_bag_is_followed(reference: Path, name: str, least: float):
    """25 frames of a real video that was not trained on; VOT counts a failure at an overlap of 0."""
    clip = cv2.VideoCapture(str(reference / "videos/bag.avi"))
    truth = np.loadtxt(reference / "dataset/VOT-mini/bag/groundtruth.txt", delimiter=",").reshape(-1, 4, 2)
    boxes = np.concatenate([truth.min(1), truth.max(1) - truth.min(1)], 1)
    tracker = load(ROOT / f"snapshot/{name}.pth", device="cpu")
    tracker.init(clip.read()[1], boxes[0])
    found = np.stack([tracker.update(clip.read()[1])[0] for _ in range(25)])
    assert iou_xywh(boxes[1:26], found).min() > least
