"""Box regression loss of the region proposal heads. Axes: N samples, A anchors, H W cells."""

import torch
from torch import Tensor


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum over positives of weight * |prediction - target|_1, over N: a float scalar, no host synchronisation.

    ``prediction`` (N, 4A, H, W), channels in (4, A) order; ``target`` (N, 4, A, H, W); ``weight`` (N, A, H, W), 1 /
    (number of positives of the sample + 1e-6) on the positives and 0 elsewhere (SiamRPN as published with SiamDW).
    """
    n, four, a, h, w = target.shape
    if prediction.shape != (n, 4 * a, h, w) or weight.shape != (n, a, h, w) or four != 4:
        raise ValueError(
            "prediction (N, 4A, H, W), target (N, 4, A, H, W) and weight (N, A, H, W) must agree; "
            f"got {tuple(prediction.shape)}, {tuple(target.shape)} and {tuple(weight.shape)}"
        )
    wide = torch.float64 if prediction.dtype == torch.float64 else torch.float32
    error = (prediction.to(wide).unflatten(1, (4, a)) - target).abs().sum(1)
    # selected, not multiplied: a far-away cell's inf * 0 is NaN
    return torch.where(weight > 0, weight * error, error.new_zeros(())).sum() / n
