"""How a tracker is run over sequences: one pass from the first frame, or with a new start after every failure.

A trial is one set of hyper-parameters. Sequences x trials go through the slots together.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lib.evaluation.sequences import Sequence as Video
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh, rectangle_from_cxcywh
from lib.tracker.slots import Scheduler, Segment, Track

Array = NDArray[np.float64]

RESTART_AFTER = 5  # frames from a failure to the next start
START, FAILURE, SKIPPED = 1, 2, 0  # codes of frames without a box


class Trackers(Protocol):
    """What a protocol needs of a tracker: its hyper-parameters as a row, and the side of its search image."""

    def row(self, hyper: Mapping[str, float]) -> Any: ...

    def side(self, hyper: Mapping[str, float], box: Array, image: tuple[int, int]) -> Any: ...


def run(
    videos: Sequence[Video],
    trials: Sequence[Mapping[str, float]],
    *,
    trackers: Trackers,
    scheduler: Scheduler,
    reset: bool,
    on_track: Callable[[Track], Any] = lambda track: None,
) -> Iterator[tuple[int, int, Array]]:
    """Track every video under every trial; yields (index of the trial, index of the video, rows) as they finish.

    ``rows`` (T, 4) xywh, pixels as in the truth; with ``reset`` a row without a box is [code, nan, nan, nan].
    ``on_track`` hears of every stretch that ends.
    """
    images = [video.image_size() for video in videos]
    polygons = [_polygons(video) if reset else None for video in videos]

    def segment(trial: int, number: int, start: int) -> Segment:
        video, image = videos[number], images[number]
        assert image is not None  # a video without frames cannot be tracked
        box = video.start(start)
        if start == 0 and (box[:2] + box[2:] / 2 <= 0).any() | (box[:2] - box[2:] / 2 >= image).any():
            raise UserError(
                f"sequence {video.name}: a target must begin in the image of {image[0]} x {image[1]}, its first box is "
                f"{_numbers(video.truth[0])} (counted from 0): mend the annotation"
            )
        return Segment(
            key=(trial, number),
            frames=video.frames,
            start=start,
            box=box,
            params=trackers.row(trials[trial]),
            instance=trackers.side(trials[trial], box, image),
            truth=polygons[number],
        )

    def restart(track: Track) -> Segment | None:
        assert track.failed_at is not None
        start = track.failed_at + RESTART_AFTER
        trial, number = track.segment.key
        return segment(trial, number, start) if start < len(videos[number]) else None

    rows: dict[tuple[int, int], Array] = {}
    first = [segment(t, v, 0) for v in range(len(videos)) for t in range(len(trials))]
    for track in scheduler.run(first, restart if reset else None):
        trial, number = key = track.segment.key
        video = videos[number]
        if key not in rows:
            rows[key] = np.full((len(video), 4), np.nan)
            rows[key][:, 0] = SKIPPED
        end = _write(rows[key], track, None if reset else video.truth[0])
        on_track(track)
        if end + 1 >= len(video) or (track.failed_at is not None and track.failed_at + RESTART_AFTER >= len(video)):
            yield trial, number, rows.pop(key)


def long_term(
    videos: Sequence[Video],
    trials: Sequence[Mapping[str, float]],
    *,
    trackers: Trackers,
    scheduler: Scheduler,
) -> Iterator[tuple[int, int, Array, Array]]:
    """One pass that keeps how sure the tracker was: as :func:`run`, with confidences (T,) after the rows."""
    scores: dict[Any, Array] = {}

    def keep(track: Track) -> None:
        scores[track.segment.key] = track.scores

    options: dict[str, Any] = {"trackers": trackers, "scheduler": scheduler}
    for trial, number, rows in run(videos, trials, reset=False, on_track=keep, **options):
        yield trial, number, rows, scores.pop((trial, number))


def repeated(
    videos: Sequence[Video],
    hyper: Mapping[str, float],
    *,
    repetitions: int,
    trackers: Trackers,
    scheduler: Scheduler,
    reset: bool,
) -> Iterator[tuple[int, int, Array]]:
    """Several runs of each video (GOT-10k: 3, VOT: 15); yields (index of the repetition, index of the video, rows).

    How many there are: see :func:`repetitions_needed`.
    """
    options: dict[str, Any] = {"trackers": trackers, "scheduler": scheduler, "reset": reset}
    repetitions = repetitions_needed(videos, hyper, repetitions=repetitions, **options)
    yield from run(videos, [hyper] * repetitions, **options)


def repetitions_needed(
    videos: Sequence[Video],
    hyper: Mapping[str, float],
    *,
    repetitions: int,
    trackers: Trackers,
    scheduler: Scheduler,
    reset: bool,
    stochastic: bool | None = None,
) -> int:
    """``repetitions`` where runs differ, else 1.

    Only trackers that say that they are ``stochastic`` (None: their own account) are run more than once, and of these
    only such as give two results on the shortest video.
    """
    if repetitions < 2 or not (getattr(trackers, "stochastic", False) if stochastic is None else stochastic):
        return 1
    shortest = min(videos, key=len)
    runs = (run([shortest], [hyper], trackers=trackers, scheduler=scheduler, reset=reset) for _ in range(2))
    first, second = (rows for each in runs for _, _, rows in each)
    if not np.array_equal(first, second, equal_nan=True):
        return repetitions
    print(f"two runs on {shortest.name} are identical: each video is run once", file=sys.stderr)
    return 1


def _write(rows: Array, track: Track, first: Array | None) -> int:
    """Fill in one stretch; returns its last frame."""
    start = track.segment.start
    end = start + len(track.boxes) - 1
    rows[start : end + 1] = rectangle_from_cxcywh(track.boxes)
    if first is None:
        rows[start] = [START, np.nan, np.nan, np.nan]
    elif len(first) == 4:
        rows[start] = first  # a one-pass result repeats the given box; of a polygon, the box that was begun with
    if track.failed_at is not None:
        rows[end] = [FAILURE, np.nan, np.nan, np.nan]
    return end


def _numbers(row: Array) -> str:
    return ", ".join(f"{number:g}" for number in row)


def _polygons(video: Video) -> Array:
    return video.truth if video.truth.shape[1] == 8 else polygon_from_xywh(video.truth)
