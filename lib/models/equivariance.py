"""How far a network is from scale equivariance, measured.

Axes: N images, C channels, S scales, H W cells.

Enlarge an image by the ratio of neighbouring scales: the features of an equivariant network grow with it, and what was
found at scale s is found at scale s + 1. An ordinary network has no scales; its features can only grow with the image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

STEPS = (5, 7)  # cells of small and enlarged features from one place where both have a cell to the next
RATIO = STEPS[1] / STEPS[0]


def zoomed(x: Tensor, ratio: float, side: int) -> Tensor:
    """Enlarge (..., H, H) by ``ratio`` about its middle, bicubic, and keep the middle (..., side, side).

    The cubic is Keys' (1981, a = -1/2), which keeps quadratics as they are; PyTorch's (a = -3/4) bends even a ramp.
    """
    size = x.shape[-1]
    at = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / ratio + (size - 1) / 2
    far = (at.clamp(0, size - 1)[:, None] - torch.arange(size, dtype=torch.float64)).abs()
    near = (1.5 * far - 2.5) * far**2 + 1
    weights = torch.where(far <= 1, near, torch.where(far < 2, ((2.5 - 0.5 * far) * far - 4) * far + 2, 0.0))
    weights = (weights / weights.sum(1, keepdim=True)).to(x)  # at the border some cells are missing
    return weights @ x @ weights.mT


@torch.no_grad()
def equivariance_error(network: Callable[[Tensor], Tensor], images: Tensor, *, border: int = 0) -> float:
    """|features of the image enlarged by 7/5 - enlarged (and scale-shifted) features| / |enlarged features|.

    ``images`` (N, 3, H, H) with H = 127 + 8 n, so that cells lie evenly about the middle; ``network`` gives features
    (N, C, S, h, h), which are compared one scale apart, or (N, C, h, h). Features are enlarged without interpolation,
    which would cost more than what is measured: every fifth cell about the middle meets every seventh of the enlarged
    image's. Only cells inside of the image count, without its ``border`` cells, where a network that pads sees its
    padding.
    """
    side = images.shape[-1]
    whole = side + int(side * (RATIO - 1) - 8) // 16 * 16  # of the enlarged image, inside of what the image shows
    small, large = network(images), network(zoomed(images, RATIO, whole))
    if small.dim() == 5:
        small, large = small[:, :, :-1].flatten(1, 2), large[:, :, 1:].flatten(1, 2)
    wanted, found = meeting(small, large, border)
    return float((found - wanted).norm() / wanted.norm())


def meeting(small: Tensor, large: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """The cells of both that lie in the same places of the image: (..., h, h), (..., h', h') -> (..., m, m) each."""
    half_small, half_large = (small.shape[-1] - 1) / 2, (large.shape[-1] - 1) / 2
    first = half_small % 1  # without a cell in the middle the first places are half a step from it
    assert first == half_large % 1, "grids of even and of odd sides never meet"
    reach = min((half_small - border) / STEPS[0], (half_large - border) / STEPS[1])
    count = int(reach - first) + 1
    places = torch.arange(count) + first
    places = torch.cat([-places.flip(0), places]).unique()
    at, at_large = (half_small + STEPS[0] * places).long(), (half_large + STEPS[1] * places).long()
    return small[..., at, :][..., at], large[..., at_large, :][..., at_large]
