"""Tables, json and csv from result folders; what is bad is named and the rest scored."""

import csv
import io
import json

import numpy as np
import pytest

from lib.evaluation import boards, leaderboard, results
from lib.evaluation.sequences import Sequence
from lib.files import UserError


@pytest.fixture
def otb_folders(tmp_path):
    rng = np.random.default_rng(0)
    videos = []
    for k in range(8):
        truth = np.concatenate([rng.uniform(20, 100, (20, 2)), rng.uniform(20, 60, (20, 2))], 1)
        videos.append(Sequence(f"s{k}", (), truth))
    for tracker, noise in (("good", 1), ("poor", 15), ("broken", 5)):
        for video in videos:
            track = video.truth + rng.normal(0, noise, video.truth.shape) * [1, 1, 0, 0]
            results.write(results.result_path(tmp_path / tracker, video, "otb"), track, "otb")
    (tmp_path / "broken/s3.txt").write_text("1,2,3,4\n1,2,oops,4\n")
    (tmp_path / "empty").mkdir()
    return videos, [tmp_path / name for name in ("broken", "empty", "good", "poor")]


def test_otb_board(otb_folders):
    board = boards.otb_board(*otb_folders)
    assert [entry.name for entry in board.entries] == ["good", "broken", "poor"]
    lines = board.table().splitlines()
    assert lines[0].split() == ["AUC", "precision", "norm.", "precision", "AO", "SR.50", "SR.75"] and len(lines) == 4
    assert board.table(boards.OTB_COLUMNS).splitlines()[0].split() == ["AUC", "precision", "norm.", "precision"]
    good, broken, poor = board.entries
    low, high = good.intervals["auc"]
    assert low < good.scores["auc"] < high and f"[{low:.3f}, {high:.3f}]" in lines[1]
    assert broken.note.startswith("7 of 8 sequences; behind good: p = 0.0") and "on 7 common ones" in broken.note
    assert "behind good: p = 0.0" in poor.note and poor.p == pytest.approx(2 / 2**8, abs=0.003)
    assert any("s3.txt, line 2" in line for line in board.problems)
    assert any("empty" in line and "left out" in line for line in board.problems)
    scores = json.loads(board.json())
    assert set(scores) == {"good", "broken", "poor"}
    assert {"auc", "precision", "norm_precision"} <= set(scores["good"])
    assert scores["poor"]["auc"] == pytest.approx(np.mean([s["auc"] for s in poor.sequences.values()]))
    rows = list(csv.DictReader(io.StringIO(board.csv())))
    assert float(rows[0]["auc low"]) == pytest.approx(low, rel=1e-5) and rows[1]["note"] == broken.note


def test_vot_board(tmp_path):
    rng = np.random.default_rng(1)
    videos, folders = [], [tmp_path / "A", tmp_path / "B"]
    for k in range(5):
        truth = np.array([[20.0, 20, 30, 30]] * 40) + rng.normal(0, 1, (40, 4))
        videos.append(Sequence(f"v{k}", (), truth, (80, 80), {}, "vot"))
    for folder, noise in zip(folders, (1, 4), strict=True):
        for video in videos:
            rows = video.truth + rng.normal(0, noise, (40, 4))
            rows[0] = [1, *[np.nan] * 3]
            if noise > 1:
                rows[30], rows[31:35], rows[35] = ([c, *[np.nan] * 3] for c in (2, 0, 1))
            results.write(results.result_path(folder, video, "vot"), rows, "vot")
    board = boards.vot_board("VOTx", videos, folders, with_frames=True)
    a, b = board.entries
    assert (a.name, b.name) == ("A", "B") and a.scores["failures"] == 0 and b.scores["failures"] == 5
    assert b.scores["robustness"] == pytest.approx(100 / 40)
    scores = json.loads(board.json())["B"]
    assert {"accuracy", "robustness", "failures", "eao", "distance_precision_mean"} <= set(scores)
    assert "by sequence" in board.table(boards.FRAME_COLUMNS) and "EAO" in board.table()
    difference, common = leaderboard.against(a, b, "eao")
    assert common == 5
    assert difference.value == pytest.approx(a.scores["eao"] - b.scores["eao"])
    assert difference.low <= difference.value <= difference.high and 0 < difference.p < 0.2


def test_one_sequence_has_no_interval(otb_folders):
    videos, folders = otb_folders
    board = boards.otb_board(videos[:1], folders[2:])
    assert board.entries[0].intervals == {} and "[" not in board.table()
    assert "p =" not in board.table()


def test_nothing_to_score(otb_folders):
    videos, folders = otb_folders
    with pytest.raises(UserError, match="at least one tracker"):
        boards.otb_board(videos, folders[1:2])
