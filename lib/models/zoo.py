"""The models by name."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from lib.files import UserError
from lib.models.backbones.ci_inception import CIResInception
from lib.models.backbones.ci_resnet import CIResNet
from lib.models.backbones.ci_resnext import CIResNeXt
from lib.models.heads import UpChannelHead, anchors_of_a_cell
from lib.models.siamfc import SiamFC
from lib.models.siamrpn import SiamRPN

BACKBONES: dict[str, Callable[..., Any]] = {
    "Res16": partial(CIResNet, units=(3, 2)),
    "Res19": partial(CIResNet, units=(3, 3)),
    "Res22": partial(CIResNet, units=(3, 4)),
    "Res22W": partial(CIResNet, units=(3, 4), middle=2),
    "Incep22": CIResInception,
    "Next22": CIResNeXt,
}


def build(
    arch: str,
    *,
    width: float = 1.0,
    cls_type: str = "thinner",
    ratios: Sequence[float] = (0.33, 0.5, 1, 2, 3),
    scales: Sequence[float] = (8,),
) -> nn.Module:
    """A new model called ``arch``, its channels times ``width``; the last three are SiamRPN's alone."""
    for family in ("SiamFC", "SiamRPN"):
        name = arch.removeprefix(family)
        if name != arch and name in BACKBONES:
            backbone = BACKBONES[name](width=width)
            if family == "SiamFC":
                return SiamFC(backbone=backbone)
            anchors = anchors_of_a_cell(ratios, scales)
            head = UpChannelHead(channels=backbone.channels, anchors=anchors, cls_type=cls_type, width=width)
            return SiamRPN(backbone=backbone, head=head)
    raise UserError(f"the model must be one of {', '.join(names())}; got {arch!r}")


def names() -> list[str]:
    return [family + backbone for family in ("SiamFC", "SiamRPN") for backbone in BACKBONES]
