"""Track in one live video: NumPy frames in, boxes and scores out.

    tracker = load("snapshot/SiamRPNRes22.pth")
    tracker.init(frame, (x, y, w, h))
    box, score = tracker.update(next_frame)

A frame is (H, W, 3) uint8 BGR, as OpenCV reads it; the frames of a video need not have one size. A box is float64 xywh:
zero-based top-left corner and size in pixels; it is not cut at the border of the frame. Several targets are tracked in
one batch: ``init(frame, [xywh, ...])``, then boxes (n, 4) and scores (n,).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lib.files import UserError
from lib.geometry.boxes import cxcywh_from_xywh, xywh_from_cxcywh
from lib.geometry.crop import Frames
from lib.memory import sent
from lib.models.backends import running
from lib.models.graphs import open_model
from lib.tracker.family import SEARCHED, Family
from lib.tracker.state import take

Array = NDArray[np.float64]

SHIPPED = Path(__file__).parents[2] / "snapshot" / "siamfc.pth"  # the best of those that are shipped
LEAST_SIDE = 2  # pixels of a start box: less has no appearance
SEARCH_SIDES = (239, 511)  # of the search image, pixels: there template and response have cells and fit in memory
# hyper-parameters that are not a share, 0..1
RANGES = {"scale_step": (1.0, 1.2), "penalty_k": (0.0, 10.0), **dict.fromkeys(SEARCHED, SEARCH_SIDES)}
RANGES |= {"exemplar_size": (95, 255), "score_size": (1, 65)}


def load(
    path: str | Path | None = None,
    *,
    arch: str | None = None,
    matching: str | None = None,
    hyper: Mapping[str, float] | None = None,
    device: str = "auto",
    fuse: bool = True,
    precision: str = "fp32",
    backend: str = "eager",
) -> "LiveTracker":
    """A tracker with these weights: a checkpoint of ours, a published file, or NAME.onnx, graphs that export.py made.

    Without ``path`` the best shipped ones. ``arch`` is read from the file; naming it only checks it. ``hyper``:
    hyper-parameters by name; without them those that were tuned for the weights and lie with them, otherwise the
    paper's. ``device``: auto, cpu, cuda, cuda:1, mps. ``matching`` of an SE-SiamFC: corr, greedypw.
    ``fuse``: fold batch-norms and leave out what cropping throws away; the boxes stay the same to rounding.
    ``precision`` of the network: fp32, bf16, fp16. ``backend`` that runs it: eager, compiled, onnxruntime, openvino,
    auto, the fastest of those on the first frame, or cudagraph, the whole step.
    """
    loaded = open_model(_shipped() if path is None else path, arch=arch, matching=matching)
    model = loaded.model.fuse() if fuse else loaded.model
    family = Family.of(loaded, running(model.to(_device(device)), backend), precision=precision)
    return LiveTracker(family, loaded.hyper if hyper is None else hyper)


def _shipped() -> Path:
    if not SHIPPED.is_file():
        raise UserError(f"weights must be named, {SHIPPED.name} is not in snapshot/: give --resume FILE")
    return SHIPPED


class LiveTracker:
    """One target, or several at once, in one video."""

    def __init__(self, family: Family, hyper: Mapping[str, float] | None = None) -> None:
        self.family = family
        self.hyper = _checked(hyper or {})
        self.row = family.row(self.hyper)
        # targets that are searched in images of one side go through the network together
        self.groups: list[tuple[Any, NDArray[np.int64], Any]] = []  # tracker, numbers of its targets, state
        self.one = True

    def init(self, frame: np.ndarray, xywh: ArrayLike) -> None:
        """Start on one target (4,) or on several (n, 4) in ``frame``; targets followed so far are forgotten."""
        boxes = _start_boxes(xywh, frame.shape)
        self.one = boxes.ndim == 1
        boxes = cxcywh_from_xywh(np.atleast_2d(boxes))
        image = (frame.shape[1], frame.shape[0])
        sides = [self.family.side(self.hyper, box, image) for box in boxes]
        pixels = self._pixels(frame)
        self.groups = []
        for side in sorted(set(sides)):
            numbers = np.flatnonzero([one == side for one in sides])
            tracker = self.family.at(side)
            params = take(self.row, torch.zeros(len(numbers), dtype=torch.int64, device=self.family.device))
            start = torch.from_numpy(boxes[numbers])
            self.groups.append((tracker, numbers, tracker.init(_SharedFrame.of(pixels, len(numbers)), start, params)))

    def update(self, frame: np.ndarray) -> tuple[Array, Any]:
        """The targets in the next frame: box (4,) and score, 0..1; of several targets boxes (n, 4) and scores (n,)."""
        if not self.groups:
            raise UserError("a tracker must be started before update: call init(frame, xywh)")
        pixels = self._pixels(frame)
        targets = sum(len(numbers) for _, numbers, _ in self.groups)
        found = np.empty((targets, 5))
        for number, (tracker, numbers, state) in enumerate(self.groups):
            state, _ = tracker.step(state, _SharedFrame.of(pixels, len(numbers)))
            self.groups[number] = tracker, numbers, state
            found[numbers] = torch.cat([state.box, state.score[:, None]], 1).cpu().numpy()
        if not np.isfinite(found).all():
            raise UserError("weights must give finite boxes, these do not: they are damaged or their training diverged")
        boxes = xywh_from_cxcywh(found[:, :4])
        return (boxes[0], float(found[0, 4])) if self.one else (boxes, found[:, 4])

    def _pixels(self, frame: np.ndarray) -> Tensor:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise UserError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}: convert it")
        return sent(torch.from_numpy(np.require(frame, requirements=["C", "W"])), self.family.device)


class _SharedFrame(Frames):
    """One image that all slots look at; it is held once."""

    @classmethod
    def of(cls, pixels: Tensor, slots: int) -> "_SharedFrame":
        one = Frames.pack([pixels])
        height, width = (side.expand(slots) for side in (one.height, one.width))
        return cls(one.pixels, one.offset.expand(slots), height, width, one.shapes * slots)

    def images(self) -> list[Tensor]:
        return [self.pixels.view(*self.shapes[0], 3)] * len(self)

    def part(self, start: int, end: int) -> Frames:
        return _SharedFrame.of(self.pixels.view(*self.shapes[0], 3), end - start)


def _start_boxes(xywh: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Boxes (4,) or (n, 4) that can be followed, or a line that says which one cannot."""
    try:
        boxes = np.array(xywh, np.float64)
    except (TypeError, ValueError):
        boxes = np.empty(0)
    if boxes.ndim not in (1, 2) or boxes.shape[-1] != 4 or not len(boxes):
        raise UserError(f"a start box must be 4 numbers, x, y, width and height (or a list of such), got {xywh!r}")
    height, width = shape[:2]
    for x, y, w, h in np.atleast_2d(boxes).tolist():
        box = f"the box {x:g},{y:g},{w:g},{h:g} (x,y,width,height)"
        if not all(map(math.isfinite, (x, y, w, h))):
            raise UserError(f"a start box must be of finite numbers, got {box}: correct it")
        if w < LEAST_SIDE or h < LEAST_SIDE:
            raise UserError(f"a target must be {LEAST_SIDE} pixels wide and high at least, got {box}: draw it larger")
        if x + w <= 0 or y + h <= 0 or x >= width or y >= height:
            raise UserError(f"a start box must lie in the frame of {width} x {height} pixels, got {box}: correct it")
        if w > width + 1 or h > height + 1:
            raise UserError(
                f"a target must not be larger than the frame of {width} x {height} px, got {box}: correct it"
            )
    return boxes


def _checked(hyper: Mapping[str, float]) -> dict[str, float]:
    """Hyper-parameters in their ranges; names are the family's to check."""
    for name, value in hyper.items():
        low, high = RANGES.get(name, (0.0, 1.0))
        if not low <= value <= high:
            raise UserError(f"the hyper-parameter {name} must be in {low:g}..{high:g}, got {value}")
    return dict(hyper)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the device {name} must be here, it is not ({reason}): use auto or cpu") from None
    return device
