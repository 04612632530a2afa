"""A model's trackers: one for each side of the search image, and how hyper-parameters choose among them."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lib.files import UserError
from lib.tracker.graphed import Graphed
from lib.tracker.siamfc import SiamFCParams, SiamFCTracker
from lib.tracker.siamrpn import SiamRPNParams, SiamRPNTracker
from lib.tracker.state import device_of

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}  # of the network alone
SMALL_TARGET = 0.004  # share of the image below which SiamRPN may search a larger window
INSTANCE = 255  # pixels of the search image
SEARCHED = ("instance_size", "small_sz", "big_sz")  # hyper-parameters that choose the side of the search image
SIDES = {*SEARCHED, "exemplar_size", "score_size"}  # and those that choose the other sides of a SiamFC
SE_EXEMPLAR, SE_SCORE = 127, 17  # of scale-equivariant models, whatever the side of the search image


class Sides(NamedTuple):
    """What tells a model's trackers apart. None: as the tracker has it."""

    instance: int  # of the search image, pixels
    exemplar: int | None = None  # of the template, pixels
    score: int | None = None  # of the response before it is enlarged, cells


class Family:
    """The SiamFC or SiamRPN trackers of one model."""

    def __init__(
        self,
        model: Any,
        *,
        ratios: Sequence[float] | None = None,
        scales: Sequence[float] = (8,),
        mapping: str = "sigmoid",
        engine: str | None = None,
        slots_at_once: int | None = None,
        precision: str = "fp32",
    ) -> None:
        """``ratios`` and ``scales`` of the anchors make it SiamRPN; ``mapping`` of logits to scores; ``engine`` of the
        crop, by default cv2 on the CPU and torch elsewhere."""
        self.model = in_precision(model.eval(), precision)
        self.device = device_of(model)
        on_cpu = self.device.type == "cpu"
        self.options: dict[str, Any] = {
            "model": self.model,
            "mapping": mapping,
            "engine": engine or ("cv2" if on_cpu else "torch"),
            "slots_at_once": slots_at_once,
        }
        self.is_rpn = bool(ratios)
        if self.is_rpn:
            self.options |= {"ratios": ratios, "scales": scales}
        self.params_type = SiamRPNParams if self.is_rpn else SiamFCParams
        self.trackers: dict[Sides, Any] = {}

    @classmethod
    def of(cls, loaded: Any, model: Any, *, precision: str = "fp32") -> "Family":
        """``model`` is that of ``loaded`` weights (anchors and mapping are theirs), fused, exported, on any device."""
        return cls(model, ratios=loaded.ratios, scales=loaded.scales, mapping=loaded.mapping, precision=precision)

    def at(self, sides: Sides | int) -> Any:
        """The tracker with these sides, or with this side of the search image."""
        sides = sides if isinstance(sides, Sides) else self._with(sides, {})
        if sides not in self.trackers:
            if self.is_rpn:
                tracker: Any = SiamRPNTracker(instance=sides.instance, **self.options)
            else:
                instance, exemplar, score = sides
                exemplar = SE_EXEMPLAR if exemplar is None else exemplar
                tracker = SiamFCTracker(instance=instance, exemplar=exemplar, score_size=score, **self.options)
            if getattr(self.model, "whole_step", False):
                tracker.move = Graphed(tracker.move, lambda: getattr(tracker, "zoom", None))
            self.trackers[sides] = tracker
        return self.trackers[sides]

    def _with(self, instance: int, hyper: Mapping[str, float]) -> Sides:
        """SiamDW's trackers enlarge template and search image by the same margin, SiamSE's three sides are free."""
        if self.is_rpn:
            return Sides(instance)
        if getattr(self.model, "color", "bgr") == "rgb":
            return Sides(instance, int(hyper.get("exemplar_size", SE_EXEMPLAR)), int(hyper.get("score_size", SE_SCORE)))
        exemplar = instance - 128
        if int(hyper.get("exemplar_size", exemplar)) != exemplar or int(hyper.get("score_size", SE_SCORE)) != SE_SCORE:
            raise UserError(
                f"exemplar_size and score_size are free in scale-equivariant models alone, here they are {exemplar} "
                f"and {SE_SCORE}: leave them out"
            )
        return Sides(instance, exemplar)

    def row(self, hyper: Mapping[str, float]) -> Any:
        """Hyper-parameters as columns of one row; those not named keep their defaults."""
        values = {name: float(value) for name, value in hyper.items() if name not in SIDES}
        known = set(self.params_type.__dataclass_fields__)
        if not values.keys() <= known:
            wrong = sorted(values.keys() - known)
            raise UserError(f"hyper-parameters of this tracker are {sorted(known | SIDES)}, got {wrong}: rename them")
        return self.params_type.columns(1, device=self.device, **values)

    def side(self, hyper: Mapping[str, float], box: NDArray[np.float64], image: tuple[int, int]) -> Sides:
        """The sides for a start on ``box`` (cxcywh) in an image of (width, height)."""
        instance = int(hyper.get("instance_size", INSTANCE))
        if self.is_rpn:
            small = box[2] * box[3] / (image[0] * image[1]) < SMALL_TARGET
            instance = int(hyper.get("big_sz" if small else "small_sz", instance))
        return self._with(instance, hyper)


def defaults(is_rpn: bool) -> dict[str, float]:
    """Hyper-parameters where nothing else is said, by name."""
    columns = (SiamRPNParams if is_rpn else SiamFCParams).columns
    values = inspect.signature(columns).parameters.values()
    return {v.name: v.default for v in values if isinstance(v.default, float)} | dict.fromkeys(SEARCHED, INSTANCE)


def in_precision(model: Any, precision: str) -> Any:
    """``model`` computing in fp32, bf16 or fp16. Crops, boxes and the sums of a response keep theirs."""
    if precision not in PRECISIONS:
        raise UserError(f"a precision must be one of {', '.join(PRECISIONS)}, got {precision}: choose one")
    device = device_of(model)
    if precision == "fp32":
        if device.type == "cuda":  # TF32 would round inputs to 10 bits: boxes would not be those of a CPU
            torch.backends.cudnn.allow_tf32 = False
        return model
    if not hasattr(model, "backbone"):
        raise UserError(f"exported graphs have their own precision, not {precision}: name the weights they came from")
    if device.type == "cpu" and precision == "fp16":
        raise UserError("fp16 is for GPUs, this is a CPU: choose bf16 or fp32")
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print("this CPU has no bfloat16 arithmetic: going on in fp32, which is faster here", file=sys.stderr)
        return model
    return model.to(PRECISIONS[precision])
