"""Every reason for which a box is left out, at its limit."""

import numpy as np
import pytest

from lib.data.prepare.rules import REASONS, Rules, judge

RULES = Rules(min_side=4, max_ratio=8, min_visible=0.4, max_fill=0.75)


def reason(box, width=100, height=100):
    verdict = int(judge(np.array([box], float), width, height, RULES)[0])
    return None if verdict < 0 else REASONS[verdict]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([10, 10, 20, 20], None),
        ([np.nan, 10, 20, 20], "no box"),
        ([10, 10, 20, np.inf], "no box"),
        ([10, 10, 0, 20], "degenerate"),
        ([10, 10, 20, -3], "degenerate"),
        ([10, 10, 4, 4], None),
        ([10, 10, 3.9, 20], "tiny"),
        ([10, 10, 5, 40], None),
        ([10, 10, 5, 41], "too elongated"),
        ([10, 10, 41, 5], "too elongated"),
        ([-12, 10, 20, 20], None),  # 8 of 20 columns inside: .4
        ([-13, 10, 20, 20], "outside"),
        ([93, 10, 20, 20], "outside"),
        ([200, 200, 20, 20], "outside"),
        ([0, 0, 100, 75], None),
        ([0, 0, 100, 76], "fills the image"),
    ],
)
def test_limits(box, why):
    assert reason(box) == why


def test_many_boxes_are_judged_as_one_by_one():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(-50, 150, (300, 4))
    together = judge(boxes, 100, 80, RULES)
    alone = [int(judge(box, 100, 80, RULES)[0]) for box in boxes]
    assert together.tolist() == alone
    assert len(set(alone)) == 6  # all but the missing box occur


def test_no_boxes():
    assert judge(np.zeros((0, 4)), 10, 10, RULES).shape == (0,)
