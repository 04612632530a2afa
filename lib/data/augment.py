"""Augmentation of a batch of crops on the device: window, flip, rotation in one resampling, then blur and colour.

Axes: N samples, S side of the crop, m side of the output, 2 = x y. What is random comes as parameters drawn on the host
in float64, so that a batch is the same on every device but for rounding of pixels.

Pixels are sampled at their indices: output 0 .. m - 1 lies on x1 .. x2 of the window, scale (m - 1) / (x2 - x1). Boxes
(cxcywh) are measured from the window's edge, scale m / (x2 - x1): a target in the middle is at m / 2, half a pixel more
than its index. (Both as published; trained weights depend on it.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.memory import sent

ROTATION_LIMIT = 10.0  # degrees
HUE_LIMIT = 0.05  # turns
GREY = (0.114, 0.587, 0.299)  # luminance of B, G, R (ITU-R BT.601)
# hue and saturation live in the two colour differences of YIQ; rows: Y I Q of B, G, R
YIQ = (GREY, (-0.321, -0.274, 0.595), (0.311, -0.523, 0.212))
CACHE_ROWS = 4  # images that a CPU works on at a time: half the time of a whole batch, which leaves the cache
DRAWS = 16  # uniform numbers a sample; a new use takes a column of its own, so that the old ones stay as they are
SHARED = [4, 13]  # those that both images of a pair have in common: flip, grey
MOTIONS = 8  # kinds of motion blur: along x or y, 3, 5, 7 or 9 pixels


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training images stray. Probabilities are per sample."""

    shift: float = 4.0  # most pixels (of the crop) that the window moves, each way
    scale: float = 0.05  # most that the window grows or shrinks, per axis, as a fraction
    search_shift: float | None = None  # of the search image alone; None = shift
    search_scale: float | None = None  # of the search image alone; None = scale
    color: float = 1.0  # probability of jitter in brightness, contrast, saturation and hue
    color_range: float = 0.05  # most that these change: factors, hue in turns (at most .05)
    grey: float = 0.0  # probability that both images of a pair lose their colour
    motion_blur: float = 0.0  # probability of a blur along x or y
    flip: float = 0.0  # probability that both images of a pair are mirrored left to right
    blur: float = 0.0  # probability of a Gaussian blur, sigma 1 pixel
    rotation: float = 0.0  # probability of a rotation within 10 degrees


class Plan(NamedTuple):
    """What is done to each of N samples of one kind (template or search); on the host."""

    affine: Tensor  # (N, 2, 3) float64: crop x y of an output x y 1
    box: Tensor  # (N, 4) float64: the target in the output
    color: Tensor | None  # (N, 4) float32 as colour_jitter takes it; None = no sample has any
    blurred: Tensor  # (N,) bool
    motion: Tensor  # (N,) int64: 0 .. MOTIONS - 1, -1 = none

    def of(self, rows: Tensor) -> "Plan":
        """The plan of some samples."""
        color = None if self.color is None else self.color[rows]
        return Plan(self.affine[rows], self.box[rows], color, self.blurred[rows], self.motion[rows])


def plan(draws: Tensor, side: Tensor, size: Tensor, m: int, augmentation: Augmentation, *, search: bool) -> Plan:
    """Turn uniform numbers (N, 16) into a plan for crops of ``side`` (N,) with targets of ``size`` (N, 2).

    ``search`` chooses the limits of shift and scale. Columns: 0, 1 shift; 2, 3 scale; 4 flip; 5 rotation or not;
    6 angle; 7 blur; 8 colour or not; 9 .. 12 brightness, contrast, saturation, hue; 13 grey; 14 motion blur or not;
    15 its kind.
    """
    draws, a = draws.double(), augmentation
    spread = draws * 2 - 1
    most_shift = a.search_shift if search and a.search_shift is not None else a.shift
    most_scale = a.search_scale if search and a.search_scale is not None else a.scale
    corners = window(side, m, spread[:, 0:2] * most_shift, 1 + spread[:, 2:4] * most_scale)
    flip = draws[:, 4] < a.flip
    angle = torch.where(draws[:, 5] < a.rotation, spread[:, 6] * math.radians(ROTATION_LIMIT), 0.0)
    color = None
    if a.color > 0 or a.grey > 0:
        drawn = (draws[:, 8] < a.color)[:, None]
        limits = torch.tensor([a.color_range] * 3 + [min(a.color_range, HUE_LIMIT)], dtype=torch.float64)
        neutral = torch.tensor([1.0, 1, 1, 0], dtype=torch.float64)
        color = torch.where(drawn, neutral + limits * spread[:, 9:13], neutral).float()
        color[:, 2] *= draws[:, 13] >= a.grey  # saturation 0
    motion = torch.where(draws[:, 14] < a.motion_blur, (draws[:, 15] * MOTIONS).long(), -1)
    box = box_in_window(side, size, corners, m)
    return Plan(affine_of(corners, m, flip, angle), turn_box(box, m, flip, angle), color, draws[:, 7] < a.blur, motion)


