"""The sub-window crop and the scale pyramid: one definition, two engines with the same bytes.

Axes: N slots, S scales, m output side, H W image rows and columns. Images are (H, W, 3) uint8 BGR.

A sub-window of side ``s`` at a centre (cx, cy) starts at ``round(cx - (s + 1) / 2)`` (half to even), has ``int(s)``
pixels (the trackers round s first), shows the first frame's mean colour outside the image, and is resized to m x m as
OpenCV's bilinear resize of uint8 does it. ``*_cv2`` loops over the slots on the host; ``*_torch`` gathers from uint8
frames on any device, in batch, with OpenCV's fixed-point arithmetic (11-bit weights, two shifts): both give the same
bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from lib.memory import sent

WEIGHT_BITS = 11  # OpenCV's INTER_RESIZE_COEF_BITS
GATHERED = 8  # windows so many times larger than what they become are gathered pixel by pixel


@dataclass(frozen=True, eq=False)
class Frames:
    """N images of any sizes in one flat tensor, so that a batched gather needs no padding.

    ``pixels`` uint8 (sum of 3 H W,); ``offset``, ``height``, ``width`` int64 (N,) on the same device; ``shapes`` (H, W)
    of each on the host.
    """

    pixels: Tensor
    offset: Tensor
    height: Tensor
    width: Tensor
    shapes: tuple[tuple[int, int], ...]

    @classmethod
    def pack(cls, images: Sequence[Tensor | np.ndarray], device: torch.device | str | None = None) -> "Frames":
        """N images (H, W, 3) uint8; they are copied only when there is more than one."""
        tensors = [torch.as_tensor(image, device=device) for image in images]
        for image in tensors:
            if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[-1] != 3:
                raise ValueError(f"a frame must be (H, W, 3) uint8 BGR, got {tuple(image.shape)} {image.dtype}")
        flat = [image.reshape(-1) for image in tensors]
        shapes = tuple((image.shape[0], image.shape[1]) for image in tensors)
        return cls(flat[0] if len(flat) == 1 else torch.cat(flat), *_places(shapes, flat[0].device), shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def images(self) -> list[Tensor]:
        """The N images as (H, W, 3) views."""
        sizes = [3 * h * w for h, w in self.shapes]
        return [p.view(h, w, 3) for p, (h, w) in zip(self.pixels.split(sizes), self.shapes, strict=True)]

    def part(self, start: int, end: int) -> "Frames":
        """The images of slots ``start`` to ``end`` - 1; no pixel is copied."""
        sizes = [3 * h * w for h, w in self.shapes[:end]]
        first = sum(sizes[:start])
        pixels, offset = self.pixels[first : sum(sizes)], self.offset[start:end] - first
        return Frames(pixels, offset, self.height[start:end], self.width[start:end], self.shapes[start:end])

    def mean_colour(self) -> Tensor:
        """(N, 3) uint8: the mean of each channel, truncated; what a window shows outside the image."""
        means = [image.view(-1, 3).sum(0, dtype=torch.int64).double() / (image.numel() // 3) for image in self.images()]
        return torch.stack(means).to(torch.uint8)


def context_side(width, height):
    """Side of the square with half the mean size as context on each side: sqrt((w + p)(h + p)), p = (w + h) / 2.

    NumPy arrays, tensors or numbers, pixels (SiamFC, section 2; Bertinetto et al. 2016).
    """
    context = (width + height) / 2
    return ((width + context) * (height + context)) ** 0.5


def round_half_away(value: Tensor) -> Tensor:
    """Rounding of the SiamRPN trackers' sides (Python 2's): halves go away from zero."""
    halfway = torch.round(value + 1) - torch.round(value) != 1
    return torch.where(halfway, value + torch.sign(value) * 0.5, torch.round(value))


@lru_cache(maxsize=64)
def _places(shapes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Offset, height and width of images one after another. Kept: a copy to a GPU would wait for all before it."""
    starts = np.cumsum([0] + [3 * h * w for h, w in shapes[:-1]])
    with torch.inference_mode(False):  # they outlive what asks for them first
        table = torch.tensor([starts.tolist(), *zip(*shapes, strict=True)], dtype=torch.int64)
        offset, height, width = sent(table, device)
    return offset, height, width


# ---- OpenCV, slot by slot


