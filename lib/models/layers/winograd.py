"""3x3 convolutions in fewer multiplications, for CPUs: Winograd's minimal filtering (Lavin and Gray, CVPR 2016).

Axes: N images, C channels (O of the output), H W cells, T tiles: six rows of outputs, which read eight rows of inputs.

Along the rows a tile is a product of polynomials seen from behind (Toom-Cook). With V_n the powers 0 .. n-1 of eight
points, the last at infinity, the rows y of a column are V_6' ((V_3 g) . (V_8'^-1 d)) of its weights g and inputs d: 8
products instead of 18. What is left in their place are eight 1x3 convolutions, which sum over columns and channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity
ONE = POINTS.index(1.0)  # its product goes to all rows alike, and with it a bias
READ, MADE = 8, 6  # rows of a tile
CHANNELS, PRODUCTS = 128, 270e6  # of one image, from which on those that are saved take longer than the transforms


def pays(x: Tensor, weight: Tensor, stride: Sequence[int], groups: int) -> bool:
    """Whether such a convolution of ``x`` (N, C, H, W) by ``weight`` (O, C, k, k) is faster so than directly.

    The number of images has no say: in a batch an image's features are those that it has alone.
    """
    o, c, *kernel = weight.shape
    if kernel != [3, 3] or tuple(stride) != (1, 1) or groups != 1 or x.dtype != torch.float32:
        return False
    n, _, h, w = x.shape
    return n > 0 and h >= READ and min(o, c) >= CHANNELS and 9 * o * c * h * w >= PRODUCTS


def transformed(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (8, O, C, 1, 3): the kernels of the products."""
    return torch.einsum("ki,ocij->kocj", _powers(3), weight.double()).unsqueeze(3).to(weight.dtype)


def tiles(x: Tensor) -> Tensor:
    """Rows of the inputs for the products: (N, C, H, W), channels last -> (8, 1, C, N T, W), channels last."""
    n, c, h, w = x.shape
    starts = torch.arange(0, h - 2, MADE).clamp(max=h - READ)  # the last may overlap the one before
    first = (torch.arange(n)[:, None] * h + starts).flatten()
    rows = (first + torch.arange(READ)[:, None]).flatten()
    taken = x.permute(0, 2, 3, 1).reshape(n * h, w * c).index_select(0, rows)
    return (_BEFORE @ taken.view(READ, -1)).view(READ, 1, len(first), w, c).movedim(-1, 2)


def rows_of(products: Sequence[Tensor], n: int, h: int) -> Tensor:
    """The way back: eight times (1, O, N T, W) -> (N, O, H, W), ``h`` rows, channels last."""
    _, o, _, w = products[0].shape
    stacked = torch.stack([product.movedim(1, -1).flatten() for product in products])
    count = -(-h // MADE)
    tile = (torch.arange(h) // MADE).expand(n, h) + torch.arange(n)[:, None] * count
    within = torch.arange(h) % MADE
    within[(count - 1) * MADE :] += count * MADE - h
    made = (_AFTER @ stacked).view(MADE * n * count, w * o)
    return made.index_select(0, (within * n * count + tile).flatten()).view(n, h, w, o).permute(0, 3, 1, 2)


def _powers(count: int) -> Tensor:
    """(8, count): powers 0 .. count - 1 of the points; of infinity the highest one alone counts."""
    powers = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
    return torch.cat([powers, torch.eye(count, dtype=torch.float64)[-1:]])


_BEFORE = torch.linalg.inv(_powers(READ)).T.float().contiguous()
_AFTER = _powers(MADE).T.float().contiguous()
