"""Augmentation against recorded images, slow versions, and a square that must stay under its box."""

import math

import cv2
import numpy as np
import pytest
import torch

from lib.data.augment import (
    DRAWS,
    MOTIONS,
    Augmentation,
    affine_of,
    blur_along,
    box_in_window,
    colour_jitter,
    gaussian_blur,
    motion_blur,
    plan,
    render,
    resample,
    turn_box,
    window,
)
from lib.data.index import size_in_crop

STILL = Augmentation(shift=0, scale=0, color=0)
CPU = torch.device("cpu")
NO_FLIP, NO_ANGLE = torch.tensor([False]), torch.zeros(1, dtype=torch.float64)


@pytest.fixture(scope="module")
def golden(reference):
    return np.load(reference / "golden" / "targets.npz")


@pytest.fixture(scope="module")
def frame(reference):
    return cv2.VideoCapture(str(reference / "videos" / "bag.avi")).read()[1]


def test_recorded_windows(golden):
    for sx, sy, scale_x, scale_y, side, m, *corners, _, _, _, _ in golden["aug_apply"]:
        asked = torch.tensor([[sx, sy]]), torch.tensor([[scale_x, scale_y]])
        ours = window(torch.tensor([int(side)]), int(m), *asked)[0]
        np.testing.assert_allclose(ours, corners, rtol=0, atol=1e-9)


@pytest.mark.parametrize("side", [511, 271])
@pytest.mark.parametrize("m", [127, 255])
@pytest.mark.parametrize("blur", [0, 1])
def test_recorded_images_and_boxes(golden, frame, side, m, blur):
    crop = torch.from_numpy(cv2.resize(frame, (side, side))).permute(2, 0, 1)[None]
    x, y, scale_x, scale_y = golden[f"augm_{side}_{m}_blur{blur}_param"]
    sides = torch.tensor([side])
    corners = window(sides, m, torch.tensor([[x, y]]), torch.tensor([[scale_x, scale_y]]))
    cx, cy, w, h = box_in_window(sides, torch.from_numpy(size_in_crop(np.array([[100.0, 200.0]]))), corners, m)[0]
    recorded = golden[f"augm_{side}_{m}_blur{blur}_box"]
    np.testing.assert_allclose([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], recorded, rtol=0, atol=1e-9)
    image = resample(crop, affine_of(corners, m, NO_FLIP, NO_ANGLE), m)
    recorded = torch.from_numpy(golden[f"augm_{side}_{m}_blur{blur}_img"]).permute(2, 0, 1)[None].float()
    if not blur:
        assert (image[:, :, ::3, ::3] - recorded).abs().max() <= 0.51  # recorded as whole grey levels
        return
    # the published blur drops the fraction after either axis, a grey level in the mean; ours keeps it
    whole = image.round().double() + 1e-9
    cut = blur_along(blur_along(whole, 2, 1.0).floor() + 1e-9, 3, 1.0).floor()
    wrong = (cut[:, :, ::3, ::3] - recorded).abs()  # a sample of exactly half a level may be rounded either way
    assert wrong.max() <= 1 and (wrong > 0).double().mean() < 1e-3
    lost = gaussian_blur(image.round())[:, :, ::3, ::3] - recorded
    assert lost.min() > -0.01 and lost.max() < 2.01 and lost.mean() == pytest.approx(1, abs=0.1)


def slow_resample(image: np.ndarray, affine: np.ndarray, m: int) -> np.ndarray:
    side = image.shape[-1]
    out = np.empty((3, m, m))
    for v in range(m):
        for u in range(m):
            x, y = np.clip(affine @ [u, v, 1], 0, side - 1)
            left, top = min(int(x), side - 2), min(int(y), side - 2)
            a, b = x - left, y - top
            rows = image[:, top : top + 2, left : left + 2].astype(float)
            out[:, v, u] = (rows * np.array([[(1 - b) * (1 - a), (1 - b) * a], [b * (1 - a), b * a]])).sum((1, 2))
    return out


def test_resampling_equals_a_loop():
    crops = torch.randint(0, 256, (2, 3, 11, 11), dtype=torch.uint8)
    angle = torch.tensor([0.3, -0.15], dtype=torch.float64)
    corners = window(torch.tensor([11, 11]), 7, torch.tensor([[1.3, -9], [0, 2]]), torch.tensor([[1.1, 0.8], [2, 1]]))
    affine = affine_of(corners, 7, torch.tensor([False, True]), angle)
    ours = resample(crops, affine, 7)
    for n in range(2):
        np.testing.assert_allclose(ours[n], slow_resample(crops[n].numpy(), affine[n].numpy(), 7), rtol=0, atol=2e-3)