def subwindow(image: np.ndarray, centre: Sequence[float], side: float, out: int, fill: Sequence[int]) -> np.ndarray:
    """One sub-window of ``side`` source pixels at ``centre`` (x, y), resized to (out, out, 3) uint8."""
    if side < 1:
        raise ValueError(f"the side of a sub-window must be at least 1 pixel, got {side}")
    if side > GATHERED * out:  # few of its pixels count: gather those instead of copying all
        at = torch.tensor([[float(c) for c in centre]], dtype=torch.float64)
        sides, colour = torch.tensor([float(side)], dtype=torch.float64), torch.tensor([[int(c) for c in fill]]).byte()
        gathered = subwindows_torch(Frames.pack([image]), at, sides, out, colour)
        return gathered[0].permute(1, 2, 0).contiguous().numpy()
    height, width = image.shape[:2]
    x0, y0 = (round(float(c) - (side + 1) / 2) for c in centre)
    side = int(side)
    left, top = min(max(x0, 0), width), min(max(y0, 0), height)
    right, bottom = min(max(x0 + side, left), width), min(max(y0 + side, top), height)
    patch = image[top:bottom, left:right]
    if not patch.size:
        patch = np.full((side, side, 3), fill, np.uint8)
    elif patch.shape[:2] != (side, side):
        around = (top - y0, y0 + side - bottom, left - x0, x0 + side - right)
        patch = cv2.copyMakeBorder(patch, *around, cv2.BORDER_CONSTANT, value=[int(c) for c in fill])
    return patch if side == out else cv2.resize(patch, (out, out), interpolation=cv2.INTER_LINEAR)


def pyramid(
    image: np.ndarray, centre: Sequence[float], sides: Sequence[float], out: int, fill: Sequence[int]
) -> np.ndarray:
    """Windows of several sides (ascending, rounded here) at one centre -> (S, out, out, 3) uint8.

    The largest is cropped once, at the resolution that the smallest needs; the others are sub-windows of it.
    """
    rounded = [round(float(side)) for side in sides]
    zoom = out / rounded[0]
    region_side = round(zoom * rounded[-1])
    region = subwindow(image, centre, rounded[-1], region_side, fill)
    middle = (1 + region_side) / 2
    return np.stack([subwindow(region, (middle, middle), round(zoom * side), out, fill) for side in rounded])


def _to_batch(patches: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2)


def subwindows_cv2(frames: Frames, centre: Tensor, side: Tensor, out: int, fill: Tensor) -> Tensor:
    """(N, 3, out, out) uint8 windows; ``centre`` (N, 2) float64, ``side`` (N,), ``fill`` (N, 3) uint8."""
    rows = zip(frames.images(), centre.tolist(), side.tolist(), fill.tolist(), strict=True)
    return _to_batch([subwindow(image.numpy(), c, s, out, f) for image, c, s, f in rows])


def pyramids_cv2(frames: Frames, centre: Tensor, sides: Tensor, out: int, fill: Tensor, zoom: float = 1.0) -> Tensor:
    """(N * S, 3, out, out) uint8 pyramids; ``sides`` (N, S) ascending. ``zoom`` is for the other engine."""
    rows = zip(frames.images(), centre.tolist(), sides.tolist(), fill.tolist(), strict=True)
    return _to_batch([patch for image, c, s, f in rows for patch in pyramid(image.numpy(), c, s, out, f)])


# ---- PyTorch, in batch


