"""The benchmarks of speed in their smallest form: they run, write what they promise, and slots change no score."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import figures, floor, rounding, train, tune
from lib.core.scoring import Stage, score
from lib.evaluation.datasets import load
from lib.models.layers.folded import FoldedConv
from lib.tracker.family import Family
from lib.tracker.live import SHIPPED
from tests.tracker.clips import small_model

THIN = ["--width", "0.125", "--device", "cpu"]


def run(module, words, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["x", *words, *THIN, "--json", str(out)])
    module.main()
    return json.loads(out.read_text())


def test_training(tmp_path, monkeypatch):
    words = ["--batch", "2", "--steps", "1", "--rounds", "1", "--crops", "3", "--side", "287", "--freeze", "paper"]
    (line,) = run(train, [*words, "--case", "SiamRPNRes22", "--amp"], tmp_path, monkeypatch)["lines"]
    assert line["ratio"] == pytest.approx(line["ours_pairs_per_second"] / line["published_pairs_per_second"])
    assert line["distance"] == pytest.approx(line["ms_a_pair"] / line["floor_ms"]) and line["floor_gflop"] > 0


def test_tuning(tmp_path, monkeypatch):
    words = ["--clips", "2", "--max_frames", "4", "--trials", "2", "--slots", "3"]
    line = run(tune, words, tmp_path, monkeypatch)["line"]
    assert line["largest_difference_of_scores"] < 1e-4 and line["frames"] == 8 and 0 < line["best_score"] < 1
    assert line["distance"] == pytest.approx(line["ms_a_frame_and_slot"] / line["floor_ms"])


@pytest.mark.parametrize(("name", "frames"), [("OTB-mini", 3), ("VOT-mini", 12)])
def test_scores_in_slots_are_scores_one_by_one(reference, name, frames):
    """On real sequences, to four digits: every score of every trial, though starts, failures and sizes differ."""
    family = Family(small_model().fuse())
    trials = [{}, {"scale_step": 1.1, "w_influence": 0.2}]
    videos = load(name, reference / "dataset", max_frames=frames)
    found = []
    for slots, batches in ((16, [trials]), (1, [[trial] for trial in trials])):
        stage = Stage(name, videos, torch.device("cpu"), slots=slots)
        rows = [row for batch in batches for row in stage.track(family, batch, "", quiet=True)]
        found.append([score(stage, row, intervals=False).mean for row in rows])
    assert found[0][0].keys() == found[1][0].keys() and ({"auc"} & found[0][0].keys() or {"eao"} & found[0][0].keys())
    for together, alone in zip(*found, strict=True):
        for key, value in together.items():
            np.testing.assert_allclose(value, alone[key], rtol=0, atol=5e-5, equal_nan=True)
    assert any(math.isfinite(value) and value > 0 for value in found[0][0].values())


def test_the_floor_counts_convolutions():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, 2, bias=False)
            self.adding = FoldedConv(nn.Conv2d(4, 4, 1, bias=False))

        def template(self, z):
            return (self.conv(z),)

        def search(self, x):
            return self.adding.plus(self.conv(x), self.conv(x))

        def match(self, kernels, features):
            return features

    found = floor.floor_of(Model(), floor.Machine(flops=1e9, bandwidth=1e12), images=2, instance=9)
    cells = 2 * 4 * 4 * 4  # images, channels, cells: of two 3x3 convolutions and one that adds to a sum
    flop = 2 * cells * (2 * 27 + 4)  # multiply and add, taps
    assert found.gflop == pytest.approx(flop / 1e9) and found.ms == pytest.approx(flop / 1e6)
    assert found.mbytes == pytest.approx(4 * (2 * (2 * 3 * 81 + cells + 4 * 27) + 2 * cells + 16) / 1e6)
    slow = floor.floor_of(Model(), floor.Machine(flops=1e12, bandwidth=1e6), images=2, instance=9)
    assert slow.ms == pytest.approx(1e3 * slow.mbytes)


def test_shares_of_a_call_add_up_to_it():
    a = torch.randn(300, 300)
    shares = figures.profile(lambda: [a @ a for _ in range(50)], torch.device("cpu"))
    assert {"idle", "aten::mm"} <= set(shares) and min(shares.values()) >= 0
    assert sum(shares.values()) == pytest.approx(1)


def test_a_precision_is_measured_from_shaken_starts(tmp_path, monkeypatch, reference):
    out = tmp_path / "out.json"
    words = ["--resume", str(SHIPPED.with_name("siamfc_small.pth")), "--dataset_root", str(reference / "dataset")]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--max_frames", "2", "--device", "cpu", "--json", str(out)])
    rounding.main()
    told = json.loads(out.read_text())
    assert told["starts"] == 12 and told["sequences"] == 9
    scores = told["auc"]
    assert scores["difference"] == pytest.approx(scores["bf16"] - scores["fp32"])
    assert 0.6 < scores["fp32_low"] < scores["fp32"] < 19.5 / 21  # where it starts is not quite where the target is
