"""AlexNet as SiamFC has it (Bertinetto et al., 2016, table 1).

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from typing import Any

from torch import Tensor, nn

from lib.models.backbones.cir_net import Stages
from lib.models.layers.cir import initialise, scaled
from lib.models.layers.folded import FoldedConv


class AlexNet(nn.Module):
    """Five convolutions without padding; the 2nd, 4th and 5th in two groups, as in the original AlexNet.

    (N, 3, 127, 127) -> (N, 256 width, 6, 6); 255 -> 22. Stride 8. Batch-norm and ReLU after all but the last, pools
    3x3/2 after the first two.
    """

    stride = 8
    # pixels: conv 11; pool +2 cells of 2 px; conv 5x5 +4 of 4 px; pool +2 of 4 px; three conv 3x3, each +2 of 8 px
    receptive_field = 11 + 2 * 2 + 4 * 4 + 2 * 4 + 3 * 2 * 8

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        one, two, three, four, five = (scaled(c, width) for c in (96, 256, 384, 384, 256))
        self.channels = five
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, one, 11, stride=2), nn.BatchNorm2d(one), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(one, two, 5, groups=2), nn.BatchNorm2d(two), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        )
        self.conv3 = nn.Sequential(nn.Conv2d(two, three, 3), nn.BatchNorm2d(three), nn.ReLU(inplace=True))
        self.conv4 = nn.Sequential(nn.Conv2d(three, four, 3, groups=2), nn.BatchNorm2d(four), nn.ReLU(inplace=True))
        self.conv5 = nn.Sequential(nn.Conv2d(four, five, 3, groups=2))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))

    def closing_layers(self) -> list[nn.Module]:
        """Layers whose weights and biases, times a factor, multiply the features by it."""
        return list(self.conv5)

    def stages(self) -> Stages:
        return Stages([self.conv5, self.conv4, self.conv3], [self.conv2], [self.conv1])

    def fused(self) -> nn.Module:
        steps: list[nn.Module] = []
        parts: Any = (self.conv1, self.conv2, self.conv3, self.conv4)
        for conv, norm, _, *pool in parts:
            steps += [FoldedConv(conv, norm, relu=True), *pool]
        return nn.Sequential(*steps, FoldedConv(*self.conv5))
