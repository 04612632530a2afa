"""Training that begins with the weights of a wider model."""

from pathlib import Path

import pytest
import torch

from lib.core.checkpoint import checkpoint_path
from lib.core.config import load_train
from lib.core.train import initial_model, read_log, train
from lib.models import zoo
from tests.core.tiny import write_data, write_settings

CPU = torch.device("cpu")


@pytest.mark.parametrize(("family", "model"), [("SIAMFC", "SiamFCRes22"), ("SIAMRPN", "SiamRPNRes22DW")])
def test_a_wider_start_is_thinned_on_the_training_crops(family, model, tmp_path: Path, capsys):
    write_data(tmp_path / "data")
    torch.manual_seed(4)
    torch.save(zoo.build("SiamFCRes22", width=0.25).state_dict(), tmp_path / "wide.pth")
    path = write_settings(tmp_path / "run", tmp_path / "data", family=family, model=model)
    settings = load_train(
        path, {"TRAIN.WIDTH": 0.125, "TRAIN.PRETRAIN": str(tmp_path / "wide.pth"), "TRAIN.FREEZE_OUT": "none"}
    )
    (one, report), (again, _) = initial_model(settings), initial_model(settings)
    assert report is not None and report.told is not None and report.told > 0.2
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True))
    train(settings, CPU, quiet=True)
    assert "thinned to this width" in capsys.readouterr().out
    assert read_log(Path(settings.OUTPUT_DIR) / "train.jsonl")[0]["loss"] < 6  # responses were brought to order one

    last = checkpoint_path(settings.CHECKPOINT_DIR, settings.TRAIN.END_EPOCH)
    weights = last.read_bytes()
    last.unlink()
    (tmp_path / "wide.pth").unlink()  # a run that goes on has no need of it
    train(settings, CPU, quiet=True)
    assert last.read_bytes() == weights
