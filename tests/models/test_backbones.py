"""Properties that every backbone must have, measured. Axes: N images, C channels, H W cells."""

import pytest
import torch
from torch import nn

from lib.models import zoo
from tests.models.norms import random_norms

WIDTH = 0.25


def backbone(name: str) -> nn.Module:
    """Of random weights and random batch-norm statistics, in evaluation mode, float64."""
    return random_norms(zoo.BACKBONES[name](width=WIDTH).double().eval(), gains=(-0.5, 1.5))


@pytest.fixture
def linear(monkeypatch):
    """Averages for maxima and no ReLU: gradients then reach every pixel that a cell sees."""

    def mean(x, kernel_size, stride=None, *_, **__):
        return nn.functional.avg_pool2d(x, kernel_size, stride)

    for place, name in ((nn.functional, "relu"), (nn.functional, "relu_"), (torch, "relu_")):
        monkeypatch.setattr(place, name, lambda x, inplace=False: x)
    monkeypatch.setattr(nn.functional, "max_pool2d", mean)


def seen(net: nn.Module, row: int, column: int) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the pixels that a feature cell depends on."""
    x = torch.rand(1, 3, 191, 191, dtype=torch.float64, requires_grad=True)
    net(x)[0, :, row, column].sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    rows, columns = (touched.any(axis).nonzero().flatten() for axis in (1, 0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("name", zoo.BACKBONES)
def test_receptive_field_and_stride_measured_by_gradient_are_the_printed_ones(name, linear):
    net = backbone(name)
    facts = zoo.facts(f"SiamFC{name}")
    assert (net.receptive_field, net.stride) == (facts.receptive_field, facts.stride)
    top, bottom, left, right = seen(net, 7, 9)
    assert (bottom - top + 1, right - left + 1) == (net.receptive_field, net.receptive_field)
    assert seen(net, 8, 12) == (top + net.stride, bottom + net.stride, left + 3 * net.stride, right + 3 * net.stride)


@pytest.mark.parametrize("name", zoo.BACKBONES)
@torch.no_grad()
def test_padding_has_no_influence(name):
    # all cells, those at the border too: each must be what the same pixels give in the middle of a larger image
    net = backbone(name)
    scene = torch.rand(1, 3, 127 + 2 * net.stride, 127 + 2 * net.stride, dtype=torch.float64)
    whole = net(scene)
    for down, right in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 2)):
        y, x = down * net.stride, right * net.stride
        part = net(scene[..., y : y + 127, x : x + 127])
        side = part.shape[-1]
        expected = whole[..., down : down + side, right : right + side]
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-12 * float(whole.abs().max()))


@pytest.mark.parametrize("name", zoo.BACKBONES)
@pytest.mark.parametrize("side", [127, 128, 133, 150])
@torch.no_grad()
def test_fused_it_gives_the_same(name, side):
    net = backbone(name)
    x = torch.rand(2, 3, side, side + 5, dtype=torch.float64) * 255
    plain, fused = net(x), net.fused()(x)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12 * float(plain.abs().max()))


@pytest.mark.parametrize("name", zoo.BACKBONES)
@torch.no_grad()
def test_fused_it_has_no_batch_norm_and_computes_less(name):
    net = zoo.BACKBONES[name](width=WIDTH).eval()
    fused = net.fused()
    assert not [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
    x = torch.rand(1, 3, 127, 127)
    work = []
    for each in (net, fused):
        with torch.device("meta"), torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
            each.to("meta")(x.to("meta"))
        work.append(counter.get_total_flops())
    assert work[1] < work[0] if name != "Alex" else work[1] == work[0]  # AlexNet drops no cells


@pytest.mark.parametrize("name", zoo.BACKBONES)
def test_stages_name_every_parameter_once_and_the_last_unit_first(name):
    net = zoo.BACKBONES[name](width=WIDTH)
    stages = net.stages()
    assert len(stages.stage2) >= 1 and len(stages.stage1) >= 1 and len(stages.stem) >= 1
    # stages must come from the back of the network: the order in which gradients first arrive
    groups = [*stages.stage2, *stages.stage1, nn.ModuleList(stages.stem)]
    parameters = [id(p) for group in groups for p in group.parameters()]
    assert sorted(parameters) == sorted(id(p) for p in net.parameters())
    place = {id(p): number for number, p in enumerate(net.parameters())}
    firsts = [min(place[id(p)] for p in group.parameters()) for group in groups]
    assert firsts == sorted(firsts, reverse=True)


def test_the_designed_backbones_keep_to_the_guidelines():
    for name in ("SiamFCDense", "SiamFCNAS"):
        facts = zoo.facts(name)
        assert facts.stride == 8
        assert 0.6 * 127 <= facts.receptive_field <= 0.8 * 127
        assert facts.feature_sides == (5, 21)
        assert 1.5e6 <= facts.parameters <= 4e6


def test_convolutions_start_with_the_variance_that_keeps_gradients():
    net = zoo.BACKBONES["Next22"]()
    conv = net.layer2[0].basic.conv3_0  # 256 channels in 32 groups: an input reaches 8 * 9 outputs
    assert conv.weight.std().item() == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.05)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool((m.weight == 1).all()) and bool((m.bias == 0).all()) for m in norms)
