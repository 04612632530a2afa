"""Tracking speed beside the published way of computing, in one run, on the same frames, with the same boxes.

python -m benchmarks.track [--video bag.avi] [--frames 31] [--slots 1 16] [--dtype bfloat16] [--backend auto]

With each: what the network's convolutions must take here at least (floor) and how many times that the best of ours
takes (distance); OpenCV's own trackers; peak memory. --slots 1 2 4 8 16 32 --plot OUT.svg draws cost against slots.
--backend eager compiled onnxruntime openvino gives each a row. --json OUT writes the figures down.
"""

import argparse
import gc
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import figures
from benchmarks.baseline.tracking import PublishedSiamFC, PublishedSiamRPN
from benchmarks.floor import Machine, floor_of, machine_of
from benchmarks.opencv import NAMES, NEEDS, maker_of
from lib.core.device import choose_device, prepare_process
from lib.files import UserError, run_script
from lib.geometry.crop import Frames
from lib.models import zoo
from lib.models.backends import BACKENDS, running
from lib.tracker.family import Family
from lib.tracker.state import join

RPN: dict[str, Any] = {"ratios": (0.33, 0.5, 1, 2, 3), "scales": (8,)}
CASES: dict[str, dict[str, Any]] = {
    "SiamFCRes22": {},
    "SiamRPNRes22 thinner": {"cls_type": "thinner"},
    "SiamRPNRes22 thicker": {"cls_type": "thicker"},
}
START = np.array([365.2075, 194.595, 106.1309, 96.4144])  # cxcywh in bag.avi


def read_frames(path: str | None, count: int) -> list[np.ndarray]:
    """The first frames of a video; without one, a pattern of its size that drifts."""
    if path is None:
        noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        ground = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        return [np.ascontiguousarray(ground[k % 100 : k % 100 + 360, k % 150 : k % 150 + 480]) for k in range(count)]
    video, frames = cv2.VideoCapture(path), list[np.ndarray]()
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


Follow = Callable[[], np.ndarray]  # from the second frame to the last -> boxes (frames, slots, 4) or (frames, 4)


def in_turns(
    starts: dict[Any, Callable[[], Follow]], frames: int, repeats: int, device: torch.device
) -> dict[Any, float]:
    """Milliseconds a frame after the first, the best of the repeats; in turns, so that other work meets all alike."""
    times: dict[Any, list[float]] = {name: [] for name in starts}
    for _ in range(repeats):
        for name, start in starts.items():
            follow = start()
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            follow()  # whose boxes come to the host at the end
            times[name].append((time.perf_counter() - began) * 1e3 / frames)
    return {name: min(taken) for name, taken in times.items()}


def published(kind: type, model: Any, frames: list[np.ndarray]) -> Follow:
    tracker = kind(model, frames[0], START)
    return lambda: np.stack([tracker.update(frame)[None] for frame in frames[1:]])


def ours(family: Family, frames: list[Frames], slots: int) -> Follow:
    tracker = family.at(255)
    params = join(*[family.row({})] * slots)
    first = tracker.init(frames[0], torch.from_numpy(np.repeat(START[None], slots, 0)), params)

    def follow() -> np.ndarray:
        state, boxes = first, []
        for frame in frames[1:]:
            state, _ = tracker.step(state, frame)
            boxes.append(state.box)
        return torch.stack(boxes).cpu().numpy()

    return follow


