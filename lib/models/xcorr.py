"""Cross-correlation of each slot's kernel with its search features.

Axes: N slots, S search images (scales) of one slot, K kernels of a slot, C channels, H W search cells, h w kernel cells.
"""

import torch.nn.functional as F
from torch import Tensor


def xcorr(kernels: Tensor, features: Tensor) -> Tensor:
    """Slide each slot's K kernels over its S feature maps, summing over channels.

    kernels (N, K, C, h, w), features (N*S, C, H, W), row n*S + s belonging to slot n -> (N*S, K, H-h+1, W-w+1).
    """
    slots, count, channels, *_ = kernels.shape
    rows, _, height, width = features.shape
    scales = rows // slots
    x = features.reshape(slots, scales, channels, height, width).transpose(0, 1).flatten(1, 2)
    out = F.conv2d(x, kernels.flatten(0, 1), groups=slots)
    return out.unflatten(1, (slots, count)).transpose(0, 1).flatten(0, 1)
