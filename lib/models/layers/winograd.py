"""3x3 convolutions in fewer multiplications, for CPUs: Winograd's minimal filtering (Lavin and Gray, CVPR 2016).

Axes: N images, C channels (O of the output), H W cells, T tiles: six rows of outputs, which read eight rows of inputs.

Along the rows a tile is a product of polynomials seen from behind (Toom-Cook). With V_n the powers 0 .. n-1 of eight
points, the last at infinity, the rows y of a column are V_6' ((V_3 g) . (V_8'^-1 d)) of its weights g and inputs d: 8
products instead of 18. What is left in their place are 1x3 convolutions, which sum over columns and channels: one with
a group of channels for each point.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity
READ, MADE = 8, 6  # rows of a tile
CHANNELS, SAVED = 64, 12e6  # products of one image: with fewer the transforms take as long as what they save


def pays(x: Tensor, weight: Tensor, stride: tuple[int, int], groups: int) -> bool:
    """Whether such a convolution of ``x`` (N, C, H, W) by ``weight`` (O, C, k, k) is faster so than directly.

    The number of images has no say: in a batch an image's features are those that it has alone.
    """
    o, c, *kernel = weight.shape
    n, _, h, w = x.shape
    if kernel != [3, 3] or stride != (1, 1) or groups != 1 or x.dtype != torch.float32 or n == 0 or h < READ:
        return False
    rows = 3 * (h - 2) - READ * _tiles_of(h - 2)
    return min(o, c) >= CHANNELS and 3 * o * c * (w - 2) * rows >= SAVED


def transformed(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (8 O, C, 1, 3): what the tiles are to be convolved with, in eight groups; channels last."""
    kernels = torch.einsum("ki,ocij->kojc", _powers(3), weight.double()).to(weight.dtype)
    return kernels.flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)


def at_one(bias: Tensor) -> Tensor:
    """(O,) -> (8 O,): the bias of those groups. The product at 1 goes to all rows alike."""
    at = POINTS.index(1.0)
    return F.pad(bias, (at * len(bias), (len(POINTS) - at) * len(bias)))


def tiles(x: Tensor) -> Tensor:
    """Rows of the inputs for the products: (N, C, H, W) -> (N T, 8 C, 1, W), both channels last."""
    n, c, h, w = x.shape
    count = _tiles_of(h - 2)
    out = x.new_empty(n, count, w, READ, c)
    for image, into in zip(x.permute(0, 2, 3, 1).contiguous(), out, strict=True):
        for tile in range(count):
            start = min(MADE * tile, h - READ)  # the last may overlap the one before
            torch.bmm(_BEFORE.expand(w, -1, -1), image[start : start + READ].transpose(0, 1), out=into[tile])
    return out.view(n * count, 1, w, READ * c).permute(0, 3, 1, 2)


def rows_of(products: Tensor, n: int, h: int, *, relu: bool = False) -> Tensor:
    """The way back, then ReLU if asked: (N T, 8 O, 1, W) -> (N, O, h, W), ``n`` images of ``h`` rows, channels last."""
    w, o = products.shape[3], products.shape[1] // READ
    cells = products.permute(0, 2, 3, 1).reshape(-1, READ, o)
    made = torch.bmm(_AFTER.expand(len(cells), -1, -1), cells).view(n, _tiles_of(h), w, MADE, o).transpose(2, 3)
    out = products.new_empty(n, h, w, o)
    whole, rest = divmod(h, MADE)
    least = 0.0 if relu else float("-inf")  # which changes nothing: both are one pass that also puts rows in order
    torch.clamp_min(made[:, :whole], least, out=out[:, : whole * MADE].unflatten(1, (whole, MADE)))
    if rest:
        torch.clamp_min(made[:, -1, -rest:], least, out=out[:, -rest:])
    return out.permute(0, 3, 1, 2)


def _tiles_of(rows: int) -> int:
    """How many make these rows of outputs."""
    return -(-rows // MADE)


def _powers(count: int) -> Tensor:
    """(8, count): powers 0 .. count - 1 of the points; of infinity the highest one alone counts."""
    powers = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
    return torch.cat([powers, torch.eye(count, dtype=torch.float64)[-1:]])


_BEFORE = torch.linalg.inv(_powers(READ)).T.float().contiguous()
_AFTER = _powers(MADE).T.float().contiguous()
