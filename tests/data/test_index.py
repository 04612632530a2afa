"""The index of crops: what is in it, what is left out, and what it says of a broken set."""

import json

import numpy as np
import pytest

from lib.data.index import CropSet, build_index, size_in_crop
from lib.files import UserError


def write_set(folder, name, annotation, absent=()):
    """Empty files stand for crops; the index opens none."""
    for video, tracks in annotation.items():
        (folder / name / video).mkdir(parents=True)
        for track, frames in tracks.items():
            for frame in frames:
                file = f"{int(frame):06d}.{int(track):02d}.x.jpg"
                if (video, file) not in absent:
                    (folder / name / video / file).touch()
    path = folder / f"{name}.json"
    path.write_text(json.dumps(annotation))
    return CropSet(name=name, path=folder / name, annotation=path, reach=7)


BOX = [10, 20, 110, 220]
FIRST = {
    "b_video": {"01": {"000010": BOX, "000002": [0, 0, 37.5, 81.25]}, "00": {"000000": BOX}},
    "a_video": {"00": {"3": [60, 30], "4": [10, 20, 10, 40], "5": [60, -1], "6": BOX}},
    "empty_video": {"00": {"1": [0, 0, 0, 0], "2": [float("nan"), 5]}},
}
SECOND = {"nested/c": {"12": {"000123": [5, 5, 6, 6]}}}


@pytest.fixture
def index(tmp_path):
    first = write_set(tmp_path, "first", FIRST, absent={("a_video", "000006.00.x.jpg")})
    return build_index([first, write_set(tmp_path, "second", SECOND)])


def test_crops_are_sorted_and_their_files_are_found(index, tmp_path):
    assert [str(index.path(i).relative_to(tmp_path)) for i in range(len(index))] == [
        "first/a_video/000003.00.x.jpg",
        "first/b_video/000000.00.x.jpg",
        "first/b_video/000002.01.x.jpg",
        "first/b_video/000010.01.x.jpg",
        "second/nested/c/000123.12.x.jpg",
    ]
    assert all(index.path(i).is_file() for i in range(len(index)))
    assert index.videos == ("a_video", "b_video", "nested/c")
    ids = np.arange(5)
    np.testing.assert_array_equal(index.set_of(ids), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(index.video_of(ids), [0, 1, 1, 1, 2])
    np.testing.assert_array_equal(index.track_of(ids), [0, 1, 2, 2, 3])
    assert [index.crops_of_set(s) for s in range(2)] == [range(0, 4), range(4, 5)]


def test_what_is_left_out_is_counted(index):
    assert (index.degenerate, index.missing) == (4, 1)
    report = index.report()
    assert "first: 4 crops, 3 tracks, 2 videos" in report and "second: 1 crops, 1 tracks, 1 videos" in report
    assert "4 boxes without area" in report and "1 crops without a file" in report


def test_sizes_are_those_in_the_crop(index):
    """A 100 x 200 target has context square sqrt(250 * 350)."""
    w, h = 100 * 127 / (250 * 350) ** 0.5, 200 * 127 / (250 * 350) ** 0.5
    np.testing.assert_allclose(index.size[1], [w, h], rtol=1e-12)
    small = np.sqrt((60 + 45) * (30 + 45))
    np.testing.assert_allclose(index.size[0], [60 * 127 / small, 30 * 127 / small], rtol=1e-12)  # [w, h] annotation


def test_recorded_sizes(reference):
    golden = np.load(reference / "golden" / "targets.npz")
    boxes = [golden["tobbox_in0"], golden["tobbox_in1"], np.array([0, 0, *golden["tobbox_in2_wh"]])]
    sizes = np.array([box[2:] - box[:2] for box in boxes], np.float64)
    recorded = golden["tobbox_out"]
    np.testing.assert_allclose(size_in_crop(sizes), recorded[:, 2:] - recorded[:, :2], rtol=1e-12)


def test_real_sets(reference):
    names = ("davis_train", "stills")
    train = reference / "train"
    index = build_index([CropSet(name=n, path=train / n, annotation=train / f"{n}.json") for n in names])
    assert "davis_train: 1629 crops, 29 tracks, 29 videos" in index.report() and index.missing == index.degenerate == 0
    assert len(index.crops_of_set(1)) == 1184
    assert index.path(0).is_file() and index.path(len(index) - 1).is_file()
    area = np.prod(index.size, 1) / 127**2  # the target fills at most a quarter of its context square
    assert area.max() <= 0.25 + 1e-9 and (index.size.min(0) > 1).all()


@pytest.mark.parametrize(
    "content,said",
    [
        ("{", "not json"),
        ('["a"]', "must hold"),
        ('{"v": {"00": {"1": [1, 2, 3]}}}', "v, track 00"),
        ('{"v": {"00": {"one": [1, 2]}}}', "v, track 00"),
        ('{"v": {"person": {"1": [1, 2]}}}', "track person"),
        ('{"v": {"00": {"1": [9, 9, 9, 9]}, "01": {"2": [1, 2]}}}', "1 have no file under .*, 1 no area"),
        ("{}", "must have crops"),
    ],
)
def test_a_broken_annotation_is_named(tmp_path, content, said):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UserError, match=said):
        build_index([CropSet(name="s", path=tmp_path / "s", annotation=tmp_path / "s.json")])


def test_an_absent_annotation_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json"):
        build_index([CropSet(name="s", path=tmp_path, annotation=tmp_path / "gone.json")])
    with pytest.raises(UserError, match="at least one set"):
        build_index([])
