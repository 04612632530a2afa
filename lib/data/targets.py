"""What the response to a search image should be, for a batch of targets, on the device, without host synchronisation.

Axes: N samples, A anchors, n x n cells of the response (rows are y), 4 = cx cy w h (or their deltas). Boxes are cxcywh
in pixels of the search image of side i, measured from its edge: a target in the middle is at i / 2, and its cell is the
middle one of the response, n // 2.
Labels: 1 positive, 0 negative, -1 ignored.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AnchorRule:
    """Which anchors are trained, per sample."""

    positive_iou: float = 0.6  # an anchor of greater overlap with the target is positive
    negative_iou: float = 0.3  # of smaller overlap: negative; between the two: ignored
    positives: int = 16  # at most so many positives are kept
    total: int = 64  # negatives fill up to so many


class AnchorTargets(NamedTuple):
    label: Tensor  # (N, A, n, n) float32
    delta: Tensor  # (N, 4, A, n, n) float32
    weight: Tensor  # (N, A, n, n) float32: 1 / (positives of the sample + 1e-6) on the positives, else 0


def centre_label(centres: Tensor, n: int, instance: int, *, stride: int = 8, radius: int = 2) -> Tensor:
    """SiamFC's label (N, n, n), float32: 1 where |dx| + |dy| <= ``radius`` cells of the target's cell, else 0.

    ``centres`` (N, 2) x y. The target's cell is the nearest one: n // 2 + (x - i / 2) / stride, rounded half up.
    """
    cells = torch.floor((centres - instance / 2) / stride + 0.5) + n // 2
    steps = torch.arange(n, device=centres.device)
    distance = (steps - cells[..., None]).abs()  # (N, 2, n)
    return (distance[:, 1, :, None] + distance[:, 0, None, :] <= radius).float()


def anchor_iou(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of (4, A, n, n) anchors with (N, 4) boxes: (N, A, n, n)."""
    targets = boxes[:, :, None, None, None]
    low = torch.maximum(anchors[:2] - anchors[2:] / 2, targets[:, :2] - targets[:, 2:] / 2)
    high = torch.minimum(anchors[:2] + anchors[2:] / 2, targets[:, :2] + targets[:, 2:] / 2)
    both = (high - low).clamp(min=0).prod(1)
    return both / (anchors[2:].prod(0) + targets[:, 2:].prod(1) - both)


def anchor_label(anchors: Tensor, boxes: Tensor, rule: AnchorRule) -> Tensor:
    """(N, A, n, n) labels of all anchors by their overlap with the target, before any is left out."""
    iou = anchor_iou(anchors, boxes)
    return (iou > rule.positive_iou).float() - ((iou >= rule.negative_iou) & (iou <= rule.positive_iou)).float()


def anchor_delta(anchors: Tensor, boxes: Tensor) -> Tensor:
    """(N, 4, A, n, n): (tx - ax) / aw, (ty - ay) / ah, log(tw / aw), log(th / ah) (Ren et al. 2015, eq. 2)."""
    targets = boxes[:, :, None, None, None]
    shift = (targets[:, :2] - anchors[:2]) / anchors[2:]
    return torch.cat([shift, torch.log(targets[:, 2:] / anchors[2:])], 1)


def keep_some(label: Tensor, keys: Tensor, rule: AnchorRule) -> Tensor:
    """Ignore all but at most ``rule.positives`` positives and, up to ``rule.total`` in all, negatives.

    ``keys`` of the shape of ``label``, uniform in 0..1: the members of a class with the greatest keys are kept.
    """
    flat, keys = label.flatten(1), keys.flatten(1)
    count = flat.shape[1]
    positive = _first(flat == 1, keys, torch.full_like(flat[:, :1], min(rule.positives, count)), rule.positives)
    room = rule.total - positive.sum(1, keepdim=True)
    negative = _first(flat == 0, keys, room, rule.total)
    return (positive.float() + (positive | negative).float() - 1).reshape(label.shape)


def anchor_targets(
    anchors: Tensor, boxes: Tensor, keys: Tensor, rule: AnchorRule, present: Tensor | None = None
) -> AnchorTargets:
    """Targets of the region proposal heads: (4, A, n, n) anchors, (N, 4) boxes, ``keys`` as in :func:`keep_some`.

    ``present`` (N,) bool: where it is False no anchor is positive or ignored.
    """
    label = anchor_label(anchors, boxes, rule)
    if present is not None:
        label = label * present[:, None, None, None]
    label = keep_some(label, keys, rule)
    positive = (label == 1).float()
    weight = positive / (positive.sum((1, 2, 3), keepdim=True) + 1e-6)
    return AnchorTargets(label, anchor_delta(anchors, boxes).float(), weight)


def _first(members: Tensor, keys: Tensor, room: Tensor, most: int) -> Tensor:
    """Mask (N, K) of the ``room`` (N, 1) members with the greatest keys, never more than ``most``."""
    ranked, cells = torch.where(members, keys, -1.0).topk(min(most, members.shape[1]), 1)
    kept = (ranked >= 0) & (torch.arange(ranked.shape[1], device=keys.device) < room)
    return torch.zeros_like(members).scatter(1, cells, kept)
