"""Scores frame by frame against a loop."""

import numpy as np
import pytest

from lib.evaluation import vot
from lib.evaluation.framewise import framewise
from lib.evaluation.sequences import Sequence

N = np.nan


def test_same_as_a_loop():
    rng = np.random.default_rng(0)
    videos, rows = [], {}
    for name, frames in (("a", 12), ("b", 30)):
        box = np.concatenate([rng.uniform(20, 60, (frames, 2)), rng.uniform(20, 40, (frames, 2))], 1)
        polygon = box[:, [0, 1, 0, 1, 0, 1, 0, 1]].copy()
        polygon[:, [2, 4]] += box[:, [2]]
        polygon[:, [5, 7]] += box[:, [3]]
        videos.append(Sequence(name, (), polygon, (150, 150), {}, "vot"))
        rows[name] = []
        for _ in range(2):
            run = box + rng.normal(0, 15, box.shape)
            run[0] = [1, N, N, N]
            run[5] = [2, N, N, N]
            rows[name].append(run)
    runs = vot.collect(videos, rows, overlap="exact")
    got = framewise(videos, rows, runs).scores()
    errors, each = [], []
    for video in videos:
        mine = []
        for run in rows[video.name]:
            for row, truth in zip(run, video.truth, strict=True):
                if not np.isnan(row[1]):
                    centre = truth.reshape(4, 2).mean(0)
                    mine.append(float(np.linalg.norm(row[:2] + row[2:] / 2 - centre)))
        errors += mine
        each.append((np.mean(mine), np.mean(np.array(mine) <= 20)))
    assert got["centre_error"] == pytest.approx(np.mean(errors))
    assert got["distance_precision"] == pytest.approx(np.mean(np.array(errors) <= 20))
    assert got["centre_error_mean"] == pytest.approx(np.mean([e[0] for e in each]))
    assert got["distance_precision_mean"] == pytest.approx(np.mean([e[1] for e in each]))
    assert got["average_overlap"] == pytest.approx(np.nanmean(runs.overlaps))
    assert 0 < got["distance_precision"] < 1


def test_sequence_without_a_box_does_not_count():
    videos = [Sequence(n, (), np.array([[0, 0, 9, 9.0]] * 3), (20, 20), {}, "vot") for n in "ab"]
    lost = np.array([[1, N, N, N], [2, N, N, N], [0, N, N, N]])
    found = np.array([[1, N, N, N], [3, 4, 9, 9], [0, 0, 9, 9]])
    rows = {"a": [lost], "b": [found]}
    scores = framewise(videos, rows, vot.collect(videos, rows)).scores()
    assert scores["centre_error"] == scores["centre_error_mean"] == pytest.approx(2.5)
    assert scores["distance_precision_mean"] == 1
