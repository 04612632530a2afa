"""Trackers' folders: found and read back, in every layout, and what is said of bad files."""

import numpy as np
import pytest

from lib.evaluation import results, trackers
from lib.evaluation.sequences import Sequence
from lib.files import UserError

N = np.nan


def sequence(name, frames, kind="otb"):
    return Sequence(name, (), np.ones((frames, 4)), (10, 10), {}, kind)


def rows_text(count, first=1):
    return "".join(f"{first + k},2,3,4\n" for k in range(count))


def test_all_results_of_a_tracker(tmp_path):
    videos = [sequence("jogging_1", 3), sequence("human4_2", 2), sequence("Deer", 2), sequence("Gone", 2)]
    videos += [sequence("Long", 2), sequence("Short", 3)]
    for name, text in {
        "Jogging-1": "1\t2\t3\t4\r\n" * 3,
        "Human4": "1 2 3 4\n" * 2,
        "Deer": "1,2,3,4\n1,2,3\n",
        "Long": rows_text(3),
        "Short": rows_text(1),
    }.items():
        (tmp_path / f"{name}.txt").write_text(text)
    read = trackers.read_all(tmp_path, videos, "otb")
    assert list(read.runs) == ["jogging_1", "human4_2", "Long", "Short"]
    tracks = read.tracks()
    np.testing.assert_array_equal(tracks["jogging_1"], [[0, 1, 3, 4]] * 3)
    assert len(tracks["Long"]) == 2 and np.isnan(tracks["Short"]).any(1).tolist() == [False, True, True]
    said = "\n".join(read.problems)
    assert len(read.problems) == 4
    assert f"{tmp_path}/Deer.txt, line 2" in said and "no result of 1 of 6 sequences: Gone" in said
    assert "Long.txt: 3 rows for 2 frames" in said and "Short.txt: 1 rows for 3 frames" in said


