"""Trials of a tuning study in slots, beside one trial and one sequence at a time, with the same scores.

python -m benchmarks.tune [--dataset OTB-mini --dataset_root FOLDER] [--resume WEIGHTS] [--trials 8] [--json OUT]

Without --dataset: rendered clips. Ours: all sequences of all trials in the slots of one tracker, each frame decoded
once, each template computed once. The peer: the same tracker with one slot, frames and templates anew for each trial;
--peer_trials of them are timed.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import figures
from benchmarks.floor import floor_of, machine_of
from benchmarks.long import SIZE, TARGET, corner, frame
from benchmarks.track import calm
from lib.core.device import choose_device, prepare_process
from lib.core.scoring import HEADLINE, Stage, score
from lib.core.tune import search_space
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.files import run_script
from lib.models import zoo
from lib.models.weights import load_model
from lib.tracker.family import PRECISIONS, Family

RATIOS = (0.33, 0.5, 1, 2, 3)


def rendered(folder: Path, clips: int, frames: int) -> list[Sequence]:
    """Clips of a patch that drifts."""
    videos = []
    for seed in range(clips):
        paths = [folder / f"{seed}_{t}.png" for t in range(frames)]
        for t, path in enumerate(paths):
            cv2.imwrite(str(path), frame(t, seed))
        truth = np.array([[*corner(t), *TARGET] for t in range(frames)], np.float64)
        videos.append(Sequence(name=str(seed), frames=tuple(paths), truth=truth, size=SIZE))
    return videos


def drawn(is_rpn: bool, count: int) -> list[dict[str, float]]:
    """Trials at random from the published ranges."""
    rng, space = np.random.default_rng(0), search_space(is_rpn)
    return [{name: float(rng.uniform(d.low, d.high)) for name, d in space.items()} for _ in range(count)]  # type: ignore


def study(
    videos: list[Sequence], family: Family, trials: list[dict[str, float]], name: str, slots: int
) -> tuple[list[float], float]:
    """The score of each trial and the seconds that they took; a slot alone tracks each trial with nothing kept."""
    scores, began = [], time.perf_counter()
    for some in [trials] if slots > 1 else [[trial] for trial in trials]:
        stage = Stage(name, videos, family.device, slots=slots)
        rows = stage.track(family, some, "", quiet=True)
        scores += [score(stage, row, intervals=False).mean[HEADLINE[stage.kind]] for row in rows]
        stage.supply.close()
    return scores, time.perf_counter() - began


def measure(args: argparse.Namespace, device: torch.device, folder: Path) -> dict[str, Any]:
    """The figures."""
    if args.dataset:
        videos, name = load(args.dataset, args.dataset_root, max_frames=args.max_frames), args.dataset
    else:
        videos, name = rendered(folder, args.clips, args.max_frames or 20), "rendered"
    torch.manual_seed(0)
    if args.resume:
        loaded = load_model(args.resume)
        arch, family = loaded.arch, Family.of(loaded, loaded.model.fuse().to(device), precision=args.precision)
    else:
        arch, model = args.arch, calm(zoo.build(args.arch, width=args.width).eval()).fuse().to(device)
        family = Family(model, ratios=RATIOS if "RPN" in arch else None, precision=args.precision)
    trials = drawn(family.is_rpn, args.trials)
    frames = sum(map(len, videos))
    dtype = PRECISIONS[args.precision]
    machine = machine_of(device, dtype)
    study(videos[:1], family, trials[:2], name, args.slots)  # what happens once in a process
    ours, took = study(videos, family, trials, name, args.slots)
    theirs, peer = study(videos, family, trials[: args.peer_trials], name, 1)
    floor = floor_of(family.model, machine.best(machine_of(device, dtype)), images=1 if family.is_rpn else 3)
    line: dict[str, Any] = {"arch": arch, "sequences": len(videos), "frames": frames, "trials": len(trials)}
    line |= {"slots": args.slots, "trials_per_second": len(trials) / took}
    line |= {"one_by_one_trials_per_second": len(theirs) / peer}
    line["ratio"] = line["trials_per_second"] / line["one_by_one_trials_per_second"]
    line["ms_a_frame_and_slot"] = 1e3 * took / (len(trials) * frames)
    line["largest_difference_of_scores"] = float(np.abs(np.array(ours[: len(theirs)]) - theirs).max())
    return line | {"best_score": max(ours)} | floor.line(line["ms_a_frame_and_slot"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a test set (default: rendered clips)")
    parser.add_argument("--dataset_root", default="dataset")
    parser.add_argument("--max_frames", type=int, help="of each sequence")
    parser.add_argument("--clips", type=int, default=8, help="rendered")
    parser.add_argument("--resume", help="weights (default: random ones of --arch)")
    parser.add_argument("--arch", default="SiamRPNRes22")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--peer_trials", type=int, default=2)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--precision", default="fp32", choices=tuple(PRECISIONS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    device = choose_device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        line = measure(args, device, Path(folder))
    about, shown = figures.machine("tune", device), line.items()
    print(
        about["device"], ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown), sep="\n"
    )
    figures.write(args.json, about, line=line)
    if args.precision == "fp32" and line["largest_difference_of_scores"] >= 1e-4:
        raise SystemExit("scores in slots must equal scores one by one to four digits: they do not")


if __name__ == "__main__":
    run_script(main)
