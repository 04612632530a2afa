"""CIResInception22 (Zhang & Peng, CVPR 2019): bottleneck and 1x1 branches side by side.

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lib.models.backbones.cir_net import CIRNet, stage
from lib.models.layers.cir import crop, initialise, scaled
from lib.models.layers.folded import FoldedConv


class CIResInception(CIRNet):
    """Stem 7x7/2 without padding, pool 3x3/2; inception units of 64, then 128 planes. 640 channels."""

    stem_field = 11

    def __init__(self, *, units: tuple[int, int] = (3, 4), width: float = 1.0) -> None:
        super().__init__()
        stem, first, second = (scaled(c, width) for c in (64, 64, 128))
        self.channels = 5 * second
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2)
        self.layer1 = nn.Sequential(*_units(units[0], stem, first, last=False))
        self.layer2 = stage(_units(units[1], 5 * first, second, last=True))
        self.apply(initialise)

    def stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def stem_modules(self) -> list[nn.Module]:
        return [self.conv1, self.bn1]

    def closing_layers(self) -> list[nn.Module]:
        last: Any = self.layer2[-1]
        return [last.branch3x3.bn3, last.branch1x1.bn]

    def fused_stem(self) -> list[nn.Module]:
        return [FoldedConv(self.conv1, self.bn1, relu=True), self.maxpool]


class Branch3x3(nn.Module):
    """1x1, 3x3 (pad 1), 1x1, batch-norm after each, ReLU between: (N, inputs, H, W) -> (N, 4 planes, H, W)."""

    def __init__(self, *, inputs: int, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.bn3(self.conv3(out))


class Branch1x1(nn.Module):
    """1x1 and batch-norm; (N, inputs, H, W) -> (N, planes, H, W)."""

    def __init__(self, *, inputs: int, planes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn = nn.BatchNorm2d(planes, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class InceptionUnit(nn.Module):
    """Both branches' channels, ReLU unless ``last``, crop 1: (N, inputs, H, W) -> (N, 5 planes, H - 2, W - 2)."""

    def __init__(self, *, inputs: int, planes: int, last: bool) -> None:
        super().__init__()
        self.branch3x3 = Branch3x3(inputs=inputs, planes=planes)
        self.branch1x1 = Branch1x1(inputs=inputs, planes=planes)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        out = torch.cat([self.branch3x3(x), self.branch1x1(x)], 1)
        return crop(out if self.last else torch.relu_(out), 1)

    def fused(self) -> nn.Module:
        return FusedInceptionUnit(self)


class FusedInceptionUnit(nn.Module):
    """An :class:`InceptionUnit` for inference: the cells that it would drop are not computed."""

    def __init__(self, unit: InceptionUnit) -> None:
        super().__init__()
        branch, relu = unit.branch3x3, not unit.last
        self.branch3x3 = nn.Sequential(
            FoldedConv(branch.conv1, branch.bn1, relu=True),
            FoldedConv(branch.conv2, branch.bn2, relu=True),
            FoldedConv(branch.conv3, branch.bn3, relu=relu),
        )
        self.branch1x1 = FoldedConv(unit.branch1x1.conv, unit.branch1x1.bn, relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch3x3(x), self.branch1x1(crop(x, 1))], 1)


def _units(count: int, inputs: int, planes: int, *, last: bool) -> list[InceptionUnit]:
    return [
        InceptionUnit(inputs=5 * planes if i else inputs, planes=planes, last=last and i == count - 1)
        for i in range(count)
    ]
