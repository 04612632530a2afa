"""Steerable convolutions: the same filter at several scales (Sosnovik et al., arXiv 1910.11093 and 2007.09115).

Axes: N images, C channels (C' of the output), S scales, H W cells, B basis functions, k side of a kernel.

A scale-equivariant network carries S copies of its features, one for each scale s of its filters. Where an image grows
by the ratio of two neighbouring scales, the features move by one place along S. Between layers the scales lie in front
of the images of the batch, (S*N, C, H, W), row s*N + n: batch-norm, pooling and 1x1 convolutions, which treat every
scale alike, are then the ordinary ones.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial.hermite_e import hermeval
from torch import Tensor, nn


def scale_steps(start: float = 0.9, ratio: float = 1.4, count: int = 3) -> tuple[float, ...]:
    """Scales of the filters: start * ratio^k."""
    return tuple(start * ratio**k for k in range(count))


def support(size: int, scales: Sequence[float]) -> list[int]:
    """Odd side of the window, at most ``size``, on which the basis of each scale is not zero."""
    return [int(size * s / max(scales)) // 2 * 2 + 1 for s in scales]


def hermite_gauss(side: int, scale: float, orders: int) -> np.ndarray:
    """He_n(x / s) exp(-x^2 / 2 s^2) / s at x = -(side // 2) .. side // 2, n < ``orders``: (orders, side) float64."""
    x = np.arange(side) - side // 2
    gauss = np.exp(-(x**2) / (2 * scale**2)) / scale
    return hermeval(x / scale, np.eye(orders)) * gauss


def steerable_basis(size: int, effective: int, scales: Sequence[float]) -> Tensor:
    """Hermite-Gauss basis (B, S, size, size) float32, B = effective^2 (1910.11093, section 5.1).

    Function b = n * effective + m is the product of order m along H and order n along W, sampled on the support of its
    scale, zero around it, and divided by its own norm at the smallest scale.
    """
    functions = []
    for side, scale in zip(support(size, scales), scales, strict=True):
        line = hermite_gauss(side, scale, effective)
        square = np.einsum("mh,nw->nmhw", line, line).reshape(-1, side, side)
        margin = (size - side) // 2
        functions.append(np.pad(square, ((0, 0), (margin, margin), (margin, margin))))
    basis = np.stack(functions, 1)
    basis /= np.linalg.norm(basis[:, 0], axis=(1, 2))[:, None, None, None]
    return torch.tensor(basis, dtype=torch.float32)


class SteerableConv(nn.Module):
    """Convolution with kernels weight (C', C, B) x basis (B, S, k, k), padded to keep the size; no bias.

    Lifting, image -> scales: (N, C, H, W) -> (S*N, C', H', W'). Otherwise scale -> scale, each with its own kernel:
    (S*N, C, H, W) -> (S*N, C', H', W'), weight (C', C, 1, B).
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        size: int,
        effective: int,
        scales: Sequence[float],
        stride: int = 1,
        lifting: bool = False,
    ) -> None:
        super().__init__()
        self.lifting, self.stride, self.scales, self.effective = lifting, stride, tuple(scales), effective
        self.sides = support(size, scales)
        self.padding_mode = "constant"
        between = () if lifting else (1,)  # extent along the scales: the released weights have this axis
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *between, effective**2))
        self.basis: Tensor
        self.register_buffer("basis", steerable_basis(size, effective, scales))

    def kernels(self) -> list[Tensor]:
        """The kernel of each scale, (C', C, n, n), without the zeros around its support n."""
        weight = self.weight if self.lifting else self.weight.squeeze(2)
        margins = [(self.basis.shape[-1] - side) // 2 for side in self.sides]
        parts = [
            self.basis[:, s, m : m + n, m : m + n] for s, (m, n) in enumerate(zip(margins, self.sides, strict=True))
        ]
        return [(weight @ part.flatten(1)).unflatten(2, part.shape[1:]) for part in parts]

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x] * len(self.sides) if self.lifting else x.chunk(len(self.sides))
        return torch.cat([self._convolve(part, kernel) for part, kernel in zip(inputs, self.kernels(), strict=True)])

    def _convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        around = kernel.shape[-1] // 2
        if self.padding_mode == "constant":
            return F.conv2d(x, kernel, stride=self.stride, padding=around)
        return F.conv2d(F.pad(x, [around] * 4, mode=self.padding_mode), kernel, stride=self.stride)


def set_padding(module: nn.Module, mode: str) -> None:
    """Padding of all steerable convolutions in ``module``: 'constant' (zeros) or 'circular'."""
    for part in module.modules():
        if isinstance(part, SteerableConv):
            part.padding_mode = mode


class ScaleMixingConv(nn.Module):
    """1x1 convolution over neighbouring scales: y_s = sum over t of w_t x_(s+t), zero beyond the last scale.

    (S*N, C, H, W) -> (S*N, C', H, W); weight (C', C, T, 1, 1); no bias.
    """

    def __init__(self, *, inputs: int, outputs: int, scales: int, extent: int = 2) -> None:
        super().__init__()
        self.scales = scales
        self.weight = nn.Parameter(torch.empty(outputs, inputs, extent, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.weight.unbind(2)
        out = F.conv2d(x, first)
        images = len(x) // self.scales
        for step, weight in enumerate(others, 1):
            shifted = F.conv2d(x[step * images :], weight)
            out = torch.cat([out[: len(shifted)] + shifted, out[len(shifted) :]])
        return out


class ScaleMaxConv(nn.Conv2d):
    """1x1 convolution of the maximum over scales: (S*N, C, H, W) -> (N, C', H, W)."""

    def __init__(self, *, inputs: int, outputs: int, scales: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.scales = scales

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unflatten(0, (self.scales, -1)).amax(0))
