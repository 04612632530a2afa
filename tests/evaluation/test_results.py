"""Result files: written and read back, in every layout, and what is said of bad ones."""

from dataclasses import replace

import numpy as np
import pytest

from lib.evaluation import names, results, trackers
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.files import UserError

N = np.nan


def sequence(name, frames, kind="otb"):
    return Sequence(name, (), np.ones((frames, 4)), (10, 10), {}, kind)


def rows_text(count, first=1):
    return "".join(f"{first + k},2,3,4\n" for k in range(count))


def test_otb_round_trip(tmp_path):
    track = np.random.default_rng(0).uniform(0, 500, (20, 4))
    video = sequence("Jogging.1", 20)
    path = results.result_path(tmp_path / "SiamFC", video, "otb")
    assert path == tmp_path / "SiamFC/Jogging.1.txt"
    results.write(path, track, "otb")
    np.testing.assert_allclose(results.read(path, video, "otb"), track, atol=1e-12)
    first = np.array(path.read_text().splitlines()[0].split(","), float)
    np.testing.assert_allclose(first - track[0], [1, 1, 0, 0], atol=1e-12)  # one-based in the file


def test_vot_round_trip(tmp_path):
    rows = np.array([[1, N, N, N], [1, 2, 3.25, 4], [2, N, N, N], [0, N, N, N], [1 / 3, 1e-9, 2, 2]])
    video = sequence("bag", 5, "vot")
    path = results.result_path(tmp_path / "T", video, "vot", 2)
    assert path == tmp_path / "T/baseline/bag/bag_002.txt"
    results.write(path, rows, "vot")
    assert path.read_text().splitlines()[:4] == ["1", "1.0,2.0,3.25,4.0", "2", "0"]
    np.testing.assert_array_equal(results.read(path, video, "vot"), rows)


def test_length_must_agree(tmp_path):
    (tmp_path / "Deer.txt").write_text(rows_text(4))
    assert len(results.read(tmp_path / "Deer.txt", sequence("Deer", 3), "otb")) == 3  # scored in part
    with pytest.raises(UserError, match=r"Deer\.txt must have 5 rows, one a frame, got 4"):
        results.read(tmp_path / "Deer.txt", sequence("Deer", 5), "otb")


@pytest.mark.parametrize(("given", "start"), [(354, 6), (349, 1)])
def test_tiger1_begins_five_rows_early(tmp_path, given, start):
    (tmp_path / "Tiger1.txt").write_text(rows_text(given))
    rows = results.read(tmp_path / "Tiger1.txt", sequence("tiger1", 349), "otb")
    assert len(rows) == 349 and rows[0, 0] == start - 1
    part = results.read(tmp_path / "Tiger1.txt", sequence("tiger1", 40), "otb")
    assert len(part) == 40 and part[0, 0] == start - 1
    other = results.read(tmp_path / "Tiger1.txt", sequence("tiger1", given), "otb")
    assert len(other) == given or start == 6  # a data set that scores the whole video


def test_whole_video_that_is_scored_in_part(tmp_path):
    (tmp_path / "david.txt").write_text(rows_text(770))
    rows = results.read(tmp_path / "david.txt", sequence("David", 471), "otb")
    assert len(rows) == 471 and rows[0, 0] == 299


def test_results_count_pixels_as_their_data_set_does(tmp_path):
    track = np.array([[0.0, 5, 20, 10], [3, 4, 20, 10]])
    video = replace(sequence("clip", 2), origin=0)
    path = results.result_path(tmp_path, video, "otb")
    results.write(path, track, "otb", video.origin)
    assert path.read_text().startswith("0.0,5.0,20.0,10.0\n")
    np.testing.assert_array_equal(results.read(path, video, "otb"), track)
    np.testing.assert_array_equal(trackers.read_all(tmp_path, [video], "otb").runs["clip"][0], track)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("TrackingNet", 0),
        ("trackingnet_train_3", 0),
        ("NfS", 0),
        ("NFS240", 0),
        ("LaSOT", 1),
        ("OTB2015", 1),
        ("mine", 1),
    ],
)
def test_origin_of_data_sets(tmp_path, name, origin):
    assert names.origin(name) == origin
    (tmp_path / "a.txt").write_text(rows_text(2))
    (video,) = load(name, truth=tmp_path)
    assert video.truth[0, 0] == 1 - origin and video.origin == origin


def test_a_file_that_leaves_the_first_frame_out(tmp_path):
    truth = np.array([[3.0 * k, 5, 20, 10] for k in range(6)])
    video = Sequence("clip", (), truth, (99, 99))

    def read(rows):
        results.write(tmp_path / "clip.txt", rows, "otb")
        found = trackers.read_all(tmp_path, [video], "otb")
        return found.runs["clip"][0], found.problems[0]

    rows, remark = read(truth[1:])
    np.testing.assert_array_equal(rows, truth)
    assert remark.endswith("5 rows, from the second of 6 frames on")
    rows, remark = read(truth[:-1] + np.array([0.4, 0, 0, 0]))
    assert np.isnan(rows[-1]).all() and "5 rows for 6 frames, the missing ones count as lost" in remark
    rows, remark = read(truth[2:])
    assert np.isnan(rows[-2:]).all() and "4 rows for 6 frames" in remark
