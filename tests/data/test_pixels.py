"""Pixels: what is handed out equals what the files hold, in memory or streamed, and broken files never come."""

import json

import cv2
import numpy as np
import pytest
import torch

from lib.data.index import CropSet, build_index
from lib.data.pixels import Pixels, _table, read_image
from lib.files import UserError

SIDES = {"small": 12, "large": 20}
FRAMES = {"small": {"v": {"00": 4, "01": 1}, "w": {"00": 3}}, "large": {"v": {"00": 5}}}


def write_crops(folder) -> list[CropSet]:
    rng = np.random.default_rng(0)
    sets = []
    for name, videos in FRAMES.items():
        annotation = {v: {t: {str(f): [10, 8] for f in range(n)} for t, n in ts.items()} for v, ts in videos.items()}
        for video, tracks in annotation.items():
            (folder / name / video).mkdir(parents=True)
            for track, frames in tracks.items():
                for frame in frames:
                    image = rng.integers(0, 256, (SIDES[name], SIDES[name], 3), np.uint8)
                    path = folder / name / video / f"{int(frame):06d}.{track}.x.jpg"
                    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        (folder / f"{name}.json").write_text(json.dumps(annotation))
        sets.append(CropSet(name=name, path=folder / name, annotation=folder / f"{name}.json"))
    return sets


@pytest.fixture
def index(tmp_path):
    return build_index(write_crops(tmp_path))


def assert_holds(index, ids, parts):
    """Each row is the image of its crop, and each row comes once."""
    seen = np.concatenate([part.rows for part in parts])
    assert sorted(seen.tolist()) == list(range(len(ids)))
    for rows, images in parts:
        assert images.dtype == torch.uint8 and len(rows) == len(images)
        for row, image in zip(rows, images, strict=True):
            expected = cv2.imread(str(index.path(int(ids[row])))).transpose(2, 0, 1)
            np.testing.assert_array_equal(image.numpy(), expected)


def break_files(index, crops: dict[int, bytes | None]) -> None:
    for crop, data in crops.items():
        if data is None:
            index.path(crop).unlink()
        else:
            index.path(crop).write_bytes(data)


@pytest.mark.parametrize("budget,residence", [(10**9, "host"), (0, "stream")])
def test_pixels_are_those_of_the_files(index, budget, residence):
    pixels = Pixels(index, budget=budget, workers=2)
    assert pixels.residence == residence and pixels.bytes == 8 * 3 * 12**2 + 5 * 3 * 20**2
    for ids in ([3, 12, 3, 0, 9], [0], list(range(13)), [12, 11, 10]):  # repeated, of two sides, of one
        used, parts = pixels.fetch(np.array(ids))
        np.testing.assert_array_equal(used, ids)
        assert_holds(index, used, parts)
    pixels.close()


def test_a_crop_is_decoded_once(index, monkeypatch):
    pixels = Pixels(index, budget=10**9, workers=2)
    decoded = []
    original = pixels._decode
    monkeypatch.setattr(pixels, "_decode", lambda crop: decoded.append(crop) or original(crop))
    pixels.expect(np.array([1, 2]))
    pixels.fetch(np.array([2, 5]))
    pixels.preload(quiet=True, chunk=4)
    pixels.fetch(np.arange(13))
    assert sorted(decoded) == list(range(13))
    for crop in range(13):
        break_files(index, {crop: None})  # all in memory: the files are no longer needed
    assert pixels.fetch(np.arange(13))[0].tolist() == list(range(13)) and pixels.unreadable == 0


def test_budget_is_respected_to_the_byte(index):
    need = Pixels(index, budget=0).bytes
    assert Pixels(index, budget=need).residence == "host" and Pixels(index, budget=need - 1).residence == "stream"


@pytest.mark.parametrize("budget", [10**9, 0])
def test_broken_files_are_replaced_the_same_way_whatever_was_read_before(index, budget):
    whole = index.path(1).read_bytes()
    wrong = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    break_files(index, {1: whole[: len(whole) // 2], 3: b"no image", 4: None, 6: wrong, 11: b""})
    # crops 0-3 v/00, 4 v/01, 5-7 w/00, 8-12 large; 3 -> around to 0, 4 has no other in its track -> 5
    expected = [0, 2, 2, 0, 5, 5, 7, 7, 8, 9, 10, 12, 12]
    orders = [np.arange(13), np.arange(12, -1, -1), np.array([3, 3, 1, 4]), np.array([4])]
    for order in orders:
        pixels = Pixels(index, budget=budget, workers=2)
        for ids in (order, order):
            used, parts = pixels.fetch(ids)
            assert used.tolist() == [expected[i] for i in ids]
            assert_holds(index, used, parts)
    pixels = Pixels(index, budget=budget)
    pixels.fetch(np.arange(13))
    assert pixels.unreadable == 5
    assert "5 crops that cannot be read" in pixels.report() and str(index.path(1)) in pixels.report()


def test_a_set_without_a_readable_file_is_named(index):
    pixels = Pixels(index, budget=0)
    break_files(index, {i: b"" for i in range(8)})
    with pytest.raises(UserError, match="can be read"):
        pixels.fetch(np.array([2]))
    with pytest.raises(UserError, match="set small must hold square images"):
        Pixels(index, budget=0)


def test_cut_short_jpegs_are_found_wherever_they_are_cut(index):
    path = index.path(9)
    data = path.read_bytes()
    for length in (0, 1, 10, len(data) // 2, len(data) - 2):
        path.write_bytes(data[:length])
        assert read_image(path) is None, length
    path.write_bytes(data + b"\0\0")
    assert read_image(path) is not None


def test_numbers_of_the_kernel_are_read(tmp_path):
    (tmp_path / "m").write_text("MemAvailable:  12 kB\nother x\n\n")
    (tmp_path / "n").write_text("34\n")
    assert _table(tmp_path / "m") == {"MemAvailable:": 12} and _table(tmp_path / "n") == {"": 34}
    (tmp_path / "n").write_text("max\n")
    assert _table(tmp_path / "n") == _table(tmp_path / "gone") == {}
