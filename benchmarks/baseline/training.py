"""The published training step: per-sample augmentation with OpenCV and NumPy behind a DataLoader, plain layout.

A stand-in written from the description of the method. It draws its own random numbers; loss and model are ours. Axes as
OpenCV has them: images are (H, W, 3) BGR.
"""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.data.index import Index
from lib.geometry.anchors import training_anchors

TEMPLATE, SEARCH, CELLS = 127, 255, 17  # sides of template and search image, cells of the response
GREY = np.array([0.114, 0.587, 0.299])
YIQ = np.array([GREY, [-0.321, -0.274, 0.595], [0.311, -0.523, 0.212]])
Array = NDArray[np.float64]


class PublishedPairs(torch.utils.data.Dataset):
    """One augmented pair with its targets at a time, decoded anew."""

    def __init__(self, index: Index, pairs: NDArray[np.int64], *, rpn: bool, blur: float = 0.2) -> None:
        self.index, self.pairs, self.blur = index, pairs, blur
        self.anchors = training_anchors((0.33, 0.5, 1, 2, 3), (8,), CELLS, SEARCH, 8) if rpn else None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(number)
        template, search = self.pairs[number]
        z, _ = self._augmented(template, TEMPLATE, rng)
        x, box = self._augmented(search, SEARCH, rng)
        images = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in (z, x)]
        block = centre_label(box)
        if self.anchors is None:
            return (*images, block)
        return (*images, *anchor_targets(self.anchors, box, rng), block)

    def _augmented(self, crop: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, Array]:
        image = cv2.imread(str(self.index.path(crop)))
        assert image is not None
        return augmented(image, self.index.size[crop], side, rng, self.blur)


def augmented(
    crop: np.ndarray, size: Array, m: int, rng: np.random.Generator, blur: float, shift: float = 4, scale: float = 0.05
) -> tuple[np.ndarray, Array]:
    """A crop shifted, scaled, blurred and coloured at random: (m, m, 3) float32, and its target's cxcywh."""
    side = crop.shape[0]
    middle, half = side // 2, m * np.minimum(1 + scale * rng.uniform(-1, 1, 2), side / m) / 2
    moved = np.clip(shift * rng.uniform(-1, 1, 2), half - middle, side - 1 - (middle + half))
    low, high = middle + moved - half, middle + moved + half
    zoom = (m - 1) / (high - low)
    affine = np.array([[zoom[0], 0, -zoom[0] * low[0]], [0, zoom[1], -zoom[1] * low[1]]])
    image = cv2.warpAffine(crop, affine, (m, m), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < blur:
        image = cv2.GaussianBlur(image, (9, 9), 1)
    a = m / (high - low)
    return coloured(image.astype(np.float32), rng), np.concatenate([(middle - low) * a, size * a])


def coloured(image: np.ndarray, rng: np.random.Generator, jitter: float = 0.05) -> np.ndarray:
    """Brightness, contrast, saturation and hue changed at random."""
    brightness, contrast, saturation = 1 + jitter * rng.uniform(-1, 1, 3)
    angle = 2 * np.pi * jitter * rng.uniform(-1, 1)
    c, s = saturation * np.cos(angle), saturation * np.sin(angle)
    turn = np.linalg.inv(YIQ) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ YIQ
    image = cv2.transform(image, (brightness * contrast * turn).astype(np.float32))
    mean = brightness * (1 - contrast) * float(image.mean((0, 1)) @ GREY)
    return np.clip(image + np.float32(mean), 0, 255)


def centre_label(box: Array, radius: int = 2) -> np.ndarray:
    """SiamFC's label (n, n)."""
    cell = np.floor((box[:2] - SEARCH / 2) / 8 + 0.5) + CELLS // 2
    far = np.abs(np.arange(CELLS) - cell[:, None])
    return (far[1][:, None] + far[0] <= radius).astype(np.float32)


def anchor_targets(anchors: Array, box: Array, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Labels (A, n, n), deltas (4, A, n, n) and weights of the anchors; at most 64 are kept, 16 of them positive."""
    low = np.maximum(anchors[:2] - anchors[2:] / 2, (box[:2] - box[2:] / 2)[:, None, None, None])
    high = np.minimum(anchors[:2] + anchors[2:] / 2, (box[:2] + box[2:] / 2)[:, None, None, None])
    both = np.clip(high - low, 0, None).prod(0)
    iou = both / (anchors[2:].prod(0) + box[2:].prod() - both)
    label = np.full(iou.shape, -1, np.float32)
    positive = rng.permutation(np.flatnonzero(iou > 0.6))[:16]
    negative = rng.permutation(np.flatnonzero(iou < 0.3))[: 64 - len(positive)]
    label.flat[positive], label.flat[negative] = 1, 0
    target = box[:, None, None, None]
    delta = np.concatenate([(target[:2] - anchors[:2]) / anchors[2:], np.log(target[2:] / anchors[2:])])
    weight = (label == 1) / (len(positive) + 1e-6)
    return label, delta.astype(np.float32), weight.astype(np.float32)


def published_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, batch: list[Tensor], loss_of: Any, clip: float = 10
) -> float:
    """Forward, backward, clip, step, in float32 and as PyTorch does by default; returns the loss."""
    device = next(model.parameters()).device
    batch = [part.to(device) for part in batch]
    loss = loss_of(model(batch[0], batch[1]), batch)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return loss.item()
