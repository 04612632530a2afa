"""How hyper-parameters choose the sides of template, search image and response."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lib.files import UserError
from lib.geometry.crop import Frames, pyramids_cv2
from lib.tracker.family import Family, Sides
from lib.tracker.live import LiveTracker
from tests.tracker.clips import small_model

SMALL, LARGE, IMAGE = np.array([50.0, 50, 5, 5]), np.array([50.0, 50, 40, 30]), (200, 160)


@pytest.mark.parametrize(
    ("arch", "hyper", "small", "large"),
    [
        ("SiamFCRes16", {}, (255, 127), (255, 127)),
        ("SiamFCRes16", {"instance_size": 263, "exemplar_size": 135, "score_size": 17}, (263, 135), (263, 135)),
        ("SESiamFCResNet22", {}, (255, 127, 17), (255, 127, 17)),
        ("SESiamFCResNet22", {"instance_size": 263}, (263, 127, 17), (263, 127, 17)),
        ("SESiamFCResNet22", {"exemplar_size": 143.0, "score_size": 19}, (255, 143, 19), (255, 143, 19)),
        ("SiamRPNRes16", {}, (255,), (255,)),
        ("SiamRPNRes16", {"small_sz": 271, "big_sz": 287}, (287,), (271,)),
        ("SiamRPNRes16", {"instance_size": 263}, (263,), (263,)),
    ],
)
def test_sides(arch: str, hyper: dict[str, float], small: tuple[int, ...], large: tuple[int, ...]):
    family = Family(small_model(arch), ratios=(0.33, 0.5, 1, 2, 3) if "RPN" in arch else None)
    assert family.side(hyper, SMALL, IMAGE) == Sides(*small)
    assert family.side(hyper, LARGE, IMAGE) == Sides(*large)
    tracker = family.at(Sides(*large))
    assert tracker.instance == large[0] and tracker.exemplar == (*large, 127)[1]
    assert family.at(Sides(*large)) is tracker and family.at(large[0]).instance == large[0]


def test_of_weights():
    fc = SimpleNamespace(ratios=(), scales=(), mapping="hinge")
    assert not Family.of(fc, small_model("SiamFCRes16")).is_rpn
    rpn = SimpleNamespace(ratios=(0.5, 1, 2), scales=(4, 8), mapping="hinge")
    tracker = Family.of(rpn, small_model("SiamRPNRes16")).at(255)
    assert (tracker.ratios, tracker.scales, tracker.mapping) == ((0.5, 1, 2), (4, 8), "hinge")
    with pytest.raises(UserError, match="precision"):
        Family.of(rpn, small_model("SiamRPNRes16"), precision="fp64")


def test_sides_that_siamdw_ties_together():
    family = Family(small_model("SiamFCRes16"))
    for hyper in ({"exemplar_size": 127, "instance_size": 263}, {"score_size": 18}):
        with pytest.raises(UserError, match="scale-equivariant models alone") as error:
            family.side(hyper, LARGE, IMAGE)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [1.0, 3, 12, 60])
def test_batched_pyramids_of_small_targets_are_those_of_opencv(side: float):
    """Sides are rounded to pixels, which stretches the ratio of the largest to the smallest where they have few."""
    torch.manual_seed(0)
    frames = Frames.pack([torch.randint(256, (90, 100, 3), dtype=torch.uint8)])
    family = Family(small_model("SiamFCRes16"), engine="torch")
    tracker, row = family.at(239), family.row({"scale_step": 1.1})
    state = tracker.init(frames, torch.tensor([[50.0, 40, side, side]]), row)
    for share in (1, 1.3, 2, 5):
        least = share * state.side_limits[:, :1].clamp(min=1.2)  # a window has a pixel
        seen = (frames, state.centre, least * row.scale_step**tracker.scale_powers, 239, state.fill)
        assert torch.equal(tracker.pyramids(*seen, tracker.zoom), pyramids_cv2(*seen))


def test_a_response_of_another_size_is_taken_for_that_of_score_size():
    """SiamSE: whatever cells the response has, it is enlarged to score_size * 16 and read as if it had score_size."""
    family = Family(small_model("SESiamFCResNet22"))
    tracker = family.at(family.side({"instance_size": 263}, LARGE, IMAGE))
    params = family.row({"scale_step": 1.1, "w_influence": 0.0, "scale_penalty": 0.9})
    frames = Frames.pack([torch.randint(0, 256, (160, 200, 3), dtype=torch.uint8)])
    state = tracker.init(frames, torch.from_numpy(LARGE)[None], params)
    response = torch.randn(1, 3, 18, 18)
    tracker.model.match = lambda *_: response[0][:, None]
    moved, _ = tracker.step(state, frames)
    large = F.interpolate(response, (272, 272), mode="bicubic")[0]
    best = int((large.amax((1, 2)) * torch.tensor([0.9, 1, 0.9])).argmax())
    y, x = divmod(int(large[best].argmax()), 272)
    shift = torch.tensor([x - 136, y - 136]) * 8 / 16 * state.search_side / 263
    wanted = (state.centre[0] + shift).clamp(min=0).minimum(torch.tensor(IMAGE))
    torch.testing.assert_close(moved.centre[0], wanted.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("hyper", [{"exemplar_size": 90}, {"score_size": 0}, {"score_size": 66}])
def test_sides_out_of_range(hyper: dict[str, float]):
    with pytest.raises(UserError, match=f"{next(iter(hyper))} must be in"):
        LiveTracker(Family(small_model("SESiamFCResNet22")), hyper)
