"""The film strip at the head of the README: the best shipped weights on rendered sequences.

python siamese_tracking/make_demo.py && python -m benchmarks.film
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from lib.core.device import prepare_process
from lib.evaluation.datasets import load as load_set
from lib.evaluation.sequences import Sequence
from lib.files import atomic_write, run_script
from lib.geometry.boxes import xywh_from_cxcywh
from lib.images import read_image
from lib.tracker.drawing import draw_targets
from lib.tracker.live import load
from lib.tracker.player import THRESHOLD

PICTURES, WIDTH, GAP = 6, 240, 6  # in a row; pixels


def main() -> None:
    """A row a sequence, frames at equal distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", help="weights (default: the best shipped model)")
    parser.add_argument("--sequences", nargs="+", default=["test03", "test04", "test08"])
    parser.add_argument("--out", default="snapshot/film.jpg", help="default: %(default)s")
    args = parser.parse_args()
    prepare_process()
    videos = {video.name: video for video in load_set("demo-test", "dataset")}
    rows = [film(args.resume, videos[name]) for name in args.sequences]
    sheet = np.vstack([row for pair in zip(rows, map(gap, rows), strict=True) for row in pair][:-1])
    atomic_write(args.out, cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    print(Path(args.out))


def film(weights: str | None, video: Sequence) -> np.ndarray:
    """Track the whole sequence; show some of its frames."""
    tracker, shown = load(weights), np.linspace(0, len(video) - 1, PICTURES).round().astype(int).tolist()
    pictures = []
    for number, path in enumerate(video.frames):
        frame = read_image(path)
        assert frame is not None
        box, score = xywh_from_cxcywh(video.start()), 1.0
        if number == 0:
            tracker.init(frame, box)
        else:
            box, score = tracker.update(frame)
        if number in shown:
            picture = draw_targets(frame, box, score, THRESHOLD)
            pictures.append(cv2.resize(picture, (WIDTH, round(WIDTH * frame.shape[0] / frame.shape[1]))))
            pictures.append(np.full((pictures[-1].shape[0], GAP, 3), 255, np.uint8))
    return np.hstack(pictures[:-1])


def gap(row: np.ndarray) -> np.ndarray:
    return np.full((GAP, row.shape[1], 3), 255, np.uint8)


if __name__ == "__main__":
    run_script(main)
