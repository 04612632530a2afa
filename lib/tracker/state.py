"""What the two trackers share: columns of slots, the step's flags, and a network run over few slots at a time."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lib.geometry.crop import Frames

T = TypeVar("T")

ROOM = 64 << 20  # bytes; measured with models of width 1/8 to 1 and 1 to 96 slots, 32 MiB of cache


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


def columns_of(columns: Any) -> list[Tensor]:
    """All tensors of states, parameters or tuples of them, in order."""
    if isinstance(columns, Tensor):
        return [columns]
    parts = columns if isinstance(columns, tuple) else [getattr(columns, field.name) for field in fields(columns)]
    return [column for part in parts for column in columns_of(part)]


def take(columns: T, slots: Tensor) -> T:
    """Only these slots, (n,) int64."""
    return over_columns(lambda column: column[slots], columns)


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


def run_model(model: Any, kernels: tuple[Tensor, ...], x: Tensor) -> Any:
    """Search and match: x (N*S, 3, i, i) uint8 or float -> prediction, (tuple of) tensors with N*S rows."""
    return model.match(kernels, model.search(seen_by(model, x)))


def in_parts(
    move: Callable[[Any, Frames], dict[str, Tensor]], slots_at_once: int | None, state: Any, frames: Frames
) -> dict[str, Any]:
    """``move``, which says of some columns of a state what they become, for so many slots at a time; None: for all."""
    slots = len(frames)
    if slots_at_once is None or slots <= slots_at_once:
        return move(state, frames)
    parts = []
    for start in range(0, slots, slots_at_once):
        end = min(start + slots_at_once, slots)
        parts.append(move(over_columns(_rows(start, end), state), frames.part(start, end)))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _rows(start: int, end: int) -> Callable[[Tensor], Tensor]:
    return lambda column: column[start:end]


def slots_in_cache(model: nn.Module, instance: int, images: int, beside: int = 0) -> int | None:
    """How many slots of so many search images, ``instance`` pixels a side, a step takes at a time; None: all.

    A call for each operation costs more than cells that leave the cache, until what is held between crop and new box is
    :data:`ROOM`: the first layer's output, at stride 2, and ``beside``, bytes a slot. On other devices: all.
    """
    if device_of(model).type != "cpu":
        return None
    first = next(model.parameters())
    channels = first.shape[0] if first.ndim == 4 else 64
    return max(1, ROOM // (images * channels * (instance // 2) ** 2 * first.element_size() + beside))
