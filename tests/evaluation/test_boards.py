"""Tables, json and csv from result folders; what is bad is named and the rest scored."""

import csv
import io
import json

import numpy as np
import pytest

from lib.evaluation import boards, leaderboard, otb, regions, results, trackers
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


def write_otb(folder, videos, tracker, noise, seed=0, layout="{name}.txt", runs=1):
    rng = np.random.default_rng(seed)
    for video in videos:
        for run in range(1, runs + 1):
            rows = video.truth + rng.normal(0, noise, video.truth.shape) * [1, 1, 0, 0]
            results.write(folder / tracker / layout.format(name=video.name, run=run), rows, "otb")


def videos_with(attributes, frames=15, **more):
    rng = np.random.default_rng(3)
    made = []
    for k, own in enumerate(attributes):
        truth = np.concatenate([rng.uniform(20, 60, (frames, 2)), rng.uniform(20, 40, (frames, 2))], 1)
        made.append(Sequence(f"s{k}", (), truth, (120, 100), {"attributes": np.array(own), **more}))
    return made


def test_attributes_of_sequences(tmp_path):
    videos = videos_with([["OCC"], ["OCC", "SV"], ["SV"], [], ["SV"], ["OCC"]] * 2)
    write_otb(tmp_path, videos, "A", 2)
    write_otb(tmp_path, videos, "B", 9)
    board = boards.otb_board(videos, [tmp_path / "A", tmp_path / "B"], attributes=True)
    assert board.attributes == {"OCC": 6, "SV": 6}
    a, b = board.entries
    occluded = [f"s{k}" for k in (0, 1, 5, 6, 7, 11)]
    for entry in (a, b):
        cell = entry.attributes["OCC"].cells["auc"]
        assert cell.value == pytest.approx(np.mean([entry.sequences[name]["auc"] for name in occluded]))
        assert cell.low < cell.value < cell.high
    assert np.isnan(a.attributes["OCC"].cells["auc"].p) and b.attributes["OCC"].cells["auc"].p < 0.05
    lines = board.attribute_table().splitlines()
    assert lines[0].split() == ["sequences", "A", "B"] and [line.split()[:2] for line in lines[1:]] == [
        ["OCC", "6"],
        ["SV", "6"],
    ]
    assert lines[1].endswith("*")
    rows = list(csv.DictReader(io.StringIO(board.csv())))
    assert [(row["tracker"], row["attribute"]) for row in rows] == [(t, x) for t in "AB" for x in ("", "OCC", "SV")]
    assert float(rows[4]["p"]) == pytest.approx(b.attributes["OCC"].cells["auc"].p, rel=1e-5)
    full = json.loads(board.json(full=True))["B"]
    assert full["attributes"]["SV"]["auc"][0] == pytest.approx(b.attributes["SV"].cells["auc"].value)
    assert full["intervals"]["auc"] == list(b.intervals["auc"]) and set(full["sequences"]) == {v.name for v in videos}


def slow_eao_by_tag(runs, low, high):
    """pysot: each fragment weighs as its share of tagged frames; ``runs`` = [(overlaps, codes, tag)]."""
    longest = max(len(overlaps) for overlaps, _, _ in runs)
    total, weights = np.zeros(longest), np.zeros(longest)
    for overlaps, codes, tag in runs:
        clean, n = np.nan_to_num(overlaps), len(codes)
        points = [0, *(f + 5 for f in np.flatnonzero(codes == 2) if f + 5 <= n)]
        for k, point in enumerate(points):
            if point == n:  # nothing is left after the last failure
                continue
            last = k == len(points) - 1
            fragment = np.full(longest, np.nan if last else 0.0)
            stop = n if last else points[k + 1] + 1
            fragment[: len(clean[point:stop])] = clean[point:stop]
            weight = tag[point:stop].sum() / (n - point if last else points[k + 1] - point + 1)
            for t in range(1, longest):
                if not np.isnan(fragment[t]):
                    total[t] += weight * fragment[1 : t + 1].mean()
                    weights[t] += weight
    with np.errstate(invalid="ignore"):
        curve = total / weights
    return np.nanmean(curve[low - 1 : high])


def test_attributes_of_frames(tmp_path):
    rng = np.random.default_rng(5)
    videos = []
    for k in range(4):
        truth = np.array([[20.0, 20, 30, 30]] * 40)
        tags = {"occlusion": rng.integers(0, 2, 40), "blur": np.zeros(40, int), "other": np.array(["x"])}
        videos.append(Sequence(f"v{k}", (), truth, (90, 90), tags, "vot"))
        rows = truth + rng.normal(0, 3, (40, 4))
        rows[0] = [1, *[np.nan] * 3]
        for fail in (11 + k, 35) if k % 2 else ():
            codes = [2, 0, 0, 0, 0, 1][: 40 - fail]
            rows[fail : fail + 6] = [[code, *[np.nan] * 3] for code in codes]
        results.write(results.result_path(tmp_path / "A", videos[-1], "vot"), rows, "vot")
    board = boards.vot_board("x", videos, [tmp_path / "A"], interval=(5, 30), attributes=True)
    assert board.attributes == {"blur": 0, "occlusion": 4, "empty": 4}
    read = trackers.read_all(tmp_path / "A", videos, "vot")
    runs = regions.collect(videos, read.runs)
    parts = [np.split(each, 4) for each in (runs.overlaps, runs.codes)]
    tags = [video.tags["occlusion"] for video in videos]
    cells = board.entries[0].attributes["occlusion"].cells
    assert cells["eao"].value == pytest.approx(slow_eao_by_tag(list(zip(*parts, tags, strict=True)), 5, 30), abs=1e-12)
    failed = sum(((codes == 2) & (tag > 0)).sum() for codes, tag in zip(parts[1], tags, strict=True))
    assert cells["failures"].value == failed
    assert cells["robustness"].value == pytest.approx(100 * failed / sum(tag.sum() for tag in tags))
    assert np.isnan(board.entries[0].attributes["blur"].cells["eao"].value)
    assert board.attribute_table().splitlines()[1].split() == ["blur", "0", "-"]


