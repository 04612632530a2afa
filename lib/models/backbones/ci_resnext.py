"""CIResNeXt22 (Zhang & Peng, CVPR 2019): grouped 3x3 layers, and a batch-norm after the sum.

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from lib.models.backbones.cir_net import CIRNet, stage
from lib.models.layers.cir import crop, initialise, scaled
from lib.models.layers.folded import FoldedConv, affine, constant

GROUPS = 32


class CIResNeXt(CIRNet):
    """Stem 7x7/2 without padding, with bias; pool 3x3/2; units of inner width 128, then 256, twice that come out."""

    stem_field = 11

    def __init__(self, *, units: tuple[int, int] = (3, 4), width: float = 1.0) -> None:
        super().__init__()
        stem = scaled(64, width)
        first, second = (scaled(c, width, multiple=GROUPS) for c in (128, 256))
        self.channels = 2 * second
        self.conv0 = nn.Conv2d(3, stem, 7, stride=2)
        self.bn0 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2)
        self.layer1 = nn.Sequential(*_units(units[0], stem, first, last=False))
        self.layer2 = stage(_units(units[1], 2 * first, second, last=True))
        self.apply(initialise)

    def stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn0(self.conv0(x))))

    def stem_modules(self) -> list[nn.Module]:
        return [self.conv0, self.bn0]

    def closing_layers(self) -> list[nn.Module]:
        last: Any = self.layer2[-1]
        return [last.bn0]

    def fused_stem(self) -> list[nn.Module]:
        return [FoldedConv(self.conv0, self.bn0, relu=True), self.maxpool]


class NeXtUnit(nn.Module):
    """1x1, grouped 3x3 (pad 1), 1x1, plus the shortcut, batch-norm, ReLU unless ``last``, crop 1 on each side.

    (N, inputs, H, W) -> (N, 2 inner, H - 2, W - 2).
    """

    def __init__(self, *, inputs: int, inner: int, last: bool) -> None:
        super().__init__()
        outputs = 2 * inner
        self.basic = nn.Sequential(
            OrderedDict(
                conv1_0=nn.Conv2d(inputs, inner, 1, bias=False),
                bn1=nn.BatchNorm2d(inner),
                relu1=nn.ReLU(inplace=True),
                conv3_0=nn.Conv2d(inner, inner, 3, padding=1, groups=GROUPS, bias=False),
                bn2=nn.BatchNorm2d(inner),
                relu2=nn.ReLU(inplace=True),
                conv1_1=nn.Conv2d(inner, outputs, 1, bias=False),
                bn3=nn.BatchNorm2d(outputs),
            )
        )
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.bn0 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn0(self.basic(x) + self.shortcut(x))
        return crop(out if self.last else self.relu(out), 1)

    def fused(self) -> nn.Module:
        return FusedNeXtUnit(self)


class FusedNeXtUnit(nn.Module):
    """A :class:`NeXtUnit` for inference: the cells that it would drop are not computed.

    The last batch-norm, s (basic + shortcut) + t, goes into both terms: a shortcut without convolution is scaled by s.
    """

    def __init__(self, unit: NeXtUnit) -> None:
        super().__init__()
        basic: Any = unit.basic
        scale, shift = affine(unit.bn0)
        self.conv1 = FoldedConv(basic.conv1_0, basic.bn1, relu=True)
        self.conv2 = FoldedConv(basic.conv3_0, basic.bn2, relu=True)
        self.conv3 = FoldedConv(basic.conv1_1, basic.bn3).scale_outputs(scale, shift)
        self.shortcut = FoldedConv(*unit.shortcut).scale_outputs(scale) if len(unit.shortcut) else None
        self.scale = constant(scale.to(unit.bn0.weight.dtype)[:, None, None])
        self.last = unit.last

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3(self.conv2(self.conv1(x)))
        x = crop(x, 1)
        if self.shortcut is None:
            out.addcmul_(x, self.scale)
        else:
            out += self.shortcut(x)
        return out if self.last else out.relu_()


def _units(count: int, inputs: int, inner: int, *, last: bool) -> list[NeXtUnit]:
    return [
        NeXtUnit(inputs=2 * inner if i else inputs, inner=inner, last=last and i == count - 1) for i in range(count)
    ]
