"""Held-back videos as test sequences: crops are put back where the annotation says that they were."""

import json

import cv2
import numpy as np
import pytest

from lib.data.index import CropSet, build_index
from lib.data.replay import MOST, ROOM, SIZE, in_frame, write_replays
from lib.evaluation.datasets import load
from lib.files import UserError
from lib.images import read_image

# x1 y1 x2 y2 in a video: a target that goes right and grows, one that stands, one without a place, one that flies off
BOXES = {
    "one": [[100 + 40 * t, 50, 131 + 40 * t + 4 * t, 81 + 4 * t] for t in range(4)],
    "still": [[10, 10, 41, 41]],
    "sizes": [[31, 31], [31, 31]],
    "far": [[0, 0, 31, 31], [5000, 0, 5031, 31]],
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Crops with a bright square of 64 pixels, the size of a square target, in the middle."""
    folder = tmp_path_factory.mktemp("crops")
    image = np.full((287, 287, 3), 60, np.uint8)
    image[112:176, 112:176] = 250
    for video, boxes in BOXES.items():
        (folder / "s" / video).mkdir(parents=True)
        for frame in range(len(boxes)):
            cv2.imwrite(str(folder / "s" / video / f"{2 * frame:06d}.00.x.jpg"), image)
    told = {video: {"00": {str(2 * t): box for t, box in enumerate(boxes)}} for video, boxes in BOXES.items()}
    (folder / "s.json").write_text(json.dumps(told))
    return build_index([CropSet(name="s", path=folder / "s", annotation=folder / "s.json")])


def test_the_target_is_where_the_truth_says_and_moves_as_it_did(index, tmp_path):
    assert write_replays(index, ["s/one", "s/still", "s/far"], tmp_path / "held-back", quiet=True) == 1
    (video,) = load("held-back", tmp_path)
    assert (video.name, len(video)) == ("s-one-00", 4)
    recorded = np.array(BOXES["one"], float)
    size = recorded[:, 2] - recorded[:, 0]
    scale = SIZE / np.median(size)
    np.testing.assert_allclose(video.truth[:, 2], size * scale, atol=0.01)
    np.testing.assert_allclose(np.diff(video.truth[:, 0]), np.diff(recorded[:, 0]) * scale, atol=0.02)
    for path, (x, y, w, h) in zip(video.frames, video.truth, strict=True):
        image = read_image(path)
        assert image is not None
        rows, columns = np.nonzero(image[:, :, 0] > 155)
        found, told = np.stack([columns, rows], 1), np.array([x + w / 2, y + h / 2])
        found = found[np.abs(found - told).max(1) < w]  # the others are in mirror images
        assert np.abs(found.mean(0) - told).max() < 1.5 and abs(np.ptp(found[:, 0]) + 1 - w) < 3


def test_the_frame_holds_all_centres_with_room():
    boxes = np.array([[500.0, 90, 20, 80], [540, 70, 40, 40], [700, 130, 20, 20]])
    placed, (width, height) = in_frame(boxes)
    np.testing.assert_allclose(placed[:, :2].min(0), ROOM)
    np.testing.assert_allclose(placed[:, :2].max(0) + ROOM, [width, height], atol=1)
    np.testing.assert_allclose(placed[:, 2:], boxes[:, 2:] * SIZE / 40)
    assert max(width, height) < MOST


def test_what_cannot_be_replayed_is_named(index, tmp_path):
    with pytest.raises(UserError, match="of sizes it knows sizes alone"):
        write_replays(index, ["s/sizes"], tmp_path / "held-back", quiet=True)
    broken = index.path(int(index.track_start[list(index.videos).index("one")]))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(UserError, match="must be readable"):
        write_replays(index, ["s/one"], tmp_path / "held-back", quiet=True)
    assert not (tmp_path / "held-back.json").exists()
    broken.write_bytes(whole)
