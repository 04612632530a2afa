"""What a precision costs in AUC: each target is followed from twelve shaken starts, in fp32 and in that precision.

python -m benchmarks.rounding --resume WEIGHTS --dataset OTB-mini --dataset_root FOLDER [--max_frames 40] [--json OUT]

The starts are those of OTB's spatial robustness (Wu, Lim and Yang, CVPR 2013, section 4): shifted by a tenth of the
target, and of .8 to 1.2 times its size. One start says little: rounding decides between equally likely boxes, and a
track that is lost once is lost for long. Intervals are over sequences, the difference is paired.
"""

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks import figures
from lib.core.device import choose_device, prepare_process
from lib.core.scoring import Stage
from lib.evaluation import otb
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.evaluation.statistics import interval
from lib.files import run_script
from lib.geometry.boxes import rectangle_from_cxcywh
from lib.models.weights import load_model
from lib.tracker.family import PRECISIONS, Family

SHIFTS = [(x, y) for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1) if x or y]  # shares of the target's width and height
STARTS = [(*shift, 1.0) for shift in SHIFTS] + [(0, 0, scale) for scale in (0.8, 0.9, 1.1, 1.2)]


def shaken(video: Sequence) -> list[Sequence]:
    """The video with each of its other starts."""
    x, y, width, height = video.start()
    boxes = [(x + dx * width, y + dy * height, scale * width, scale * height) for dx, dy, scale in STARTS]
    corners = rectangle_from_cxcywh(np.array(boxes))
    return [replace(video, truth=np.concatenate([corner[None], video.truth[1:]])) for corner in corners]


def auc(family: Family, videos: list[Sequence], name: str, label: str) -> NDArray[np.float64]:
    """(Q,) of each sequence, over its starts."""
    starts = [start for video in videos for start in shaken(video)]
    stage = Stage(name, starts, family.device)
    (rows,) = stage.track(family, [{}], label)
    stage.supply.close()
    runs = {video.name: rows[len(STARTS) * n : len(STARTS) * (n + 1)] for n, video in enumerate(videos)}
    return otb.evaluate(videos, runs).values()["auc"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", required=True, help="weights")
    parser.add_argument("--dataset", default="OTB-mini", help="a one-pass test set")
    parser.add_argument("--dataset_root", default="dataset")
    parser.add_argument("--max_frames", type=int, help="of each sequence (default: all)")
    parser.add_argument("--precision", default="bf16", choices=tuple(PRECISIONS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    device, loaded = choose_device(args.device), load_model(args.resume)
    videos = load(args.dataset, args.dataset_root, max_frames=args.max_frames)
    scores = {}
    for precision in ("fp32", args.precision):
        family = Family.of(loaded, loaded.model.fuse().to(device), precision=precision)
        scores[precision] = auc(family, videos, args.dataset, precision)
    scores["difference"] = scores[args.precision] - scores["fp32"]
    line: dict[str, float] = {}
    for what, values in scores.items():
        low, high = interval(values)
        line |= {what: float(values.mean()), f"{what}_low": float(low), f"{what}_high": float(high)}
        print(f"{what:10} {values.mean():+.4f} [{low:+.4f}, {high:+.4f}]")
    figures.write(args.json, figures.machine("rounding", device), starts=len(STARTS), sequences=len(videos), auc=line)


if __name__ == "__main__":
    run_script(main)
