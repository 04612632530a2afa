"""Targets followed through a video or in front of a camera: the loops behind run_video.py and run_webcam.py."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from lib.files import UserError, atomic_write
from lib.tracker.drawing import draw_targets
from lib.tracker.live import LiveTracker
from lib.tracker.streams import Source, VideoFile
from lib.tracker.windows import Window

THRESHOLD = 0.5  # a lower score says: rather not the target. Logits are 0 there, and hinge margins meet


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where the targets were. The first row is the start."""

    boxes: NDArray[np.float64]  # (T, n, 4) xywh
    scores: NDArray[np.float64]  # (T, n)
    seconds: float
    ended: Literal["the end", "q", "Ctrl-C"]


def follow_video(
    tracker: LiveTracker,
    source: Source,
    targets: ArrayLike | None,
    *,
    threshold: float = THRESHOLD,
    window: Window | None = None,
    save: VideoFile | None = None,
    quiet: bool = False,
) -> Trajectory:
    """Follow targets (n, 4) xywh, or one that is selected in ``window``, to the end, to key q or to Ctrl-C.

    Frames with their boxes go to ``window`` and ``save``. What was saved until q or Ctrl-C is kept; after an error
    nothing is.
    """
    frames = iter(source.frames)
    try:
        first = next(frames)
        if targets is None:
            targets = window.select(first) if window else None
            if targets is None:
                raise UserError("a target must be selected before q is pressed: draw a box, or give --init_bbox")
        boxes = np.atleast_2d(np.asarray(targets, np.float64))
        track = _follow(tracker, chain([first], frames), boxes, source.count, threshold, window, save, quiet)
        if save:
            save.close()
        return track
    except BaseException:
        if save:
            save.abandon()
        raise
    finally:
        source.frames.close()


def _follow(
    tracker: LiveTracker,
    frames: Iterator[np.ndarray],
    targets: NDArray[np.float64],
    count: int | None,
    threshold: float,
    window: Window | None,
    save: VideoFile | None,
    quiet: bool,
) -> Trajectory:
    rows = [np.column_stack([targets, np.ones(len(targets))])]
    ended: Literal["the end", "q", "Ctrl-C"] = "the end"
    began = time.perf_counter()
    with tqdm(frames, total=count, unit=" frames", disable=True if quiet else None) as bar:
        try:
            for number, frame in enumerate(bar):
                if number:
                    rows.append(np.column_stack(tracker.update(frame)))
                else:
                    tracker.init(frame, targets)
                if window is None and save is None:
                    continue
                view = draw_targets(frame, rows[-1][:, :4], rows[-1][:, 4], threshold)
                if save:
                    save.write(view)
                if window and window.show(view) == "q":
                    ended = "q"
                    break
        except KeyboardInterrupt:
            ended = "Ctrl-C"
    found = np.stack(rows)
    return Trajectory(found[..., :4], found[..., 4], time.perf_counter() - began, ended)


def follow_camera(tracker: LiveTracker, source: Source, window: Window, *, threshold: float = THRESHOLD) -> None:
    """Show a camera until q; s or r stops the picture so that a target can be drawn, which is then followed.

    A video file plays at its own speed, as a camera would.
    """
    following = False
    help_text = "s select   q quit"
    shown = time.perf_counter()
    for frame in source.frames:
        view = frame
        if following:
            box, score = tracker.update(frame)
            view = draw_targets(frame, box, score, threshold)
        now = time.perf_counter()
        left = 0.0 if source.live else 1 / source.fps - (now - shown)
        key = window.show(view, help_text, wait_ms=int(1000 * left))
        rate = 1 / max(1e-3, time.perf_counter() - shown)
        shown = time.perf_counter()
        if following:
            help_text = f"r reselect   q quit   {rate:.0f} frames/s"
        if key in ("s", "r"):
            drawn = window.select(frame)
            if drawn is None:
                break
            tracker.init(frame, drawn)
            following = True
        if key == "q":
            break
    source.frames.close()


def write_boxes(path: str | Path, boxes: NDArray[np.float64]) -> list[Path]:
    """Boxes (T, n, 4), a line ``x,y,w,h`` a frame; of several targets one file each, NAME_1.txt, NAME_2.txt ..."""
    path = Path(path)
    targets = boxes.shape[1]
    paths = [path] if targets == 1 else [path.with_stem(f"{path.stem}_{n + 1}") for n in range(targets)]
    for number, file in enumerate(paths):
        atomic_write(file, "".join("{:.4f},{:.4f},{:.4f},{:.4f}\n".format(*row) for row in boxes[:, number]))
    return paths


def check_writable(path: str | Path, source: str | None = None) -> None:
    """That a file can be written to ``path`` is known before a long run, and that it is not the ``source`` itself."""
    path = Path(path)
    problem = "it is a folder" if path.is_dir() else None
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        problem = "it is the video that is read"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = error.strerror
    if problem is None and not os.access(path.parent, os.W_OK):
        problem = "its folder is read-only"
    if problem:
        raise UserError(f"{path} cannot be written, {problem}: name another file")
