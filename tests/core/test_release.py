"""From a recipe to packed weights: held-back videos choose, the file carries its hyper-parameters."""

import json
from pathlib import Path

import pytest
import torch

from lib.core.config import load_train
from lib.core.release import pack, release
from lib.files import UserError
from lib.models.weights import load_model
from tests.core.tiny import write_data

RECIPE = """\
SIAMFC:
  WORKERS: 1
  OUTPUT_DIR: {here}/run
  CHECKPOINT_DIR: {here}/run/snapshot
  DATASET_ROOT: {here}/dataset
  TRAIN: {{MODEL: SiamFCRes22, WIDTH: 0.125, END_EPOCH: 2, BATCH: 2, PAIRS: 4, FREEZE_OUT: none, LR: 0.001}}
  TEST: {{DATA: held-back, MAX_FRAMES: 2}}
  TUNE: {{DATA: held-back, MAX_FRAMES: 2, TRIALS: 2, BATCH: 2}}
  DATASET:
    CLIPS: {{PATH: {here}/dataset/crops, ANNOTATION: {here}/dataset/crops.json}}
    HELD_BACK: [{held}]
"""


@pytest.fixture
def recipe(tmp_path: Path):
    """The settings of a tiny recipe; without a name no video is held back."""
    write_data(tmp_path / "dataset")

    def recipe(held: str = ""):
        (tmp_path / "tiny.yaml").write_text(RECIPE.format(here=tmp_path, held=held))
        return load_train(tmp_path / "tiny.yaml")

    return recipe


def test_weights_come_out_that_load_and_track(recipe, tmp_path: Path):
    videos = list(json.loads((tmp_path / "dataset/crops.json").read_text()))
    settings = recipe(f"CLIPS/{videos[0]}")
    path = tmp_path / "out/tiny.pth"
    table = release(settings, path, quiet=True)
    assert "tuned" in table and "tiny.pth: epoch" in table
    loaded = load_model(path)
    assert loaded.arch == "SiamFCRes22"
    written = path.read_bytes()
    held = {file: file.stat().st_mtime_ns for file in (tmp_path / "dataset/held-back").rglob("*.jpg")}
    assert held and release(settings, path, quiet=True) == table and path.read_bytes() == written
    assert all(file.stat().st_mtime_ns == before for file, before in held.items())


def test_without_held_back_videos_nothing_begins(recipe, tmp_path: Path):
    with pytest.raises(UserError, match="must hold videos back"):
        release(recipe(), tmp_path / "out.pth", quiet=True)
    assert not (tmp_path / "run").exists() and not (tmp_path / "out.pth").exists()


def test_half_precision_for_convolutions_alone_and_no_folders(monkeypatch: pytest.MonkeyPatch):
    rest = {key: key for key in ("arch", "model", "mapping", "epoch", "provenance", "settings")}
    state = {
        "conv.weight": torch.tensor([[1.0001, 2]]),
        "basis": torch.tensor([[1e-9]]),
        "var": torch.tensor([1e6]),
        "steps": torch.tensor(7),
    }
    monkeypatch.setenv("TRACKING_REFERENCE", "/my/folder")
    rest["settings"] = "PATH: /my/folder/train"
    packed = pack({"state_dict": state, "optimizer": {}, **rest}, {"lr": 0.1})
    assert packed["hyper"] == {"lr": 0.1} and "optimizer" not in packed
    assert packed["state_dict"]["conv.weight"].dtype == torch.float16 and packed["state_dict"]["var"].item() == 1e6
    assert packed["state_dict"]["basis"].item() == torch.tensor(1e-9).item()
    assert packed["settings"] == "PATH: ${TRACKING_REFERENCE}/train"
    with pytest.raises(UserError, match=r"range of half precision, conv\.weight is not"):
        pack({"state_dict": {"conv.weight": torch.tensor([[1e6]])}, **rest}, {})
