"""The scheduler: many stretches of video through a fixed number of slots, in lockstep.

A *segment* is one target followed from one start to the end of its sequence, or to a failure. Slots that finish are
refilled at once, longest segments first; a restart after a failure is a new segment. Every slot has its own sequence,
image size and hyper-parameters. The device is read once per chunk of frames, so steps are not held up by the host.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.memory import sent
from lib.tracker.frames import FrameSupply
from lib.tracker.state import join, take

TEMPLATES = 4096  # starts whose template is kept for other trials
CHUNK = 4  # frames between two looks at the device: fewer than the 5 that pass before a restart


@dataclass(frozen=True, eq=False)
class Segment:
    """A target to follow from frame ``start`` on."""

    key: Any  # whatever the caller knows it by
    frames: Sequence[Path]  # of the whole sequence
    start: int
    box: NDArray[np.float64]  # (4,) cxcywh at the start, pixels
    params: Any  # columns of one row
    instance: Any  # what chooses its tracker: the side of the search image, pixels, or several sides
    truth: NDArray[np.float64] | None = None  # (T, 8) polygons: with them, overlap is reported and a failure ends it

    @property
    def steps(self) -> int:
        return len(self.frames) - self.start - 1


@dataclass(frozen=True, eq=False)
class Track:
    """What became of a segment: one row per frame from its start on, the start included."""

    segment: Segment
    boxes: NDArray[np.float64]  # (n, 4) cxcywh
    scores: NDArray[np.float64]  # (n,)
    failed_at: int | None = None  # frame of the failure, counted in the sequence; its row is the last


@dataclass(eq=False)
class _Slot:
    segment: Segment
    rows: list[NDArray[np.float64]] = field(default_factory=list)  # (6,) box, score, failed
    stepped: int = 0
    failed: bool = False

    @property
    def at(self) -> int:
        """The frame to look at next."""
        return self.segment.start + 1 + self.stepped

    @property
    def exhausted(self) -> bool:
        return self.stepped >= self.segment.steps

    def track(self) -> Track:
        rows = np.array([[*self.segment.box, 1.0, 0.0], *self.rows])
        failed_at = self.segment.start + len(rows) - 1 if self.failed else None
        return Track(self.segment, rows[:, :4], rows[:, 4], failed_at)


class Scheduler:
    """Runs segments on the trackers of ``tracker_of(instance)``."""

    def __init__(
        self,
        tracker_of: Callable[[int], Any],
        supply: FrameSupply,
        *,
        slots: int = 16,
        on_frames: Callable[[int], Any] = lambda count: None,
    ) -> None:
        """``on_frames`` hears how many frames, of all slots, have been tracked since it was last called."""
        self.tracker_of, self.supply, self.slots, self.on_frames = tracker_of, supply, slots, on_frames
        self.templates: dict[Any, tuple[Tensor, ...]] = {}

    def run(
        self, segments: Iterable[Segment], restart: Callable[[Track], Segment | None] | None = None
    ) -> Iterator[Track]:
        """Yield a :class:`Track` of every segment as it ends; ``restart`` may make a new segment of a failed one."""
        queues: dict[Any, list[Segment]] = {}

        def enqueue(segment: Segment) -> None:
            queues.setdefault(segment.instance, []).append(segment)

        for segment in segments:
            enqueue(segment)
        while queues:
            instance = max(queues, key=lambda side: len(queues[side]))
            for track in self._run_side(self.tracker_of(instance), queues[instance]):
                if track.failed_at is not None and restart is not None:
                    again = restart(track)
                    if again is not None:
                        enqueue(again)
                yield track
            del queues[instance]

    def _run_side(self, tracker: Any, queue: list[Segment]) -> Iterator[Track]:
        """Everything in ``queue`` (which may grow meanwhile) on one tracker."""
        running: list[_Slot] = []
        state: Any = None
        while queue or running:
            queue.sort(key=lambda segment: segment.steps)
            new = [_Slot(queue.pop()) for _ in range(min(len(queue), self.slots - len(running)))]
            if new:
                fresh = self._start(tracker, [slot.segment for slot in new])
                state = fresh if not running else join(state, fresh)
                running += new
                self.on_frames(len(new))
            state = self._advance(tracker, state, running)
            keep = [n for n, slot in enumerate(running) if not (slot.failed or slot.exhausted)]
            done = [slot for slot in running if slot.failed or slot.exhausted]
            if done:
                state = take(state, torch.tensor(keep, device=tracker.device)) if keep else None
                running = [running[n] for n in keep]
            for slot in done:
                yield slot.track()

    def _start(self, tracker: Any, segments: list[Segment]) -> Any:
        """The state of new slots. Starts that differ in their hyper-parameters only share one template."""
        keys = [(s.frames[s.start], s.box.tobytes(), tracker.exemplar, id(tracker.model)) for s in segments]
        frames = self.supply.frames([segment.frames[segment.start] for segment in segments])
        boxes = torch.from_numpy(np.stack([segment.box for segment in segments]))
        params = join(*(segment.params for segment in segments))
        known = [self.templates.get(key) for key in keys]
        kernels = join(*known) if all(kernel is not None for kernel in known) else None  # type: ignore[type-var]
        state = tracker.init(frames, boxes, params, kernels)
        for n, key in enumerate(keys):
            if len(self.templates) < TEMPLATES:
                self.templates.setdefault(key, tuple(kernel[n : n + 1].clone() for kernel in state.kernels))
        return state

    def _advance(self, tracker: Any, state: Any, running: list[_Slot]) -> Any:
        """Step all slots until one is exhausted, a chunk at most, then read the device once."""
        steps = min(CHUNK, *(slot.segment.steps - slot.stepped for slot in running))
        outputs, truths = [], self._truths(running, steps, tracker.device)
        for step in range(steps):
            paths = [slot.segment.frames[slot.at] for slot in running]
            frames = self.supply.frames(paths)
            self._prefetch(running)
            state, flags = tracker.step(state, frames, None if truths is None else truths[step])
            failed = torch.zeros_like(state.score) if flags is None else flags.failed.double()
            outputs.append(torch.cat([state.box, state.score[:, None], failed[:, None]], 1))
            for slot in running:
                slot.stepped += 1
        self.on_frames(steps * len(running))
        if outputs:
            for rows in torch.stack(outputs).cpu().numpy():
                for slot, row in zip(running, rows, strict=True):
                    if not slot.failed:
                        slot.rows.append(row)
                        slot.failed = bool(row[5])
        return state

    def _truths(self, running: list[_Slot], steps: int, device: torch.device) -> Tensor | None:
        """(steps, N, 8) polygons of the frames that come, where the segments have them."""
        coming = [slot.segment.truth[slot.at : slot.at + steps] for slot in running if slot.segment.truth is not None]
        return sent(torch.from_numpy(np.stack(coming, 1)), device) if coming and steps else None

    def _prefetch(self, running: list[_Slot]) -> None:
        coming = (slot.segment.frames[slot.at + 1 : slot.at + 3] for slot in running)
        self.supply.prefetch(path for paths in coming for path in paths)
