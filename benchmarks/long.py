"""Long and wide: memory over a video of 10 000 frames, and 500 sequences in 500 slots against one at a time.

python -m benchmarks.long [--frames 10000] [--slots 500] [--width 0.125] [--json OUT]

A live tracker must need as much memory at the end of a video as at a tenth of it; tracks must not depend on how many
slots share a step.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import figures
from lib.core.device import prepare_process
from lib.evaluation import protocols
from lib.evaluation.sequences import Sequence
from lib.files import UserError, run_script
from lib.models import zoo
from lib.tracker.family import Family
from lib.tracker.frames import FrameSupply
from lib.tracker.live import LiveTracker
from lib.tracker.player import follow_video
from lib.tracker.slots import Scheduler
from lib.tracker.streams import Source

SIZE, TARGET = (160, 120), (26, 20)  # px
GROWTH = 8.0  # MiB of resident memory, at most, from a tenth of a video to its end
AGREE = 1e-3  # px between tracks with many slots and with one


def frame(number: int, seed: int = 0) -> np.ndarray:
    """A textured patch that drifts over a textured ground."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    patch = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), TARGET, interpolation=cv2.INTER_NEAREST)
    x, y = corner(number)
    ground[y : y + TARGET[1], x : x + TARGET[0]] = patch
    return ground


def corner(number: int) -> tuple[int, int]:
    """Where the patch is: to and fro, a pixel a frame."""
    spans = (SIZE[0] - TARGET[0], SIZE[1] - TARGET[1])
    x, y = (span - abs(number % (2 * span) - span) for span in spans)
    return x, y


def resident() -> float:
    """MiB of this process in memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def long_video(family: Family, frames: int) -> dict[str, float]:
    """Follow a target through ``frames`` frames; memory at each tenth."""
    memory = []

    def reading() -> Iterator[np.ndarray]:
        for number in range(frames):
            if number and number % (frames // 10) == 0:
                memory.append(resident())
            yield frame(number)

    source = Source("drifting patch", (image for image in reading()), frames)
    track = follow_video(LiveTracker(family), source, [*corner(0), *TARGET], quiet=True)
    memory.append(resident())
    return {
        "frames": len(track.boxes),
        "frames_per_second": len(track.boxes) / track.seconds,
        "MiB_at_a_tenth": memory[0],
        "MiB_at_the_end": memory[-1],
        "growth_MiB": max(memory) - memory[0],
    }


def wide(family: Family, slots: int, folder: Path) -> dict[str, float]:
    """``slots`` sequences of three frames, all at once and one at a time: milliseconds of each, and how far apart."""
    videos = []
    for seed in range(slots):
        paths = [folder / f"{seed}_{t}.png" for t in range(3)]
        for t, path in enumerate(paths):
            cv2.imwrite(str(path), frame(t, seed))
        truth = np.array([[*corner(t), *TARGET] for t in range(3)], np.float64)
        videos.append(Sequence(name=str(seed), frames=tuple(paths), truth=truth, size=SIZE))
    tracks, took = [], []
    for at_once in (slots, 1):
        scheduler = Scheduler(family.at, FrameSupply(device=family.device), slots=at_once)
        began = time.perf_counter()
        ran = protocols.run(videos, [{}], trackers=family, scheduler=scheduler, reset=False)
        rows = {number: boxes for _, number, boxes in ran}
        took.append(1000 * (time.perf_counter() - began) / (2 * slots))
        tracks.append(np.stack([rows[number] for number in range(slots)]))
    apart = float(np.abs(tracks[0] - tracks[1]).max())
    return {"slots": slots, "ms_together": took[0], "ms_one_at_a_time": took[1], "largest_difference_px": apart}


def main() -> None:
    """Measure, print, and fail where memory grows or tracks differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=500)
    parser.add_argument("--arch", default="SiamFCRes22")
    parser.add_argument("--width", type=float, default=0.125, help="of the model; memory does not hang on it")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    if args.frames < 10 or args.slots < 1:
        raise UserError(f"frames must be at least 10 and slots 1, got {args.frames} and {args.slots}")
    prepare_process()
    torch.manual_seed(0)
    ratios = (0.33, 0.5, 1, 2, 3) if "RPN" in args.arch else None
    model: Any = zoo.build(args.arch, width=args.width)
    family = Family(model.fuse(), ratios=ratios)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        found = {"wide": wide(family, args.slots, Path(folder)), "long": long_video(family, args.frames)}
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    figures.write(args.json, figures.machine("long"), **found)
    if found["long"]["growth_MiB"] > GROWTH or found["wide"]["largest_difference_px"] > AGREE:
        raise SystemExit(f"memory may grow by {GROWTH:g} MiB and tracks differ by {AGREE:g} px: they did by more")


if __name__ == "__main__":
    run_script(main)
