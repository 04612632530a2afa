"""The benchmarks' own layouts, as miniature trees."""

import numpy as np
import pytest

from lib.evaluation.datasets import load
from lib.evaluation.sequences import kind
from lib.files import UserError


def put(folder, numbers, name="{:04d}.jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).touch()  # never opened


def text(path, rows, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))


def boxes(count, first=1):
    return [(first + k, 2, 30, 40) for k in range(count)]


def test_tcolor(tmp_path):
    home = tmp_path / "temple-color-128/Temple-color-128/Ball_ce1"
    put(home / "img", range(1, 9))
    text(home / "Ball_ce1_gt.txt", boxes(4))
    text(home / "Ball_ce1_frames.txt", [(3, 6)])
    text(home / "Ball_ce1_att.txt", [[0] * 11])
    put(home.parent / "Bike/img", range(1, 3))
    text(home.parent / "Bike/Bike_gt.txt", boxes(2))
    ball, bike = load("TColor128", tmp_path)
    assert (ball.name, bike.name) == ("Ball_ce1", "Bike")
    assert [path.stem for path in ball.frames] == ["0003", "0004", "0005", "0006"]
    np.testing.assert_array_equal(ball.truth[0], [0, 1, 30, 40])
    assert len(bike.frames) == 2


def test_uav(tmp_path):
    root = tmp_path / "UAV123"
    put(root / "data_seq/UAV123/car1", range(1, 1628), "{:06d}.jpg")
    put(root / "data_seq/UAV123/bike1", range(1, 4), "{:06d}.jpg")
    text(root / "anno/UAV123/bike1.txt", [(1, 2, 3, 4), ("NaN",) * 4, (2, 2, 3, 4)])
    text(root / "anno/UAV123/att/bike1.txt", [[1, 0, 1] + [0] * 9])
    text(root / "anno/UAV123/car1_2.txt", boxes(877))
    text(root / "anno/UAV20L/bike1.txt", boxes(2))
    bike, car = load("UAV123", tmp_path)
    assert bike.tags["attributes"].tolist() == ["SV", "LR"] and np.isnan(bike.truth[1]).all()
    assert len(car.frames) == 877 and car.frames[0].stem == "000751" and car.frames[0].parent.name == "car1"
    assert [len(s) for s in load("uav20l", tmp_path)] == [2]
    assert [len(s) for s in load("UAV123", root)] == [3, 877]  # the folder itself is named
    text(root / "anno/UAV123/gone_1.txt", boxes(2))
    with pytest.raises(UserError, match=r"1 sequences lack files \(gone_1: 0 of 2 images"):
        load("UAV123", tmp_path)


def test_nfs(tmp_path):
    home = tmp_path / "NfS/Ball"
    rows = [(0, 10 + k, 20, 40 + k, 60, k, 0, 0, 1, '"a ball"') for k in range(17)]
    for rate, count in (("30", 2), ("240", 17)):
        put(home / rate / "Ball", range(1, count + 1), "{:05d}.jpg")
        text(home / rate / "Ball.txt", rows, " ")
    (slow,), (fast,) = load("NFS", tmp_path), load("NFS240", tmp_path)
    np.testing.assert_array_equal(slow.truth, [[10, 20, 30, 40], [18, 20, 30, 40]])  # counted from 0
    assert slow.origin == fast.origin == 0
    assert len(slow.frames) == 2 and len(fast) == len(fast.frames) == 17


def test_nfs_with_annotations_apart(tmp_path):
    put(tmp_path / "nfs/sequences/Ball", range(1, 3), "{:05d}.jpg")
    text(tmp_path / "nfs/anno/nfs_Ball.txt", boxes(2), "\t")
    (ball,) = load("NFS", tmp_path)
    assert ball.name == "Ball" and len(ball.frames) == 2 and ball.truth[1].tolist() == [2, 2, 30, 40]


def test_bad_row_of_nfs_is_named(tmp_path):
    put(tmp_path / "NFS/Ball/30/Ball", [1])
    (tmp_path / "NFS/Ball/30/Ball.txt").write_text("0 1 2 three 4 0 0 0 0 'x'\n")
    with pytest.raises(UserError, match=r"Ball\.txt: rows must be id, left, top"):
        load("NFS", tmp_path)


