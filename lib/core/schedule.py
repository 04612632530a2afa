"""What changes from epoch to epoch: the learning rate, and which layers of a pretrained backbone are trained.

Pure functions of one-based epochs (and, for 'plateau', of the losses so far): a run resumed at any epoch goes on with
the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

GAMMA = 0.8685  # 'exp': the published factor an epoch; .8685^49 takes 1e-2 to 1e-5
PATIENCE = 5  # 'plateau': epochs without a better loss that are put up with
DROP = 0.1  # 'plateau': factor of a reduction
BETTER = 1e-4  # 'plateau': a loss is better when it is below best * (1 - BETTER)


def learning_rate(
    epoch: int,
    *,
    policy: str,
    lr: float,
    lr_end: float,
    end_epoch: int,
    warmup: int = 0,
    losses: Sequence[float] = (),
) -> float:
    """Learning rate of the one-based ``epoch``.

    With n = end_epoch - warmup epochs after the warm-up, k = 0 .. n-1 counting them and u = k / (n-1):
    'log' lr * (lr_end / lr)^u; 'exp' lr * GAMMA^k; 'cos' lr_end + (lr - lr_end) * (1 + cos(pi u)) / 2; 'plateau' see
    :func:`plateau_rate`. Warm-up rises linearly: epoch e of w has lr * e / (w + 1).

    Args:
        losses: mean loss of each finished epoch, from the first epoch on; 'plateau' alone reads it.
    """
    if not 1 <= epoch <= end_epoch:
        raise ValueError(f"epoch must be within 1..{end_epoch}; got {epoch}")
    if epoch <= warmup:
        return lr * epoch / (warmup + 1)
    k, last = epoch - warmup - 1, max(end_epoch - warmup - 1, 1)
    if policy == "log":
        return lr * (lr_end / lr) ** (k / last)
    if policy == "exp":
        return lr * GAMMA**k
    if policy == "cos":
        return lr_end + (lr - lr_end) * (1 + math.cos(math.pi * k / last)) / 2
    if policy == "plateau":
        return plateau_rate(losses[warmup : epoch - 1], lr=lr, lr_end=lr_end)
    raise ValueError(f"LR_POLICY must be log, exp, cos or plateau; got {policy!r}")


def learning_rates(*, policy: str, lr: float, lr_end: float, end_epoch: int, warmup: int = 0) -> list[float]:
    """Learning rates of all epochs; not for 'plateau', which must wait for the losses."""
    if policy == "plateau":
        raise ValueError("the rates of 'plateau' are not known beforehand: ask learning_rate epoch by epoch")
    return [
        learning_rate(epoch, policy=policy, lr=lr, lr_end=lr_end, end_epoch=end_epoch, warmup=warmup)
        for epoch in range(1, end_epoch + 1)
    ]


def plateau_rate(losses: Sequence[float], *, lr: float, lr_end: float) -> float:
    """Learning rate after epochs with these losses (the rule of PyTorch's ReduceLROnPlateau).

    It falls by DROP, never below ``lr_end``, when more than PATIENCE epochs in a row brought no better loss; NaN is
    no better one.
    """
    best, waited = math.inf, 0
    for loss in losses:
        better = loss < best * (1 - BETTER) if math.isfinite(best) else loss < best
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited > PATIENCE:
            lr, waited = max(lr * DROP, lr_end), 0
    return lr


@dataclass(frozen=True)
class Unfrozen:
    """Layers of the backbone that an epoch trains. Heads are always trained."""

    stage2: int  # last units of stage 2 that are open; a stage with fewer units is open whole
    stage1: int  # last units of stage 1 that are open
    stem: bool  # whether the stem is open
    last_unit_alone: bool = False  # of the open units only the last is stepped, the others get no update
    fresh_optimiser: bool = False  # a new optimiser steps this epoch and is gone after it; the run's own one waits


ALL_UNITS = 1_000_000  # more than any stage has
_TENTHS_OF_STAGE_2 = (0, 1, 2, 3)  # epoch / END, in tenths, from which on the last 1, 2, 3, 4 units of stage 2 are open
_TENTHS_OF_STAGE_1 = (5, 6, 7)  # the same for the last 1, 2, 3 units of stage 1
_TENTHS_OF_STEM = 7


def unfrozen(epoch: int, end_epoch: int, mode: str, *, with_stem: bool = False) -> Unfrozen:
    """Layers that the one-based ``epoch`` of ``end_epoch`` trains.

    'paper': stages open from the back, at thresholds of epoch / end_epoch (Zhang & Peng 2019); every number of epochs
    goes through all of them. 'released': the published code, which lost its optimiser: the open units move, under an
    optimiser of their own, only in the one epoch of each opening, in all others the last unit alone.
    'none': everything, always.

    Args:
        with_stem: the stem opens with the last stage (SiamSE); SiamDW never trains it.
    """
    if mode == "none":
        return Unfrozen(ALL_UNITS, ALL_UNITS, True)
    if mode not in ("paper", "released"):
        raise ValueError(f"FREEZE_OUT must be paper, released or none; got {mode!r}")
    now = _opened(epoch, end_epoch, with_stem)
    if mode == "paper":
        return now
    opening = now != _opened(epoch - 1, end_epoch, with_stem)
    return Unfrozen(now.stage2, now.stage1, now.stem, last_unit_alone=not opening, fresh_optimiser=opening)


def _opened(epoch: int, end_epoch: int, with_stem: bool) -> Unfrozen:
    def reached(tenths: int) -> bool:
        return 10 * epoch >= tenths * end_epoch  # in integers: 3 / 10 of 10 epochs is epoch 3, not 4

    stage2, stage1 = (sum(map(reached, tenths)) for tenths in (_TENTHS_OF_STAGE_2, _TENTHS_OF_STAGE_1))
    return Unfrozen(ALL_UNITS if stage2 == 4 else stage2, stage1, with_stem and reached(_TENTHS_OF_STEM))
