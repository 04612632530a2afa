"""What runs a network's search and matching in a tracker: PyTorch as it stands, compiled, onnxruntime or OpenVINO.

The fifth way, cudagraph, is of the whole step: ``lib/tracker/graphed.py``.

Axes: N slots, S search images (scales) of one slot, e i sides of template and search image in pixels.

A way to run them is a function (kernels, x) -> prediction of images x (N*S, 3, i, i), as ``model.match(kernels,
model.search(x))``. The template, once a start, stays PyTorch's. Nothing is built before the first images are seen: what
is built, compared and measured is of a tracker's own shapes. What fails, then or later, gives way to PyTorch and says
why in a line.
"""

import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.files import UserError, reason_of, say
from lib.models.export import NEEDS, search_graph
from lib.models.graphs import GraphModel, open_session

Kernels = tuple[Tensor, ...]
Run = Callable[[Kernels, Tensor], Any]

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # as a share of the largest value
OFTEN, COMPILED = 20, 4  # calls with images of one shape before it is compiled too; shapes that are at most
WARM, REPEATS = 2, 5  # calls before the clock runs, and those of which the median counts


def eager(model: Any, kernels: Kernels, x: Tensor) -> Run:
    """PyTorch, operation by operation: the fused model."""
    return lambda kernels, x: model.match(kernels, model.search(x))


def compiled(model: Any, kernels: Kernels, x: Tensor) -> Run:
    """``torch.compile``: on GPUs CUDA graphs, of shapes that are frequent; on CPUs one program, weights packed in it.

    Where a part cannot be compiled it raises: of what is compiled, nothing may stay uncompiled.
    """
    run = eager(model, kernels, x)
    if x.device.type != "cuda":
        return torch.compile(run, fullgraph=True, options={"freezing": True})
    program = torch.compile(run, fullgraph=True, mode="reduce-overhead", dynamic=False)

    def replayed(kernels: Kernels, x: Tensor) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # what the last replay gave is used up
        return program(kernels, x)

    return for_frequent(x.shape, replayed, run)


def for_frequent(first: torch.Size, program: Run, otherwise: Run) -> Run:
    """``program`` for images of the ``first`` shape and for a few others that come often.

    Each is compiled anew, for many seconds, and at the end of a test set every step may have fewer slots.
    """
    seen, chosen = Counter[torch.Size](), [first]

    def run(kernels: Kernels, x: Tensor) -> Any:
        if x.shape not in chosen and len(chosen) < COMPILED:
            seen[x.shape] += 1
            if seen[x.shape] > OFTEN:
                chosen.append(x.shape)
        return (program if x.shape in chosen else otherwise)(kernels, x)

    return run


def by_onnxruntime(model: Any, kernels: Kernels, x: Tensor) -> Run:
    """The exported graph in onnxruntime."""
    if x.dtype != torch.float32:
        raise UserError("it computes in fp32 alone here")
    return GraphModel(None, open_session(search_graph(model, kernels, x)), color="", template_side=0).match


def by_openvino(model: Any, kernels: Kernels, x: Tensor) -> Run:
    """The exported graph in OpenVINO, on a CPU, in the model's precision."""
    if x.device.type != "cpu":
        raise UserError(f"it runs on CPUs here, not on {x.device.type}")
    try:
        import openvino
    except ImportError:
        raise UserError(f"not installed: {NEEDS.replace('onnx', 'openvino')}") from None
    told = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": {torch.float32: "f32", torch.bfloat16: "bf16"}[x.dtype],
    }
    core = openvino.Core()
    program = core.compile_model(core.read_model(search_graph(model, kernels, x)), "CPU", told)

    def run(kernels: Kernels, x: Tensor) -> Any:
        found = program([np.ascontiguousarray(part.float().numpy()) for part in (x, *kernels)]).to_tuple()
        prediction = tuple(map(torch.from_numpy, found))
        return prediction if len(prediction) > 1 else prediction[0]

    return run


BUILDERS: dict[str, Callable[[Any, Kernels, Tensor], Run]] = {
    "eager": eager,
    "compiled": compiled,
    "onnxruntime": by_onnxruntime,
    "openvino": by_openvino,
}
WHOLE_STEP = "cudagraph"  # which runs not the network alone; auto does not measure it
BACKENDS = (*BUILDERS, WHOLE_STEP, "auto")


