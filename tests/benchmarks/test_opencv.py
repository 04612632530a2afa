"""The peers' one pass: what is written where a tracker is lost, and in its scores nothing but the project's own."""

import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.opencv import maker_of, one_pass
from lib.evaluation import results
from lib.evaluation.datasets import load
from tests.core.tiny import write_data
from tests.tracker.clips import render

ROOT = Path(__file__).parents[2]


class Scripted:
    """Answers in turn; the box that it was started with."""

    def __init__(self, *answers):
        self.answers, self.box = list(answers), None

    def init(self, image, box):
        self.box = box

    def update(self, image):
        answer = self.answers.pop(0)
        if answer is None:
            raise cv2.error("a window outside the image")
        return answer


def test_the_last_box_stays_where_a_tracker_is_lost(tmp_path: Path):
    video = render(tmp_path, "clip", frames=5, size=(120, 90), seed=0)
    tracker = Scripted((True, (1, 2, 3, 4)), (False, (0, 0, 0, 0)), None, (True, (5.5, 6, 7, 8)))
    rows, seconds = one_pass(lambda: tracker, video)
    np.testing.assert_allclose(rows[0], video.truth[0])
    assert rows[1:].tolist() == [[1, 2, 3, 4]] * 3 + [[5.5, 6, 7, 8]]
    assert tracker.box == tuple(map(round, video.truth[0].tolist())) and all(type(v) is int for v in tracker.box)
    assert seconds.shape == (5,) and (seconds >= 0).all()


def test_results_lie_where_ours_do(tmp_path: Path, monkeypatch, capsys):
    if maker_of("MIL") is None:
        pytest.skip("this OpenCV has no trackers")
    write_data(tmp_path)
    given = ["--trackers", "MIL", "--dataset", "report", "--dataset_root", tmp_path, "--max_frames", 2]
    given += ["--result_path", tmp_path / "result", "--json", tmp_path / "figures.json"]
    monkeypatch.setattr(sys, "argv", ["opencv.py", *map(str, given)])
    runpy.run_module("benchmarks.opencv", run_name="__main__")
    videos = load("report", tmp_path, max_frames=2)
    for video in videos:
        folder = tmp_path / "result" / "report-first2" / "OpenCV-MIL"
        rows = results.read(results.result_path(folder, video, "otb"), video, "otb")
        np.testing.assert_allclose(rows[0], video.truth[0])
    said = capsys.readouterr().out
    assert re.search(r"^OpenCV-MIL +0\.\d{3} \[.*\].* \d+\.\d \[", said, re.MULTILINE)
    assert '"auc"' in (tmp_path / "figures.json").read_text()


def test_the_other_build_is_of_the_same_version():
    pins = dict(
        line.split("==")
        for name in ("requirements.txt", "benchmarks/requirements.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert pins["opencv-contrib-python-headless"] == pins["opencv-python"]
