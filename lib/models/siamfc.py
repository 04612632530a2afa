"""SiamFC: how well the template fits at each cell of the search image (Bertinetto et al., 2016; Zhang & Peng, 2019).

Axes: N slots, S search images (scales) of one slot, C channels, H W cells, h w response cells.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lib.models.xcorr import xcorr

Model = TypeVar("Model", bound=nn.Module)


class SiamFC(nn.Module):
    """Response = 0.1 * xcorr(features of the template, features of the search image).

    Images are (., 3, side, side) float, BGR 0..255. With a template of 127 and a search side of 255 the response is
    17 x 17, a cell being ``backbone.stride`` pixels.
    """

    gain = 0.1  # raw responses sum over a whole template feature; this brings them to where a sigmoid works

    def __init__(self, *, backbone: nn.Module) -> None:
        super().__init__()
        self.features = nn.ModuleDict({"features": backbone})  # the published checkpoints' names

    @property
    def backbone(self) -> Any:
        return self.features["features"]

    def template(self, z: Tensor) -> tuple[Tensor]:
        """(N, 3, e, e) -> kernels: one tensor (N, C, h, w)."""
        return (self.backbone(z),)

    def search(self, x: Tensor) -> Tensor:
        """(N*S, 3, i, i) -> (N*S, C, H, W)."""
        return self.backbone(x)

    def match(self, kernels: tuple[Tensor], features: Tensor) -> Tensor:
        """Kernels of N slots, features (N*S, C, H, W), row n*S + s of slot n -> response (N*S, 1, h, w)."""
        return xcorr(self.gain * kernels[0].unsqueeze(1), features)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return self.match(self.template(z), self.search(x))

    def fuse(self) -> "SiamFC":
        """The same function for inference alone: batch-norms folded, and only the cells computed that are kept."""
        return for_inference(SiamFC(backbone=self.backbone.fused()))


def for_inference(model: Model) -> Model:
    """Frozen, in evaluation mode, weights channels-last (on CPUs a quarter faster through a whole backbone)."""
    model.eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
