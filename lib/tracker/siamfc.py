"""SiamFC as a pure, batched function of its slots (Bertinetto et al. 2016; hyper-parameters of Zhang & Peng 2019).

Axes: N slots, S scales, h w response cells, u = response_up * h. Positions in image pixels, float64.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.geometry.crop import ENGINES, Frames, context_side
from lib.tracker.overlap import flags_of
from lib.tracker.state import (
    Flags,
    column_of,
    device_of,
    hann_window,
    in_parts,
    match_score,
    run_model,
    seen_by,
    slots_in_cache,
)

LEAST = 0.2  # of the first window's side, which no later one goes below


@dataclass(frozen=True, eq=False)
class SiamFCParams:
    """Hyper-parameters, one (N,) float64 column each."""

    scale_step: Tensor  # ratio of neighbouring scales of the search pyramid, above 1
    scale_lr: Tensor  # share of the new scale in the update, 0..1
    scale_penalty: Tensor  # factor on the peaks of the other scales, 0..1
    w_influence: Tensor  # share of the Hann window in the response, 0..1

    @classmethod
    def columns(
        cls,
        slots: int,
        *,
        scale_step: float | Tensor = 1.0375,
        scale_lr: float | Tensor = 0.59,
        scale_penalty: float | Tensor = 0.9745,
        w_influence: float | Tensor = 0.35,
        device: torch.device | str = "cpu",
    ) -> "SiamFCParams":
        values = (scale_step, scale_lr, scale_penalty, w_influence)
        return cls(*(column_of(value, slots, device) for value in values))


@dataclass(frozen=True, eq=False)
class SiamFCState:
    """All that a slot carries from frame to frame."""

    centre: Tensor  # (N, 2) x y
    size: Tensor  # (N, 2) w h
    search_side: Tensor  # (N,) s_x, side of the search window in the image
    side_limits: Tensor  # (N, 2) least and greatest s_x
    fill: Tensor  # (N, 3) uint8 mean colour of the first frame
    score: Tensor  # (N,) of the last frame, 0..1
    kernels: tuple[Tensor, ...]
    params: SiamFCParams

    @property
    def box(self) -> Tensor:
        """(N, 4) cxcywh."""
        return torch.cat([self.centre, self.size], 1)


class SiamFCTracker:
    """Holds what is the same for all slots: the model, the crop engine, the window. No state of a track."""

    params_type = SiamFCParams

    def __init__(
        self,
        *,
        model: Any,
        engine: str = "cv2",
        exemplar: int = 127,
        instance: int = 255,
        num_scale: int = 3,
        response_up: int = 16,
        stride: int = 8,
        score_size: int | None = None,
        mapping: str = "sigmoid",
        max_scale_step: float = 1.2,
        slots_at_once: int | None = None,
    ) -> None:
        """``exemplar``, ``instance``: sides of template and search image, pixels; ``score_size``: cells a side that the
        response is taken for, whatever it has (SiamSE); ``max_scale_step``: the largest step that params may hold (it
        bounds the memory of batched pyramids); ``slots_at_once`` in a step, by default as many as are fast."""
        self.model = model
        self.device = device_of(model)
        self.exemplar, self.instance, self.stride = exemplar, instance, stride
        self.response_up, self.mapping, self.score_size = response_up, mapping, score_size
        enlarged = (
            (score_size or (instance - exemplar) // stride + 1) * response_up
        ) ** 2  # float32 of each scale, float64 of one
        self.slots_at_once = slots_at_once or slots_in_cache(
            model, instance, num_scale, enlarged * (4 * num_scale + 16)
        )
        self.subwindows, self.pyramids = ENGINES[engine]
        self.scale_powers = torch.arange(num_scale, dtype=torch.float64, device=self.device) - num_scale // 2
        self.max_scale_step = max_scale_step
        self.zoom = 1.0  # largest window over smallest of all pyramids so far, which bounds what a batch of them holds
        self.windows: dict[int, Tensor] = {}
        self.enlarging: dict[int, Tensor] = {}

    @torch.no_grad()
    def init(
        self, frames: Frames, boxes: Tensor, params: SiamFCParams, kernels: tuple[Tensor, ...] | None = None
    ) -> SiamFCState:
        """Start N slots on ``boxes`` (N, 4) cxcywh; ``kernels`` where their templates are known already."""
        steepest = float(params.scale_step.max())
        if steepest > self.max_scale_step:
            raise ValueError(f"scale_step must be at most max_scale_step {self.max_scale_step}, got {steepest}")
        boxes = boxes.to(self.device, torch.float64)
        centre, size = boxes[:, :2], boxes[:, 2:]
        exemplar_side = torch.round(context_side(size[:, 0], size[:, 1]))
        fill = frames.mean_colour()
        if kernels is None:
            z = self.subwindows(frames, centre, exemplar_side, self.exemplar, fill)
            kernels = self.model.template(seen_by(self.model, z))
        margin = (self.instance - self.exemplar) / 2
        side = exemplar_side + 2 * margin / (self.exemplar / exemplar_side)
        self._widen(float(LEAST * side.min()), steepest)
        return SiamFCState(
            centre=centre,
            size=size,
            search_side=side,
            side_limits=torch.stack([LEAST * side, 5 * side], 1),
            fill=fill,
            score=torch.ones_like(side),
            kernels=kernels,
            params=params,
        )

    def _widen(self, least: float, step: float) -> None:
        """Hold pyramids around windows of ``least`` pixels and more, neighbours a ``step`` apart."""
        steps = len(self.scale_powers) - 1
        smallest = least / step ** (steps // 2)
        self.zoom = max(self.zoom, (smallest * step**steps + 0.5) / max(smallest - 0.5, 0.5))  # sides are rounded

    @torch.no_grad()
    def step(self, state: SiamFCState, frames: Frames, truth: Tensor | None = None) -> tuple[SiamFCState, Flags | None]:
        """Find every slot in its next frame; ``truth`` (N, 8) polygons make the flags."""
        state = replace(state, **in_parts(self.move, self.slots_at_once, state, frames))
        return state, flags_of(state.box, truth, frames)

    def move(self, state: SiamFCState, frames: Frames) -> dict[str, Tensor]:
        """What changes in a state from frame to frame."""
        params = state.params
        scales = params.scale_step[:, None] ** self.scale_powers  # (N, S)
        sides = state.search_side[:, None] * scales
        x = self.pyramids(frames, state.centre, sides, self.instance, state.fill, self.zoom)
        response = run_model(self.model, state.kernels, x)
        cell, best, peak = self._locate(response.float().unflatten(0, scales.shape).squeeze(2), params)

        # the displacement is read at the resolution of the enlarged response, around its centre cell
        middle = math.ceil((self.score_size or response.shape[-1]) * self.response_up / 2)
        shift = (cell - middle) * self.stride / self.response_up * state.search_side[:, None] / self.instance
        lr = params.scale_lr
        scale = scales.gather(1, best[:, None]).squeeze(1)
        side = (1 - lr) * state.search_side + lr * (state.search_side * scale)
        low, high = state.side_limits.unbind(1)
        size = (1 - lr[:, None]) * state.size + lr[:, None] * (state.size * scale[:, None])
        image = torch.stack([frames.width, frames.height], 1).double()
        return {
            "centre": (state.centre + shift).clamp(min=0).minimum(image),
            "size": size.clamp(min=10).minimum(image),
            "search_side": torch.minimum(side, high).maximum(low),
            "score": match_score(peak.double(), self.mapping),
        }

    def _locate(self, response: Tensor, params: SiamFCParams) -> tuple[Tensor, Tensor, Tensor]:
        """(N, S, h, w) -> place of the peak (N, 2) x y in the enlarged response, best scale (N,), its raw peak (N,)."""
        up = (self.score_size or response.shape[-1]) * self.response_up
        rows = self._enlarging(response.shape[-1], up)
        large = rows @ response @ rows.T
        peaks = large.amax((2, 3))
        penalty = torch.where(self.scale_powers == 0, 1.0, params.scale_penalty[:, None])
        best = (peaks * penalty).argmax(1)
        slots = torch.arange(len(best), device=best.device)
        chosen = large[slots, best]
        chosen = chosen - chosen.amin((1, 2), keepdim=True)
        chosen = chosen / chosen.sum((1, 2), keepdim=True)
        share = params.w_influence[:, None, None]
        blended = (1 - share) * chosen + share * self._window(up)
        at = blended.flatten(1).argmax(1)
        return torch.stack([at % up, at // up], 1).double(), best, peaks[slots, best]

    def _enlarging(self, side: int, up: int) -> Tensor:
        """(up, side): bicubic interpolation is this matrix along rows, then along columns."""
        if side not in self.enlarging:
            unit = torch.eye(side, device=self.device)[None, None]
            self.enlarging[side] = F.interpolate(unit, size=(up, side), mode="bicubic", align_corners=False)[0, 0]
        return self.enlarging[side]

    def _window(self, side: int) -> Tensor:
        if side not in self.windows:
            window = hann_window(side, self.device)
            self.windows[side] = window / window.sum()
        return self.windows[side]
