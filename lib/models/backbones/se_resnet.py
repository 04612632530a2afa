"""SE-ResNet22: CIResNet22 with steerable filters (Sosnovik, Moskalev & Smeulders, arXiv 2007.09115).

Axes: N images, C channels, S scales, H W cells. Images are RGB 0..255 outside, normalised inside.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lib.models.backbones.ci_resnet import CIResNet
from lib.models.backbones.cir_net import Stages
from lib.models.layers.steerable import ScaleMaxConv, ScaleMixingConv, SteerableConv, scale_steps
from lib.models.layers.steerable_fused import FusedSEUnit, FusedSteerable

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue, after division by 255


class SEResNet(CIResNet):
    """(N, 3, 127, 127) -> (N, C, S, 5, 5); 255 -> 21. Images normalised.

    The k x k convolutions are steerable, the other layers treat every scale alike, with two exceptions: the first unit
    of stage 1 mixes each scale with the next larger one, and the first unit of stage 2 starts from the maximum over
    scales and lifts it again, while its shortcut keeps the scales.

    How equivariant it is: a layer whose windows hold its filters has a tenth of an ordinary layer's error. Here filters
    of deviation 0.9, 1.26 and 1.76 have windows of 3, 3 and 5 cells, which cut them off; orders up to 6 in the stem are
    too fine for the grid; and stem, pools and the maximum over three scales alone see other cells and scales after
    scaling. With random weights the network's error is larger than CIResNet22's (benchmarks/se.py takes it apart).
    """

    stem_unfreezes = True  # with the last unit of stage 1

    def __init__(
        self,
        *,
        units: tuple[int, int] = (3, 4),
        width: float = 1.0,
        scales: Sequence[float] = scale_steps(),
        sizes: tuple[int, int, int] = (9, 5, 5),
        effective: tuple[int, int, int] = (7, 3, 3),
    ) -> None:
        """``sizes`` of the kernels at the largest scale and ``effective`` sizes (orders of the basis): stem, stages."""
        super().__init__(units=units, width=width)
        self.scales = len(scales)
        stem, *filters = ({"size": k, "effective": e, "scales": scales} for k, e in zip(sizes, effective, strict=True))
        self.conv1: Any = _steerable(self.conv1, lifting=True, **stem)
        first, second = self._first_units()
        for stage, kind in zip((self.layer1, self.layer2), filters, strict=True):
            units_of_stage: list[Any] = [unit for unit in stage if not isinstance(unit, nn.MaxPool2d)]
            for unit in units_of_stage:
                unit.conv2 = _steerable(unit.conv2, lifting=unit is second, **kind)
        for unit, layer in ((first, ScaleMixingConv), (second, ScaleMaxConv)):
            unit.conv1 = layer(inputs=unit.conv1.in_channels, outputs=unit.conv1.out_channels, scales=self.scales)
        self.apply(_initialise)

    def _first_units(self) -> tuple[Any, Any]:
        return self.layer1[0], self.layer2[0]

    @property
    def receptive_field(self) -> int:
        """Side in pixels of what one cell sees at the largest scale."""
        unit1, unit2 = self._first_units()
        stem, first, second = (conv.sides[-1] for conv in (self.conv1, unit1.conv2, unit2.conv2))
        before_pool = len(self.layer1) * (first - 1) + second - 1  # cells of 4 pixels; after it, of 8
        return stem + 2 + 4 * before_pool + 4 + 8 * (len(self.layer2) - 2) * (second - 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(0, (self.scales, -1)).permute(1, 2, 0, 3, 4)

    def fused(self) -> nn.Module:
        return FusedSEResNet(self)


class FusedSEResNet(nn.Module):
    """A :class:`SEResNet` for inference: (N, 3, H, W) -> (N, C, S, H', W')."""

    def __init__(self, net: SEResNet) -> None:
        super().__init__()
        self.stride, self.channels, self.receptive_field = net.stride, net.channels, net.receptive_field
        self.scales = net.scales
        self.stem = FusedSteerable(net.conv1, net.bn1, dropped=2)
        self.pool = net.maxpool
        units: list[Any] = [*net.layer1, *net.layer2]
        self.units = nn.ModuleList(
            FusedSEUnit(unit, pool=after if isinstance(after, nn.MaxPool2d) else None)
            for unit, after in zip(units, [*units[1:], None], strict=True)
            if not isinstance(unit, nn.MaxPool2d)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            # one image's features stay in the cache, and their memory with the process
            return torch.cat([self._features(image) for image in x.split(1)])
        return self._features(x)

    def _features(self, x: Tensor) -> Tensor:
        features = [self.pool(part) for part in self.stem([x] * self.scales)]
        for unit in self.units:
            features = unit(features)
        return torch.stack(features, 2)


class RGBNormalised(nn.Module):
    """A backbone for images (N, 3, H, W) RGB 0..255: they become (x / 255 - mean) / std first."""

    def __init__(self, features: Any) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("std", torch.tensor(STD))
        self.features = features
        self.stride, self.channels = features.stride, features.channels
        self.stem_unfreezes = SEResNet.stem_unfreezes

    def forward(self, x: Tensor) -> Tensor:
        return self.features((x / 255 - self.mean[:, None, None]) / self.std[:, None, None])

    @property
    def receptive_field(self) -> int:
        return self.features.receptive_field

    def stages(self) -> Stages:
        return self.features.stages()

    def closing_layers(self) -> list[nn.Module]:
        return self.features.closing_layers()

    def fused(self) -> "RGBNormalised":
        return RGBNormalised(self.features.fused())


def _steerable(conv: nn.Conv2d, **filters: Any) -> SteerableConv:
    return SteerableConv(inputs=conv.in_channels, outputs=conv.out_channels, stride=conv.stride[0], **filters)


def _initialise(module: nn.Module) -> None:
    """Steerable coefficients normal with variance 2 / fan-out, as if each function of the basis were a kernel cell."""
    if isinstance(module, SteerableConv | ScaleMixingConv | ScaleMaxConv) and not module.weight.is_meta:
        fan_out = module.weight.numel() / module.weight.shape[1]
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
