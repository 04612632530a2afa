"""Staged unfreezing of a pretrained backbone, made true on a model."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from lib.core.schedule import unfrozen


@dataclass(frozen=True)
class Opened:
    """What an epoch trains."""

    parameters: list[nn.Parameter]  # have gradients
    held: list[nn.Parameter]  # of these, which no optimiser steps
    fresh_optimiser: bool  # this epoch has an optimiser of its own


def open_layers(model: Any, epoch: int, end_epoch: int, mode: str) -> Opened:
    """Open the layers of the one-based ``epoch``; the others are frozen, their batch-norms in evaluation mode.

    ``mode``: paper, released or none (see :func:`lib.core.schedule.unfrozen`). The head is always open.
    """
    now = unfrozen(epoch, end_epoch, mode, with_stem=getattr(model.backbone, "stem_unfreezes", False))
    model.train()
    model.requires_grad_(True)
    last_unit: list[nn.Module] = []
    if mode != "none":
        stages = model.backbone.stages()
        model.backbone.eval()
        model.backbone.requires_grad_(False)
        for module in (*stages.stage2[: now.stage2], *stages.stage1[: now.stage1], *(stages.stem if now.stem else ())):
            module.train()
            module.requires_grad_(True)
        if mode == "released":
            stages.stage2[-1].train()  # the released code left the batch-norms of stage 2's first unit in training mode
        last_unit = stages.stage2[:1]
    held: list[nn.Parameter] = []
    if now.last_unit_alone:
        moved = {id(p) for unit in last_unit for p in unit.parameters()}
        held = [p for p in model.backbone.parameters() if p.requires_grad and id(p) not in moved]
    return Opened([p for p in model.parameters() if p.requires_grad], held, now.fresh_optimiser)
