"""A model's trackers: one for each side of the search image, and how hyper-parameters choose among them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.files import UserError
from lib.tracker.siamfc import SiamFCParams, SiamFCTracker
from lib.tracker.siamrpn import SiamRPNParams, SiamRPNTracker
from lib.tracker.state import device_of

SMALL_TARGET = 0.004  # share of the image below which SiamRPN may search a larger window
SIDES = {"instance_size", "small_sz", "big_sz"}  # hyper-parameters that choose the side of the search image


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
    ) -> None:
        """``ratios`` and ``scales`` of the anchors make it SiamRPN; ``mapping`` of logits to scores; ``engine`` of the
        crop, by default cv2 on the CPU and torch elsewhere."""
        self.model = model.eval()
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
        self.trackers: dict[int, Any] = {}

    def at(self, instance: int) -> Any:
        """The tracker whose search image has this side, pixels."""
        if instance not in self.trackers:
            if self.is_rpn:
                tracker: Any = SiamRPNTracker(instance=instance, **self.options)
            else:
                # SiamDW's trackers enlarge template and search image by the same margin, SiamSE's the latter alone
                exemplar = 127 if getattr(self.model, "color", "bgr") == "rgb" else instance - 128
                tracker = SiamFCTracker(instance=instance, exemplar=exemplar, **self.options)
            self.trackers[instance] = tracker
        return self.trackers[instance]

    def row(self, hyper: Mapping[str, float]) -> Any:
        """Hyper-parameters as columns of one row; those not named keep their defaults."""
        values = {name: float(value) for name, value in hyper.items() if name not in SIDES}
        known = set(self.params_type.__dataclass_fields__)
        if not values.keys() <= known:
            wrong = sorted(values.keys() - known)
            raise UserError(f"hyper-parameters of this tracker are {sorted(known | SIDES)}, got {wrong}: rename them")
        return self.params_type.columns(1, device=self.device, **values)

    def side(self, hyper: Mapping[str, float], box: NDArray[np.float64], image: tuple[int, int]) -> int:
        """Side of the search image for a start on ``box`` (cxcywh) in an image of (width, height)."""
        if not self.is_rpn:
            return int(hyper.get("instance_size", 255))
        small = box[2] * box[3] / (image[0] * image[1]) < SMALL_TARGET
        return int(hyper.get("big_sz", 255) if small else hyper.get("small_sz", 255))
