"""The comparison of losses: what comes after the training, on weights that are there."""

import json
import os
from pathlib import Path

import pytest
import torch

from benchmarks import losses
from lib.core.checkpoint import save_checkpoint
from lib.core.scoring import Stage
from lib.evaluation.datasets import load
from lib.models.zoo import build
from tests.core.tiny import write_data


def test_weights_are_tracked_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    write_data(tmp_path / "dataset")
    monkeypatch.setenv("TRACKING_REFERENCE", str(tmp_path))
    monkeypatch.setattr(losses, "OUT", tmp_path / "out")
    for loss in losses.LOSSES:
        for seed in (0, 1):
            torch.manual_seed(seed)
            state = build("SiamFCRes22", width=0.125).state_dict()
            path = tmp_path / f"out/siamfc/{loss}-seed{seed}/weights.pth"
            save_checkpoint(path, {"arch": "SiamFCRes22", "mapping": "sigmoid", "state_dict": state, "hyper": {}})
    stages = [Stage("report", load("report", tmp_path / "dataset", max_frames=3), torch.device("cpu"))]
    cpu = torch.device("cpu")
    rows = {loss: [losses.tracks("siamfc", loss, seed, stages, cpu) for seed in (0, 1)] for loss in losses.LOSSES}
    found = losses.compare("siamfc", rows, stages)
    assert set(found["report"]) == set(losses.LOSSES) and "logistic - hinge: +0.000" in capsys.readouterr().out
    assert found["differences in AUC"]["logistic - hinge"][0] == 0 and json.dumps(found)  # the same weights
    marker = json.loads((tmp_path / "out/siamfc/hinge-seed1/report/tracker.json").read_text())
    assert marker["data"] == os.path.realpath(tmp_path / "dataset/report")
