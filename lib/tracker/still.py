"""The box that never moves: the floor of every table, under any protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lib.geometry.crop import Frames
from lib.tracker.overlap import flags_of
from lib.tracker.state import Flags


@dataclass(frozen=True, eq=False)
class StillState:
    """The start box, (N, 4) cxcywh, for ever."""

    box: Tensor
    score: Tensor  # (N,) always 1
    kernels: tuple[Tensor, ...] = ()


class StillTracker:
    """A tracker, and the family of trackers, without a model."""

    exemplar, model = 0, None

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def at(self, instance: int) -> "StillTracker":
        return self

    def row(self, hyper: Mapping[str, Any]) -> Tensor:
        """No hyper-parameters: an empty row."""
        return torch.empty(1, 0, device=self.device)

    def side(self, hyper: Mapping[str, Any], box: Any, image: tuple[int, int]) -> int:
        return 0

    def init(self, frames: Frames, boxes: Tensor, params: Any, kernels: Any = None) -> StillState:
        boxes = boxes.to(self.device)
        return StillState(boxes, torch.ones_like(boxes[:, 0]))

    def step(self, state: StillState, frames: Frames, truth: Tensor | None = None) -> tuple[StillState, Flags | None]:
        return state, flags_of(state.box, truth, frames)
