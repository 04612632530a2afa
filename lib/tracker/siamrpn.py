"""SiamRPN as a pure, batched function of its slots (Li et al. 2018; hyper-parameters of Zhang & Peng 2019).

Axes: N slots, A anchors, n x n response cells. Positions in image pixels, float64; proposals in pixels of the crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lib.geometry.anchors import tracker_anchors
from lib.geometry.crop import ENGINES, Frames, context_side, round_half_away
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

WILDEST = 20.0  # least and greatest logarithm of a change of size: what untrained weights say must stay finite


@dataclass(frozen=True, eq=False)
class SiamRPNParams:
    """Hyper-parameters, one (N,) float64 column each."""

    penalty_k: Tensor  # strength of the penalty on changes of size and shape
    lr: Tensor  # share of the new size in the update, times penalty and score, 0..1
    window_influence: Tensor  # share of the Hann window in the score, 0..1

    @classmethod
    def columns(
        cls,
        slots: int,
        *,
        penalty_k: float | Tensor = 0.055,
        lr: float | Tensor = 0.295,
        window_influence: float | Tensor = 0.42,
        device: torch.device | str = "cpu",
    ) -> "SiamRPNParams":
        return cls(*(column_of(value, slots, device) for value in (penalty_k, lr, window_influence)))


@dataclass(frozen=True, eq=False)
class SiamRPNState:
    """All that a slot carries from frame to frame."""

    centre: Tensor  # (N, 2) x y
    size: Tensor  # (N, 2) w h
    fill: Tensor  # (N, 3) uint8 mean colour of the first frame
    score: Tensor  # (N,) of the last frame, 0..1
    kernels: tuple[Tensor, ...]
    params: SiamRPNParams

    @property
    def box(self) -> Tensor:
        """(N, 4) cxcywh."""
        return torch.cat([self.centre, self.size], 1)


class SiamRPNTracker:
    """Holds what is the same for all slots: the model, the crop engine, anchors and window. No state of a track."""

    params_type = SiamRPNParams

    def __init__(
        self,
        *,
        model: Any,
        engine: str = "cv2",
        exemplar: int = 127,
        instance: int = 255,
        stride: int = 8,
        ratios: Sequence[float] = (0.33, 0.5, 1, 2, 3),
        scales: Sequence[float] = (8,),
        mapping: str = "sigmoid",
        slots_at_once: int | None = None,
    ) -> None:
        """``instance``: side of the search image, pixels; ``slots_at_once`` in a step, by default as many as
        are fast."""
        self.model = model
        self.device = device_of(model)
        self.exemplar, self.instance, self.stride = exemplar, instance, stride
        self.ratios, self.scales = tuple(ratios), tuple(scales)
        self.mapping = mapping
        self.slots_at_once = slots_at_once or slots_in_cache(model, instance, 1)
        self.subwindows, _ = ENGINES[engine]
        self.grids: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def init(
        self, frames: Frames, boxes: Tensor, params: SiamRPNParams, kernels: tuple[Tensor, ...] | None = None
    ) -> SiamRPNState:
        """Start N slots on ``boxes`` (N, 4) cxcywh; ``kernels`` where their templates are known already."""
        boxes = boxes.to(self.device, torch.float64)
        centre, size = boxes[:, :2], boxes[:, 2:]
        exemplar_side = round_half_away(context_side(size[:, 0], size[:, 1]))
        fill = frames.mean_colour()
        if kernels is None:
            z = self.subwindows(frames, centre, exemplar_side, self.exemplar, fill)
            kernels = self.model.template(seen_by(self.model, z))
        return SiamRPNState(
            centre=centre,
            size=size,
            fill=fill,
            score=torch.ones_like(exemplar_side),
            kernels=kernels,
            params=params,
        )

    @torch.no_grad()
    def step(
        self, state: SiamRPNState, frames: Frames, truth: Tensor | None = None
    ) -> tuple[SiamRPNState, Flags | None]:
        """Find every slot in its next frame; ``truth`` (N, 8) polygons make the flags."""
        state = replace(state, **in_parts(self.move, self.slots_at_once, state, frames))
        return state, flags_of(state.box, truth, frames)

    def move(self, state: SiamRPNState, frames: Frames) -> dict[str, Tensor]:
        """What changes in a state from frame to frame."""
        exemplar_side = context_side(state.size[:, 0], state.size[:, 1])
        zoom = (self.exemplar / exemplar_side)[:, None]  # crop pixels in an image pixel
        margin = (self.instance - self.exemplar) / 2
        side = round_half_away(exemplar_side + 2 * margin / zoom[:, 0])
        x = self.subwindows(frames, state.centre, side, self.instance, state.fill)
        cls, reg = run_model(self.model, state.kernels, x)
        box, penalty, score = self._best_proposal(cls.double(), reg.double(), state.size * zoom, state.params)

        share = (penalty * score * state.params.lr)[:, None]
        size = state.size * (1 - share) + box[:, 2:] / zoom * share
        image = torch.stack([frames.width, frames.height], 1).double()
        return {
            "centre": (state.centre + box[:, :2] / zoom).clamp(min=0).minimum(image),
            "size": size.clamp(min=10).minimum(image),
            "score": score,
        }

    def _best_proposal(
        self, cls: Tensor, reg: Tensor, size: Tensor, params: SiamRPNParams
    ) -> tuple[Tensor, Tensor, Tensor]:
        """cls (N, A or 2A, n, n), reg (N, 4A, n, n), ``size`` (N, 2) of the target in the crop.

        -> the winning proposal (N, 4), cxcywh from the centre of the crop; its penalty; its score.
        """
        n = cls.shape[-1]
        anchors, window = self._grid(n)  # (4, A n n), (A n n,)
        delta = reg.flatten(1).unflatten(1, (4, -1))
        logit = cls.flatten(1)
        if logit.shape[1] == 2 * anchors.shape[1]:  # background and foreground
            background, foreground = logit.chunk(2, 1)
            logit = foreground - background
        centre = delta[:, :2] * anchors[2:] + anchors[:2]
        sides = torch.exp(delta[:, 2:].clamp(-WILDEST, WILDEST)) * anchors[2:]
        width, height = sides.unbind(1)
        target_width, target_height = size[:, :1], size[:, 1:]
        change_of_size = _change(context_side(width, height) / context_side(target_width, target_height))
        change_of_shape = _change((target_width / target_height) / (width / height))
        penalty = torch.exp(-(change_of_shape * change_of_size - 1) * params.penalty_k[:, None])
        score = match_score(logit, self.mapping)
        influence = params.window_influence[:, None]
        best = (penalty * score * (1 - influence) + window * influence).argmax(1, keepdim=True)

        def pick(values: Tensor) -> Tensor:
            return values.gather(1, best).squeeze(1)

        box = torch.stack([pick(centre[:, 0]), pick(centre[:, 1]), pick(width), pick(height)], 1)
        return box, pick(penalty), pick(score)

    def _grid(self, n: int) -> tuple[Tensor, Tensor]:
        if n not in self.grids:
            anchors = torch.from_numpy(tracker_anchors(self.ratios, self.scales, n, self.stride)).to(self.device)
            window = hann_window(n, self.device).expand(anchors.shape[1:])
            self.grids[n] = anchors.flatten(1), window.flatten()
        return self.grids[n]


def _change(ratio: Tensor) -> Tensor:
    return torch.maximum(ratio, 1 / ratio)
