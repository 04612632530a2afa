"""The json of a test set gives back the sequences that it was made of."""

import json

import numpy as np
import pytest

from lib.data.prepare.layouts import find_clips
from lib.data.prepare.testset import copy_test_set, write_test_json
from lib.evaluation.datasets import load
from lib.files import UserError
from tests.data.prepare import trees


def test_plain_folders_in_place(tmp_path):
    for name in ("Deer", "Fish"):
        trees.put_frames(tmp_path / "mine" / name / "img", ["0001.jpg", "0002.jpg"])
        trees.put(tmp_path / "mine" / name / "groundtruth_rect.txt", "11,9,20,16\n12,9,20,16.5\n")
    folders = load("mine", tmp_path)
    assert write_test_json(tmp_path / "mine.json", folders) == 2
    entry = json.loads((tmp_path / "mine.json").read_text())["Deer"]
    assert entry["name"] == "Deer" and entry["image_files"] == ["0001.jpg", "0002.jpg"]
    assert entry["init_rect"] == [11, 9, 20, 16] and entry["gt_rect"][1] == [12, 9, 20, 16.5]
    for one, other in zip(folders, load("mine", tmp_path), strict=True):
        assert one.name == other.name and one.frames == other.frames
        assert np.array_equal(one.truth, other.truth)


def test_polygons_in_place(tmp_path):
    trees.put_frames(tmp_path / "VOTmine" / "bag" / "color", ["1.jpg"])
    trees.put(tmp_path / "VOTmine" / "bag" / "groundtruth.txt", "10,20,30,10,40,30,20,40\n")
    write_test_json(tmp_path / "VOTmine.json", load("VOTmine", tmp_path))
    (sequence,) = load("VOTmine", tmp_path)
    assert sequence.truth.tolist() == [[10, 20, 30, 10, 40, 30, 20, 40]]


def test_frames_elsewhere_are_refused(tmp_path):
    trees.put_frames(tmp_path / "mine" / "Deer" / "img", ["0001.jpg"])
    trees.put(tmp_path / "mine" / "Deer" / "groundtruth_rect.txt", "11,9,20,16\n")
    with pytest.raises(UserError, match="other"):
        write_test_json(tmp_path / "other.json", load("mine", tmp_path))


def test_a_video_becomes_a_test_sequence(tmp_path):
    trees.video(tmp_path / "raw" / "park" / "walk.avi", 6)
    trees.put(tmp_path / "raw" / "park" / "walk.txt", "1,10,8,20,16\n2,11,8,20,16\n4,13,8,20,16\n")
    out = tmp_path / "mine-test"
    assert copy_test_set(find_clips(tmp_path / "raw"), out) == 1
    (sequence,) = load("mine-test", tmp_path)
    assert sequence.name == "park-walk"
    assert [path.name for path in sequence.frames] == [f"{n:06d}.jpg" for n in range(1, 5)]
    assert np.array_equal(sequence.truth[[0, 1, 3]], [[10, 8, 20, 16], [11, 8, 20, 16], [13, 8, 20, 16]])
    assert np.isnan(sequence.truth[2]).all()
    out.with_name("mine-test.json").unlink()  # the folders alone say the same
    (plain,) = load("mine-test", tmp_path)
    assert np.array_equal(plain.truth, sequence.truth, equal_nan=True)


def test_image_files_are_copied_as_they_are(tmp_path):
    trees.put_frames(tmp_path / "raw" / "walk", ["1.png", "2.png"])
    trees.put(tmp_path / "raw" / "walk" / "groundtruth.txt", "10,8,20,16\n11,8,20,16\n")
    copy_test_set(find_clips(tmp_path / "raw"), tmp_path / "mine")
    assert (tmp_path / "mine/walk/img/000002.png").read_bytes() == (tmp_path / "raw/walk/2.png").read_bytes()


def test_without_a_box_there_is_no_test(tmp_path):
    trees.put_frames(tmp_path / "raw" / "walk", ["1.png"])
    trees.put(tmp_path / "raw" / "walk" / "groundtruth.txt", "nan,nan,nan,nan\n")
    with pytest.raises(UserError, match="must have a box"):
        copy_test_set(find_clips(tmp_path / "raw"), tmp_path / "mine")
