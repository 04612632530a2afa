"""Small videos and models for the trackers' tests: the same bytes everywhere."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from lib.evaluation.sequences import Sequence
from lib.models.zoo import build


def render(
    folder: Path, name: str, *, frames: int, size: tuple[int, int], seed: int, hide: range = range(0)
) -> Sequence:
    """A textured patch that drifts over a textured ground; in the frames ``hide`` it jumps to the other corner."""
    rng = np.random.default_rng(seed)
    width, height = size
    ground = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC)
    patch = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), (26, 20), interpolation=cv2.INTER_NEAREST)
    (folder / name).mkdir(parents=True, exist_ok=True)
    paths, truth = [], []
    for t in range(frames):
        x, y = (width - 30, height - 24) if t in hide else (12 + t % (width // 3), 10 + t % (height // 3))
        image = ground.copy()
        image[y : y + 20, x : x + 26] = patch
        paths.append(folder / name / f"{t:04d}.png")
        cv2.imwrite(str(paths[-1]), image)
        truth.append((x, y, 26, 20))
    return Sequence(name=name, frames=tuple(paths), truth=np.array(truth, np.float64))


def small_model(arch: str = "SiamFCRes22") -> nn.Module:
    """An eighth of the channels, weights that depend on the arch alone."""
    torch.manual_seed(3)
    return build(arch, width=0.125).eval()