def running(model: Any, backend: str) -> Any:
    """``model`` as a tracker takes it, run by ``backend``; ``auto``: by the fastest that is here."""
    if backend not in BACKENDS:
        raise UserError(f"a backend must be one of {', '.join(BACKENDS)}, got {backend}: choose one")
    if backend == "eager":
        return model
    if not hasattr(model, "backbone"):
        raise UserError(f"exported graphs are run by onnxruntime, not by {backend}: name the weights they came from")
    if backend == WHOLE_STEP:
        device = next(model.parameters()).device.type
        if device != "cuda":
            say(f"{WHOLE_STEP} gives way to eager: it runs on GPUs, not on {device}")
            return model
        model = copy.copy(model)  # with the same weights
        model.whole_step = True  # which its trackers read
        return model
    return Running(model, backend)


class Running(nn.Module):
    """A model whose search waits for ``match``: a backend runs both as one."""

    def __init__(self, model: Any, backend: str) -> None:
        super().__init__()
        self.model, self.backend = model, backend
        self.color = getattr(model, "color", "bgr")
        self.runs: dict[Any, Run] = {}  # by what a graph has built in: the kernels' sides

    @property
    def backbone(self) -> Any:
        return self.model.backbone

    def template(self, z: Tensor) -> Kernels:
        return self.model.template(z)

    def search(self, x: Tensor) -> Tensor:
        """(N*S, 3, i, i), as it comes."""
        return x

    def match(self, kernels: Kernels, x: Tensor) -> Any:
        """Kernels of N slots, images (N*S, 3, i, i), row n*S + s of slot n -> prediction."""
        key = tuple(kernel.shape[1:] for kernel in kernels)
        if key not in self.runs:
            names = list(BUILDERS) if self.backend == "auto" else ["eager", self.backend]
            ways = {name: BUILDERS[name] for name in names}
            self.runs[key] = fastest(self.model, ways, kernels, x, measure=self.backend == "auto")
        try:
            return self.runs[key](kernels, x)
        except Exception as error:  # other shapes than the first ones; every backend raises what it likes
            say(f"{self.backend} gives way to eager on images {tuple(x.shape)}: {reason_of(error)}")
            self.runs[key] = eager(self.model, kernels, x)
            return self.runs[key](kernels, x)


@torch.no_grad()
def fastest(
    model: Any, ways: Mapping[str, Callable[..., Run]], kernels: Kernels, x: Tensor, *, measure: bool = True
) -> Run:
    """The fastest of ``ways`` on these images; all must give what the first gives, within :data:`TOLERANCE`.

    Prints a table of them. Not to ``measure`` takes the last that can be, and prints only why another cannot.
    """
    first, *others = ways
    runs = {first: ways[first](model, kernels, x)}
    wanted, notes = _parts(runs[first](kernels, x)), {first: ""}
    for name in others:
        try:
            run = ways[name](model, kernels, x)
            apart = _apart(wanted, _parts(run(kernels, x)))
            if not apart <= TOLERANCE[x.dtype]:
                raise UserError(f"its answers are {apart:.1e} of the largest off, {TOLERANCE[x.dtype]:g} is allowed")
            runs[name], notes[name] = run, f"{apart:.1e}"
        except Exception as error:  # no compiler, no package, no such operation: each has its own class
            notes[name] = f"left out: {reason_of(error)}"
            if not measure:
                say(f"{name} gives way to {first}: {reason_of(error)}")
    took = milliseconds(runs, kernels, x) if measure else {name: -number for number, name in enumerate(runs)}
    best = min(took, key=lambda name: took[name])
    if measure:
        rows = [("backend", "ms", f"difference from {first}")]
        rows += [(name, f"{took[name]:.2f}" if name in took else "-", note) for name, note in notes.items()]
        wide, narrow = (max(len(row[column]) for row in rows) for column in (0, 1))
        say("\n".join(f"{name:{wide}}  {ms:>{narrow}}  {note}".rstrip() for name, ms, note in rows))
        say(f"{best} runs search and match, of images {tuple(x.shape)}")
    return runs[best]


def milliseconds(runs: Mapping[str, Run], kernels: Kernels, x: Tensor) -> dict[str, float]:
    """The median of a few calls of each, in turns, so that other work on the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(WARM + REPEATS):
        for name, run in runs.items():
            began = time.perf_counter()
            run(kernels, x)
            if x.device.type == "cuda":
                torch.cuda.synchronize(x.device)
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(taken[WARM:]) for name, taken in times.items()}


def _parts(prediction: Any) -> list[Tensor]:
    """Its tensors, copied: a replayed graph writes into the same ones again."""
    parts = prediction if isinstance(prediction, tuple | list) else (prediction,)
    return [part.float().clone() for part in parts]


def _apart(wanted: list[Tensor], found: list[Tensor]) -> float:
    """Largest difference, as a share of the largest value; infinite where shapes differ or numbers are none."""
    if [part.shape for part in wanted] != [part.shape for part in found]:
        return float("inf")
    shares = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(wanted, found, strict=True)]
    return max(shares) if all(share == share for share in shares) else float("inf")
