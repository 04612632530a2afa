"""What the CIR networks share: a stem to stride 4, stage 1, and stage 2 with a pool after its first unit.

Axes: N images, C channels, H W cells. Images are BGR 0..255.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Stages(NamedTuple):
    """A backbone's modules in the order in which staged unfreezing opens them (the last unit comes first)."""

    stage2: list[nn.Module]
    stage1: list[nn.Module]
    stem: list[nn.Module]


class CIRNet(nn.Module):
    """(N, 3, 127, 127) -> (N, channels, 5, 5); 255 -> 21. Units lose one cell on each side."""

    stride = 8
    stem_field = 9  # pixels that one cell sees after the stem, at stride 4
    channels: int
    layer1: nn.Sequential
    layer2: nn.Sequential

    def stem(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def stem_modules(self) -> list[nn.Module]:
        raise NotImplementedError

    def fused_stem(self) -> list[nn.Module]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(self.layer1(self.stem(x)))

    @property
    def receptive_field(self) -> int:
        """Side in pixels of what one feature cell sees: a 3x3 adds 2 cells of 4 px, after the pool (4 px) of 8 px."""
        units = len(self.layer1), len(self.layer2) - 1
        return self.stem_field + 8 * (units[0] + 1) + 4 + 16 * (units[1] - 1)

    def closing_layers(self) -> list[nn.Module]:
        """Layers whose weights and biases, times a factor, multiply the features by it."""
        raise NotImplementedError

    def stages(self) -> Stages:
        units = [unit for unit in self.layer2 if not isinstance(unit, nn.MaxPool2d)]
        return Stages(units[::-1], list(self.layer1)[::-1], self.stem_modules())

    def fused(self) -> nn.Module:
        units: Iterable[Any] = (*self.layer1, *self.layer2)
        return nn.Sequential(*self.fused_stem(), *(u if isinstance(u, nn.MaxPool2d) else u.fused() for u in units))


def stage(units: Sequence[nn.Module]) -> nn.Sequential:
    """Stage 2: the 2x2 pool comes after the first unit, which so still works at stride 4."""
    return nn.Sequential(units[0], nn.MaxPool2d(2, 2), *units[1:])
