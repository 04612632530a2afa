"""Anyone's own data: folders of frames and videos with a text of boxes; annotations in others' json."""

import json

import cv2
import numpy as np
import pytest

from lib.evaluation.datasets import load
from lib.files import UserError


def put(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        cv2.imwrite(str(folder / f"f{k}.png"), np.zeros((4, 5, 3), np.uint8))


ROWS = "1,2,3,4\n2,2,3,4\n"


@pytest.mark.parametrize(
    "place", ["clip/clip.txt", "clip.txt", "clip/boxes.txt", "clip/gt.txt", "clip/whatever.txt", "anno/clip.txt"]
)
@pytest.mark.parametrize("inner", ["clip", "clip/img", "clip/frames"])
def test_folder_of_frames(tmp_path, place, inner):
    put(tmp_path / "Own" / inner, 2)
    path = tmp_path / "Own" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(ROWS)
    (tmp_path / "Own/clip/readme.txt").write_text("not boxes")
    (clip,) = load("Own", tmp_path)
    assert (clip.name, clip.kind, len(clip.frames)) == ("clip", "otb", 2)
    np.testing.assert_array_equal(clip.truth, [[0, 1, 3, 4], [1, 1, 3, 4]])


def test_the_data_set_is_one_sequence_or_a_path(tmp_path, monkeypatch):
    put(tmp_path / "walk", 2)
    (tmp_path / "walk/boxes.txt").write_text(ROWS)
    assert [s.name for s in load("walk", tmp_path)] == ["walk"]
    monkeypatch.chdir(tmp_path)
    (walk,) = load(str(tmp_path / "walk"))
    assert walk.name == "walk" and len(walk.frames) == 2
    assert load("./walk", "elsewhere")[0].name == "walk"
    put(tmp_path / "run/img", 2)
    (tmp_path / "run/boxes.txt").write_text(ROWS)
    assert [(s.name, len(s.frames)) for s in load(str(tmp_path / "run"))] == [("run", 2)]


def write_video(path, frames=5):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for k in range(frames):
        writer.write(np.full((24, 32, 3), 40 * k, np.uint8))
    writer.release()


def test_video(tmp_path, capsys):
    write_video(tmp_path / "Own/walk.avi")
    (tmp_path / "Own/walk.txt").write_text("0,1,2,3,4\n3,2,2,3,4\n")  # frame, x, y, w, h
    (walk,) = load("Own", tmp_path)
    assert "walk.avi: decoding to" in capsys.readouterr().err
    assert len(walk) == 4 and np.isnan(walk.truth[1:3]).all() and walk.truth[3].tolist() == [1, 1, 3, 4]
    grey = [int(cv2.imread(str(path)).mean()) for path in walk.frames]
    assert len(grey) == 4 and np.abs(np.array(grey) - [0, 40, 80, 120]).max() <= 2
    assert walk.image_size() == (32, 24)
    (tmp_path / "Own/walk.txt").write_text("1,2,3,4\n")
    (start,) = load("Own", tmp_path)  # of a start alone all frames are tracked
    assert len(start) == len(start.frames) == 5 and np.isnan(start.truth[1:]).all()
    (tmp_path / "Own/walk.txt").write_text("0,1,2,3,4\n3,2,2,3,4\n")
    again = load("walk.avi", tmp_path / "Own")[0]
    assert again.frames == walk.frames and capsys.readouterr().err == ""
    assert sorted(path.name for path in (tmp_path / "Own").iterdir()) == ["walk.avi", "walk.frames", "walk.txt"]


def test_video_that_cannot_be_decoded(tmp_path):
    (tmp_path / "Own").mkdir()
    (tmp_path / "Own/walk.mp4").write_bytes(b"no video")
    (tmp_path / "Own/walk.txt").write_text(ROWS)
    with pytest.raises(UserError, match=r"walk\.mp4 must be a video that can be decoded"):
        load("Own", tmp_path)
    assert not [path for path in (tmp_path / "Own").iterdir() if path.is_dir()]
    (tmp_path / "Own/walk.txt").unlink()
    with pytest.raises(UserError, match="1 sequences lack files"):
        load("walk.mp4", tmp_path / "Own")


def test_more_images_than_boxes_and_a_start_alone(tmp_path):
    put(tmp_path / "Own/a", 3)
    (tmp_path / "Own/a/a.txt").write_text("1,2,3,4\n")
    put(tmp_path / "Own/b", 3)
    (tmp_path / "Own/b/groundtruth.txt").write_text("1,2,3,4\n")
    a, b = load("Own", tmp_path)
    assert len(a) == 3 and np.isnan(a.truth[1:]).all()  # only the start is known
    assert len(b) == 1
    (tmp_path / "Own/a/a.txt").write_text("1,2,3,4\n" * 4)
    with pytest.raises(UserError, match=r"1 sequences lack files \(a: 3 of 4 images"):
        load("Own", tmp_path)


@pytest.mark.parametrize("rows", ["0,1,2,3,4\n0,1,2,3,4\n", "0.5,1,2,3,4\n", "-1,1,2,3,4\n"])
def test_rows_with_bad_frames(tmp_path, rows):
    put(tmp_path / "Own/a", 3)
    (tmp_path / "Own/a/a.txt").write_text(rows)
    with pytest.raises(UserError, match="each frame once, counted from 0"):
        load("Own", tmp_path)


def test_json_of_pysot(tmp_path):
    entry = {
        "video_dir": "car",
        "init_rect": [1, 1, 2, 2],
        "img_names": ["car/img/1.jpg", "car/img/2.jpg", "car/img/3.jpg"],
    }
    entry |= {
        "gt_rect": [[1, 1, 2, 2], [0, 0, 0, 0], [2, 1, 2, 2]],
        "attr": ["Fast Motion", "Rotation"],
        "absent": [1, 0, 1],
    }
    (tmp_path / "t.json").write_text(json.dumps({"car": entry}))
    (car,) = load("LaSOT", "none", truth=tmp_path / "t.json")
    assert car.tags["absent"].tolist() == [0, 1, 0]  # theirs is 1 where the target is in view
    assert car.tags["attributes"].tolist() == ["Fast Motion", "Rotation"]
    entry = {"gt_rect": [[1, 1, 2, 2], [], [0], [None] * 4]}
    (tmp_path / "t.json").write_text(json.dumps({"car": entry}))
    (car,) = load("VOT2018-LT", "none", truth=tmp_path / "t.json")
    assert car.kind == "otb" and car.truth[0].tolist() == [0, 0, 2, 2] and np.isnan(car.truth[1:]).all()


def test_data_set_without_its_images(tmp_path):
    for place in ("lasot/airplane/airplane-1/groundtruth.txt", "vot/bag/groundtruth.txt"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(ROWS)
    (airplane,) = load("LaSOT", "none", truth=tmp_path / "lasot")
    (bag,) = load("VOT2018", "none", truth=tmp_path / "vot")
    assert (airplane.name, airplane.frames, airplane.kind) == ("airplane-1", (), "otb") and bag.kind == "vot"


def test_texts_with_attributes(tmp_path):
    for place, rows in {"a.txt": ROWS, "absent/a.txt": "0,1", "att/a.txt": ",".join(["1"] * 2 + ["0"] * 12)}.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(rows)
    (a,) = load("LaSOT", "none", truth=tmp_path)
    assert a.tags["absent"].tolist() == [0, 1] and a.tags["attributes"].tolist() == ["IV", "POC"]
