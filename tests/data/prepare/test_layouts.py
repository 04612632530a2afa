"""Miniature trees of each layout are read to the boxes that were put in."""

import gzip

import numpy as np
import pytest

from lib.data.prepare.clips import read_frames, read_numbers
from lib.data.prepare.layouts import OFFICIAL, detect, find_clips
from lib.files import UserError
from tests.data.prepare import trees

ROWS = [[11, 9, 20, 16], [12, 9, 20, 17], [13, 9, 20, 18]]


def sequence(home, frames, **texts):
    trees.put_frames(home / frames, [f"{n:04d}.jpg" for n in (1, 2, 3)])
    for name, rows in texts.items():
        trees.put(home / f"{name.replace('__', '.')}.txt", rows if isinstance(rows, str) else trees.text(rows))


def only(source):
    ((name, load),) = source.items()
    return name, load()


@pytest.mark.parametrize("mark", [",", "\t", " ", ", "])
def test_otb_is_one_based(tmp_path, mark):
    sequence(tmp_path / "Deer", "img", groundtruth_rect=trees.text(ROWS, mark))
    name, clip = only(find_clips(tmp_path))
    assert name == "Deer"
    assert [path.name for path in clip.frames] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    assert clip.boxes.xywh.tolist() == [[x - 1, y - 1, w, h] for x, y, w, h in ROWS]
    assert clip.boxes.frame.tolist() == [0, 1, 2]


def test_base_overrules_the_layout(tmp_path):
    sequence(tmp_path / "Deer", "img", groundtruth_rect=ROWS)
    assert only(find_clips(tmp_path, base=0))[1].boxes.xywh.tolist() == ROWS


def test_two_targets_are_two_tracks(tmp_path):
    sequence(tmp_path / "Jogging", "img", groundtruth_rect__1=ROWS, groundtruth_rect__2=ROWS[::-1])
    boxes = only(find_clips(tmp_path))[1].boxes
    assert boxes.track.tolist() == [0] * 3 + [1] * 3
    assert boxes.xywh[3:, 3].tolist() == [18, 17, 16]


def test_a_plain_text_beside_targets_stands_alone(tmp_path):
    sequence(tmp_path / "Human4", "img", groundtruth_rect=ROWS, groundtruth_rect__2=ROWS)
    assert only(find_clips(tmp_path))[1].boxes.track.tolist() == [0, 0, 0]


def test_rows_start_at_a_known_image(tmp_path):
    sequence(tmp_path / "David", "img", groundtruth_rect=ROWS[:2])
    assert only(find_clips(tmp_path))[1].boxes.frame.tolist() == [0, 1]
    assert only(find_clips(tmp_path, starts={"david": 2}))[1].boxes.frame.tolist() == [1, 2]
    # all images annotated, or too few left: the rows are those of the first images
    assert only(find_clips(tmp_path, starts={"david": 3}))[1].boxes.frame.tolist() == [0, 1]


def test_vot_polygon_becomes_its_bounding_box(tmp_path):
    sequence(tmp_path / "bag", "color", groundtruth="10,20,30,10,40,30,20,40\n" * 3)
    trees.put(tmp_path / "list.txt", "bag\n")
    _, clip = only(find_clips(tmp_path))
    assert clip.boxes.xywh.tolist() == [[10, 10, 30, 30]] * 3
    assert all(path.parent.name == "color" for path in clip.frames)


def test_got10k_is_one_based_and_absent_frames_are_left_out(tmp_path):
    home = tmp_path / "train" / "GOT-10k_Train_000001"
    sequence(home, ".", groundtruth=ROWS)
    trees.put(home / "absence.label", "0\n1\n0\n")
    name, clip = only(find_clips(tmp_path))
    assert name == "train/GOT-10k_Train_000001"
    assert clip.boxes.frame.tolist() == [0, 2]
    assert clip.boxes.xywh[0].tolist() == [10, 8, 20, 16]
    assert clip.left_out == {"absent": 1}


