"""CIResNet16, 19, 22 and the wide 22W (Zhang & Peng, CVPR 2019).

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from typing import Any

from torch import Tensor, nn

from lib.models.backbones.cir_net import CIRNet, stage
from lib.models.layers.cir import CIRBottleneck, Crop, crop, initialise, scaled
from lib.models.layers.folded import FoldedConv


class CIResNet(CIRNet):
    """Stem 7x7/2 pad 3, cut by the 2 cells that saw padding, pool 2x2; CIR bottlenecks of 64, then 128 planes.

    ``units``: how many in the two stages ((3, 4) is CIResNet22); ``middle``: width of the 3x3 layers in planes (2 for
    22W); ``stem``: its channels, where they are not 64 times ``width``. Names follow ResNet's: ImageNet weights fit.
    """

    def __init__(
        self, *, units: tuple[int, int] = (3, 4), middle: int = 1, width: float = 1.0, stem: int | None = None
    ) -> None:
        super().__init__()
        first, second = (scaled(c, width) for c in (64, 128))
        stem = scaled(64, width) if stem is None else stem
        self.channels = 4 * second
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2, 2)
        self.layer1 = nn.Sequential(*_units(units[0], stem, first, middle, last=False))
        self.layer2 = stage(_units(units[1], 4 * first, second, middle, last=True))
        self.apply(initialise)

    def stem(self, x: Tensor) -> Tensor:
        return self.maxpool(crop(self.relu(self.bn1(self.conv1(x))), 2))

    def stem_modules(self) -> list[nn.Module]:
        return [self.conv1, self.bn1]

    def closing_layers(self) -> list[nn.Module]:
        """All that stage 2 adds to its stream of shortcuts, and the stream's beginning."""
        units: list[Any] = list(self.stages().stage2)
        return [*(unit.bn3 for unit in units), units[-1].downsample[1]]

    def fused_stem(self) -> list[nn.Module]:
        # kept cell j >= 2 reads pixels 2j-3 .. 2j+3, so the first one starts at pixel 1
        return [Crop(1), FoldedConv(self.conv1, self.bn1, relu=True), self.maxpool]


def _units(count: int, inputs: int, planes: int, middle: int, *, last: bool) -> list[CIRBottleneck]:
    return [
        CIRBottleneck(
            inputs=4 * planes if i else inputs,
            planes=planes,
            middle=middle * planes,
            outputs=4 * planes,
            last=last and i == count - 1,
        )
        for i in range(count)
    ]
