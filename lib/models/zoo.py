"""The models by name: a family, a backbone, and for region proposals a head.

SiamFC<backbone>, SiamRPN<backbone> (up-channel head), SiamRPN<backbone>DW (depthwise-correlation head);
SESiamFCResNet22, SESiamRPNRes22, SESiamRPNRes22DW: the same on scale-equivariant features.

A backbone is a module (N, 3, H, W) -> (N, channels, H', W') that takes ``width``, has ``channels``, ``stride`` (pixels
a cell), ``receptive_field`` (pixels a cell sees), ``stages()`` for staged unfreezing, ``closing_layers()`` (a factor on
their weights and biases multiplies the features) and ``fused()`` for inference, and whose cells never saw padding.
Adding one is a file and a line of ``BACKBONES``; README
shows it.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.files import UserError
from lib.models.backbones.alexnet import AlexNet
from lib.models.backbones.ci_densenet import CIDenseNet
from lib.models.backbones.ci_inception import CIResInception
from lib.models.backbones.ci_nasnet import CINASNet
from lib.models.backbones.ci_resnet import CIResNet
from lib.models.backbones.ci_resnext import CIResNeXt
from lib.models.backbones.se_resnet import SEResNet
from lib.models.heads import DepthwiseHead, UpChannelHead, anchors_of_a_cell
from lib.models.siamfc import SiamFC
from lib.models.siamrpn import SiamRPN
from lib.models.siamse import SESiamFC, SESiamRPN, choose_matching

BACKBONES: dict[str, Callable[..., Any]] = {
    "Res16": partial(CIResNet, units=(3, 2)),
    "Res19": partial(CIResNet, units=(3, 3)),
    "Res22": partial(CIResNet, units=(3, 4)),
    "Res22W": partial(CIResNet, units=(3, 4), middle=2),
    "Incep22": CIResInception,
    "Next22": CIResNeXt,
    "Alex": AlexNet,
    "Dense": CIDenseNet,
    "NAS": CINASNet,
}
HEADS: dict[str, Callable[..., nn.Module]] = {"": UpChannelHead, "DW": DepthwiseHead}

# AUC on OTB2013 and OTB2015, EAO on VOT2015, 2016 and 2017 (Zhang & Peng 2019; 22W trained on GOT-10k; SE: Sosnovik et
# al. 2021)
PUBLISHED: dict[str, tuple[float | None, ...]] = {
    "SiamFCRes22": (0.663, 0.644, 0.318, 0.303, 0.234),
    "SiamFCRes22W": (0.689, 0.674, 0.368, 0.352, 0.269),
    "SiamFCIncep22": (0.662, 0.642, 0.310, 0.295, 0.236),
    "SiamFCNext22": (0.659, 0.633, 0.297, 0.278, 0.229),
    "SiamRPNRes22": (0.674, 0.666, 0.381, 0.376, 0.294),
    "SESiamFCResNet22": (0.68, 0.66, None, 0.36, 0.27),
}


def models() -> dict[str, Callable[..., nn.Module]]:
    """What builds each model, by name."""
    fully: dict[str, Callable[..., nn.Module]] = {
        f"SiamFC{name}": partial(_siamfc, backbone) for name, backbone in BACKBONES.items()
    }
    proposals: dict[str, Callable[..., nn.Module]] = {
        f"SiamRPN{name}{suffix}": partial(_siamrpn, backbone, head)
        for suffix, head in HEADS.items()
        for name, backbone in BACKBONES.items()
    }
    equivariant: dict[str, Callable[..., nn.Module]] = {"SESiamFCResNet22": partial(_siamfc, SEResNet, SESiamFC)}
    for suffix, head in HEADS.items():
        equivariant[f"SESiamRPNRes22{suffix}"] = partial(_siamrpn, SEResNet, head, SESiamRPN)
    return fully | proposals | equivariant


@cache
def color(arch: str) -> str:
    """Channel order that the model takes: bgr, or rgb."""
    with torch.device("meta"):
        return getattr(build(arch), "color", "bgr")


def names() -> list[str]:
    return list(models())


def build(
    arch: str,
    *,
    width: float = 1.0,
    cls_type: str = "thinner",
    ratios: Sequence[float] = (0.33, 0.5, 1, 2, 3),
    scales: Sequence[float] = (8,),
    matching: str = "corr",
) -> nn.Module:
    """A new model called ``arch``, its channels times ``width``; ``matching`` is for SE-SiamFC alone, the three before
    it for region proposals."""
    if arch not in models():
        near = difflib.get_close_matches(arch, names(), 1, 0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"the model must be one of the zoo's; got {arch!r}{hint}\n{table()}")
    if not width > 0:
        raise UserError(f"the width must be above 0; got {width}")
    model = models()[arch](width=width, cls_type=cls_type, ratios=ratios, scales=scales)
    if matching != "corr":
        choose_matching(model, matching)
    return model


def _siamfc(backbone: Callable[..., Any], family: type[SiamFC] = SiamFC, *, width: float, **_: Any) -> nn.Module:
    return family(backbone=backbone(width=width))


def _siamrpn(
    backbone: Callable[..., Any],
    head: Callable[..., nn.Module],
    family: type[SiamRPN] = SiamRPN,
    *,
    width: float,
    cls_type: str,
    ratios: Sequence[float],
    scales: Sequence[float],
) -> nn.Module:
    network, anchors = backbone(width=width), anchors_of_a_cell(ratios, scales)
    return family(
        backbone=network, head=head(channels=network.channels, anchors=anchors, cls_type=cls_type, width=width)
    )


@dataclass(frozen=True)
class Facts:
    """What can be said of a model at full width without training it, template 127 and search image 255."""

    parameters: int
    template_macs: int  # multiply-adds of ``template``
    search_macs: int  # of ``search`` and ``match``
    stride: int  # pixels
    receptive_field: int | None  # pixels
    feature_sides: tuple[int, int]  # cells, of template and search image


@cache
def facts(arch: str) -> Facts:
    """Counted on a model without memory (the meta device): nothing is computed."""
    with torch.device("meta"), torch.no_grad():
        model: Any = build(arch).eval()
        z, x = torch.empty(1, 3, 127, 127), torch.empty(1, 3, 255, 255)
        with FlopCounterMode(display=False) as once:
            kernels = model.template(z)
        with FlopCounterMode(display=False) as each:
            features = model.search(x)
            model.match(kernels, features)
    return Facts(
        parameters=sum(p.numel() for p in model.parameters()),
        template_macs=once.get_total_flops() // 2,
        search_macs=each.get_total_flops() // 2,
        stride=model.backbone.stride,
        receptive_field=getattr(model.backbone, "receptive_field", None),
        feature_sides=(model.backbone(z).shape[-1], features.shape[-1]),
    )


def table() -> str:
    """The whole zoo as aligned text, for ``--arch list``."""
    head = (
        "model",
        "params M",
        "GMACs template",
        "search",
        "stride",
        "field",
        "feature",
        "OTB13 OTB15 VOT15 VOT16 VOT17",
    )
    rows = [head]
    for name in names():
        f = facts(name)
        rows.append(
            (
                name,
                f"{f.parameters / 1e6:.2f}",
                f"{f.template_macs / 1e9:.2f}",
                f"{f.search_macs / 1e9:.2f}",
                str(f.stride),
                str(f.receptive_field or "-"),
                f"{f.feature_sides[0]} / {f.feature_sides[1]}",
                "  ".join("   -" if score is None else f"{score:.3f}"[1:] for score in PUBLISHED.get(name, ())),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)
