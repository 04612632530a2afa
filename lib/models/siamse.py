"""Scale-equivariant SiamFC and SiamRPN (Sosnovik, Moskalev & Smeulders, arXiv 2007.09115).

Axes: N slots, P search images (scales of the pyramid) of one slot, C channels, S scales of the filters, H W cells.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.files import UserError
from lib.models.backbones.se_resnet import RGBNormalised
from lib.models.layers.steerable import set_padding
from lib.models.siamfc import SiamFC, for_inference
from lib.models.siamrpn import SiamRPN

MATCHINGS = ("corr", "greedypw")


def over_scales(features: Tensor) -> Tensor:
    """Maximum over scales: (., C, S, H, W) -> (., C, H, W)."""
    return features.amax(2)


def choose_matching(model: nn.Module, matching: str) -> None:
    """Make an SE-SiamFC match so, in place."""
    if not isinstance(model, SESiamFC):
        raise UserError(f"the matching can be chosen of SE-SiamFC's weights alone, not of these: leave {matching} out")
    model.matching = _known(matching)


def _known(matching: str) -> str:
    if matching not in MATCHINGS:
        raise UserError(f"the matching must be one of {', '.join(MATCHINGS)}; got {matching!r}")
    return matching


class ScaleEquivariant(nn.Module):
    """What both models share. A new one, like any module, is in training mode."""

    color = "rgb"

    def __init__(self, *, backbone: nn.Module, **parts: Any) -> None:
        super().__init__(backbone=backbone, **parts)
        self.features: Any = RGBNormalised(backbone)
        set_padding(self, "circular")

    @property
    def backbone(self) -> Any:
        return self.features

    def train(self, mode: bool = True) -> Self:
        """Padding is circular while the model trains, frozen layers included, and zero in evaluation."""
        set_padding(self, "circular" if mode else "constant")
        return super().train(mode)


class SESiamFC(ScaleEquivariant, SiamFC):
    """SiamFC on features (., C, S, H, W), of which the maximum over scales is matched. Images are RGB 0..255.

    ``matching``: 'corr' correlates once; 'greedypw' also correlates with the search features resized by each of
    ``ratios``, resizes the responses back, and takes their maximum at each cell.
    """

    def __init__(
        self, *, backbone: nn.Module, matching: str = "corr", ratios: Sequence[float] = (1 / 1.2, 1, 1.2)
    ) -> None:
        super().__init__(backbone=backbone)
        self.matching, self.ratios = _known(matching), tuple(ratios)

    def match(self, kernels: tuple[Tensor], features: Tensor) -> Tensor:
        """Kernels (N, C, S, h, w), features (N*P, C, S, H, W), row n*P + p of slot n -> response (N*P, 1, h', w')."""
        z, x = (over_scales(kernels[0]),), over_scales(features)
        if self.matching == "corr":
            return super().match(z, x)
        size = [whole - part + 1 for whole, part in zip(x.shape[-2:], z[0].shape[-2:], strict=True)]
        responses = [
            resized(super(SESiamFC, self).match(z, resized(x, [_whole(side * ratio) for side in x.shape[-2:]])), size)
            for ratio in self.ratios
        ]
        return torch.stack(responses).amax(0)

    def fuse(self) -> "SESiamFC":
        """The same function for inference alone: kernels expanded, batch-norms folded, only kept cells computed."""
        backbone = self.features.features.fused()
        return for_inference(SESiamFC(backbone=backbone, matching=self.matching, ratios=self.ratios))


class SESiamRPN(ScaleEquivariant, SiamRPN):
    """SiamRPN whose head works on the maximum over scales of features (., C, S, H, W). Images are RGB 0..255."""

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        return self.connect_model.template(over_scales(self.backbone(z)))

    def match(self, kernels: tuple[Tensor, ...], features: Tensor) -> tuple[Tensor, Tensor]:
        return super().match(kernels, over_scales(features))

    def fuse(self) -> "SESiamRPN":
        return for_inference(SESiamRPN(backbone=self.features.features.fused(), head=self.connect_model.fused()))


def resized(x: Tensor, size: list[int]) -> Tensor:
    """Bicubic, the corner cells kept in the corners: (., ., H, W) -> (., ., *size)."""
    if list(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bicubic", align_corners=True)


def _whole(length: Any) -> Any:
    """Truncated; while a model is traced for export a length is a tensor, which stays one."""
    return length.long() if isinstance(length, Tensor) else int(length)
