"""Exported ONNX graphs in the place of a model: NAME.template.onnx, and NAME.search.onnx, which also matches.

Axes: N slots, S search images (scales) of one slot, e i sides of template and search image in pixels.

The graphs say in their metadata what a tracker must know (:func:`lib.models.export.facts_of`), so that NAME.onnx is
all that one names. onnxruntime is imported where a graph is opened.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.files import UserError
from lib.models.siamse import choose_matching
from lib.models.weights import LoadedModel, Report, check_told, load_model

SUFFIX = ".onnx"
PARTS = ("template", "search")
FACTS = ("arch", "color", "mapping", "cls_type", "ratios", "scales", "width", "template_side", "hyper", "pair")
NEEDS = "pip install '.[onnx]'"


@dataclass(frozen=True)
class GraphFiles:
    """Where the two graphs lie."""

    template: Path
    search: Path

    def __iter__(self) -> Iterator[Path]:
        return iter((self.template, self.search))


def files_of(path: str | Path) -> GraphFiles:
    """The two files that NAME.onnx, NAME.template.onnx or NAME.search.onnx stands for."""
    path = Path(path)
    name = path.name.removesuffix(SUFFIX)
    for part in PARTS:
        name = name.removesuffix(f".{part}")
    return GraphFiles(*(path.with_name(f"{name}.{part}{SUFFIX}") for part in PARTS))


def weight_files(path: str | Path) -> list[Path]:
    """The files that hold the weights that ``path`` names: itself, or two graphs."""
    return list(files_of(path)) if str(path).endswith(SUFFIX) else [Path(path)]


def open_model(
    path: str | Path,
    *,
    arch: str | None = None,
    cls_type: str | None = None,
    anchors: int | None = None,
    matching: str | None = None,
) -> LoadedModel:
    """The model of a checkpoint or of two graphs; what is named may only repeat what the files say.

    ``matching`` takes the place of that of a checkpoint; in graphs it is built in.
    """
    if not str(path).endswith(SUFFIX):
        loaded = load_model(path, arch=arch, cls_type=cls_type, anchors=anchors)
    else:
        loaded = load_graphs(path)
        check_told(loaded, path, arch=arch, cls_type=cls_type, anchors=anchors)
    if matching is not None:
        choose_matching(loaded.model, matching)
    return loaded


def load_graphs(path: str | Path) -> LoadedModel:
    """The two graphs as a model."""
    files = files_of(path)
    template, search = (_session(file) for file in files)
    facts, others = (_facts(session, file) for session, file in zip((template, search), files, strict=True))
    if facts["pair"] != others["pair"]:
        raise UserError(f"{files.template} and {files.search.name} must be of one export, they are not: export again")
    ratios, scales = tuple(json.loads(facts["ratios"])), tuple(json.loads(facts["scales"]))
    return LoadedModel(
        model=GraphModel(template, search, color=facts["color"], template_side=int(facts["template_side"])),
        arch=facts["arch"],
        width=float(facts["width"]),
        cls_type=facts["cls_type"] or None,
        anchors=len(ratios) * len(scales) or None,
        ratios=ratios,
        scales=scales,
        mapping=facts["mapping"],
        hyper=json.loads(facts["hyper"]),
        report=Report(loaded=[], missing=[], unused=[]),
        extra={},
    )


class GraphModel(nn.Module):
    """What a tracker asks of a model, answered by onnxruntime. ``search`` waits for ``match``: they are one graph."""

    def __init__(self, template: Any, search: Any, *, color: str, template_side: int) -> None:
        super().__init__()
        self.graphs = {"template": template, "search": search}
        self.color, self.template_side = color, template_side
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # tells device and type, like a model's weights

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, e, e) -> kernels, a tuple of tensors with first axis N."""
        if z.shape[-1] != self.template_side:
            raise UserError(
                f"the graphs take templates of side {self.template_side}, the hyper-parameters ask for {z.shape[-1]}: "
                f"change instance_size, or export again with --template_side {z.shape[-1]}"
            )
        return self._run("template", (z,))

    def search(self, x: Tensor) -> Tensor:
        """(N*S, 3, i, i), as it comes."""
        return x

    def match(self, kernels: tuple[Tensor, ...], x: Tensor) -> Any:
        """Kernels of N slots, images (N*S, 3, i, i), row n*S + s of slot n -> response, or (cls, reg)."""
        prediction = self._run("search", (x, *kernels))
        return prediction if len(prediction) > 1 else prediction[0]

    def fuse(self) -> "GraphModel":
        return self

    def _run(self, name: str, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        graph, device = self.graphs[name], values[0].device
        arrays = [np.ascontiguousarray(value.float().cpu().numpy()) for value in values]
        found = graph.run(None, dict(zip((i.name for i in graph.get_inputs()), arrays, strict=True)))
        return tuple(torch.from_numpy(array).to(device) for array in found)


def open_session(graph: bytes | str | Path) -> Any:
    """A graph, ready to run: on a GPU where this onnxruntime has one, with as many threads as PyTorch."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"ONNX graphs need onnxruntime, which is not installed: {NEEDS}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    known = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in known if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(graph if isinstance(graph, bytes) else str(graph), options, providers=providers)


def _session(file: Path) -> Any:
    if not file.is_file():
        raise UserError(f"graphs must exist, {file} does not: make it, python siamese_tracking/export.py --resume FILE")
    try:
        return open_session(file)
    except UserError:
        raise
    except Exception as error:  # onnxruntime's classes are its own, straight below Exception
        reason = str(error).splitlines()[0]
        raise UserError(f"{file} must be a whole ONNX graph, it cannot be read ({reason}): export again") from None


def _facts(session: Any, file: Path) -> dict[str, str]:
    facts = dict(session.get_modelmeta().custom_metadata_map)
    absent = [name for name in FACTS if name not in facts]
    if absent:
        raise UserError(f"{file} must be a graph of export.py, its metadata lack {', '.join(absent)}: export again")
    return facts
