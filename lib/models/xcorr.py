"""Cross-correlations of each slot's kernels with its search features.

Axes: N slots, S search images (scales) of one slot, K kernels of a slot, C channels, H W search cells, h w kernel
cells.

While a model is traced for export, the same sums are slices that are added up: the number of slots is not known then,
ONNX has no convolution whose groups are a variable, and not every runtime has ``fold``.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

HALVES = (torch.bfloat16, torch.float16)


def xcorr(kernels: Tensor, features: Tensor) -> Tensor:
    """Slide each slot's K kernels over its S feature maps, summing over channels.

    kernels (N, K, C, h, w), features (N*S, C, H, W), row n*S + s belonging to slot n -> (N*S, K, H-h+1, W-w+1), with
    out[r, k, i, j] = sum over c, u, v of kernels[n, k, c, u, v] * features[r, c, i + u, j + v].

    One matrix product per slot sums over channels, for every kernel cell at every search cell; its results are then
    added up shifted by (u, v), which is what ``fold`` does with flipped kernels. That is up to ten times faster on
    CPUs than a grouped convolution, whose groups would have as few as one output channel.
    """
    if features.dtype in HALVES:  # of rounded sums many would be the highest
        kernels, features = kernels.float(), features.float()
    slots, count, channels, h, w = kernels.shape
    rows, _, height, width = features.shape
    flipped = kernels.flip(-2, -1).reshape(slots, 1, count, channels, h * w)
    flipped = flipped.transpose(-2, -1).reshape(slots, 1, count * h * w, channels)
    cells = features.reshape(slots, rows // slots, channels, height * width)
    products = torch.matmul(flipped, cells).view(rows, count * h * w, height * width)
    if torch.jit.is_tracing():
        each = products.view(rows, count, h, w, height, width).flip(2, 3)
        return _added_up(lambda u, v: each[:, :, u, v], (h, w), (height, width))
    full = F.fold(products, (height + h - 1, width + w - 1), (h, w))
    return full[..., h - 1 : height, w - 1 : width]


def depthwise_xcorr(kernels: Tensor, features: Tensor) -> Tensor:
    """Slide each slot's kernel over its S feature maps, each channel on its own.

    kernels (N, C, h, w), features (N*S, C, H, W), row n*S + s belonging to slot n -> (N*S, C, H-h+1, W-w+1), with
    out[r, c, i, j] = sum over u, v of kernels[n, c, u, v] * features[r, c, i + u, j + v].
    """
    slots, channels, h, w = kernels.shape
    rows, _, height, width = features.shape
    if torch.jit.is_tracing():
        weights = kernels.unsqueeze(1)[..., None, None]
        cells = features.reshape(slots, rows // slots, channels, height, width)
        out = _added_up(lambda u, v: weights[:, :, :, u, v] * cells, (h, w), (height, width))
        return out.flatten(0, 1)
    each = kernels.unsqueeze(1).expand(-1, rows // slots, -1, -1, -1).reshape(rows * channels, 1, h, w)
    out = F.conv2d(features.reshape(1, rows * channels, height, width), each, groups=rows * channels)
    return out.view(rows, channels, *out.shape[-2:])


def _added_up(product: Callable[[int, int], Tensor], kernel: Sequence[int], search: Sequence[int]) -> Tensor:
    """Sum over the kernel's cells of their products with the search cells that each of them meets.

    ``product(u, v)`` (..., H, W) -> (..., H-h+1, W-w+1).
    """
    (h, w), (height, width) = kernel, search
    down, right = height - h + 1, width - w + 1
    parts = (product(u, v)[..., u : u + down, v : v + right] for u in range(int(h)) for v in range(int(w)))
    return reduce(torch.add, parts)
