"""Trackers' folders: found and read back, in every layout, and what is said of bad files."""

import numpy as np
import pytest

from lib.evaluation import trackers
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
