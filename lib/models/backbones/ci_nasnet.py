"""CINASNet: NASNet-A's normal cell (Zoph et al., CVPR 2018, figure 4) with cropping inside.

Axes: N images, C channels, H W cells. Images are BGR 0..255.

Design, by the guidelines of Zhang & Peng (CVPR 2019, section 3): stride 8; one feature cell sees 93 of the template's
127 pixels (73 %; 60 to 80 % is best); cells that saw padding are dropped at once; 127 -> 5x5; 1.6 M parameters. The
published cell applies each separable convolution twice, which doubles what a cell sees; here it is applied once. Two
cells at stride 4 and one at stride 8 have the published 5x5 and 3x3 filters and lose 2 cells on each side; what is left
of the receptive field allows a last cell of 3x3 filters alone. A 1x1 with batch-norm brings its five branches
to 512 channels, without ReLU as in the last unit of a CIR network.

Receptive field: conv 7x7/2 7; pool 2x2 +2 = 9; two units of +4 cells of 4 px = 41; pool +4 = 45; a unit of +4 cells of
8 px = 77; the last of +2 = 93. Sides: 127 -> 60 -> 30 -> 22 -> 11 -> 7 -> 5; 255 -> 124 -> 62 -> 54 -> 27 -> 23 -> 21.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.backbones.cir_net import Stages
from lib.models.layers.cir import Crop, crop, initialise, scaled
from lib.models.layers.folded import FoldedConv


class Separable(nn.Module):
    """Depthwise k x k (pad k // 2), 1x1, batch-norm: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, *, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pointwise(self.depthwise(x)))

    def fused(self, reach: int) -> nn.Module:
        """For a cell that drops ``reach`` cells on each side; those that only padding needs are left out."""
        spare = Crop(reach - self.depthwise.kernel_size[0] // 2)
        return nn.Sequential(spare, FoldedConv(self.depthwise), FoldedConv(self.pointwise, self.norm))


class NASCell(nn.Module):
    """Five sums of two operations each, on the cell's input h and on p, the input of the cell before it; crop.

    sep3(h) + h;  sep3(p) + sep k(h);  avg3(h) + p;  avg3(p);  sep k(p) + sep3(h)
    (the published fourth sum is avg3(p) twice: a factor that the next 1x1 learns). Both inputs first go through
    ReLU, 1x1, batch-norm. (p (N, before, H, W), h (N, inputs, H, W)) -> (h, (N, 5 planes, H', W')), both without the
    k // 2 outermost cells, those that saw padding.
    """

    def __init__(self, *, before: int, inputs: int, planes: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.squeeze_p = nn.Sequential(nn.Conv2d(before, planes, 1, bias=False), nn.BatchNorm2d(planes))
        self.squeeze_h = nn.Sequential(nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes))
        # in the order of the sums above: h, p, h, p, h
        kernels = (3, 3, kernel, kernel, 3)
        self.separable = nn.ModuleList(Separable(channels=planes, kernel=k) for k in kernels)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        before, x = inputs
        p, h = self.squeeze_p(F.relu(before)), self.squeeze_h(F.relu(x))
        out = _five_sums(p, h, self.separable, F.avg_pool2d(p, 3, 1, 1), F.avg_pool2d(h, 3, 1, 1), 0)
        return crop(x, self.reach), crop(out, self.reach)

    def fused(self) -> nn.Module:
        return FusedNASCell(self)


class FusedNASCell(nn.Module):
    """A :class:`NASCell` for inference: the cells that it would drop are not computed."""

    def __init__(self, cell: NASCell) -> None:
        super().__init__()
        self.reach = cell.reach
        self.squeeze_p, self.squeeze_h = FoldedConv(*cell.squeeze_p), FoldedConv(*cell.squeeze_h)
        layers: Any = cell.separable
        self.separable = nn.ModuleList(layer.fused(cell.reach) for layer in layers)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        before, x = inputs
        p, h = self.squeeze_p(F.relu(before)), self.squeeze_h(F.relu(x))
        mean_p, mean_h = (F.avg_pool2d(crop(v, self.reach - 1), 3, 1) for v in (p, h))
        return crop(x, self.reach), _five_sums(p, h, self.separable, mean_p, mean_h, self.reach)


def _five_sums(p: Tensor, h: Tensor, separable: nn.ModuleList, mean_p: Tensor, mean_h: Tensor, cut: int) -> Tensor:
    """The channels of a cell; ``cut`` cells are dropped from what is passed on unchanged."""
    relu_p, relu_h = F.relu(p), F.relu(h)
    one, two, three, four, five = separable
    return torch.cat(
        [
            one(relu_h) + crop(h, cut),
            two(relu_p) + three(relu_h),
            mean_h + crop(p, cut),
            mean_p,
            four(relu_p) + five(relu_h),
        ],
        1,
    )


class CINASNet(nn.Module):
    """(N, 3, 127, 127) -> (N, 512 width, 5, 5); 255 -> 21. Stride 8."""

    stride = 8
    receptive_field = 9 + 2 * 4 * 4 + 4 + 4 * 8 + 2 * 8

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        stem, first, second, self.channels = (scaled(c, width) for c in (64, 64, 224, 512))
        self.conv0 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.norm0 = nn.BatchNorm2d(stem)
        self.cell1 = NASCell(before=stem, inputs=stem, planes=first, kernel=5)
        self.cell2 = NASCell(before=stem, inputs=5 * first, planes=first, kernel=5)
        self.cell3 = NASCell(before=5 * first, inputs=5 * first, planes=second, kernel=5)
        self.cell4 = NASCell(before=5 * first, inputs=5 * second, planes=second, kernel=3)
        self.conv5 = nn.Conv2d(5 * second, self.channels, 1, bias=False)
        self.norm5 = nn.BatchNorm2d(self.channels)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(crop(F.relu_(self.norm0(self.conv0(x))), 2), 2)
        p, h = self.cell2(self.cell1((x, x)))
        _, h = self.cell4(self.cell3((F.max_pool2d(p, 2), F.max_pool2d(h, 2))))
        return self.norm5(self.conv5(F.relu(h)))

    def closing_layers(self) -> list[nn.Module]:
        """Layers whose weights and biases, times a factor, multiply the features by it."""
        return [self.norm5]

    def stages(self) -> Stages:
        """The closing 1x1 opens with the last cell."""
        last = nn.ModuleList([self.cell4, self.conv5, self.norm5])
        return Stages([last, self.cell3], [self.cell2, self.cell1], [self.conv0, self.norm0])

    def fused(self) -> nn.Module:
        return FusedNASNet(self)


class FusedNASNet(nn.Module):
    """A :class:`CINASNet` for inference."""

    def __init__(self, net: CINASNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(Crop(1), FoldedConv(net.conv0, net.norm0, relu=True), nn.MaxPool2d(2, 2))
        self.cell1, self.cell2, self.cell3, self.cell4 = (
            cell.fused() for cell in (net.cell1, net.cell2, net.cell3, net.cell4)
        )
        self.conv5 = FoldedConv(net.conv5, net.norm5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        p, h = self.cell2(self.cell1((x, x)))
        _, h = self.cell4(self.cell3((F.max_pool2d(p, 2), F.max_pool2d(h, 2))))
        return self.conv5(F.relu(h))
