"""Cropping-inside-residual units (Zhang & Peng, CVPR 2019, section 4.1).

Axes: N images, C channels, H W cells.

Padding makes a network's answer depend on where in the image a thing is, which teaches a Siamese tracker a bias towards
the centre. A CIR unit pads, adds the shortcut, and then drops the outermost cells: exactly those that saw padding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.layers.folded import FoldedConv, FoldedSum


def crop(x: Tensor, cells: int) -> Tensor:
    """Drop ``cells`` rows and columns on each side: (..., H, W) -> (..., H - 2 cells, W - 2 cells).

    A view; where gradients are wanted a copy whose gradient keeps the layout: a slice's is never channels-last, nor is
    what a correlation gives back, and the layers before it would all be laid out anew.
    """
    if not cells:
        return x
    if x.requires_grad and torch.is_grad_enabled():
        out = F.pad(x, (-cells,) * 4)
        if x.is_contiguous(memory_format=torch.channels_last):
            out.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return out
    return x[..., cells:-cells, cells:-cells]


class Crop(nn.Module):
    """:func:`crop` as a step of a sequence."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        return crop(x, self.cells)


def scaled(channels: int, width: float, *, multiple: int = 8) -> int:
    """``channels`` times the model's ``width``, rounded to a ``multiple``, at least one of it."""
    return max(multiple, multiple * round(channels * width / multiple))


def initialise(module: nn.Module) -> None:
    """Convolutions kaiming-normal over fan-out with zero bias, batch-norms 1 and 0; for ``Module.apply``.

    Fan-out is what an input cell reaches (He et al. 2015): of a grouped convolution, the channels of its own group.
    """
    if isinstance(module, nn.Conv2d):
        if module.weight.is_meta:
            return  # only shapes are wanted; normal_ of such tensors first imports a second's worth of modules
        fan_out = module.weight.numel() / module.weight.shape[1] / module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


class CIRBottleneck(nn.Module):
    """1x1, 3x3 (pad 1), 1x1, batch-norm after each; plus the shortcut; ReLU unless ``last``; crop 1 on each side.

    (N, inputs, H, W) -> (N, outputs, H - 2, W - 2). ``planes`` come out of the first 1x1, ``middle`` out of the 3x3.
    """

    def __init__(self, *, inputs: int, planes: int, middle: int, outputs: int, last: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, middle, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = out + (x if self.downsample is None else self.downsample(x))
        return crop(out if self.last else torch.relu_(out), 1)

    def fused(self) -> nn.Module:
        return FusedBottleneck(self)


class FusedBottleneck(nn.Module):
    """A :class:`CIRBottleneck` for inference: the cells that it would drop are not computed."""

    def __init__(self, unit: CIRBottleneck) -> None:
        super().__init__()
        self.conv1 = FoldedConv(unit.conv1, unit.bn1, relu=True)
        self.conv2 = FoldedConv(unit.conv2, unit.bn2, relu=True)
        shortcut = None if unit.downsample is None else FoldedConv(*unit.downsample)
        self.conv3 = FoldedSum(FoldedConv(unit.conv3, unit.bn3), shortcut, relu=not unit.last)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)), crop(x, 1))
