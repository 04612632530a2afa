"""OpenCV's own trackers on a test set, one pass, scored beside each other and beside ours.

python -m benchmarks.opencv --dataset OTB-mini --dataset_root $TRACKING_REFERENCE/dataset [--result_path ./result]

Results lie as our trackers' do, so eval_otb.py and evaluate.py score all of them in one table. KCF and CSRT are in
opencv-contrib-python alone: benchmarks/README.md says how to have it beside the other build. The seconds of a frame are
those of init and update: processor time of one thread, so that other work on the machine does not count.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks import figures
from lib.core.device import prepare_process
from lib.evaluation import results
from lib.evaluation.boards import FPS, OTB_COLUMNS, OTB_LEGEND, otb_board
from lib.evaluation.datasets import load
from lib.evaluation.leaderboard import INTERVALS
from lib.evaluation.sequences import Sequence
from lib.files import UserError, run_script
from lib.geometry.boxes import rectangle_from_cxcywh
from lib.images import read_image

NAMES = ("KCF", "MIL", "CSRT")  # that need no weights
NEEDS = "opencv-contrib-python has it, see benchmarks/README.md"
Array = NDArray[np.float64]


def maker_of(name: str) -> Callable[[], Any] | None:
    """What makes such a tracker, None where this OpenCV has none."""
    places = (cv2, getattr(cv2, "legacy", None))  # the second are older forms of the same
    makers = (getattr(place, f"Tracker{name}_create", None) for place in places)
    return next((maker for maker in makers if maker), None)


def one_pass(make: Callable[[], Any], video: Sequence) -> tuple[Array, Array]:
    """Boxes (T, 4), zero-based xywh, and the seconds of each frame. Where the tracker is lost its last box stays."""
    cv2.setRNGSeed(0)  # MIL draws its features
    tracker, rows, seconds = make(), np.empty((len(video), 4)), np.empty(len(video))
    start = rectangle_from_cxcywh(video.start()[None])[0]
    for number, path in enumerate(video.frames):
        image = read_image(path)
        if image is None:
            raise UserError(f"{path} must be an image, it cannot be read: replace it")
        began = time.thread_time()
        if number == 0:
            tracker.init(image, tuple(map(round, start.tolist())))  # it takes whole pixels
            rows[0] = start
        else:
            rows[number] = _updated(tracker, image, rows[number - 1])
        seconds[number] = time.thread_time() - began
    return rows, seconds


def _updated(tracker: Any, image: np.ndarray, last: Array) -> Array:
    try:
        found, box = tracker.update(image)
    except cv2.error:  # of a window outside the image
        return last
    return np.asarray(box, np.float64) if found else last


def track(name: str, videos: list[Sequence], folder: Path) -> None:
    """Result files of one tracker, and its times."""
    make = maker_of(name)
    if make is None:
        raise UserError(f"this OpenCV, {cv2.__version__}, must have {name}, it does not: {NEEDS}")
    for video in tqdm(videos, desc=name, unit="video"):
        rows, seconds = one_pass(make, video)
        path = results.result_path(folder, video, "otb")
        results.write(path, rows, "otb", video.origin)
        results.write_times(path.with_name(f"{video.name}_time.txt"), seconds)


def main() -> None:
    """Track, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trackers", nargs="+", default=list(NAMES), choices=NAMES, help="(default: all)")
    parser.add_argument("--dataset", default="OTB2015", help="(default: %(default)s)")
    parser.add_argument("--dataset_root", default="dataset", help="folder of the test sets (default: %(default)s)")
    parser.add_argument("--max_frames", type=int, help="only the first so many frames of each sequence")
    parser.add_argument("--result_path", default="result", help="results go to RESULT_PATH/DATASET/OpenCV-NAME")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    videos = load(args.dataset, args.dataset_root, max_frames=args.max_frames)
    if any(video.kind == "vot" for video in videos):
        raise UserError(f"{args.dataset} must be a set of the one-pass protocol, it is VOT's: name another")
    dataset = results.set_folder(args.dataset, args.max_frames)
    folders = [Path(args.result_path) / dataset / f"OpenCV-{name}" for name in args.trackers]
    for name, folder in zip(args.trackers, folders, strict=True):
        track(name, videos, folder)
    board = otb_board(videos, folders)
    print(f"{dataset}, {len(videos)} sequences, OpenCV {cv2.__version__}")
    print(f"{board.table([*OTB_COLUMNS, FPS])}\n{OTB_LEGEND}; {INTERVALS}")
    about = figures.machine("opencv") | {"opencv": cv2.__version__, "threads": cv2.getNumThreads()}
    figures.write(args.json, about, dataset=dataset, trackers=json.loads(board.json(full=True)))


if __name__ == "__main__":
    run_script(main)
