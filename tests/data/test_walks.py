"""Held-back videos as test sequences: the target is where the truth says, and moves as the walk says."""

import json

import cv2
import numpy as np
import pytest

from lib.data.index import CropSet, build_index
from lib.data.walks import ROOM, SIDE, STEP, ZOOM_LIMITS, place, walk, write_walks
from lib.evaluation.datasets import load
from lib.files import UserError
from lib.images import read_image


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Two videos of four crops with a bright square of 30 pixels in the middle, and one of a single crop."""
    folder = tmp_path_factory.mktemp("crops")
    image = np.full((287, 287, 3), 60, np.uint8)
    image[128:159, 128:159] = 250
    found: dict[str, dict] = {}
    for video, frames in (("one", 4), ("two", 4), ("still", 1)):
        (folder / "s" / video).mkdir(parents=True)
        for frame in range(frames):
            cv2.imwrite(str(folder / "s" / video / f"{frame:06d}.00.x.jpg"), image)
        # of a 31 x 31 target the context side is 62, and 127 of the crop
        found[video] = {"00": {str(frame): [0, 0, 31 * 62 / 127, 31 * 62 / 127] for frame in range(frames)}}
    (folder / "s.json").write_text(json.dumps(found))
    return build_index([CropSet(name="s", path=folder / "s", annotation=folder / "s.json")])


def test_the_target_is_where_the_truth_says(index, tmp_path):
    assert write_walks(index, ["s/one", "s/still"], tmp_path / "held-back", quiet=True) == 1
    (video,) = load("held-back", tmp_path)
    assert (video.name, len(video)) == ("s-one-00", 4)
    for path, (x, y, w, h) in zip(video.frames, video.truth, strict=True):
        image = read_image(path)
        assert image is not None and image.shape == (SIDE, SIDE, 3)
        rows, columns = np.nonzero(image[:, :, 0] > 155)
        found, told = np.stack([columns, rows], 1), np.array([x + w / 2, y + h / 2])
        found = found[np.abs(found - told).max(1) < 60]  # the others are in mirror images
        assert np.abs(found.mean(0) - told).max() < 1
        assert w == h and 31 * ZOOM_LIMITS[0] * 0.9 < w < 63 * ZOOM_LIMITS[1]
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*.jpg")}
    write_walks(index, ["s/one"], tmp_path / "held-back", quiet=True)
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*.jpg")}


def test_walks_stay_inside_and_move():
    walks = np.stack([walk(300, np.random.default_rng(seed)) for seed in range(20)])
    centre, zoom = walks[..., :2], walks[..., 2]
    assert ROOM * SIDE <= centre.min() and centre.max() <= (1 - ROOM) * SIDE
    assert zoom.min() >= ZOOM_LIMITS[0] - 1e-9 and zoom.max() <= ZOOM_LIMITS[1] + 1e-9
    steps = np.abs(np.diff(centre, axis=1))
    assert 0.7 * STEP < np.median(steps) < 0.8 * STEP and steps.max() > 6 * STEP  # .765 for three degrees


def test_the_crop_is_placed_by_its_middle():
    crop = np.zeros((31, 31, 3), np.uint8)
    crop[15, 15] = 255
    image = place(crop, 100, 120, 1)
    assert image[120, 100, 0] == 255


def test_a_broken_crop_is_named(index, tmp_path):
    broken = index.path(5)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(UserError, match="must be readable"):
        write_walks(index, ["s/two"], tmp_path / "held-back", quiet=True)
    assert not (tmp_path / "held-back.json").exists()
    broken.write_bytes(whole)