def test_got10k_layout_speed_and_identical_runs(tmp_path):
    videos = videos_with([[]] * 6, cover=np.full(15, 8.0))
    layout = "{name}/{name}_{run:03d}.txt"
    write_otb(tmp_path, videos, "random", 3, layout=layout, runs=3)
    for run in (1, 2, 3):
        write_otb(tmp_path, videos, "same", 5, layout=layout.replace("{run:03d}", f"{run:03d}"))
    for video in videos:
        results.write_times(tmp_path / "same" / video.name / f"{video.name}_time.txt", np.full((15, 3), 0.02))
    board = boards.board_of("GOT-10k", videos, [tmp_path / "random", tmp_path / "same"])
    first, same = board.entries
    assert board.headline == "ao" and first.name == "random" and "ao" in board.table().splitlines()[0].casefold()
    assert same.note.startswith("3 identical runs, one is enough") and "identical" not in first.note
    assert same.scores["fps"] == pytest.approx(50) and "fps" not in first.scores
    assert "50.0 [50.0, 50.0]" in board.table() and "fps" in board.table().splitlines()[0]
    tracks = trackers.read_all(tmp_path / "random", videos, "otb").runs
    want = otb.evaluate(videos, tracks, "got10k").scores()["ao"]
    assert first.scores["ao"] == pytest.approx(float(want))


def test_speed_of_frames_or_of_rates():
    videos = videos_with([[]] * 2)
    seconds = {"s0": np.array([0.1, 0.2]), "s1": np.array([0.4])}
    by_time, by_rate = (
        boards.Speed.of(videos, seconds, each).scores(np.ones((1, 2)))["fps"][0] for each in (False, True)
    )
    assert by_time == pytest.approx(3 / 0.7) and by_rate == pytest.approx((10 + 5 + 2.5) / 3)
    one = boards.Speed.of(videos, {"s0": seconds["s0"]}, False).scores(np.array([[1, 1], [0, 1]]))["fps"]
    assert one[0] == pytest.approx(2 / 0.3) and np.isnan(one[1])


def test_long_term_board(tmp_path):
    rng = np.random.default_rng(8)
    videos = []
    for k in range(5):
        truth = np.array([[20.0, 20, 30, 30]] * 60)
        truth[30:45] = np.nan
        videos.append(Sequence(f"l{k}", (), truth, (100, 80)))
        for tracker, noise in (("sure", 1), ("unsure", 1), ("blind", 40)):
            rows = np.nan_to_num(truth, nan=20.0) + rng.normal(0, noise, (60, 4)) * [1, 1, 0, 0]
            seen = np.where(np.isnan(truth[:, 0]), 0.2, 0.8) + rng.normal(0, 0.05, 60)
            path = results.result_path(tmp_path / tracker, videos[-1], "longterm")
            results.write(path, rows, "longterm")
            results.write_confidences(path, rng.uniform(size=60) if tracker == "unsure" else seen)
    (tmp_path / "blind/longterm/l2/l2_001_confidence.value").write_text("\n0.5\nhigh\n" + "0.5\n" * 57)
    folders = [tmp_path / name for name in ("blind", "sure", "unsure")]
    board = boards.board_of("VOT2018-LT", videos, folders)
    assert [entry.name for entry in board.entries] == ["sure", "unsure", "blind"] and board.headline == "f_score"
    assert board.entries[0].scores["precision"] > 0.85 > board.entries[1].scores["precision"]
    assert "4 of 5 sequences" in board.entries[2].note
    assert any("l2_001_confidence.value, line 3: 'high' is no number" in line for line in board.problems)
    assert board.entries[2].p < 0.2


def test_latex_and_csv(tmp_path):
    videos = videos_with([[]] * 5)
    write_otb(tmp_path, videos, "my_tracker", 1)
    write_otb(tmp_path, videos, "R&D", 8)
    board = boards.otb_board(videos, [tmp_path / "my_tracker", tmp_path / "R&D"])
    lines = board.latex().splitlines()
    assert lines[0] == "\\begin{tabular}{lccccccc}" and lines[-1] == "\\end{tabular}"
    assert (
        lines[4].startswith("my\\_tracker & \\textbf{0.")
        and "{\\scriptsize [" in lines[4]
        and lines[4].endswith("-- \\\\")
    )
    assert lines[5].startswith("R\\&D & 0.") and "textbf" not in lines[5]
    assert {line.count("&") - line.count("\\&") for line in lines[4:6]} == {7}
    row = list(csv.DictReader(io.StringIO(board.csv())))[1]
    assert float(row["p"]) == pytest.approx(board.entries[1].p, rel=1e-5)


def test_only_first_boxes_cannot_be_scored(tmp_path):
    videos = videos_with([[]] * 2)
    for video in videos:
        video.truth[1:] = np.nan
    with pytest.raises(UserError, match="GOT-10k_Test must have boxes to score with"):
        boards.board_of("GOT-10k_Test", videos, [tmp_path])
