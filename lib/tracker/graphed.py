"""A tracker's whole step as one CUDA graph: one launch a frame in place of hundreds, whose launching takes longer.

A graph does the same operations on the same memory again, so a step's inputs are copied to where it reads, and what it
finds from where it writes. It is of one number of slots and one size of images; others have their own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lib.geometry.crop import Frames
from lib.models.backends import reason_of, say
from lib.tracker.state import over_columns

Found = dict[str, Tensor]  # columns of the state after a frame
Move = Callable[[Any, Frames], Found]
EAGER, GRAPHS = 2, 8  # steps of a shape before it is worth a graph; graphs that are held, each with memory of its own


def captured(run: Callable[[], Found]) -> tuple[Callable[[], Any], Found]:
    """What does ``run`` again, and where its results then lie."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # libraries choose and allocate what they need, which a graph may not
        run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    return graph.replay, found


class Graphed:
    """Stands for ``move``, a tracker's (state, frames) -> changed columns, as long as ``bound()`` stays as it is."""

    def __init__(
        self, move: Move, bound: Callable[[], Any], capture: Callable[..., tuple[Callable[[], Any], Found]] = captured
    ) -> None:
        self.move, self.bound, self.capture = move, bound, capture
        self.graphs: dict[Any, Move] = {}
        self.seen: Counter[Any] = Counter()

    def __call__(self, state: Any, frames: Frames) -> Found:
        key = (frames.shapes, frames.pixels.shape, self.bound(), *(column.shape for column in columns_of(state)))
        if key not in self.graphs:
            self.seen[key] += 1
            if self.seen[key] <= EAGER or len(self.graphs) >= GRAPHS:
                return self.move(state, frames)
            try:
                self.graphs[key] = _Graph(self.move, self.capture, state, frames)
            except Exception as error:  # an operation that no graph can hold, no memory: each has its own class
                say(f"cudagraph gives way to eager for {len(frames)} slots: {reason_of(error)}")
                self.graphs[key] = self.move
        return self.graphs[key](state, frames)


class _Graph:
    def __init__(self, move: Move, capture: Any, state: Any, frames: Frames) -> None:
        self.given = columns_of(state)
        self.state = over_columns(torch.clone, state)
        self.frames = replace(frames, pixels=frames.pixels.clone())
        self.replay, self.found = capture(lambda: move(self.state, self.frames))

    def __call__(self, state: Any, frames: Frames) -> Found:
        given = columns_of(state)
        for mine, new, old in zip(columns_of(self.state), given, self.given, strict=True):
            if new is not old:  # nobody writes into columns: templates and hyper-parameters stay for many frames
                mine.copy_(new)
        self.given = given
        self.frames.pixels.copy_(frames.pixels)
        self.replay()
        return {name: column.clone() for name, column in self.found.items()}


def columns_of(state: Any) -> list[Tensor]:
    """All tensors of a state, in order."""
    columns: list[Tensor] = []
    over_columns(lambda column: columns.append(column) or column, state)  # type: ignore[func-returns-value]
    return columns