def test_repetitions_and_layouts_of_vot(tmp_path):
    videos = [sequence("bag", 2, "vot"), sequence("ball1", 2, "vot"), sequence("book", 2, "vot")]
    for place, text in {
        "baseline/bag/bag_001.txt": "1\n1,2,3,4\n",
        "baseline/bag/bag_002.txt": "1\n2\n",
        "baseline/bag/bag_003.txt": "1\n",
        "baseline/bag/bag_time.txt": "0.1\n0.2\n",
        "baseline/bag/bag_001_value.txt": "7\n7\n",
        "baseline/Ball1/ball1_001.txt": "1\r\n1,2,3,4,5,6,7,8\r\n",
        "baseline/book_001.txt": "1\n1,2,3,4\n",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    read = trackers.read_all(tmp_path, videos, "vot")
    assert [len(read.runs[name]) for name in ("bag", "ball1", "book")] == [2, 1, 1]
    assert read.runs["ball1"][0].shape == (2, 8)
    assert len(read.problems) == 1 and "bag_003.txt: 1 rows for 2 frames, left out" in read.problems[0]


def test_finding_trackers(tmp_path):
    for name in ("OTB2015/SiamFC", "OTB2015/SiamRPN", "OTB2015/SE-FC", "votX/A"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "OTB2015/note.txt").write_text("")

    def names(*args):
        return [path.name for path in trackers.find(*args)]

    assert names(tmp_path, "OTB2015") == ["SE-FC", "SiamFC", "SiamRPN"]
    assert names(tmp_path, "otb2013", "Siam*") == ["SiamFC", "SiamRPN"]  # in the larger set's folder
    assert names(tmp_path, "OTB100", "Siam*", 1) == ["SiamRPN"]
    assert names(tmp_path, "OTB2015", "*", 0, 1) == ["SE-FC"]
    assert names(tmp_path / "OTB2015", "OTB2015") == ["SE-FC", "SiamFC", "SiamRPN"]
    with pytest.raises(UserError, match=r"matching 'X\*'"):
        names(tmp_path, "OTB2015", "X*")
    with pytest.raises(UserError, match="none is there"):
        names(tmp_path / "nowhere", "OTB2015")


def test_a_data_set_that_is_a_path(tmp_path):
    (tmp_path / "walk/T").mkdir(parents=True)
    assert trackers.find(tmp_path, "/data/mine/walk") == [tmp_path / "walk/T"]


def test_results_without_a_folder_for_the_data_set(tmp_path):
    for place in ("A/Deer.txt", "B/seq/seq_001.txt", "C/baseline/bag/bag_001.txt", "notes/readme.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("1,2,3,4\n")
    assert [path.name for path in trackers.find(tmp_path, "OTB2015")] == ["A", "B", "C"]
    assert [path.name for path in trackers.find(tmp_path, "OTB2015", "A, C*")] == ["A", "C"]
    assert trackers.find(tmp_path / "A", "OTB2015") == [tmp_path / "A"]
    (tmp_path / "got10k/T").mkdir(parents=True)
    assert [path.name for path in trackers.find(tmp_path, "GOT-10k")] == ["T"]  # its own folder, however spelt


def test_repetitions_in_folders_and_beside_one_another(tmp_path):
    videos = [sequence("GOT-10k_Val_000001", 2), sequence("a_001", 2), sequence("b", 2)]
    for place in (
        "GOT-10k_Val_000001/GOT-10k_Val_000001_001.txt",
        "GOT-10k_Val_000001/GOT-10k_Val_000001_002.txt",
        "GOT-10k_Val_000001/GOT-10k_Val_000001_time.txt",
        "a_001.txt",
        "b_001.txt",
        "b_002.txt",
        "b_time.txt",
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("0.5\n0.25\n" if "time" in place else rows_text(2, len(place)))
    read = trackers.read_all(tmp_path, videos, "otb")
    assert {name: len(runs) for name, runs in read.runs.items()} == {"GOT-10k_Val_000001": 2, "a_001": 1, "b": 2}
    assert read.seconds["b"].tolist() == read.seconds["GOT-10k_Val_000001"].tolist() == [0.5, 0.25]
    assert len(read.problems) == 1 and "the runs of 2 of 3 sequences are identical" in read.problems[0]
    assert read.identical == 1


def test_identical_runs_are_read_once(tmp_path):
    videos = [sequence("bag", 2, "vot"), sequence("book", 2, "vot")]
    for name in ("bag", "book"):
        (tmp_path / "baseline" / name).mkdir(parents=True)
        for run in range(1, 16):
            (tmp_path / "baseline" / name / f"{name}_{run:03d}.txt").write_text("1\n1,2,3,4\n")
    read = trackers.read_all(tmp_path, videos, "vot")
    assert read.identical == 15 and [len(runs) for runs in read.runs.values()] == [1, 1] and not read.problems
    (tmp_path / "baseline/book/book_007.txt").write_text("1\n1,2,3,5\n")
    read = trackers.read_all(tmp_path, videos, "vot")
    assert read.identical == 1 and [len(runs) for runs in read.runs.values()] == [15, 15]
    assert "the runs of 1 of 2 sequences are identical" in read.problems[0]


def test_experiments(tmp_path):
    videos = [sequence("bag", 2, "vot")]
    for experiment, x in (("baseline", 1), ("realtime", 5)):
        (tmp_path / experiment / "bag").mkdir(parents=True)
        (tmp_path / experiment / "bag/bag_001.txt").write_text(f"1\n{x},2,3,4\n")
    assert trackers.read_all(tmp_path, videos, "vot").runs["bag"][0][1, 0] == 1
    assert trackers.read_all(tmp_path, videos, "vot", experiment="realtime").runs["bag"][0][1, 0] == 5


def test_long_term_files(tmp_path):
    video = sequence("car", 3)
    track, scores = np.array([[9.0, 9, 9, 9], [1, 2, 3, 4], [5, 6, 7, 8]]), [1, 0.25, -1 / 3]
    path = results.result_path(tmp_path, video, "longterm")
    results.write(path, track, "longterm")
    results.write_confidences(path, scores)
    assert path.read_text().splitlines()[0] == "1" and path == tmp_path / "longterm/car/car_001.txt"
    read = trackers.read_all(tmp_path, [video], "longterm")
    rows, known = read.runs["car"][0], read.confidences["car"][0]
    assert np.isnan(rows[0]).all() and np.isnan(known[0])
    np.testing.assert_array_equal(rows[1:], track[1:])
    np.testing.assert_array_equal(known[1:], scores[1:])
    results.confidence_path(path).write_text("0.5\n0.5\n")  # the first line may be left out
    assert trackers.read_all(tmp_path, [video], "longterm").confidences["car"][0][1:].tolist() == [0.5, 0.5]
    results.confidence_path(path).write_text("0.5\n")
    read = trackers.read_all(tmp_path, [video], "longterm")
    assert read.runs == {} and "must have 3 lines, one confidence a frame, got 1" in read.problems[0]
    results.confidence_path(path).unlink()
    assert "No such file" in trackers.read_all(tmp_path, [video], "longterm").problems[0]