def test_a_still_window_is_a_cut():
    """A crop and a window of odd side share their middle pixel."""
    crops = torch.randint(0, 256, (1, 3, 31, 31), dtype=torch.uint8)
    done = plan(torch.rand(1, DRAWS), torch.tensor([31]), torch.tensor([[8.0, 6.0]]), 15, STILL, search=True)
    assert done.box.tolist() == [[7.5, 7.5, 8, 6]] and done.color is None and not done.blurred.any()
    image = render([(torch.tensor([0]), crops)], done, 15, CPU)
    torch.testing.assert_close(image[0, :, 7, 7], crops[0, :, 15, 15].float())
    corners = window(torch.tensor([31]), 15, torch.zeros(1, 2), torch.ones(1, 2))
    assert corners.tolist() == [[7.5, 7.5, 22.5, 22.5]]


def square(side: int, w: int, h: int) -> torch.Tensor:
    """A white w x h rectangle in the middle of a black crop."""
    crop = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    crop[..., side // 2 - h // 2 : side // 2 + h // 2 + 1, side // 2 - w // 2 : side // 2 + w // 2 + 1] = 255
    return crop


def test_the_box_stays_with_the_target():
    """Centre, size and (for a square) area of what is white agree with the box, under everything that moves it."""
    n, side, m, w, h = 60, 81, 41, 15, 15
    draws = torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(3))
    moves = Augmentation(shift=7, scale=0.3, flip=0.5, rotation=0.7, color=0)
    done = plan(draws, torch.full((n,), side), torch.full((n, 2), 15.0), m, moves, search=True)
    image = render([(torch.arange(n), square(side, w, h).expand(n, -1, -1, -1))], done, m, CPU)[:, 0].double() / 255
    steps = torch.arange(m, dtype=torch.float64)
    mass = image.sum((1, 2))
    x = (image.sum(1) * steps).sum(1) / mass
    y = (image.sum(2) * steps).sum(1) / mass
    box = done.box * (m - 1) / m  # boxes are measured from the edge, pixels by index: their scales are m : m - 1
    assert (box[:, 0] - x).abs().max() < 0.1 and (box[:, 1] - y).abs().max() < 0.1
    assert (box[:, :2] - 20).abs().amax(0).min() > 5  # it did move
    torch.testing.assert_close(box[:, 2:].prod(1), mass, rtol=0.03, atol=0)
    upright = draws[:, 5] >= 0.7
    assert 5 < upright.sum() < 40
    for axis, extent in ((0, image.amax(1)), (1, image.amax(2))):
        assert (box[upright, 2 + axis] - extent[upright].sum(1)).abs().max() < 0.6


def test_flip_mirrors_image_and_box():
    crops = torch.randint(0, 256, (1, 3, 31, 31), dtype=torch.uint8)
    draws = torch.full((1, DRAWS), 0.9)
    plans = [
        plan(draws, torch.tensor([31]), torch.tensor([[8.0, 6.0]]), 15, Augmentation(flip=f, color=0), search=False)
        for f in (0.0, 1.0)
    ]
    plain, flipped = (render([(torch.tensor([0]), crops)], p, 15, CPU) for p in plans)
    torch.testing.assert_close(flipped, plain.flip(3), rtol=0, atol=1e-2)
    (x, *rest), (mirrored, *same) = (p.box[0].tolist() for p in plans)
    assert mirrored == pytest.approx(15 - x) and same == pytest.approx(rest) and x != pytest.approx(7.5)