def _taps(side: Tensor, out: Tensor, count: int, *, border_weighs: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Neighbours and weights of OpenCV's bilinear resize of ``side`` pixels to ``out``, at its first ``count`` places.

    ``side`` and ``out`` (...,) -> (i0, i1) int64 and (a0, a1) int32, each (..., count). At the border OpenCV puts all
    the weight on one pixel along a row, but along a column keeps two weights on the same repeated pixel: the sums round
    differently.
    """
    step = 1.0 / (out.double() / side.double())
    at = ((torch.arange(count, device=side.device, dtype=torch.float64) + 0.5) * step[..., None] - 0.5).float()
    first = torch.floor(at)
    weight = at - first
    first, last = first.long(), side.long()[..., None] - 1
    if not border_weighs:
        weight = torch.where((first < 0) | (first >= last), 0.0, weight)
    one = 1 << WEIGHT_BITS
    a0, a1 = torch.round((1 - weight) * one).int(), torch.round(weight * one).int()
    return first.clamp(min=0).minimum(last), (first + 1).clamp(min=0).minimum(last), a0, a1


def _blend_rows(above: Tensor, below: Tensor, b0: Tensor, b1: Tensor) -> Tensor:
    """The vertical half of the resize: two rows of horizontal sums (int32, scaled by 2^11) -> uint8."""
    return ((((b0 * (above >> 4)) >> 16) + ((b1 * (below >> 4)) >> 16) + 2) >> 2).to(torch.uint8)


def _gather(frames: Frames, x: Tensor, y: Tensor, fill: Tensor) -> Tensor:
    """Pixels at columns ``x`` (N, w) and rows ``y`` (N, h) -> (N, 3, h, w) int32, ``fill`` outside the image."""
    width, height = frames.width[:, None], frames.height[:, None]
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    rows = frames.offset[:, None] // 3 + width * y.clamp(min=0).minimum(height - 1)
    at = rows[:, :, None] + x.clamp(min=0).minimum(width - 1)[:, None, :]
    pixels = frames.pixels.view(-1, 3)[at]
    return torch.where(inside[..., None], pixels, fill[:, None, None]).int().movedim(-1, 1)


def _resized_windows(frames: Frames, centre: Tensor, side: Tensor, out: Tensor, count: int, fill: Tensor) -> Tensor:
    """Windows resized to an ``out`` (N,) of their own -> (N, 3, count, count) uint8, without meaning beyond ``out``."""
    start = torch.round(centre - (side[:, None] + 1) / 2).long()
    side = side.floor()
    x0, x1, a0, a1 = _taps(side, out, count, border_weighs=False)
    y0, y1, b0, b1 = _taps(side, out, count, border_weighs=True)
    pixels = _gather(frames, torch.cat([x0, x1], 1) + start[:, :1], torch.cat([y0, y1], 1) + start[:, 1:], fill)
    left, right = pixels.chunk(2, 3)
    above, below = (left * a0[:, None, None, :] + right * a1[:, None, None, :]).chunk(2, 2)
    return _blend_rows(above, below, b0[:, None, :, None], b1[:, None, :, None])


def subwindows_torch(frames: Frames, centre: Tensor, side: Tensor, out: int, fill: Tensor) -> Tensor:
    """As :func:`subwindows_cv2`, batched on the device of ``frames``."""
    return _resized_windows(frames, centre, side, torch.full_like(side, out), out, fill)


def pyramids_torch(frames: Frames, centre: Tensor, sides: Tensor, out: int, fill: Tensor, zoom: float = 1.5) -> Tensor:
    """As :func:`pyramids_cv2`, batched. The region in the middle is held at ``zoom * out`` pixels a side at most.

    ``zoom`` must be at least the largest side over the smallest, both rounded, for the result to be exact.
    """
    slots, scales = sides.shape
    rounded = torch.round(sides)
    beta = out / rounded[:, :1]
    bound = int(np.ceil(zoom * out))
    inner = torch.round(beta * rounded).clamp(max=bound)  # (N, S) sides of the sub-windows in the region
    region_side = inner[:, -1]
    region = _resized_windows(frames, centre, rounded[:, -1], region_side, bound, fill).int()

    start = torch.round((1 + region_side[:, None]) / 2 - (inner + 1) / 2).long()[..., None]  # (N, S, 1), never negative
    target = torch.full_like(inner, out)
    x0, x1, a0, a1 = _taps(inner, target, out, border_weighs=False)
    y0, y1, b0, b1 = _taps(inner, target, out, border_weighs=True)

    def columns(index: Tensor) -> Tensor:  # (N, S, m) -> (N, S, 3, bound, m)
        index = (index + start)[:, :, None, None].expand(slots, scales, 3, bound, out)
        return region[:, None].expand(slots, scales, 3, bound, bound).gather(-1, index)

    def rows(sums: Tensor, index: Tensor) -> Tensor:  # (N, S, 3, bound, m) -> (N, S, 3, m, m)
        return sums.gather(-2, (index + start)[:, :, None, :, None].expand(slots, scales, 3, out, out))

    sums = columns(x0) * a0[:, :, None, None] + columns(x1) * a1[:, :, None, None]
    patches = _blend_rows(rows(sums, y0), rows(sums, y1), b0[:, :, None, :, None], b1[:, :, None, :, None])
    return patches.flatten(0, 1)


ENGINES = {"cv2": (subwindows_cv2, pyramids_cv2), "torch": (subwindows_torch, pyramids_torch)}
