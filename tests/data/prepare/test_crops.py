"""The training crop against the recorded crops of the published code, and against its definition."""

import zlib

import cv2
import numpy as np
import pytest

from lib.data.prepare.crops import crop_name, crop_target, mean_colour
from lib.geometry.boxes import cxcywh_from_polygon
from lib.geometry.crop import context_side

BAG = [334.02, 128.36, 438.19, 188.78, 396.39, 260.83, 292.23, 200.41]


@pytest.mark.parametrize(("case", "side"), [(0, 127), (1, 255)])
def test_equals_the_recorded_crop_of_that_box_and_side(reference, case, side):
    golden = np.load(reference / "golden" / "crops.npz")
    capture = cv2.VideoCapture(str(reference / "videos" / "bag.avi"))
    done, image = capture.read()
    assert done and zlib.crc32(image.tobytes()) == golden["frame0_crc32"]
    box = cxcywh_from_polygon(BAG)
    assert golden["crop_cases_cx_cy_model_orig"][case][:3] == pytest.approx([*box[:2], side], abs=1e-9)
    crop = crop_target(image, box, side, mean_colour(image)).transpose(2, 0, 1)
    assert np.array_equal(crop[:, ::2, ::2], golden[f"crop{case}"])
    assert float(crop.sum()) == golden[f"crop{case}_sum"]


def test_mean_colour_is_truncated():
    image = np.zeros((3, 5, 3), np.uint8)
    image[0, :3] = [10, 255, 7]
    image[2, 2] = [9, 9, 9]
    slow = [int(sum(int(v) for v in image[..., c].ravel()) / 15) for c in range(3)]
    assert mean_colour(image).tolist() == slow
    assert mean_colour(image).dtype == np.uint8


@pytest.mark.parametrize("side", [127, 255, 271, 287, 511, 100])
def test_target_is_in_the_middle_at_exemplar_scale(side):
    """A white rectangle on black: its bounds in the crop are where REFERENCE's rule puts them."""
    image = np.zeros((400, 500, 3), np.uint8)
    image[150:190, 200:280] = 255  # w 80, h 40, centre (239.5, 169.5) in pixel centres
    crop = crop_target(image, np.array([240.0, 170.0, 80, 40]), side, np.zeros(3, np.uint8))
    assert crop.shape == (side, side, 3)
    zoom = 127 / context_side(80, 40)
    rows, columns = (np.flatnonzero((crop[..., 0] > 127).any(axis)) for axis in (1, 0))
    assert len(columns) == pytest.approx(min(80 * zoom, side), abs=1.5)
    assert len(rows) == pytest.approx(min(40 * zoom, side), abs=1.5)
    assert columns.mean() == pytest.approx((side - 1) / 2, abs=1.5)
    assert rows.mean() == pytest.approx((side - 1) / 2, abs=1.5)


def test_outside_the_image_is_the_fill():
    image = np.full((60, 60, 3), 200, np.uint8)
    crop = crop_target(image, np.array([2.0, 2.0, 20, 20]), 255, np.array([1, 2, 3], np.uint8))
    assert crop[0, 0].tolist() == [1, 2, 3]
    assert crop[140, 140].tolist() == [200, 200, 200]


def test_names_are_siamdws():
    assert crop_name(7, 1) == "000007.01.x.jpg"