def test_rotation_turns_the_box_as_a_polygon():
    box = torch.tensor([[30.0, 12, 20, 8], [20, 20, 9, 9]], dtype=torch.float64)
    angle = torch.tensor([0.17, -0.1], dtype=torch.float64)
    turned = turn_box(box, 40, torch.tensor([False, False]), angle)
    for n in range(2):
        cx, cy, w, h = box[n].tolist()
        c, s = math.cos(angle[n]), math.sin(angle[n])
        corners = [(cx + i * w / 2 - 20, cy + j * h / 2 - 20) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        corners = np.array([(c * x - s * y + 20, s * x + c * y + 20) for x, y in corners])
        low, high = corners.min(0), corners.max(0)
        shrink = math.sqrt(w * h / np.prod(high - low))
        np.testing.assert_allclose(turned[n, :2], corners.mean(0), atol=1e-9)
        np.testing.assert_allclose(turned[n, 2:], shrink * (high - low), rtol=1e-9)


def test_blur_equals_a_slow_one():
    images = torch.rand(2, 3, 9, 5, dtype=torch.float64) * 255
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    taps /= taps.sum()
    for n in range(2):
        for c in range(3):
            wide = np.pad(images[n, c].numpy(), 4, mode="symmetric")
            rows = np.apply_along_axis(np.convolve, 1, wide, taps, "valid")
            both = np.apply_along_axis(np.convolve, 0, rows, taps, "valid")
            np.testing.assert_allclose(gaussian_blur(images)[n, c], both, rtol=0, atol=1e-9)
    torch.testing.assert_close(gaussian_blur(torch.full((1, 1, 2, 2), 7.0)), torch.full((1, 1, 2, 2), 7.0))


def luminance(images: torch.Tensor) -> torch.Tensor:
    return 0.114 * images[:, 0] + 0.587 * images[:, 1] + 0.299 * images[:, 2]


def test_colour_jitter_does_what_each_factor_says():
    images = torch.rand(5, 3, 6, 6) * 100 + 80  # far from the clamp
    factors = torch.tensor([[1, 1, 1, 0], [1.05, 1, 1, 0], [1, 0.95, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0.05]])
    same, bright, flat, grey, turned = colour_jitter(images, factors)
    torch.testing.assert_close(same, images[0], rtol=0, atol=2e-3)
    torch.testing.assert_close(bright, images[1] * 1.05)
    mean = luminance(images[2:3]).mean()
    torch.testing.assert_close(flat, mean + 0.95 * (images[2] - mean), rtol=0, atol=2e-3)
    torch.testing.assert_close(grey, luminance(images[3:4]).expand(3, -1, -1), rtol=0, atol=2e-3)
    torch.testing.assert_close(luminance(turned[None]), luminance(images[4:]), rtol=0, atol=2e-3)
    assert (turned - images[4]).abs().max() > 2
    whole_turn = colour_jitter(images[4:], torch.tensor([[1, 1, 1, 1.0]]))
    torch.testing.assert_close(whole_turn, images[4:], rtol=0, atol=2e-3)


def test_colour_jitter_in_one_is_one_after_the_other_and_clamps():
    images = torch.rand(1, 3, 6, 6) * 100 + 80
    both = colour_jitter(images, torch.tensor([[1.04, 0.96, 1.03, -0.02]]))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        done = images
        for column in order:
            one = torch.tensor([[1, 1, 1, 0.0]])
            one[0, column] = [1.04, 0.96, 1.03, -0.02][column]
            done = colour_jitter(done, one)
        torch.testing.assert_close(both, done, rtol=0, atol=5e-3)
    bright = colour_jitter(torch.full((1, 3, 2, 2), 254.0), torch.tensor([[1.05, 1, 1, 0]]))
    assert (bright == 255).all()


def test_probabilities_are_per_sample():
    n = 4000
    draws = torch.rand(n, DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    some = Augmentation(shift=4, scale=0.05, color=0.3, flip=0.2, blur=0.1, rotation=0.4)
    done = plan(draws, torch.full((n,), 287), torch.ones(n, 2) * 30, 255, some, search=True)
    assert done.color is not None
    jittered = (done.color != torch.tensor([1.0, 1, 1, 0])).any(1)
    flipped = done.affine[:, 0, 0] < 0
    turned = done.affine[:, 0, 1] != 0
    for got, p in ((jittered, 0.3), (flipped, 0.2), (turned, 0.4)):
        assert got.double().mean().item() == pytest.approx(p, abs=0.03)
    assert done.blurred.double().mean().item() == pytest.approx(0.1, abs=0.02)
    factors = done.color[jittered]
    low, high = torch.tensor([0.95, 0.95, 0.95, -0.05]), torch.tensor([1.05, 1.05, 1.05, 0.05])
    assert (factors >= low).all() and (factors <= high).all()
    assert (factors.amin(0) < low + 0.005).all() and (factors.amax(0) > high - 0.005).all()
    angle = torch.asin((done.affine[:, 1, 0] / done.affine[:, 1, :2].norm(dim=1)).clamp(-1, 1)).rad2deg()[turned]
    assert 9.9 < angle.abs().max() <= 10.001 and angle.min() < -9.9
    size = done.box[~turned, 2:] / 30
    assert 1 / 1.05 - 1e-9 < size.min() < 1 / 1.045 and 1 / 0.955 < size.max() < 1 / 0.95 + 1e-9


def test_one_setting_does_not_change_what_another_draws():
    draws = torch.rand(50, DRAWS, generator=torch.Generator().manual_seed(1))
    args = draws, torch.full((50,), 287), torch.ones(50, 2), 255
    few, many = plan(*args, Augmentation(), search=True), plan(*args, Augmentation(flip=0.5, blur=0.5), search=True)
    torch.testing.assert_close(few.color, many.color)
    unflipped = draws[:, 4] >= 0.5
    torch.testing.assert_close(few.box[unflipped], many.box[unflipped])


def test_search_may_have_limits_of_its_own():
    draws = torch.rand(200, DRAWS, generator=torch.Generator().manual_seed(1))
    far = Augmentation(shift=2, search_shift=30, search_scale=0.2)
    template, search = (plan(draws, torch.full((200,), 511), torch.ones(200, 2), 255, far, search=s) for s in (0, 1))
    assert (template.box[:, :2] - 127.5).abs().max() < 2.2 and 1 / 1.05 <= template.box[:, 2].min()
    assert 25 < (search.box[:, :2] - 127.5).abs().max() < 38 and search.box[:, 2].max() > 1.15


def test_crops_of_different_sides_in_one_batch():
    small, large = (torch.randint(0, 256, (2, 3, s, s), dtype=torch.uint8) for s in (31, 51))
    done = plan(torch.rand(4, DRAWS), torch.tensor([51, 31, 31, 51]), torch.ones(4, 2), 15, STILL, search=True)
    rows = torch.tensor([0, 3]), torch.tensor([1, 2])
    image = render([(rows[0], large), (rows[1], small)], done, 15, CPU)
    assert torch.allclose(image[[0, 3], :, 7, 7], large[:, :, 25, 25].float(), atol=0.01)
    assert torch.allclose(image[[1, 2], :, 7, 7], small[:, :, 15, 15].float(), atol=0.01)


def test_motion_blur_is_a_mean_along_one_axis():
    images = torch.rand(2, 3, 11, 11)
    for kind in range(MOTIONS):
        reach, axis = 1 + kind // 2, 3 - kind % 2
        cells = (torch.arange(11)[:, None] + torch.arange(-reach, reach + 1)).clamp(0, 10)
        slow = images.index_select(axis, cells.flatten()).unflatten(axis, cells.shape).mean(axis + 1)
        torch.testing.assert_close(motion_blur(images, kind), slow)


def test_grey_range_and_motion_are_drawn_as_asked():
    n = 4000
    draws = torch.rand(n, DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    args = torch.full((n,), 287), torch.ones(n, 2) * 30, 255
    done = plan(draws, *args, Augmentation(color=0.5, color_range=0.3, grey=0.2, motion_blur=0.25), search=True)
    assert done.color is not None
    grey = done.color[:, 2] == 0
    assert grey.double().mean().item() == pytest.approx(0.2, abs=0.03)
    low, high = done.color[~grey].amin(0), done.color[~grey].amax(0)
    torch.testing.assert_close(high - low, torch.tensor([0.6, 0.6, 0.6, 0.1]), atol=0.02, rtol=0)
    kinds = done.motion[done.motion >= 0]
    assert len(kinds) / n == pytest.approx(0.25, abs=0.03) and set(kinds.tolist()) == set(range(MOTIONS))
    only = plan(draws, *args, Augmentation(color=0, grey=1), search=True)
    assert only.color is not None and (only.color == torch.tensor([1.0, 1, 0, 0])).all()
    crops = torch.randint(0, 256, (4, 3, 31, 31), dtype=torch.uint8)
    still = Augmentation(shift=0, scale=0, color=0, grey=1, motion_blur=1)
    shown = plan(draws[:4], torch.full((4,), 31), torch.ones(4, 2), 15, still, search=True)
    images = render([(torch.arange(4), crops)], shown, 15, CPU)
    torch.testing.assert_close(images[:, 0], images[:, 2], atol=1e-3, rtol=0)
    sharp = render(
        [(torch.arange(4), crops)],
        plan(draws[:4], torch.full((4,), 31), torch.ones(4, 2), 15, STILL, search=True),
        15,
        CPU,
    )
    assert (images.std((2, 3)).mean(1) < 0.8 * sharp.std((2, 3)).mean(1)).all()
