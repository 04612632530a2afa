"""Tracking in real time: frames come as from a camera, and those that come while the tracker is busy are missed.

In a missed frame the tracker's last box stands (a zero-order hold). The rule is that of VOT's toolkit (VOT 2017,
section 2.4): 20 frames a second; a frame that takes longer than its 1/20 s is followed by as many missed ones as come
before the tracker is free, the newest frame is looked at then; after each start the first three slow frames are
forgiven. With restarts, a box that stands on a missed frame can fail like any other.

Which frames are looked at follows from the seconds that each takes, given or measured, so they are known beforehand and
all videos share the slots. The restarts of all videos are run together, round by round.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.protocols import FAILURE, RESTART_AFTER, SKIPPED, START, Trackers, long_term
from lib.evaluation.sequences import Sequence as Video
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh, rectangle_from_cxcywh
from lib.geometry.polygons import rasterised_overlap
from lib.tracker.slots import Scheduler, Segment, Track

Array = NDArray[np.float64]
Seconds = float | Mapping[str, ArrayLike]  # what each frame takes: all alike, or video -> (T,)

FPS = 20.0  # of the camera
GRACE = 3  # slow frames after a start that are forgiven


def frames_seen(seconds: ArrayLike, *, fps: float = FPS, grace: int = GRACE) -> NDArray[np.int64]:
    """The frames, counted from a start, that a tracker looks at which needs ``seconds`` (T,) for each of them.

    The first entry is what the start takes.
    """
    cost = np.asarray(seconds, np.float64)
    if not (np.isfinite(cost) & (cost >= 0)).all():
        raise UserError("seconds for each frame must be known and not negative; measure them again")
    # a frame that takes t of camera time is followed by ceil(t) - 2 missed ones: the next waits in the camera's buffer
    missed = np.maximum(np.ceil(cost * fps - 1e-9) - 2, 0).astype(np.int64)
    slow = cost * fps > 1
    seen, at = [], 0
    while at < len(cost):
        seen.append(at)
        forgiven = slow[at] and grace > 0
        grace -= int(forgiven)
        at += 1 if forgiven else 1 + int(missed[at])
    return np.array(seen)


def run_real_time(
    videos: Sequence[Video],
    trials: Sequence[Mapping[str, float]],
    *,
    seconds: Seconds,
    trackers: Trackers,
    scheduler: Scheduler,
    reset: bool,
    fps: float = FPS,
    grace: int = GRACE,
    on_frames: Callable[[int], Any] = lambda count: None,
) -> Iterator[tuple[int, int, Array]]:
    """As :func:`lib.evaluation.protocols.run`, with the frames that a tracker which takes ``seconds`` looks at."""
    costs = [costs_of(video, seconds) for video in videos]
    tracks = {(t, v): np.full((len(video), 4), np.nan) for v, video in enumerate(videos) for t in range(len(trials))}
    coming = [(trial, number, 0) for trial, number in tracks]
    for rows in tracks.values():
        rows[:, 0] = SKIPPED
    while coming:
        stretches = []
        for trial, number, start in coming:
            seen = start + frames_seen(costs[number][start:], fps=fps, grace=grace)
            stretches.append(_segment(videos[number], (trial, number, start), seen, trials[trial], trackers, reset))
        coming = []
        for track in scheduler.run(stretches):
            trial, number, start = track.segment.key.place
            on_frames(len(track.boxes))
            again = _write(tracks[trial, number], track, videos[number], reset) + RESTART_AFTER
            if again < len(videos[number]):
                coming.append((trial, number, again))
            else:
                yield trial, number, tracks.pop((trial, number))


@dataclass(frozen=True)
class _Key:
    place: tuple[int, int, int]  # trial, video, start
    seen: NDArray[np.int64]  # frames of the video that are looked at


def costs_of(video: Video, seconds: Seconds) -> Array:
    """(T,) seconds for each frame of a video."""
    values = np.asarray(seconds[video.name] if isinstance(seconds, Mapping) else seconds, np.float64)
    if values.ndim and len(values) != len(video):
        raise UserError(f"{video.name}: seconds must be given for each of {len(video)} frames, got {len(values)}")
    return np.broadcast_to(values, len(video))


def _segment(
    video: Video,
    place: tuple[int, int, int],
    seen: NDArray[np.int64],
    hyper: Mapping[str, float],
    trackers: Trackers,
    reset: bool,
) -> Segment:
    image = video.image_size()
    assert image is not None  # a video without frames cannot be tracked
    box = video.start(place[2])
    return Segment(
        key=_Key(place, seen),
        frames=[video.frames[frame] for frame in seen],
        start=0,
        box=box,
        params=trackers.row(hyper),
        instance=trackers.side(hyper, box, image),
        truth=_polygons(video)[seen] if reset else None,
    )


def _write(rows: Array, track: Track, video: Video, reset: bool) -> int:
    """Fill in one stretch, held boxes too; returns the frame of the failure, else the number of frames."""
    seen = track.segment.key.seen[: len(track.boxes)]
    start, end = int(seen[0]), len(rows)
    frames = np.arange(start, end)
    boxes = rectangle_from_cxcywh(track.boxes)[np.searchsorted(seen, frames, side="right") - 1]
    if reset:
        failed = _first_failure(boxes, frames, video)
        if track.failed_at is not None:
            failed = min(failed, int(seen[-1]))
        end = min(end, failed)
        rows[start:end] = boxes[: end - start]
        rows[start] = [START, np.nan, np.nan, np.nan]
        if failed < len(rows):
            rows[failed] = [FAILURE, np.nan, np.nan, np.nan]
        return failed
    rows[start:] = boxes
    if video.truth.shape[1] == 4:
        rows[start] = video.truth[start]
    return end


def _first_failure(boxes: Array, frames: NDArray[np.int64], video: Video) -> int:
    """The first frame after the start in which a box has no overlap with the truth; the number of frames if none."""
    regions = torch.from_numpy(polygon_from_xywh(boxes)), torch.from_numpy(_polygons(video)[frames])
    size = video.image_size()
    overlaps = rasterised_overlap(*regions, size).numpy()
    failed = frames[1:][overlaps[1:] <= 0]
    return int(failed[0]) if len(failed) else len(video)


def _polygons(video: Video) -> Array:
    return video.truth if video.truth.shape[1] == 8 else polygon_from_xywh(video.truth)


# -------------------------------------------------------------------------------------------------- measuring


def measured_seconds(
    videos: Sequence[Video], hyper: Mapping[str, float], *, trackers: Trackers, scheduler: Scheduler
) -> dict[str, Array]:
    """video -> (T,) seconds that the tracker takes for each frame."""
    runs = one_by_one(videos, hyper, trackers=trackers, scheduler=scheduler)
    return {videos[number].name: seconds for _, number, _, _, seconds in runs}


def one_by_one(
    videos: Sequence[Video],
    hyper: Mapping[str, float],
    *,
    trackers: Trackers,
    scheduler: Scheduler,
    repetitions: int = 1,
) -> Iterator[tuple[int, int, Array, Array, Array]]:
    """One pass over one video at a time, timed, decoding left out.

    Yields (repetition, index of the video, rows (T, 4), confidences (T,), seconds (T,)).
    """
    watch, supply = _Stopwatch(scheduler.tracker_of), _OnDemand(scheduler.supply)
    for number, video in enumerate(videos):
        for repetition in range(repetitions):
            watch.seconds.clear()  # and a scheduler that has no template yet, which would be a start for nothing
            alone = Scheduler(watch.tracker_of, supply, slots=1, on_frames=scheduler.on_frames)  # type: ignore[arg-type]
            for _, _, rows, scores in long_term([video], [hyper], trackers=trackers, scheduler=alone):
                yield repetition, number, rows, scores, np.array(watch.seconds)


class _OnDemand:
    """A supply of frames that decodes nothing while a tracker is timed."""

    def __init__(self, supply: Any) -> None:
        self.frames = supply.frames

    def prefetch(self, paths: Iterable[Path]) -> None:
        """Not now."""


class _Stopwatch:
    """Trackers that note what each of their steps takes."""

    def __init__(self, tracker_of: Callable[[int], Any]) -> None:
        self.inner, self.seconds = tracker_of, list[float]()

    def tracker_of(self, instance: int) -> Any:
        return _Timed(self.inner(instance), self.seconds)


class _Timed:
    def __init__(self, tracker: Any, seconds: list[float]) -> None:
        self.tracker, self.seconds = tracker, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tracker, name)

    def init(self, *args: Any) -> Any:
        return self._timed(self.tracker.init, *args)

    def step(self, *args: Any) -> Any:
        return self._timed(self.tracker.step, *args)

    def _timed(self, call: Callable[..., Any], *args: Any) -> Any:
        begin = time.perf_counter()
        result = call(*args)
        if torch.device(self.tracker.device).type == "cuda":
            torch.cuda.synchronize(self.tracker.device)
        self.seconds.append(time.perf_counter() - begin)
        return result
