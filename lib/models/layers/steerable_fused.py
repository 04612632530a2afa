"""Steerable layers for inference: kernels expanded once, batch-norms folded, only the cells computed that are kept.

Axes: N images, C channels (C' of the output), S scales, H W cells, n side of a kernel, M orders along one axis.

Here features are a list of S tensors (N, C, H, W), one for each scale: a scale's kernel is as small as its support, and
nothing is copied between layers.
"""

from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.layers.cir import crop
from lib.models.layers.folded import FoldedConv, FoldedSum, constant
from lib.models.layers.steerable import ScaleMaxConv, ScaleMixingConv, SteerableConv, hermite_gauss

Scales = list[Tensor]


class FusedSteerable(nn.ModuleList):
    """A steerable convolution, its batch-norm and ReLU, less the ``dropped`` outermost cells of its output."""

    def __init__(self, conv: SteerableConv, norm: nn.BatchNorm2d, *, dropped: int) -> None:
        super().__init__()
        for kernel, scale in zip(conv.kernels(), conv.scales, strict=True):
            side = kernel.shape[-1]
            around = side // 2 - dropped * conv.stride  # the padding that is left, negative where the image is cropped
            if separable_is_faster(side, conv.effective, conv.stride):
                lines = torch.from_numpy(hermite_gauss(side, scale, conv.effective))
                layer: nn.Module = SeparableConv(kernel, lines.to(kernel.device), norm)
            else:
                layer = FoldedConv(conv_of(kernel, conv.stride), norm, relu=True)
            self.append(nn.Sequential(nn.ZeroPad2d(around), layer) if around else layer)

    def forward(self, xs: Scales) -> Scales:
        return [layer(x) for layer, x in zip(self, xs, strict=True)]


def separable_is_faster(side: int, orders: int, stride: int) -> bool:
    """Whether orders * side multiply-adds are so much less than side^2 that two convolutions are worth it."""
    return stride == 1 and 3 * orders <= 2 * side


class SeparableConv(nn.Module):
    """Convolution with kernels that are sums of M functions along H, each with any values along W; then ReLU.

    K(h, w) = sum over m of L_m(h) R_m(w): every channel is filtered by the M columns L, (M, n), then one convolution
    of M*C channels with rows of n cells: M n multiply-adds instead of n^2.
    """

    def __init__(self, kernel: Tensor, lines: Tensor, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        channels = kernel.shape[1]
        rows = torch.einsum("ochw,hm->omcw", kernel.double(), torch.linalg.pinv(lines)).flatten(1, 2)
        columns = lines.to(kernel.dtype)[:, None, None, :, None].expand(-1, channels, 1, -1, 1)
        self.columns = nn.ParameterList(constant(column) for column in columns)
        self.rows = FoldedConv(conv_of(rows.unsqueeze(2).to(kernel.dtype)), norm, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows(torch.cat([F.conv2d(x, column, groups=x.shape[1]) for column in self.columns], 1))


class FusedMixing(nn.ModuleList):
    """A 1x1 convolution over neighbouring scales, as one of C * (number of scales that it sees) channels."""

    def __init__(self, conv: ScaleMixingConv, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        extent = conv.weight.shape[2]
        for scale in range(conv.scales):
            taps = conv.weight[:, :, : min(extent, conv.scales - scale)]
            self.append(FoldedConv(conv_of(taps.transpose(1, 2).flatten(1, 2)), norm, relu=True))
        self.extent = extent

    def forward(self, xs: Scales) -> Scales:
        return [layer(torch.cat(xs[s : s + self.extent], 1)) for s, layer in enumerate(self)]


class FusedPointwise(nn.Module):
    """A 1x1 convolution of each scale, or of the maximum over scales, which then stands for all of them."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv, self.pooled = FoldedConv(conv, norm, relu=True), isinstance(conv, ScaleMaxConv)

    def forward(self, xs: Scales) -> Scales:
        return [self.conv(reduce(torch.maximum, xs))] * len(xs) if self.pooled else [self.conv(x) for x in xs]


class FusedSEUnit(nn.Module):
    """A scale-equivariant CIR bottleneck: list of S (N, C, H, W) -> list of S (N, C', H - 2, W - 2).

    ``pool``: the max-pool that follows the unit.
    """

    def __init__(self, unit: Any, pool: nn.Module | None = None) -> None:
        """``unit``: a CIRBottleneck with a steerable ``conv2``, and any of the three kinds of 1x1 as ``conv1``."""
        super().__init__()
        if isinstance(unit.conv1, ScaleMixingConv):
            self.conv1: nn.Module = FusedMixing(unit.conv1, unit.bn1)
        else:
            self.conv1 = FusedPointwise(unit.conv1, unit.bn1)
        self.conv2 = FusedSteerable(unit.conv2, unit.bn2, dropped=1)
        shortcut = None if unit.downsample is None else FoldedConv(*unit.downsample)
        self.conv3 = FoldedSum(FoldedConv(unit.conv3, unit.bn3), shortcut, relu=not unit.last)
        self.pool = pool or nn.Identity()

    def forward(self, xs: Scales) -> Scales:
        out = self.conv2(self.conv1(xs))
        return [self.pool(self.conv3(part, crop(x, 1))) for part, x in zip(out, xs, strict=True)]


def conv_of(weight: Tensor, stride: int = 1) -> nn.Conv2d:
    """A convolution without padding that has this weight (C', C, h, w)."""
    outputs, inputs, height, width = weight.shape
    conv = nn.Conv2d(inputs, outputs, (height, width), stride, bias=False, device=weight.device, dtype=weight.dtype)
    conv.weight = nn.Parameter(weight.detach())
    return conv
