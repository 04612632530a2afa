"""What the two trackers share: columns of slots, the step's flags, and a network run over few slots at a time."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Flags:
    """What a step says of each slot beside its state: ``overlap`` with the truth, ``failed`` = overlap <= 0; (N,)."""

    overlap: Tensor
    failed: Tensor


def over_columns(function: Callable[..., Tensor], *columns: T) -> T:
    """Apply ``function`` to corresponding tensors of states, parameters or tuples of them."""
    first: Any = columns[0]
    if isinstance(first, Tensor):
        return function(*columns)  # type: ignore[return-value]
    if isinstance(first, tuple):
        return tuple(over_columns(function, *parts) for parts in zip(*columns, strict=True))  # type: ignore
    names = [field.name for field in fields(first)]
    return type(first)(**{n: over_columns(function, *(getattr(c, n) for c in columns)) for n in names})


def take(columns: T, slots: Tensor) -> T:
    """Only these slots, (n,) int64."""
    return over_columns(lambda column: column[slots], columns)


def put(columns: T, slots: Tensor, new: T) -> None:
    """Overwrite these slots, in place: for whoever owns the state, never inside a step."""
    over_columns(lambda column, value: column.index_copy_(0, slots, value), columns, new)


def join(*columns: T) -> T:
    """One state of all the slots."""
    return over_columns(lambda *parts: torch.cat(parts), *columns)


def column_of(value: float | Tensor, slots: int, device: torch.device | str) -> Tensor:
    """A hyper-parameter as a (N,) float64 column: one value for all slots, or one for each."""
    return torch.as_tensor(value, dtype=torch.float64, device=device).expand(slots).contiguous()


def hann_window(side: int, device: torch.device) -> Tensor:
    """(side, side) float64 product of two symmetric Hann windows."""
    hann = torch.hann_window(side, periodic=False, dtype=torch.float64, device=device)
    return hann[:, None] * hann


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def match_score(logit: Tensor, mapping: str) -> Tensor:
    """Logits to scores in 0..1: ``sigmoid``, or ``hinge`` for weights whose logits live between margins -1 and 1."""
    if mapping == "hinge":
        return ((1 + logit) / 2).clamp(0, 1)
    if mapping == "sigmoid":
        return torch.sigmoid(logit)
    raise ValueError(f"the score mapping must be sigmoid or hinge, got {mapping}")


def seen_by(model: Any, crops: Tensor) -> Tensor:
    """BGR crops (n, 3, m, m) as the model takes them: of its type, and RGB where its ``color`` says so."""
    crops = crops.flip(1) if getattr(model, "color", "bgr") == "rgb" else crops
    return crops.to(next(model.parameters()).dtype)


def run_model(model: Any, kernels: tuple[Tensor, ...], x: Tensor, slots_at_once: int | None) -> Any:
    """Search and match: x (N*S, 3, i, i) uint8 or float -> prediction, (tuple of) tensors with N*S rows.

    On a CPU few slots at a time keep the activations in its cache; ``None`` runs all slots in one batch.
    """
    slots = len(kernels[0])
    scales = len(x) // slots
    at_once = slots_at_once or slots
    parts = []
    for start in range(0, slots, at_once):
        images = seen_by(model, x[start * scales : (start + at_once) * scales])
        some = tuple(kernel[start : start + at_once] for kernel in kernels)
        parts.append(model.match(some, model.search(images)))
    return parts[0] if len(parts) == 1 else over_columns(lambda *rows: torch.cat(rows), *parts)
