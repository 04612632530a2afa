"""Anchors against recorded arrays and a loop."""

import math

import numpy as np
import pytest

from lib.geometry.anchors import anchor_sizes, tracker_anchors, training_anchors

RATIOS, SCALES = (0.33, 0.5, 1, 2, 3), (8,)


def test_published_sizes():
    expected = [[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]]
    np.testing.assert_array_equal(anchor_sizes(RATIOS, SCALES), expected)


def test_recorded(reference):
    golden = np.load(reference / "golden" / "targets.npz")
    for n, instance in ((17, 255), (19, 271)):
        np.testing.assert_array_equal(tracker_anchors(RATIOS, SCALES, n), golden[f"anchor_tracker_{n}"])
        corners = golden[f"naive_{instance}"]
        np.testing.assert_array_equal(anchor_sizes(RATIOS, SCALES), corners[:, 2:] - corners[:, :2])
        anchors = training_anchors(RATIOS, SCALES, n, instance)
        np.testing.assert_array_equal(anchors, golden[f"pairs_center_{instance}"])
        xyxy = np.concatenate([anchors[:2] - anchors[2:] / 2, anchors[:2] + anchors[2:] / 2])
        np.testing.assert_array_equal(xyxy, golden[f"pairs_corner_{instance}"])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_number_of_ratios_and_scales(n):
    ratios, scales = (0.5, 1, 1.5), (4, 6.5)
    tracker, training = tracker_anchors(ratios, scales, n), training_anchors(ratios, scales, n, 100)
    assert tracker.shape == training.shape == (4, 6, n, n) and tracker.dtype == np.float64
    for i, (ratio, scale) in enumerate((r, s) for r in ratios for s in scales):
        w = int(math.sqrt(64 / ratio))
        size = [w * scale, int(w * ratio) * scale]
        for row in range(n):
            for column in range(n):
                offset = [8 * (column - n // 2), 8 * (row - n // 2)]
                np.testing.assert_array_equal(tracker[:, i, row, column], offset + size)
                np.testing.assert_array_equal(training[:, i, row, column], [50 + offset[0], 50 + offset[1], *size])


@pytest.mark.parametrize("ratios,scales", [((), (8,)), ((1,), ()), ((0,), (8,)), ((1,), (-8,)), ((100,), (8,))])
def test_impossible_anchors_are_refused(ratios, scales):
    with pytest.raises(ValueError, match="ratio"):
        anchor_sizes(ratios, scales)
