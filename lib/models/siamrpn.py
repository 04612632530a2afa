"""SiamRPN: class scores and box offsets of anchors at each cell of the search image (Li et al., CVPR 2018).

Axes: N slots, S search images of one slot, A anchors of a cell, K class channels (A or 2A), C channels, H W cells.
"""

from typing import Any

from torch import Tensor, nn

from lib.models.siamfc import for_inference


class SiamRPN(nn.Module):
    """Backbone for both images, then a head that turns the template's features into kernels.

    Images are (., 3, side, side) float, BGR 0..255. The template's convolutions belong to ``template``: they run once
    per start, not once per frame.
    """

    def __init__(self, *, backbone: nn.Module, head: Any) -> None:
        super().__init__()
        self.features = nn.ModuleDict({"features": backbone})  # the published checkpoints' names
        self.connect_model: Any = head

    @property
    def backbone(self) -> Any:
        return self.features["features"]

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, e, e) -> kernels, a tuple of tensors with first axis N."""
        return self.connect_model.template(self.backbone(z))

    def search(self, x: Tensor) -> Tensor:
        """(N*S, 3, i, i) -> (N*S, C, H, W)."""
        return self.backbone(x)

    def match(self, kernels: tuple[Tensor, ...], features: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels of N slots, features (N*S, C, H, W), row n*S + s of slot n.

        -> cls (N*S, K, h, w), reg (N*S, 4A, h, w).
        """
        return self.connect_model.match(kernels, features)

    def forward(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.match(self.template(z), self.search(x))

    def fuse(self) -> "SiamRPN":
        """The same function for inference alone: batch-norms folded, and only the cells computed that are kept."""
        return for_inference(SiamRPN(backbone=self.backbone.fused(), head=self.connect_model.fused()))