def measure(
    case: str, backend: str, frames: list[np.ndarray], args: argparse.Namespace, device: torch.device, machine: Machine
) -> dict[str, Any]:
    """One line of the table."""
    torch.compiler.reset()  # it compiles only so many shapes
    gc.collect()  # graphs of the case before, with their memory
    arch = case.split()[0]
    torch.manual_seed(0)
    model = calm(zoo.build(arch, **CASES[case]).eval())
    kind = PublishedSiamRPN if "RPN" in arch else PublishedSiamFC
    fast = model.fuse().to(device, getattr(torch, args.dtype))
    family = Family(running(fast, backend), **(RPN if "RPN" in arch else {}))
    model = model.to(device)  # fused is a copy
    packs = {slots: [Frames.pack([frame] * slots, device) for frame in frames] for slots in args.slots}
    peer_boxes = published(kind, model, frames)()
    boxes = {slots: ours(family, packs[slots], slots)() for slots in args.slots}
    starts: dict[Any, Callable[[], Follow]] = {"published": partial(published, kind, model, frames)}
    starts |= {slots: partial(ours, family, packs[slots], slots) for slots in args.slots}
    took = in_turns(starts, len(frames) - 1, args.repeats, device)
    line: dict[str, Any] = {"model": case, "backend": backend, "published_ms": took["published"]}
    for slots in args.slots:
        line[f"ours_{slots}_ms"] = took[slots] / slots
        line[f"difference_{slots}_px"] = float(np.abs(boxes[slots] - peer_boxes).max())
        line[f"ratio_{slots}"] = line["published_ms"] / line[f"ours_{slots}_ms"]
    machine = machine.best(machine_of(device, getattr(torch, args.dtype)))
    floor = floor_of(fast, machine, images=1 if "RPN" in arch else 3)
    line |= floor.line(min(line[f"ours_{slots}_ms"] for slots in args.slots))
    line |= {"matrix_gflops": machine.flops / 1e9}
    if args.profile:
        line |= {f"profile_{slots}": figures.profile(starts[slots](), device) for slots in args.slots}
    return line


def peaks(device: torch.device) -> dict[str, float]:
    """Memory at most used so far."""
    return {
        "peak_host_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_device_MiB": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0,
    }


def opencv(frames: list[np.ndarray], repeats: int) -> dict[str, Any]:
    """Milliseconds a frame of OpenCV's own trackers that need no weights; a word where this OpenCV lacks one."""
    line: dict[str, Any] = {"model": "OpenCV"}
    box = tuple(round(v) for v in (*(START[:2] - START[2:] / 2), *START[2:]))
    for name in NAMES:
        maker = maker_of(name)

        def start(maker: Any = maker) -> Follow:
            tracker = maker()
            tracker.init(frames[0], box)
            return lambda: np.array([tracker.update(frame)[1] for frame in frames[1:]])

        if maker is None:
            line[f"{name}_ms"] = f"absent ({NEEDS})"
        else:
            line[f"{name}_ms"] = in_turns({0: start}, len(frames) - 1, repeats, torch.device("cpu"))[0]
    return line


def plot(lines: list[dict[str, Any]], slots: list[int], path: str) -> None:
    """Milliseconds a frame and slot against the number of slots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for line in lines:
        label = line["model"] if line["backend"] == "eager" else f"{line['model']}, {line['backend']}"
        axes.plot(slots, [line[f"ours_{n}_ms"] for n in slots], marker="o", label=label)
    axes.set(
        xscale="log", xlabel="slots", ylabel="ms a frame and slot", ylim=(0, None), xticks=slots, xticklabels=slots
    )
    axes.minorticks_off()
    axes.legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", help="480x360, its target where bag.avi has it (default: a pattern that drifts)")
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--frames", type=int, default=31)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--plot", help="write the cost against the number of slots here, SVG or PNG")
    parser.add_argument("--profile", action="store_true", help="what ours spends its time on")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--backend", nargs="+", default=["eager"], choices=BACKENDS, help="what runs ours")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    device = choose_device(args.device)
    frames = read_frames(args.video, args.frames)
    speed = machine_of(device, getattr(torch, args.dtype))
    about = figures.machine("track", device) | {"dtype": args.dtype}
    print(f"{about['device']}, {args.dtype}; milliseconds a frame (and slot); difference of the boxes in px")
    lines: list[dict[str, Any]] = []

    def add(line: dict[str, Any]) -> None:  # each is kept at once: a later one may fail, or take too long
        lines.append(line)
        print(figures.aligned(line, 22), flush=True)
        figures.write(args.json, about | peaks(device), lines=lines)

    for case in args.case:
        for backend in args.backend:
            add(measure(case, backend, frames, args, device, speed))
    if args.plot:
        plot(lines, args.slots, args.plot)
    add(opencv(frames, args.repeats))


if __name__ == "__main__":
    run_script(main)
