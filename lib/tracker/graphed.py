"""A tracker's whole step as one CUDA graph: one launch a frame in place of hundreds, whose launching takes longer.

A graph does the same operations on the same memory again, so a step's inputs are copied to where it reads, and what it
finds from where it writes. It is of one number of slots and one size of images; others have their own.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lib.files import reason_of, say
from lib.geometry.crop import Frames
from lib.tracker.state import columns_of, over_columns

Found = dict[str, Tensor]  # columns of the state after a frame
Move = Callable[[Any, Frames], Found]
Capture = Callable[[Callable[[], Found], torch.device], tuple[Callable[[], Any], Found]]
STEADY = 20  # steps on end with slots and images of the same sizes before a graph is worth its making
GRAPHS = 8  # that are held, each with memory of its own


def captured(run: Callable[[], Found], device: torch.device) -> tuple[Callable[[], Any], Found]:
    """What does ``run`` again, and where its results then lie."""
    with torch.cuda.device(device):  # whose streams these are
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries choose and allocate what they need, which a graph may not
            run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = run()

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return replay, found


class Graphed:
    """Stands for ``move``, a tracker's (state, frames) -> changed columns; ``built_in()``: what else that reads."""

    def __init__(self, move: Move, built_in: Callable[[], Any], capture: Capture = captured) -> None:
        self.move, self.built_in, self.capture = move, built_in, capture
        self.graphs: OrderedDict[Any, Move] = OrderedDict()  # the least used first
        self.last: Any = None  # sizes of the last step
        self.steps = 0  # that had those, one after another

    def __call__(self, state: Any, frames: Frames) -> Found:
        sizes = (frames.shapes, frames.pixels.shape, self.built_in(), *(column.shape for column in columns_of(state)))
        self.last, self.steps = sizes, self.steps + 1 if sizes == self.last else 1
        if sizes not in self.graphs:
            if self.steps <= STEADY:
                return self.move(state, frames)
            self.graphs[sizes] = self._made(state, frames)
            if len(self.graphs) > GRAPHS:
                self.graphs.popitem(last=False)
        self.graphs.move_to_end(sizes)
        return self.graphs[sizes](state, frames)

    def _made(self, state: Any, frames: Frames) -> Move:
        try:
            return _Graph(self.move, self.capture, state, frames)
        except Exception as error:  # an operation that no graph can hold, no memory: each has its own class
            say(f"cudagraph gives way to eager for slots: {len(frames)}: {reason_of(error)}")
            return self.move


class _Graph:
    def __init__(self, move: Move, capture: Capture, state: Any, frames: Frames) -> None:
        self.given = columns_of(state)
        self.state = over_columns(torch.clone, state)
        self.frames = replace(frames, pixels=frames.pixels.clone())
        self.replay, self.found = capture(lambda: move(self.state, self.frames), frames.pixels.device)

    def __call__(self, state: Any, frames: Frames) -> Found:
        given = columns_of(state)
        for mine, new, old in zip(columns_of(self.state), given, self.given, strict=True):
            if new is not old:  # nobody writes into columns: templates and hyper-parameters stay for many frames
                mine.copy_(new)
        self.given = given
        self.frames.pixels.copy_(frames.pixels)
        self.replay()
        return {name: column.clone() for name, column in self.found.items()}
