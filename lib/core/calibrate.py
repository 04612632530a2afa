"""Fresh weights made fit to train: before the first step, predictions of order one and gradients in proportion.

Random weights answer raw pixels with logits of hundreds (SiamFC), or with a head whose gradient is a hundred times its
backbone's (SiamRPN). The first steps then only shrink the predictions, by way of dead features, or diverge. Scaling a
few layers once mends both: those that close the backbone, and the convolutions of the head.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lib.data.batches import Batch
from lib.models.heads import DepthwiseHead

LOGITS, OFFSETS = 1.0, 0.1  # size of the logits and of the box offsets that training begins with
FEATURES = 0.25  # root mean square of the features that enter SiamRPN's head


@torch.no_grad()
def calibrate(model: Any, batch: Batch, *, pretrained_backbone: bool = False) -> None:
    """Scale ``model``, in place, by what it says of one batch; its batch-norm statistics stay as they were.

    A pretrained backbone is left as it is: only a fresh head is scaled.
    """
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    if pretrained_backbone:
        model.backbone.eval()  # as staged unfreezing has it
    features = _size(model.search(batch.x))
    prediction = model(batch.z, batch.x)
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    if isinstance(prediction, Tensor):
        if not pretrained_backbone:  # the response is quadratic in the features
            spread = prediction.std((-2, -1)).mean()  # over cells: what they share says nothing of where the target is
            _scale(model.backbone.closing_layers(), (LOGITS / spread) ** 0.5)
        return
    logits, offsets = LOGITS / _size(prediction[0]), OFFSETS / _size(prediction[1])
    head = model.connect_model
    if isinstance(head, DepthwiseHead):  # batch-norms keep its gradients in proportion
        _scale([head.cls.head[3]], logits)
        _scale([head.reg.head[3]], offsets)
        return
    if not pretrained_backbone:
        factor = FEATURES / features
        _scale(model.backbone.closing_layers(), factor)
        _scale([head.template_cls, head.template_reg, head.search_cls, head.search_reg], 1 / factor)
    _scale([head.template_cls], logits)
    _scale([head.template_reg], offsets)


def _size(output: Tensor) -> Tensor:
    """Root mean square."""
    return output.float().pow(2).mean().sqrt().clamp(min=1e-12)


def _scale(layers: list[nn.Module], factor: Tensor) -> None:
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.mul_(factor)
