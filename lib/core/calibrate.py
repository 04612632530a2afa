"""Fresh weights made fit to train: predictions of order one before the first step.

Random weights answer raw pixels with logits of hundreds and box offsets of thousands. The first steps then only shrink
them, by way of dead features, and from those nothing is learnt. The layers that close the backbone are scaled once
instead: responses are quadratic in the features. Of a head with batch-norms it is the layers that close the head.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lib.data.batches import Batch
from lib.models.heads import DepthwiseHead

LOGITS, OFFSETS = 1.0, 0.1  # spread of the logits and of the box offsets, over the cells, that training begins with


@torch.no_grad()
def calibrate(model: Any, batch: Batch, *, pretrained_backbone: bool = False) -> None:
    """Scale ``model``, in place, by what it says of one batch; its batch-norm statistics stay as they were.

    A pretrained backbone is left as it is: only a fresh head is scaled.
    """
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    if pretrained_backbone:
        model.backbone.eval()  # as staged unfreezing has it
    prediction = model(batch.z, batch.x)
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    if isinstance(prediction, Tensor):
        if not pretrained_backbone:
            _scale(model.backbone.closing_layers(), (LOGITS / _spread(prediction)) ** 0.5)
        return
    logits, offsets = LOGITS / _spread(prediction[0]), OFFSETS / _spread(prediction[1])
    head = model.connect_model
    if isinstance(head, DepthwiseHead):
        _scale([head.cls.head[3]], logits)
        _scale([head.reg.head[3]], offsets)
    elif pretrained_backbone:
        _scale([head.template_cls], logits)
        _scale([head.template_reg], offsets)
    else:
        _scale(model.backbone.closing_layers(), logits**0.5)
        _scale([head.template_reg], offsets / logits)


def _spread(output: Tensor) -> Tensor:
    """Standard deviation over cells, not over images: what all cells share says nothing of where the target is."""
    return output.float().std((-2, -1)).mean().clamp(min=1e-12)


def _scale(layers: list[nn.Module], factor: Tensor) -> None:
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.mul_(factor)