def test_lasot_is_one_based_and_hidden_frames_are_left_out(tmp_path):
    home = tmp_path / "airplane" / "airplane-1"
    sequence(home, "img", groundtruth=ROWS)
    trees.put(home / "full_occlusion.txt", "0,0,1")
    trees.put(home / "out_of_view.txt", "1,0,0")
    name, clip = only(find_clips(tmp_path))
    assert name == "airplane/airplane-1"
    assert clip.boxes.frame.tolist() == [1]
    assert clip.boxes.xywh.tolist() == [[11, 8, 20, 17]]


def test_own_frames_beside_the_text_are_zero_based_and_in_the_order_of_numbers(tmp_path):
    trees.put_frames(tmp_path / "walk", ["f10.png", "f9.png", "f100.png"])
    trees.put(tmp_path / "walk" / "groundtruth.txt", trees.text(ROWS))
    name, clip = only(find_clips(tmp_path / "walk"))
    assert name == "walk"
    assert [path.name for path in clip.frames] == ["f9.png", "f10.png", "f100.png"]
    assert clip.boxes.xywh.tolist() == ROWS


@pytest.mark.parametrize(
    ("rows", "frames", "tracks"),
    [
        ([[1, 2, 10, 10], [2, 2, 10, 10]], [0, 1], [0, 0]),
        ([[4, 1, 2, 10, 10], [5, 2, 2, 10, 10]], [4, 5], [0, 0]),
        ([[4, 7, 1, 2, 10, 10], [4, 8, 2, 2, 10, 10]], [4, 4], [7, 8]),
    ],
)
def test_video_with_a_text(tmp_path, rows, frames, tracks):
    path = trees.video(tmp_path / "walk.avi")
    trees.put(tmp_path / "walk.txt", trees.text(rows))
    for root in (tmp_path, path):
        name, clip = only(find_clips(root))
        assert name == "walk"
        assert clip.boxes.frame.tolist() == frames
        assert clip.boxes.track.tolist() == tracks
        assert clip.boxes.xywh.tolist() == [row[-4:] for row in rows]


def test_frames_of_a_video_are_the_asked_ones(tmp_path):
    trees.video(tmp_path / "walk.avi", 6)
    trees.put(tmp_path / "walk.txt", trees.text([[4, 1, 2, 10, 10]]))
    _, clip = only(find_clips(tmp_path))
    everything = [image for _, image in read_frames(clip, np.arange(6))]
    some = dict(read_frames(clip, np.array([1, 4, 9])))
    assert np.array_equal(some[1], everything[1]) and np.array_equal(some[4], everything[4])
    assert some[9] is None
    assert not np.array_equal(everything[1], everything[4])


def test_coco(tmp_path):
    source = find_clips(trees.coco(tmp_path))
    assert list(source) == ["train2017/000000000009", "train2017/000000000025"]
    clip = source["train2017/000000000009"]()
    assert clip.boxes.xywh.tolist() == [[10.5, 8, 20, 16.25]]
    assert clip.left_out == {"crowd": 1}
    assert clip.frames == (tmp_path / "train2017" / "000000000009.jpg",)
    assert source["train2017/000000000025"]().boxes.track.tolist() == [0, 1]
    with pytest.raises(UserError, match="train2017"):
        find_clips(tmp_path, split="val2017")


def test_vid(tmp_path):
    name, clip = only(find_clips(trees.vid(tmp_path)))
    assert name == "train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000"
    assert clip.boxes.frame.tolist() == [0, 0, 1]
    assert clip.boxes.track.tolist() == [0, 1, 0]
    assert clip.boxes.xywh.tolist() == [[5, 6, 20, 20], [30, 20, 20, 20], [7, 6, 20, 20]]
    assert all(path.is_file() for path in clip.frames)
    assert list(find_clips(tmp_path, split="train")) == [name]
    with pytest.raises(UserError, match="Annotations"):
        find_clips(tmp_path, split="val")


