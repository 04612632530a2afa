"""What is drawn: boxes where they belong, lost targets told apart, no frame too small, too large or too far off."""

import numpy as np
import pytest

from lib.tracker.drawing import COLOURS, LOST, caption, draw_selection, draw_targets


def ground(width: int = 320, height: int = 240) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def drawn(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of what changed."""
    y, x = np.nonzero((before != after).any(-1))
    return x.min(), y.min(), x.max(), y.max()


def holds(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(-1).any())


def test_a_box_stands_where_it_is_with_its_score_above():
    frame = ground()
    image = draw_targets(frame, (100, 80, 60, 40), 0.87, 0.5)
    assert (frame == 90).all()  # the frame itself stays
    x0, y0, x1, y1 = drawn(frame, image)
    assert (x0, x1, y1) == pytest.approx((100, 160, 120), abs=2)
    assert 55 < y0 < 75  # the plate of the score
    assert (image[120, 110:150] == COLOURS[0]).all() and (image[90:115, 110:150] == 90).all()


@pytest.mark.parametrize("score", [0.49, 0.0, float("nan")])
def test_a_lost_target_looks_different(score: float):
    image = draw_targets(ground(), (100, 80, 60, 40), score, 0.5)
    assert holds(image, LOST) and not holds(image, COLOURS[0])
    edge = (image[120, 100:160] == LOST).all(-1)
    assert 0.3 < edge.mean() < 0.7  # dashes


def test_the_threshold_itself_is_not_lost():
    assert holds(draw_targets(ground(), (100, 80, 60, 40), 0.5, 0.5), COLOURS[0])


def test_several_targets_have_colours_of_their_own():
    boxes = [(10 + 30 * n, 80, 20, 40) for n in range(9)]
    image = draw_targets(ground(), boxes, np.full(9, 0.9), 0.5)
    assert all(holds(image, colour) for colour in COLOURS)


@pytest.mark.parametrize("score", [0.9, 0.1])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 900), (4000, 3000)])
@pytest.mark.parametrize("box", [(0.2, 0.3, 0.5, 0.5), (-2, -2, 1, 1), (5, 5, 9, 9), (-0.5, 0.2, 3, 0.1)])
def test_any_frame_and_any_box(size, box, score):
    frame = ground(*size)
    draw_targets(frame, np.multiply(box, size * 2), score, 0.5)
    assert (frame == 90).all()


@pytest.mark.parametrize(("width", "fits"), [(320, True), (60, False)])
def test_text_that_could_not_be_read_is_left_out(width: int, fits: bool):
    frame = ground(width, 60)
    image = caption(frame, "s select   r reselect   q quit")
    assert bool((image != frame).any()) == fits
    assert not fits or drawn(frame, image)[3] == 59


def test_a_selection_needs_an_area():
    assert (draw_selection(ground(), (50, 50, 0, 9)) == 90).all()
    assert drawn(ground(), draw_selection(ground(), (50, 60, 30, 20))) == pytest.approx((49, 59, 81, 81), abs=1)