def test_lasot(tmp_path):
    root = tmp_path / "LaSOT/LaSOTBenchmark"
    for name, count in {"airplane-1": 3, "airplane-15": 2, "airplane-9": 2, "airplane-2": 1, "zebra-10": 2}.items():
        home = root / name.split("-")[0] / name
        put(home / "img", range(1, count + 1), "{:08d}.jpg")
        text(home / "groundtruth.txt", boxes(count))
        text(home / "full_occlusion.txt", [[0] * count])
        text(home / "out_of_view.txt", [[0] * (count - 1) + [1]])
    found = load("LaSOT", tmp_path)
    assert [s.name for s in found] == [
        "airplane-1",
        "airplane-9",
        "airplane-15",
        "zebra-10",
    ]  # airplane-2 is to train on
    assert found[0].tags["absent"].tolist() == [0, 0, 1] and kind(found) == "otb"
    assert [s.name for s in load("lasot", root)] == [s.name for s in found]


def put_got10k(home, names, rows):
    text(home / "list.txt", [[name] for name in names])
    for name in names:
        put(home / name, range(1, 4), "{:08d}.jpg")
        text(home / name / "groundtruth.txt", boxes(rows))


def test_got10k(tmp_path):
    root = tmp_path / "GOT-10k/full_data"
    put_got10k(root / "val", ["GOT-10k_Val_000001", "GOT-10k_Val_000002"], 3)
    put_got10k(root / "test", ["GOT-10k_Test_000001"], 1)
    home = root / "val/GOT-10k_Val_000001"
    text(home / "absence.label", [[0], [1], [0]])
    text(home / "cover.label", [[8], [0], [5]])
    (home / "meta_info.ini").write_text("[METAINFO]\nurl: x\nresolution: (1920, 1080)\nanno_fps: 10Hz\n")
    first, second = load("GOT-10k", tmp_path)
    assert first.tags["absent"].tolist() == [0, 1, 0] and first.tags["cover"].tolist() == [8, 0, 5]
    assert first.size == (1920, 1080) and second.size is None and kind([first, second]) == "otb"
    (test,) = load("got10k_test", tmp_path)
    assert len(test) == len(test.frames) == 3 and np.isnan(test.truth).any(1).tolist() == [False, True, True]
    text(root / "val/list.txt", [["GOT-10k_Val_000001"], ["GOT-10k_Val_000009"]])
    with pytest.raises(UserError, match="1 sequences lack files"):
        load("GOT-10k", tmp_path)


def test_trackingnet(tmp_path):
    root = tmp_path / "TrackingNet"
    put(root / "TEST/frames/abc_0", range(12), "{}.jpg")
    text(root / "TEST/anno/abc_0.txt", [(1.5, 2, 3, 4)])
    put(root / "TRAIN_0/frames/def_0", range(2), "{}.jpg")
    text(root / "TRAIN_0/anno/def_0.txt", boxes(2))
    (test,) = load("TrackingNet", tmp_path)
    assert [path.stem for path in test.frames] == list(map(str, range(12)))
    assert len(test) == 12 and np.isnan(test.truth[1:]).all()
    assert test.truth[0].tolist() == [1.5, 2, 3, 4] and test.origin == 0  # as in the file, which counts from 0
    assert [s.name for s in load("TrackingNet_TRAIN_0", tmp_path)] == ["def_0"]


def test_vot_of_the_newer_toolkit(tmp_path):
    home = tmp_path / "vot2019/sequences"
    for name in ("bag", "book"):
        put(home / name / "color", [1, 2], "{:08d}.jpg")
        text(home / name / "groundtruth.txt", [(1, 1, 9, 1, 9, 5, 1, 5)] * 2)
        text(home / name / "occlusion.label", [[0], [1]])
    text(home / "list.txt", [["bag"]])
    (bag,) = load("VOT2019", tmp_path)
    assert bag.name == "bag" and bag.kind == "vot" and len(bag.frames) == 2 and bag.tags["occlusion"].tolist() == [0, 1]


def test_vot_long_term(tmp_path):
    home = tmp_path / "VOT2018-LT/car"
    put(home / "color", [1, 2, 3], "{:08d}.jpg")
    (home / "groundtruth.txt").write_text("5,6,7,8\nnan,nan,nan,nan\n0\n")
    (home.parent / "list.txt").write_text("car\n")
    (car,) = load("VOT-LT2018", tmp_path)
    assert car.kind == "otb" and car.truth[0].tolist() == [4, 5, 7, 8] and np.isnan(car.truth[1:]).all()
