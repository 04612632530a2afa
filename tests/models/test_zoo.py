"""Every model of the zoo at a quarter of its width: learns, is saved, loaded and fused, tracks. And the table of them.

Axes: N = 2 pairs, A = 5 anchors, 7 x 7 cells of a response.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lib.core.calibrate import calibrate
from lib.data.batches import Batch
from lib.files import UserError
from lib.losses.classification import logistic
from lib.losses.regression import weighted_l1
from lib.models import zoo
from lib.models.heads import logit
from lib.models.weights import load_model
from lib.tracker.family import Family
from lib.tracker.live import LiveTracker

WIDTH, PAIRS, CELLS, ANCHORS, STEPS, FRAMES = 0.25, 2, 7, 5, 20, 20
LR = 1e-2


def scene() -> tuple[Tensor, Tensor]:
    """Smooth random images, the template's in the middle of the search image."""
    draw = torch.Generator().manual_seed(1)
    z, x = (
        nn.functional.interpolate(255 * torch.rand(PAIRS, 3, n, n, generator=draw), size=side, mode="bilinear")
        for n, side in ((12, 127), (16, 175))
    )
    x[..., 24:151, 24:151] = z
    return z, x


def loss(prediction: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    centre = torch.zeros(PAIRS, CELLS, CELLS)
    centre[:, 2:5, 2:5] = 1
    if isinstance(prediction, Tensor):
        return logistic(prediction.squeeze(1), centre)
    label = centre[:, None].expand(-1, ANCHORS, -1, -1)
    offsets = torch.linspace(-0.3, 0.3, 4)[:, None, None, None].expand(PAIRS, 4, ANCHORS, CELLS, CELLS)
    return logistic(logit(prediction[0], ANCHORS), label) + weighted_l1(prediction[1], offsets, label / label[0].sum())


def train(model: nn.Module, steps: int) -> list[float]:
    z, x = scene()
    calibrate(model, Batch(z, x, torch.zeros(0)))  # as every training begins
    optimiser = torch.optim.SGD(model.train().parameters(), lr=LR, momentum=0.9)
    losses = []
    for _ in range(steps):
        value = loss(model(z, x))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimiser.step()
        losses.append(value.item())
    return losses


def parts(prediction: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (prediction,) if isinstance(prediction, Tensor) else prediction


@pytest.mark.parametrize("arch", zoo.names())
def test_it_learns_is_saved_loaded_and_fused_and_tracks(arch, tmp_path):
    torch.manual_seed(0)
    model = zoo.build(arch, width=WIDTH)
    losses = train(model, STEPS)
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3]), losses

    torch.save({"arch": arch, "state_dict": model.state_dict()}, tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth")
    assert loaded.arch == arch and not loaded.report.missing and not loaded.report.unused
    z, x = scene()
    with torch.no_grad():
        expected = parts(model.eval()(z, x))
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(parts(loaded.model(z, x)), expected, strict=True))
        fused = loaded.model.fuse()
        for ours, theirs in zip(parts(fused(z, x)), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())
    assert not any(p.requires_grad for p in fused.parameters()) and not fused.training
    assert not [m for m in fused.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    tracker = LiveTracker(Family.of(loaded, fused))
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES + 1, 60, 80, 3), np.uint8)
    tracker.init(frames[0], (30, 20, 16, 14))
    for frame in frames[1:]:
        box, score = tracker.update(frame)
        assert np.isfinite(box).all() and (box[2:] >= 10).all() and (box[2:] <= (80, 60)).all() and 0 <= score <= 1
        assert (box[:2] + box[2:] / 2 >= 0).all() and (box[:2] + box[2:] / 2 <= (80, 60)).all()


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22", "SiamRPNAlexDW"])
@torch.no_grad()
def test_several_slots_and_scales_give_what_each_gives_alone(arch):
    model = zoo.build(arch, width=WIDTH).eval()
    slots, scales = 3, 2
    z, x = 255 * torch.rand(slots, 3, 127, 127), 255 * torch.rand(slots * scales, 3, 191, 191)
    kernels = model.template(z)
    assert all(len(kernel) == slots for kernel in kernels)
    together = parts(model.match(kernels, model.search(x)))
    for row in range(slots * scales):
        alone = parts(model(z[row // scales, None], x[row, None]))
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[row], theirs[0], rtol=0, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize(("ratios", "scales"), [((1,), (8,)), ((0.5, 1, 2), (4, 8, 16))])
@pytest.mark.parametrize("cls_type", ["thinner", "thicker"])
@pytest.mark.parametrize("arch", ["SiamRPNRes22", "SiamRPNRes22DW"])
@torch.no_grad()
def test_heads_have_any_number_of_anchors(arch, cls_type, ratios, scales):
    model = zoo.build(arch, width=WIDTH, cls_type=cls_type, ratios=ratios, scales=scales).eval()
    cls, reg = model(255 * torch.rand(1, 3, 127, 127), 255 * torch.rand(1, 3, 255, 255))
    anchors = len(ratios) * len(scales)
    assert cls.shape == (1, anchors * (2 if cls_type == "thicker" else 1), 17, 17)
    assert reg.shape == (1, 4 * anchors, 17, 17) and logit(cls, anchors).shape == (1, anchors, 17, 17)


def test_the_logit_is_the_score_or_foreground_minus_background():
    cls = torch.randn(2, 6, 3, 3)
    assert torch.equal(logit(cls, 6), cls)
    two = cls.view(2, 2, 3, 3, 3)
    expected = torch.softmax(two, 1)[:, 1]
    torch.testing.assert_close(torch.sigmoid(logit(cls, 3)), expected)


def test_the_depthwise_head_is_about_a_tenth():
    up, depthwise = (zoo.facts(name).parameters for name in ("SiamRPNRes22", "SiamRPNRes22DW"))
    assert 0.08 < depthwise / up < 0.15


@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        ("SiamFCRes22", 1.44),
        ("SiamFCRes22W", 2.46),
        ("SiamFCIncep22", 1.69),
        ("SiamFCNext22", 1.42),
        ("SiamRPNRes22", 33.3),
    ],
)
def test_published_models_have_the_published_size(arch, millions):
    assert zoo.facts(arch).parameters == pytest.approx(millions * 1e6, rel=0.005)


def test_multiply_adds_are_those_of_the_layers_summed_by_hand():
    # SiamFCAlex on 255: sides 123, 57, 26, 24, 22; then one product per template cell at each search cell
    layers = [(3 * 121, 96, 123), (48 * 25, 256, 57), (256 * 9, 384, 26), (192 * 9, 384, 24), (192 * 9, 256, 22)]
    macs = sum(reads * channels * side**2 for reads, channels, side in layers)
    assert zoo.facts("SiamFCAlex").search_macs == macs + 256 * 36 * 22**2


def test_the_table_lists_every_model_once_with_its_published_scores():
    lines = zoo.table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == zoo.names()
    row = next(line for line in lines if line.startswith("SiamRPNRes22 "))
    assert re.split(" +", row) == re.split(" +", "SiamRPNRes22 33.30 0.76 3.50 8 93 5 / 21 .674 .666 .381 .376 .294")


def test_an_unknown_name_shows_the_zoo_and_the_nearest():
    with pytest.raises(UserError, match=r"got 'SiamFCRes2' \(did you mean SiamFCRes22\?\)") as error:
        zoo.build("SiamFCRes2")
    assert zoo.table() in str(error.value)
    for bad in ({"cls_type": "thick"}, {"ratios": ()}, {"width": 0}):
        with pytest.raises(UserError):
            zoo.build("SiamRPNRes22", **bad)


def test_the_example_of_a_new_backbone_works_as_it_stands(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    text = re.search(r"## Add a backbone\n.*?```python\n(.*?)```", readme, re.DOTALL)[1]
    assert len(text.strip().splitlines()) <= 32
    (tmp_path / "tiny.py").write_text(text)
    spec = importlib.util.spec_from_file_location("tiny", tmp_path / "tiny.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    monkeypatch.setitem(zoo.BACKBONES, "Tiny", tiny.TinyNet)
    assert {"SiamFCTiny", "SiamRPNTiny", "SiamRPNTinyDW"} <= set(zoo.names())
    test_it_learns_is_saved_loaded_and_fused_and_tracks("SiamFCTiny", tmp_path)
    facts = zoo.facts("SiamFCTiny")
    assert (facts.stride, facts.receptive_field) == (8, 95) and facts.feature_sides == (5, 21)
