"""CIDenseNet: DenseNet-121's beginning (Huang et al., CVPR 2017) with cropping inside each layer.

Axes: N images, C channels, H W cells. Images are BGR 0..255.

Design, by the guidelines of Zhang & Peng (CVPR 2019, section 3): stride 8; one feature cell sees 93 of the template's
127 pixels (73 %; 60 to 80 % is best); cells that saw padding are dropped at once; 127 -> 5x5. DenseNet-121's stem, its
whole first block (6 layers of growth 32) and first transition work at stride 4: its ImageNet weights fit. Layers at
stride 8 cost 16 pixels of the receptive field each, so there is room for two: they are six times as wide (growth 192),
where most of the 2.4 M parameters are. A batch-norm without ReLU ends it, as the last unit of a CIR network has none.

Receptive field: conv 7x7/2 7; pool 2x2 +2 = 9; 6 layers of +2 cells of 4 px = 57; pool +4 = 61; 2 layers of +2 cells of
8 px = 93. Sides: 127 -> 64 - 4 = 60 -> 30 -> 18 -> 9 -> 5; 255 -> 124 -> 62 -> 50 -> 25 -> 21.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.backbones.cir_net import Stages
from lib.models.layers.cir import Crop, crop, initialise, scaled
from lib.models.layers.folded import FoldedConv, affine, constant

LAYERS = (6, 2)


class DenseLayer(nn.Module):
    """Batch-norm, ReLU, 1x1, batch-norm, ReLU, 3x3 (pad 1); its output joins the input's channels; crop 1.

    (N, inputs, H, W) -> (N, inputs + growth, H - 2, W - 2).
    """

    def __init__(self, *, inputs: int, inner: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu_(self.norm1(x)))
        out = self.conv2(F.relu_(self.norm2(out)))
        return crop(torch.cat([x, out], 1), 1)

    def fused(self) -> nn.Module:
        return FusedDenseLayer(self)


class FusedDenseLayer(nn.Module):
    """A :class:`DenseLayer` for inference: the cells that it would drop are not computed."""

    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        self.norm1 = Affine(layer.norm1)
        self.conv1 = FoldedConv(layer.conv1, layer.norm2, relu=True)
        self.conv2 = FoldedConv(layer.conv2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(self.norm1(x).relu_()))
        return torch.cat([crop(x, 1), out], 1)


class Affine(nn.Module):
    """A batch-norm in evaluation mode that no convolution precedes: scale * x + shift."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.scale, self.shift = (constant(v.to(norm.weight.dtype)[:, None, None]) for v in affine(norm))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


class Transition(nn.Module):
    """Batch-norm, ReLU, 1x1 to half the channels, average pool 2x2."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu_(self.norm(x))), 2)

    def fused(self) -> nn.Module:
        # a 1x1 and an average pool commute: pooling first leaves a quarter of the cells to the 1x1
        return nn.Sequential(Affine(self.norm), nn.ReLU(inplace=True), nn.AvgPool2d(2), FoldedConv(self.conv))


class CIDenseNet(nn.Module):
    """(N, 3, 127, 127) -> (N, 512 width, 5, 5); 255 -> 21. Stride 8. Names follow DenseNet-121's."""

    stride = 8
    receptive_field = 9 + LAYERS[0] * 2 * 4 + 4 + LAYERS[1] * 2 * 8

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        stem, growth, half, wide = (scaled(c, width) for c in (64, 32, 128, 192))
        inner, wide_inner = scaled(128, width), scaled(512, width)
        self.channels = half + LAYERS[1] * wide
        self.conv0 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.norm0 = nn.BatchNorm2d(stem)
        self.denseblock1 = _block(LAYERS[0], stem, inner, growth)
        self.transition1 = Transition(inputs=stem + LAYERS[0] * growth, outputs=half)
        self.wideblock2 = _block(LAYERS[1], half, wide_inner, wide)
        self.norm5 = nn.BatchNorm2d(self.channels)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = crop(F.relu_(self.norm0(self.conv0(x))), 2)
        x = self.transition1(self.denseblock1(F.max_pool2d(x, 2)))
        return self.norm5(self.wideblock2(x))

    def closing_layers(self) -> list[nn.Module]:
        """Layers whose weights and biases, times a factor, multiply the features by it."""
        return [self.norm5]

    def stages(self) -> Stages:
        """The closing batch-norm opens with the last layer, the transition with stage 2's first."""
        *first, last = self.wideblock2
        stage2 = [nn.ModuleList([last, self.norm5]), *first[::-1]]
        stage2[-1] = nn.ModuleList([self.transition1, stage2[-1]])
        return Stages(stage2, list(self.denseblock1)[::-1], [self.conv0, self.norm0])

    def fused(self) -> nn.Module:
        layers: Any = (*self.denseblock1, self.transition1, *self.wideblock2)
        stem = [Crop(1), FoldedConv(self.conv0, self.norm0, relu=True), nn.MaxPool2d(2, 2)]
        return nn.Sequential(*stem, *(layer.fused() for layer in layers), Affine(self.norm5))


def _block(layers: int, inputs: int, inner: int, growth: int) -> nn.Sequential:
    block = nn.Sequential()
    for number in range(layers):
        layer = DenseLayer(inputs=inputs + number * growth, inner=inner, growth=growth)
        block.add_module(f"denselayer{number + 1}", layer)
    return block
