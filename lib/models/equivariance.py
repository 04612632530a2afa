"""How far a network is from scale equivariance, measured.

Axes: N images, C channels, S scales, H W cells.

Enlarge an image by the ratio of neighbouring scales: the features of an equivariant network grow with it, and what was
found at scale s is found at scale s + 1. An ordinary network has no scales; its features can only grow with the image.
"""

from collections.abc import Callable

import torch
from torch import Tensor


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
def equivariance_error(
    network: Callable[[Tensor], Tensor], images: Tensor, *, ratio: float = 1.4, border: int = 0
) -> float:
    """|features of the enlarged image - enlarged (and scale-shifted) features| / |enlarged features|.

    ``images`` (N, 3, H, H) with H = 127 + 8 n, so that cells lie evenly about the middle; ``network`` gives features
    (N, C, S, h, h), which are compared one scale apart, or (N, C, h, h). Only cells inside of the image count, without
    its ``border`` cells, where a network that pads sees its padding.
    """
    side = images.shape[-1]
    whole = side + (int(side * (ratio - 1)) - 8) // 8 * 8  # of the enlarged image, inside of what the image shows
    small, large = network(images), network(zoomed(images, ratio, whole))
    if small.dim() == 5:
        small, large = small[:, :, :-1].flatten(1, 2), large[:, :, 1:].flatten(1, 2)
    inside = min(large.shape[-1], 2 * int(ratio * ((small.shape[-1] - 1) / 2 - border)) + large.shape[-1] % 2)
    margin = (large.shape[-1] - inside) // 2
    large = large[..., margin : margin + inside, margin : margin + inside]
    wanted = zoomed(small, ratio, inside)
    return float((large - wanted).norm() / wanted.norm())
