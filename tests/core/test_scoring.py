"""Tracking a set and scoring it: slots change nothing, and what is on disk is not tracked again."""

import numpy as np
import pytest
import torch

from lib.core.scoring import Stage, behind, score
from lib.core.summary import table_rows
from lib.evaluation import results
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.geometry.boxes import polygon_from_xywh
from lib.tracker.family import Family
from tests.tracker.clips import render, small_model

RPN = {"ratios": (0.33, 0.5, 1, 2, 3), "scales": (8,)}


@pytest.mark.parametrize(("name", "frames", "arch"), [("VOT-mini", 30, "SiamRPNRes22"), ("OTB-mini", 8, "SiamFCRes22")])
def test_scores_with_slots_equal_scores_one_by_one(reference, name, frames, arch):
    videos = load(name, reference / "dataset", max_frames=frames)
    family = Family(small_model(arch).fuse(), **(RPN if "RPN" in arch else {}))
    scores = []
    for slots in (1, 16):
        stage = Stage(name, videos, torch.device("cpu"), slots=slots)
        scores.append(score(stage, stage.track(family, [{}], name, quiet=True)[0]).mean)
    assert scores[0].keys() == scores[1].keys()
    for key, value in scores[0].items():
        assert value == pytest.approx(scores[1][key], abs=5e-5, nan_ok=True), key
    if name == "VOT-mini":
        assert scores[0]["failures"] > 0  # an untrained tracker is reset, so restarts were compared too


def test_what_is_on_disk_is_kept(tmp_path, monkeypatch):
    videos = [render(tmp_path, f"v{n}", frames=4, size=(100, 80), seed=n) for n in range(2)]
    stage = Stage("clips", videos, torch.device("cpu"))
    family = Family(small_model().fuse())
    rows = stage.track_to_files(family, {}, tmp_path / "result", "first", quiet=True)
    paths = [results.result_path(tmp_path / "result", video, "otb") for video in videos]
    before = paths[0].stat().st_mtime_ns
    paths[1].unlink()
    again = stage.track_to_files(family, {}, tmp_path / "result", "again", quiet=True)
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(rows))
    assert paths[0].stat().st_mtime_ns == before


def test_a_trial_is_scored_as_a_run_of_its_own(tmp_path):
    videos = [render(tmp_path, f"v{n}", frames=4, size=(100, 80), seed=n) for n in range(2)]
    stage = Stage("clips", videos, torch.device("cpu"))
    family = Family(small_model().fuse())
    trials = [{"scale_lr": 0.2}, {"scale_lr": 0.7, "scale_step": 1.15}]
    together = stage.track(family, trials, "both", quiet=True)
    for trial, rows in zip(trials, together, strict=True):
        alone = stage.track(family, [trial], "one", quiet=True)[0]
        np.testing.assert_allclose(np.concatenate(rows), np.concatenate(alone), atol=1e-3)


@pytest.mark.parametrize("kind", ["otb", "vot"])
def test_all_but_the_best_are_tested_against_it(kind):
    truth = np.array([[10.0, 10, 30, 20]] * 40)
    regions = truth if kind == "otb" else polygon_from_xywh(truth)
    videos = [Sequence(f"v{n}", (), regions, (200, 150), {}, kind) for n in range(12)]
    stage = Stage("x", videos, torch.device("cpu"))

    def scores_of(shift):
        rows = [truth + np.array([shift + n / 10, 0, 0, 0]) for n in range(12)]
        for row in rows if kind == "vot" else ():
            row[0] = [1, np.nan, np.nan, np.nan]
        return score(stage, rows)

    found = behind({"near": scores_of(1), "far": scores_of(9), "same": scores_of(1)})
    assert found["far"].startswith("behind near: p = 0.000") and found["same"] == "equal to near"
    assert "near" not in found and behind({"alone": scores_of(1)}) == {}
    rows = table_rows({"near": scores_of(1), "far": scores_of(9)})
    assert [row.note[:11] for row in rows] == ["", "behind near"]
