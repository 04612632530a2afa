"""CIResNet16, 19, 22 and the wide 22W (Zhang & Peng, CVPR 2019).

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from torch import Tensor, nn

from lib.models.layers.cir import CIRBottleneck, crop, initialise, scaled


class CIResNet(nn.Module):
    """Stem 7x7/2 cut by 2, pool 2x2, stage 1 of CIR units, stage 2 with a pool after its first unit.

    (N, 3, 127, 127) -> (N, 512 width, 5, 5); 255 -> 21. Stride 8. ``units``: how many in the two stages ((3, 4) is
    CIResNet22); ``middle``: width of the 3x3 layers in planes (2 for 22W). Names follow ResNet's, so ImageNet weights fit.
    """

    stride = 8

    def __init__(self, *, units: tuple[int, int] = (3, 4), middle: int = 1, width: float = 1.0) -> None:
        super().__init__()
        stem, *planes = (scaled(c, width) for c in (64, 64, 128))
        self.channels = 4 * planes[1]
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2, 2)
        self.layer1 = nn.Sequential(*_stage(stem, planes[0], middle, units[0]))
        second = _stage(4 * planes[0], planes[1], middle, units[1])
        second[-1].last = True
        self.layer2 = nn.Sequential(second[0], nn.MaxPool2d(2, 2), *second[1:])
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = crop(self.relu(self.bn1(self.conv1(x))), 2)
        return self.layer2(self.layer1(self.maxpool(x)))


def _stage(inputs: int, planes: int, middle: int, units: int) -> list[CIRBottleneck]:
    sizes = {"planes": planes, "middle": middle * planes, "outputs": 4 * planes}
    return [CIRBottleneck(inputs=inputs if i == 0 else 4 * planes, **sizes) for i in range(units)]
