"""Cross-correlation against the sum written out."""

import numpy as np
import pytest
import torch

from lib.models.xcorr import xcorr


def slow_xcorr(kernels: np.ndarray, features: np.ndarray) -> np.ndarray:
    slots, count, _, h, w = kernels.shape
    rows, _, height, width = features.shape
    out = np.zeros((rows, count, height - h + 1, width - w + 1))
    for r, k, i, j in np.ndindex(*out.shape):
        out[r, k, i, j] = (kernels[r // (rows // slots), k] * features[r, :, i : i + h, j : j + w]).sum()
    return out


@pytest.mark.parametrize(
    ("slots", "scales", "count", "channels", "kernel", "search"),
    [
        (1, 3, 1, 5, (5, 5), (9, 9)),
        (3, 1, 4, 2, (3, 3), (7, 7)),
        (2, 3, 2, 3, (2, 4), (5, 6)),
        (1, 1, 1, 1, (1, 1), (1, 1)),
        (2, 1, 1, 1, (4, 4), (4, 4)),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_sum_over_kernel_cells_and_channels(slots, scales, count, channels, kernel, search, memory_format):
    rng = np.random.default_rng(0)
    kernels = rng.normal(size=(slots, count, channels, *kernel))
    features = rng.normal(size=(slots * scales, channels, *search))
    given = torch.from_numpy(features).contiguous(memory_format=memory_format)
    out = xcorr(torch.from_numpy(kernels), given)
    np.testing.assert_allclose(out.numpy(), slow_xcorr(kernels, features), atol=1e-12)


def test_its_gradient_is_right():
    kernels = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    features = torch.randn(4, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(xcorr, (kernels, features))


def test_it_can_be_exported_with_any_number_of_slots():
    class Match(torch.nn.Module):
        def forward(self, kernels, features):
            return xcorr(kernels, features)

    slots = torch.export.Dim("slots", min=2, max=64)
    example = torch.randn(4, 5, 3, 2, 2), torch.randn(4, 3, 6, 6)
    program = torch.export.export(Match(), example, dynamic_shapes=({0: slots}, {0: slots}))
    kernels, features = torch.randn(7, 5, 3, 2, 2), torch.randn(7, 3, 6, 6)
    torch.testing.assert_close(program.module()(kernels, features), xcorr(kernels, features))