def test_det(tmp_path):
    name, clip = only(find_clips(trees.det(tmp_path)))
    assert name == "train/ILSVRC2013_train/n02958343/n02958343_4"
    assert clip.boxes.track.tolist() == [0, 1]
    assert clip.boxes.xywh.tolist() == [[5, 6, 20, 20], [30, 20, 20, 20]]
    assert clip.frames[0].is_file()


def test_youtubebb(tmp_path):
    name, clip = only(find_clips(trees.youtubebb(tmp_path)))
    assert name == "train/AAAAAAAAAA-+7"
    assert len(clip.frames) == 2 and all(path.is_file() for path in clip.frames)
    assert clip.boxes.frame.tolist() == [0, 0, 1]
    assert clip.boxes.track.tolist() == [0, 1, 0]
    assert clip.boxes.xywh.tolist() == [[16, 12, 16, 24], [32, 12, 16, 24], [8, 12, 24, 24]]  # of 64 x 48
    assert clip.left_out == {"absent": 1, "image missing or damaged": 1}


def test_youtubebb_packed_and_spoilt(tmp_path):
    table = trees.youtubebb(tmp_path) / "yt_bb_detection_train.csv"
    text = table.read_text()
    trees.put(tmp_path / "yt_bb_detection_train.csv.gz", gzip.compress(text.encode()))
    table.unlink()
    assert list(find_clips(tmp_path, split="train")) == ["train/AAAAAAAAAA-+7"]
    table.write_text(text + "AAAAAAAAAA-,5000,7\n")
    with pytest.raises(UserError, match="line 7"):
        find_clips(tmp_path)


def test_got10k_leaves_its_test_split_out(tmp_path):
    trees.got10k(tmp_path)
    assert sorted(find_clips(tmp_path)) == ["train/GOT-10k_Train_000001", "val/GOT-10k_Val_000001"]
    assert list(find_clips(tmp_path, split="val")) == ["val/GOT-10k_Val_000001"]
    assert find_clips(tmp_path)["train/GOT-10k_Train_000001"]().boxes.xywh[0].tolist() == [10, 8, 20, 16]


def test_lasot_keeps_its_test_sequences_apart(tmp_path):
    trees.lasot(tmp_path)
    assert list(find_clips(tmp_path)) == ["airplane/airplane-2"]
    assert list(find_clips(tmp_path, split="test")) == ["airplane/airplane-1"]
    (tmp_path / "testing_set.txt").unlink()
    with pytest.raises(UserError, match=r"testing_set\.txt"):
        find_clips(tmp_path, "lasot")


def test_layouts_are_told_apart(tmp_path):
    for layout in OFFICIAL:
        assert detect(getattr(trees, layout)(tmp_path / layout)) == layout
    assert detect(tmp_path) == "folders"
    with pytest.raises(UserError, match="split"):
        find_clips(tmp_path, split="train")


@pytest.mark.parametrize(
    ("text", "where"), [("1,2,3,4\n1,2,x,4\n", "line 2"), ("1 2 3 4\n\n1 2 3\n", "line 3"), ("1,2", "line 1")]
)
def test_a_bad_text_is_named_with_its_line(tmp_path, text, where):
    with pytest.raises(UserError, match=where):
        read_numbers(trees.put(tmp_path / "boxes.txt", text), (4, 8))


def test_texts_of_any_editor(tmp_path):
    path = trees.put(
        tmp_path / "boxes.txt", b"\xef\xbb\xbf# x y w h\r\n1;2;3;4\r\nNaN,nan,NaN,NaN\r\n5\t6\t7\t8,\r\n\r\n"
    )
    rows = read_numbers(path, (4,))
    assert rows[[0, 2]].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert np.isnan(rows[1]).all()


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        find_clips(tmp_path / "nowhere")
    trees.video(tmp_path / "walk.avi", 2)
    with pytest.raises(UserError, match=r"walk\.txt"):
        find_clips(tmp_path / "walk.avi")["walk"]()
