"""Narrow weights from wide ones. Axes: N images, C channels, H W cells, M samples, I inputs, O outputs."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lib.models.backbones.ci_resnet import CIResNet
from lib.models.thin import _choose, _fit, _rows, thin

WIDE = 0.25  # 16 channels in the stem and in the units of stage 1, 32 in those of stage 2


def wide(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    net = CIResNet(width=WIDE)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    net.bn1.running_var.fill_(1e5)  # of raw pixels
    return net


def images(count: int = 6) -> Tensor:
    return 255 * torch.rand(count, 3, 127, 127, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("stem", [None, 24])
@torch.no_grad()
def test_the_same_width_gives_the_same_features(stem):
    source = wide() if stem is None else CIResNet(width=WIDE, stem=stem)
    same = CIResNet(width=WIDE, stem=stem)
    assert thin(source, same, images()) > 0.999
    other = 255 * torch.rand(2, 3, 127, 127)
    expected = source(other)
    assert float((same(other) - expected).norm() / expected.norm()) < 0.02  # the ridge's


@torch.no_grad()
def test_channels_that_repeat_others_are_not_missed():
    """Every inner channel of the wide network stands twice, with half the weight where it is read."""
    small = CIResNet(width=WIDE / 2, stem=16)
    for module in small.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.5)
    small.bn1.running_var.fill_(1e5)
    large = CIResNet(width=WIDE, stem=16)
    state = large.state_dict()
    for key, value in small.state_dict().items():
        for axis, (ours, theirs) in enumerate(zip(value.shape, state[key].shape, strict=True)):
            if ours != theirs:
                value = torch.cat([value, value], axis) / (2 if axis == 1 else 1)
        state[key] = value
    large.load_state_dict(state)
    large.eval()
    small.eval()
    x = images(2)
    torch.testing.assert_close(large(x)[:, : small.channels], small(x), rtol=1e-4, atol=1e-4)
    assert thin(large, CIResNet(width=WIDE / 2, stem=16), images()) > 0.99


@torch.no_grad()
def test_fitted_channels_tell_more_than_the_first_ones():
    source, narrow, x = wide(), CIResNet(width=WIDE / 2), images()
    told = thin(source, narrow, x)
    cut = CIResNet(width=WIDE / 2).eval()
    state = source.state_dict()
    cut.load_state_dict({key: state[key][tuple(slice(n) for n in v.shape)] for key, v in cut.state_dict().items()})
    features, other = source(x), cut(x)
    inputs, outputs = _rows(other), _rows(features)
    weight, bias = _fit(inputs, outputs)
    of_cut = 1 - float((outputs - inputs @ weight.T - bias).var(0).sum() / outputs.var(0).sum())
    assert 0 < of_cut < told < 1


@torch.no_grad()
def test_statistics_are_those_of_the_images():
    """So that training, which normalises by its batch, begins where evaluation stands."""
    source, narrow, x = wide(), CIResNet(width=WIDE / 2), images()
    thin(source, narrow, x)
    expected = narrow.eval()(x)
    trained = copy.deepcopy(narrow).train()(x)
    assert float((trained - expected).norm() / expected.norm()) < 0.15
    source.bn1.running_var.mul_(4)  # statistics that say something else
    assert float((source.train()(x) - source.eval()(x)).norm() / expected.norm()) > 0.5


def test_channels_are_chosen_one_after_the_other():
    """Against regressions on every candidate; where a channel is a block of columns, too."""
    rng = np.random.default_rng(0)
    for block in (1, 3):
        inputs = rng.standard_normal((400, 5, block)) @ rng.standard_normal((block, block))
        inputs[:, 4] = 0.9 * inputs[:, 1] + 0.1 * inputs[:, 4]
        outputs = inputs.reshape(400, -1) @ rng.standard_normal((5 * block, 4)) + 0.1 * rng.standard_normal((400, 4))
        found = _choose([(torch.tensor(inputs).flatten(1), torch.tensor(outputs))], 5, 3)
        kept: list[int] = []
        for _ in range(3):
            left = {j: _unexplained(inputs[:, [*kept, j]], outputs) for j in range(5) if j not in kept}
            kept.append(min(left, key=left.__getitem__))
        assert found.tolist() == sorted(kept)


def _unexplained(inputs: Any, outputs: Any) -> float:
    inputs = inputs.reshape(len(inputs), -1) - inputs.reshape(len(inputs), -1).mean(0)
    outputs = (outputs - outputs.mean(0)) / outputs.std(0)
    return float(((outputs - inputs @ np.linalg.lstsq(inputs, outputs, rcond=None)[0]) ** 2).sum())


def test_problems_count_the_same_whatever_their_number_of_outputs():
    """One reader with one output needs channel 0, one with fifty of another scale needs channel 2: both are kept."""
    rng = np.random.default_rng(1)
    inputs = torch.tensor(rng.standard_normal((500, 4)))
    one = inputs[:, :1] * 1e-3
    many = inputs[:, 2:3] @ torch.tensor(rng.standard_normal((1, 50))) * 1e3
    assert _choose([(inputs, one), (inputs, many)], 4, 2).tolist() == [0, 2]


def test_neighbourhoods_are_laid_out_as_a_convolution_reads_them():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    x = torch.randn(2, 3, 7, 6)
    with torch.no_grad():
        expected = _rows(conv(x))
        assert expected.shape == (2 * 5 * 4, 2)  # no cells of the border
        torch.testing.assert_close(_rows(x, 3).float() @ conv.weight.flatten(1).T, expected.float())
