"""Tracking speed beside the published way of computing, in one run, on the same frames, with the same boxes.

python -m benchmarks.track [--video bag.avi] [--frames 31] [--slots 16] [--dtype bfloat16] [--json OUT]
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.baseline.tracking import PublishedSiamFC, PublishedSiamRPN
from lib.core.device import choose_device, prepare_process
from lib.files import UserError, atomic_write, run_script
from lib.geometry.crop import Frames
from lib.models import zoo
from lib.tracker.family import Family
from lib.tracker.state import join

RPN = {"ratios": (0.33, 0.5, 1, 2, 3), "scales": (8,)}
CASES: dict[str, dict[str, str]] = {
    "SiamFCRes22": {},
    "SiamRPNRes22 thinner": {"cls_type": "thinner"},
    "SiamRPNRes22 thicker": {"cls_type": "thicker"},
}
START = np.array([365.2075, 194.595, 106.1309, 96.4144])  # cxcywh in bag.avi


def read_frames(path: str | None, count: int) -> list[np.ndarray]:
    """The first frames of a video; without one, a pattern of its size that drifts."""
    if path is None:
        ground = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        ground = cv2.resize(ground, (640, 480), interpolation=cv2.INTER_CUBIC)
        return [np.ascontiguousarray(ground[k % 100 : k % 100 + 360, k % 150 : k % 150 + 480]) for k in range(count)]
    video, frames = cv2.VideoCapture(path), []
    while len(frames) < count:
        ok, frame = video.read()
        if not ok:
            raise UserError(f"{path} must be a video of at least {count} frames, {len(frames)} could be read")
        frames.append(frame)
    return frames


def calm(model: Any) -> Any:
    """Random weights whose predictions are of order one, so that tracks move as trained ones do."""
    with torch.no_grad():
        torch.manual_seed(1)
        z, x = torch.rand(1, 3, 127, 127) * 255, torch.rand(1, 3, 255, 255) * 255
        output = model(z, x)
        if isinstance(output, tuple):
            head = model.connect_model
            for layer, out in zip((head.template_cls, head.template_reg), output, strict=True):
                factor = 0.3 / out.std()
                layer.weight.mul_(factor)
                layer.bias.mul_(factor)
    return model


def median_ms(step: Callable[[], Any], frames: int, repeats: int, device: torch.device) -> float:
    """Milliseconds a frame, the median of the repeats."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began) * 1e3 / frames)
    return float(np.median(times))


def published(kind: type, model: Any, frames: list[np.ndarray]) -> np.ndarray:
    tracker = kind(model, frames[0], START)
    return np.stack([tracker.update(frame) for frame in frames[1:]])


def ours(family: Family, frames: list[Frames], slots: int) -> np.ndarray:
    tracker = family.at(255)
    params = join(*[family.row({})] * slots)
    state = tracker.init(frames[0], torch.from_numpy(np.repeat(START[None], slots, 0)), params)
    boxes = []
    for frame in frames[1:]:
        state, _ = tracker.step(state, frame)
        boxes.append(state.box)
    return torch.stack(boxes).cpu().numpy()


def measure(case: str, frames: list[np.ndarray], args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One line of the table."""
    arch = case.split()[0]
    torch.manual_seed(0)
    model = calm(zoo.build(arch, **CASES[case]).eval())
    kind = PublishedSiamRPN if "RPN" in arch else PublishedSiamFC
    peer_boxes = published(kind, model, frames)
    peer = median_ms(lambda: published(kind, model, frames), len(frames) - 1, args.repeats, torch.device("cpu"))
    fast = model.fuse().to(device, getattr(torch, args.dtype))
    family = Family(fast, **(RPN if "RPN" in arch else {}))
    line: dict[str, Any] = {"model": case, "published_ms": peer}
    for slots in dict.fromkeys((1, args.slots)):
        packs = [Frames.pack([frame] * slots, device) for frame in frames]
        boxes = ours(family, packs, slots)
        whole = median_ms(partial(ours, family, packs, slots), len(frames) - 1, args.repeats, device)
        line[f"ours_{slots}_ms"] = whole / slots
        line[f"difference_{slots}_px"] = float(np.abs(boxes - peer_boxes[:, None]).max())
        line[f"ratio_{slots}"] = line["published_ms"] / line[f"ours_{slots}_ms"]
    return line


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", help="480x360, its target where bag.avi has it (default: a pattern that drifts)")
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--frames", type=int, default=31)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    device = choose_device(args.device)
    frames = read_frames(args.video, args.frames)
    lines = [measure(case, frames, args, device) for case in args.case]
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else f"{platform.machine()}, {torch.get_num_threads()} threads"
    machine = {
        "device": name,
        "torch": torch.__version__,
        "dtype": args.dtype,
        "command": " ".join(["benchmarks.track", *sys.argv[1:]]),
    }
    print(f"{name}, {args.dtype}; milliseconds a frame (and slot); difference of the boxes in px")
    for line in lines:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{v:22}" for k, v in line.items()))
    if args.json:
        atomic_write(Path(args.json), json.dumps({"machine": machine, "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    run_script(main)
