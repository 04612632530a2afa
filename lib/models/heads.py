"""Region proposal heads: from template and search features to a class score and box offsets of every anchor.

Axes: N slots, S search images of one slot, A anchors of a cell, K class channels (A or 2A), C channels of the backbone,
O channels of the head, H W cells of a search feature, h w of a response.
"""

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from lib.files import UserError
from lib.models.layers.cir import initialise, scaled
from lib.models.xcorr import xcorr

SCORES = {"thinner": 1, "thicker": 2}  # class channels of an anchor
WIDTHS = {"thinner": 256, "thicker": 512}  # O of the published up-channel heads


def class_channels(cls_type: str, anchors: int) -> int:
    """K: 'thinner' has one logit per anchor, 'thicker' background and foreground."""
    if cls_type not in SCORES:
        raise UserError(f"cls_type must be thinner or thicker; got {cls_type!r}")
    return SCORES[cls_type] * anchors


def anchors_of_a_cell(ratios: Sequence[float], scales: Sequence[float]) -> int:
    """A: one anchor for each ratio at each scale."""
    if not ratios or not scales:
        raise UserError(f"anchors need at least one ratio and one scale; got ratios {ratios}, scales {scales}")
    return len(ratios) * len(scales)


def logit(cls: Tensor, anchors: int) -> Tensor:
    """Class channels (N, A or 2A, h, w) -> one logit per anchor (N, A, h, w).

    One channel per anchor is the logit. Two are (background, foreground) in (2, A) order: foreground minus background,
    whose sigmoid is the softmax's foreground.
    """
    if cls.shape[1] == anchors:
        return cls
    background, foreground = cls.unflatten(1, (2, anchors)).unbind(1)
    return foreground - background


class UpChannelHead(nn.Module):
    """SiamRPN's head (Li et al., CVPR 2018): the template's convolutions make one kernel for each output channel.

    ``template`` (N, C, 5, 5) -> kernels (N, K, O, 3, 3), (N, 4A, O, 3, 3); ``match`` with features (N*S, C, H, W) ->
    cls (N*S, K, H-4, W-4), reg (N*S, 4A, H-4, W-4), channels of reg in (4, A) order: dx, dy, dw, dh.
    """

    def __init__(self, *, channels: int, anchors: int, cls_type: str = "thinner", width: float = 1.0) -> None:
        super().__init__()
        self.classes, self.offsets = class_channels(cls_type, anchors), 4 * anchors
        out = scaled(WIDTHS[cls_type], width)
        self.template_cls = nn.Conv2d(channels, out * self.classes, 3)
        self.template_reg = nn.Conv2d(channels, out * self.offsets, 3)
        self.search_cls = nn.Conv2d(channels, out, 3)
        self.search_reg = nn.Conv2d(channels, out, 3)
        self.adjust = nn.Conv2d(self.offsets, self.offsets, 1)
        self.apply(initialise)

    def template(self, features: Tensor) -> tuple[Tensor, Tensor]:
        cls, reg = self.template_cls(features), self.template_reg(features)
        return cls.unflatten(1, (self.classes, -1)), reg.unflatten(1, (self.offsets, -1))

    def match(self, kernels: tuple[Tensor, Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        cls, reg = kernels
        return xcorr(cls, self.search_cls(features)), self.adjust(xcorr(reg, self.search_reg(features)))

    def fused(self) -> "UpChannelHead":
        return copy.deepcopy(self)  # no batch-norm, no padding
