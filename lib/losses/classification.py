"""Classification losses: functions of a logit and a label, on any device, without host synchronisation.

Axes: N samples, A anchors, H W cells of the response.
``z`` is the logit: the score itself (SiamFC, 'thinner') or foreground minus background ('thicker').
Labels: 1 positive, 0 negative, -1 ignored; same shape as ``z``, any dtype. A loss is a float32 scalar (float64
for float64 logits).

Every loss divides by the number of members of a class. ``divisors`` replaces the two numbers counted from ``label``:
where each of several processes works on a part of a batch, pass :func:`class_counts` summed over the processes, at
least 1, divided by the number of processes; the mean of the processes' losses is then the loss of the whole batch.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.files import UserError

Loss = Callable[..., Tensor]
BLOCK_WEIGHT = 0.1  # of block_term, beside the classification loss of 'thinner'


def class_counts(label: Tensor) -> Tensor:
    """Number of positives and of negatives, (2,) float32."""
    return torch.stack([(label == 1).sum(), (label == 0).sum()]).float()


def logistic(z: Tensor, label: Tensor, divisors: Tensor | None = None) -> Tensor:
    """Balanced logistic loss log(1 + exp(-y z)), y = +-1: binary cross-entropy on logits.

    The 2-way softmax cross-entropy of two channels is this loss on their difference. SiamFC (Bertinetto et al. 2016,
    eq. 3), here with both classes weighted one half.
    """
    z, y = _logit_and_sign(z, label)
    return _balanced(F.softplus(-y * z), label, divisors)


def hinge(z: Tensor, label: Tensor, divisors: Tensor | None = None) -> Tensor:
    """Balanced hinge loss max(0, 1 - y z), y = +-1. Scores settle in about -1..1 (a tracker may take (1 + z) / 2)."""
    z, y = _logit_and_sign(z, label)
    return _balanced(F.relu(1 - y * z), label, divisors)


def focal(
    z: Tensor, label: Tensor, divisors: Tensor | None = None, *, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 5): sum of -a_t (1 - p_t)^gamma log p_t over max(positives, 1).

    p_t is the probability of the true class; a_t = ``alpha`` for positives, 1 - ``alpha`` for negatives.
    """
    values = _focal_values(z, label, gamma)
    divisors = _divisors(label, divisors)
    positive, negative = _class_sums(values, label)
    return (alpha * positive + (1 - alpha) * negative) / divisors[0]


def balanced_focal(z: Tensor, label: Tensor, divisors: Tensor | None = None, *, gamma: float = 2.0) -> Tensor:
    """Focal loss with alpha 1 for both classes, mean over positives and over negatives weighted one half."""
    return _balanced(_focal_values(z, label, gamma), label, divisors)


def block_term(z: Tensor, block_label: Tensor, divisors: Tensor | None = None) -> Tensor:
    """Extra term of 'thinner': mean over negative blocks of the logistic loss on the sum of a block's A logits.

    ``z`` (N, A, H, W); ``block_label`` (N, H, W), the SiamFC label of the same target. It enters the loss with
    ``BLOCK_WEIGHT``, and stays logistic under every classification loss. ``divisors`` as above, of ``block_label``.
    """
    total = z.sum(1, dtype=_wide(z.dtype))
    _check(total, block_label)
    negative = _class_sums(F.softplus(total), block_label)[1]
    return negative / _divisors(block_label, divisors)[1]


LOSSES: dict[str, Loss] = {
    "logistic": logistic,
    "softmax": logistic,
    "hinge": hinge,
    "focal": focal,
    "balanced_focal": balanced_focal,
}


def classification_loss(name: str) -> Loss:
    """The loss of this name; an unknown name fails with the known ones."""
    if name not in LOSSES:
        raise UserError(f"LOSS must be one of {', '.join(LOSSES)}; got {name!r}")
    return LOSSES[name]


def _focal_values(z: Tensor, label: Tensor, gamma: float) -> Tensor:
    z, y = _logit_and_sign(z, label)
    s = y * z
    # 1 - p_t = sigmoid(-s); its power through the logarithm, whose gradient stays finite where the sigmoid underflows
    return torch.exp(gamma * F.logsigmoid(-s)) * F.softplus(-s)


def _balanced(values: Tensor, label: Tensor, divisors: Tensor | None) -> Tensor:
    """Half the mean over positives plus half the mean over negatives; an empty class contributes 0."""
    return 0.5 * (_class_sums(values, label) / _divisors(label, divisors)).sum()


def _class_sums(values: Tensor, label: Tensor) -> Tensor:
    """Sums over positives and over negatives, (2,). Selected, not multiplied: inf * 0 is NaN."""
    zero = values.new_zeros(())
    return torch.stack([torch.where(label == 1, values, zero).sum(), torch.where(label == 0, values, zero).sum()])


def _divisors(label: Tensor, divisors: Tensor | None) -> Tensor:
    return class_counts(label).clamp(min=1) if divisors is None else divisors


def _logit_and_sign(z: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    _check(z, label)
    z = z.to(_wide(z.dtype))  # half-precision sums of thousands of cells lose digits
    z = torch.where(label >= 0, z, z.new_zeros(()))  # an ignored logit may be infinite; its gradient must still be 0
    return z, torch.where(label == 1, 1, -1).to(z.dtype)


def _check(z: Tensor, label: Tensor) -> None:
    if z.shape != label.shape:
        raise ValueError(f"logit and label must have the same shape; got {tuple(z.shape)} and {tuple(label.shape)}")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
