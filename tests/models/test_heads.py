"""The head's layers as matrix products, and the layout of gradients on their way through a crop."""

import pytest
import torch
from torch import nn

from lib.models.heads import as_product
from lib.models.layers.cir import crop


@pytest.mark.parametrize(("kernel", "side"), [(3, 5), (3, 3), (1, 2), ((2, 3), 6)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_product_is_the_convolution_with_its_gradients(kernel, side, memory_format):
    conv = nn.Conv2d(4, 7, kernel).double()
    x = torch.randn(3, 4, side, side, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    inputs = (x, conv.weight, conv.bias)
    product, plain = as_product(conv, x), nn.functional.conv2d(*inputs)
    torch.testing.assert_close(product, plain)
    weights = torch.randn_like(plain)
    for found, expected in zip(*(torch.autograd.grad(out, inputs, weights) for out in (product, plain)), strict=True):
        torch.testing.assert_close(found, expected)


def test_gradients_stay_channels_last():
    """Through a crop, whatever comes back: batch-norms before it take ten times as long over two layouts."""
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(crop(x, 1), x, torch.randn(2, 8, 4, 4))
    assert gradient.is_contiguous(memory_format=torch.channels_last)