def window(side: Tensor, m: int, shift: Tensor, scale: Tensor) -> Tensor:
    """Corners x1 y1 x2 y2 (N, 4) of the window of nominal side ``m`` about the middle, S // 2, of the crop.

    ``shift`` and ``scale`` (N, 2) are what is asked for; the scale is limited to S / m, then the shift so that
    0 <= x1 and x2 <= S - 1, the former last (a window as large as the crop ends at S).
    """
    side = side[:, None].double()
    half = m * torch.minimum(scale, side / m) / 2
    middle = side // 2
    shift = torch.maximum(-(middle - half), torch.minimum(side - 1 - (middle + half), shift))
    return torch.cat([middle + shift - half, middle + shift + half], 1)


def box_in_window(side: Tensor, size: Tensor, corners: Tensor, m: int) -> Tensor:
    """The target, centred at S // 2 in the crop, as it moves and scales with the window: (N, 4)."""
    a = m / (corners[:, 2:] - corners[:, :2])
    return torch.cat([(side[:, None] // 2 - corners[:, :2]) * a, size * a], 1)


def affine_of(corners: Tensor, m: int, flip: Tensor, angle: Tensor) -> Tensor:
    """(N, 2, 3): output pixel (x, y, 1) -> crop pixel, for a window that is resampled, then flipped, then rotated.

    Rotation by ``angle`` radians (clockwise on the screen) about the middle of the output, (m - 1) / 2.
    """
    c, s = torch.cos(angle), torch.sin(angle)
    mirror = torch.where(flip, -1.0, 1.0)
    back = torch.stack([torch.stack([mirror * c, mirror * s], 1), torch.stack([-s, c], 1)], 1)  # flip o turn back
    step = (corners[:, 2:] - corners[:, :2]) / (m - 1)
    linear = step[:, :, None] * back
    middle = (m - 1) / 2
    offset = corners[:, :2] + middle * (step - linear.sum(2))
    return torch.cat([linear, offset[:, :, None]], 2)


def turn_box(box: Tensor, m: int, flip: Tensor, angle: Tensor) -> Tensor:
    """Flip and rotate (N, 4) boxes with their images.

    A rotated box becomes the axis-aligned one of the same centre and area and of the shape of its bounding box, as a
    tracker's start box from a polygon.
    """
    c, s = torch.cos(angle), torch.sin(angle)
    x, y = (box[:, :2] - m / 2).unbind(1)
    x = torch.where(flip, -x, x)
    centre = torch.stack([c * x - s * y, s * x + c * y], 1) + m / 2
    w, h = box[:, 2:].unbind(1)
    bounding = torch.stack([c * w + s.abs() * h, s.abs() * w + c * h], 1)
    return torch.cat([centre, bounding * torch.sqrt(w * h / bounding.prod(1))[:, None]], 1)


def resample(images: Tensor, affine: Tensor, m: int) -> Tensor:
    """Bilinear samples (N, 3, m, m) float32 of (N, 3, S, S) uint8 crops; beyond a crop its border goes on."""
    steps = torch.arange(m, device=images.device, dtype=torch.float32)
    # grid_sample's -1 .. 1 is pixel 0 .. S - 1
    a = (affine * (2 / (images.shape[-1] - 1))).float().to(images.device, non_blocking=True)[..., None, None]
    xy = a[:, :, 0] * steps + a[:, :, 1] * steps[:, None] + (a[:, :, 2] - 1)
    return F.grid_sample(images.float(), xy.permute(0, 2, 3, 1), padding_mode="border", align_corners=True)


def gaussian_blur(images: Tensor, sigma: float = 1.0) -> Tensor:
    """Gaussian blur of (N, C, m, m), cut at 4 sigma; beyond the image lies its mirror, the border pixel twice."""
    return blur_along(blur_along(images, 2, sigma), 3, sigma)


def blur_along(images: Tensor, axis: int, sigma: float) -> Tensor:
    radius, m = int(4 * sigma + 0.5), images.shape[axis]
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    cells = torch.arange(-radius, m + radius, device=images.device) % (2 * m)
    wide = images.index_select(axis, torch.minimum(cells, 2 * m - 1 - cells))
    # shifted sums: a depth-wise convolution is ten times as slow on a CPU
    out = wide.narrow(axis, radius, m) * (weights[0] / total)
    for k in range(1, radius + 1):
        out.add_(wide.narrow(axis, radius - k, m), alpha=weights[k] / total)
        out.add_(wide.narrow(axis, radius + k, m), alpha=weights[k] / total)
    return out


def motion_blur(images: Tensor, kind: int) -> Tensor:
    """Mean over 3 + 2 (kind // 2) pixels along x (even) or y (odd) of (N, C, m, m); beyond the image its border."""
    reach = 1 + kind // 2
    size, sides = (
        ((1, 2 * reach + 1), (reach, reach, 0, 0)) if kind % 2 == 0 else ((2 * reach + 1, 1), (0, 0, reach, reach))
    )
    return F.avg_pool2d(F.pad(images, sides, mode="replicate"), size, stride=1)


def colour_matrix(factors: Tensor) -> Tensor:
    """(N, 4) brightness, contrast, saturation (1 = none), hue (turns, 0 = none) -> (N, 3, 3) on B G R.

    Contrast's shift towards the mean is left to :func:`colour_jitter`. Hue turns and saturation stretches the two
    colour differences of YIQ; the luminance stays.
    """
    brightness, contrast, saturation, hue = factors.double().unbind(1)
    c, s = (saturation * f(2 * math.pi * hue) for f in (torch.cos, torch.sin))
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    turn = torch.stack([one, zero, zero, zero, c, -s, zero, s, c], 1).reshape(-1, 3, 3)
    yiq = torch.tensor(YIQ, dtype=torch.float64, device=factors.device)
    return (brightness * contrast)[:, None, None] * (torch.linalg.inv(yiq) @ turn @ yiq)


def colour_jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Jitter brightness, contrast (about the mean luminance), saturation and hue of (N, 3, m, m), 0 .. 255.

    The four commute but for the final clamp to 0 .. 255. ``factors`` (N, 4) on the host, as in :func:`colour_matrix`.
    """
    matrix = colour_matrix(factors)
    # contrast pulls towards its share of the mean luminance: a row more, on the means of B G R
    towards = (factors[:, 0] * (1 - factors[:, 1])).double()[:, None] * torch.tensor(GREY, dtype=torch.float64)
    both = torch.cat([matrix, towards[:, None]], 1).to(images.dtype).to(images.device, non_blocking=True)
    mean = both[:, 3:] @ images.mean((2, 3))[:, :, None]
    return torch.bmm(both[:, :3], images.flatten(2)).add_(mean).clamp_(0, 255).view_as(images)


def render(parts: Sequence[tuple[Tensor, Tensor]], plan: Plan, m: int, device: torch.device) -> Tensor:
    """Carry out a plan: (rows, (k, 3, S, S) uint8) crops, one entry a side, to (N, 3, m, m) float32 on ``device``.

    Every transfer is from the host to the device and none is waited for.
    """
    count = len(plan.affine)
    chunk = CACHE_ROWS if device.type == "cpu" else count
    images = torch.empty((count, 3, m, m), device=device)
    for rows, crops in parts:
        for some, pixels in zip(rows.split(chunk), crops.split(chunk), strict=True):
            done = _render(sent(pixels, device), plan.of(some), m)
            if len(done) == count:
                return done
            images.index_copy_(0, some.to(device, non_blocking=True), done)
    return images


def _render(crops: Tensor, plan: Plan, m: int) -> Tensor:
    images = resample(crops, plan.affine, m)
    blurred = plan.blurred.nonzero()[:, 0]  # the plan lies on the host: nothing is waited for
    if len(blurred):
        rows = blurred.to(images.device, non_blocking=True)
        images.index_copy_(0, rows, gaussian_blur(images.index_select(0, rows)))
    for kind in plan.motion[plan.motion >= 0].unique().tolist():
        rows = (plan.motion == kind).nonzero()[:, 0].to(images.device, non_blocking=True)
        images.index_copy_(0, rows, motion_blur(images.index_select(0, rows), kind))
    return images if plan.color is None else colour_jitter(images, plan.color)
