"""Region proposal heads: from template and search features to a class score and box offsets of every anchor.

Axes: N slots, S search images of one slot, A anchors of a cell, K class channels (A or 2A), C channels of the backbone,
O channels of the head, H W cells of a search feature, h w of a response.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.files import UserError
from lib.models.layers.cir import initialise, scaled
from lib.models.layers.folded import FoldedConv
from lib.models.xcorr import HALVES, depthwise_xcorr, xcorr

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
        self._start_small(out)

    def _start_small(self, out: int) -> None:
        """Random weights whose first answers are logits of about 1 and offsets of about 0.1 for every width.

        Features have a mean square of up to 6; a response sums over out * 9 products of a kernel's and a feature's
        value. As the backbones' layers start, logits would begin in the hundreds, where steps are huge or skipped.
        """
        for conv in (self.template_cls, self.template_reg, self.search_cls, self.search_reg):
            products = conv.weight[0].numel()
            nn.init.normal_(conv.weight, std=(6 * products) ** -0.5 * (9 * out) ** -0.25)
        nn.init.normal_(self.adjust.weight, std=0.1 * self.offsets**-0.5)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def template(self, features: Tensor) -> tuple[Tensor, Tensor]:
        cls, reg = (as_product(conv, features) for conv in (self.template_cls, self.template_reg))
        return cls.unflatten(1, (self.classes, -1)), reg.unflatten(1, (self.offsets, -1))

    def match(self, kernels: tuple[Tensor, Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        cls, reg = kernels
        offsets = xcorr(reg, self.search_reg(features)).to(self.adjust.weight.dtype)
        return xcorr(cls, self.search_cls(features)), self.adjust(offsets)

    def fused(self) -> "UpChannelHead":
        head: Any = copy.deepcopy(self)
        head.search_cls, head.search_reg = FoldedConv(self.search_cls), FoldedConv(self.search_reg)
        return head


def as_product(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv`` (stride 1, no padding) of maps of a few cells: (N, C, H, W) -> (N, O, H - 2, W - 2) of a 3x3 one.

    With thousands of channels out of 3 x 3 cells, weights are what is moved. Trained on a CPU as one matrix product of
    all windows they are not laid out anew, and a step of the layer takes 0.4 of its time.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return conv(x)
    windows = F.unfold(x, conv.kernel_size).transpose(1, 2)
    out = F.linear(windows, conv.weight.flatten(1), conv.bias)
    return out.transpose(1, 2).unflatten(
        2, [side - k + 1 for side, k in zip(x.shape[2:], conv.kernel_size, strict=True)]
    )


class DepthwiseHead(nn.Module):
    """SiamRPN++'s head (Li et al., CVPR 2019): channels are correlated one by one, and 1x1 layers read the result.

    About a tenth of the up-channel head's parameters. ``template`` (N, C, 5, 5) -> kernels (N, O, 3, 3) for cls and
    reg; ``match`` with features (N*S, C, H, W) -> cls (N*S, K, H-4, W-4), reg (N*S, 4A, H-4, W-4), as above.
    """

    def __init__(self, *, channels: int, anchors: int, cls_type: str = "thinner", width: float = 1.0) -> None:
        super().__init__()
        out = scaled(256, width)
        self.adjust = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))
        self.cls = DepthwiseBranch(inputs=out, outputs=class_channels(cls_type, anchors))
        self.reg = DepthwiseBranch(inputs=out, outputs=4 * anchors)
        self.apply(initialise)
        for branch in (self.cls, self.reg):  # first answers of about 0.1
            closing: Any = branch.head[3]
            nn.init.normal_(closing.weight, std=0.1 * out**-0.5)

    def template(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = self.adjust(features)
        return self.cls.template(features), self.reg.template(features)

    def match(self, kernels: tuple[Tensor, Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        features = self.adjust(features)
        return self.cls(kernels[0], features), self.reg(kernels[1], features)

    def fused(self) -> "DepthwiseHead":
        head: Any = copy.deepcopy(self)
        head.adjust = nn.Sequential(FoldedConv(*self.adjust))
        for branch in (head.cls, head.reg):
            branch.template = nn.Sequential(FoldedConv(*branch.template[:2], relu=True))
            branch.search = nn.Sequential(FoldedConv(*branch.search[:2], relu=True))
            branch.head = nn.Sequential(FoldedConv(*branch.head[:2], relu=True), branch.head[3])
        return head


class DepthwiseBranch(nn.Module):
    """One of the two answers: kernels (N, inputs, 3, 3), features (N*S, inputs, H, W) -> (N*S, outputs, H-4, W-4)."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.template, self.search = _conv3x3(inputs), _conv3x3(inputs)
        self.head = nn.Sequential(
            nn.Conv2d(inputs, inputs, 1, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, 1),
        )

    def forward(self, kernel: Tensor, features: Tensor) -> Tensor:
        layers: list[Any] = list(self.head)
        hidden, closing = depthwise_xcorr(kernel, self.search(features)), layers.pop()
        for layer in layers:
            hidden = layer(hidden)
        if hidden.dtype in HALVES:  # of rounded answers many would be the highest
            return F.conv2d(hidden.float(), closing.weight.float(), closing.bias.float())
        return closing(hidden)


def _conv3x3(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
