"""Folded convolutions against convolution, batch-norm and ReLU one after the other."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models import zoo
from lib.models.layers.folded import FoldedConv, affine


def norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, eps=1e-3).eval()
    for value, low, high in ((layer.running_mean, -1, 1), (layer.running_var, 0.1, 3), (layer.weight, -2, 2)):
        nn.init.uniform_(value, low, high)
    nn.init.uniform_(layer.bias, -1, 1)
    return layer


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 1, 1), (7, 2, 1), (3, 1, 4)])
@torch.no_grad()
def test_it_is_convolution_norm_and_relu(kernel, stride, groups, bias, relu):
    conv, after = nn.Conv2d(8, 12, kernel, stride, kernel // 2, groups=groups, bias=bias), norm(12)
    x = torch.randn(2, 8, 15, 14)
    expected = after(F.conv2d(x, conv.weight, conv.bias, stride, groups=groups))
    expected = F.relu(expected) if relu else expected
    folded = FoldedConv(conv, after, relu=relu)
    torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-5)
    channels_last = folded.to(memory_format=torch.channels_last)
    torch.testing.assert_close(channels_last(x), expected, rtol=0, atol=1e-5)
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-5)
    exact = FoldedConv(conv.double(), after.double(), relu=relu)
    torch.testing.assert_close(exact(x.double()).float(), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_further_scale_is_folded_in():
    x, scale, shift = torch.randn(1, 3, 5, 5), torch.randn(4).double(), torch.randn(4).double()
    for bias in (False, True):
        conv = nn.Conv2d(3, 4, 3, bias=bias)
        for given in (None, shift):
            expected = conv(x) * scale[:, None, None] + (0 if given is None else given[:, None, None])
            found = FoldedConv(conv).scale_outputs(scale, given)(x)
            torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("relu", [False, True])
@torch.no_grad()
def test_a_sum_in_the_same_pass(relu):
    conv, wide, x = nn.Conv2d(8, 12, 3), torch.randn(2, 12, 15, 14), torch.randn(2, 8, 15, 14)
    expected = conv(x) + wide[..., 1:-1, 1:-1]
    expected = F.relu(expected) if relu else expected
    folded, before = FoldedConv(conv), wide.clone()
    for other in (wide[..., 1:-1, 1:-1], wide[..., 1:-1, 1:-1].contiguous()):  # a view, and plain: are not changed
        torch.testing.assert_close(folded.plus(x, other, relu=relu), expected, rtol=0, atol=1e-5)
        assert torch.equal(wide, before)
    dense = wide[..., 1:-1, 1:-1].contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(folded.plus(x, dense, relu=relu), expected, rtol=0, atol=1e-5)
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(folded.plus(x, wide[..., 1:-1, 1:-1], relu=relu), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_packed_weights_follow_the_weights():
    """Packed once a shape; made anew when the weights change, by whatever way; not a part of copies."""
    conv = nn.Conv2d(4, 6, 3)
    folded = FoldedConv(conv)

    def agree(layer):
        for side in (9, 12, 9, 7, 8, 11, 10):
            x = torch.randn(1, 4, side, side)
            expected = F.conv2d(x, layer.weight, layer.bias)
            torch.testing.assert_close(layer(x.to(layer.weight.dtype)).float(), expected.float(), rtol=0, atol=1e-5)

    agree(folded)
    folded.weight.mul_(2)
    agree(folded)
    folded.weight.data = torch.randn_like(folded.weight)
    agree(folded)
    folded.load_state_dict(FoldedConv(nn.Conv2d(4, 6, 3)).state_dict())
    agree(folded)
    again = copy.deepcopy(folded)
    again.weight.add_(1)
    agree(again)
    agree(folded)
    assert set(folded.state_dict()) == {"weight", "bias"}


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16 arithmetic")
def test_biases_are_not_rounded_in_bfloat16():
    conv = nn.Conv2d(1, 1, 1)
    nn.init.ones_(conv.weight)
    nn.init.constant_(conv.bias, 255.375)  # in bfloat16 255
    with torch.inference_mode():
        out = FoldedConv(conv).to(torch.bfloat16)(torch.full((1, 1, 8, 8), -255.0).bfloat16())
    assert out.dtype == torch.bfloat16
    assert (out == 0.375).all()


@torch.no_grad()
def test_biases_follow_weights_to_other_types():
    layer = FoldedConv(nn.Conv2d(2, 3, 1)).double().float()
    assert layer.bias.dtype == torch.float32
    assert FoldedConv(nn.Conv2d(2, 3, 1)).double().bfloat16().bias.dtype == torch.float32
    assert FoldedConv(nn.Conv2d(2, 3, 1)).to("meta").bfloat16().bias.dtype == torch.bfloat16
    assert layer(torch.ones(1, 2, 4, 4)).dtype == torch.float32


@torch.no_grad()
def test_affine_is_the_norm():
    layer, x = norm(5), torch.randn(2, 5, 3, 3)
    scale, shift = (value.float()[:, None, None] for value in affine(layer))
    torch.testing.assert_close(scale * x + shift, layer(x), rtol=0, atol=1e-5)


def test_gradients_of_the_input_pass_through():
    folded = FoldedConv(nn.Conv2d(2, 3, 3), relu=True)
    x = torch.randn(1, 2, 5, 5, requires_grad=True)
    folded(x).sum().backward()
    assert x.grad is not None and bool(x.grad.any())


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22DW"])
@torch.no_grad()
def test_a_fused_model_can_be_exported(arch):
    model = zoo.build(arch, width=0.25).eval().fuse()
    z, x = 255 * torch.rand(1, 3, 127, 127), 255 * torch.rand(1, 3, 159, 159)
    program = torch.export.export(model, (z, x))
    assert "mkldnn" not in str(program.graph)  # only standard operations: other runtimes must read it
    expected, found = model(z, x), program.module()(z, x)
    for ours, theirs in zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())
