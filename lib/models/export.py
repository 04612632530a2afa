"""A model as two ONNX graphs: the template's kernels, and search with match. Both hold for any number of slots.

Axes: N slots, S search images (scales) of one slot, e i sides of template and search image in pixels.

template: z (N, 3, e, e) -> kernel_0 .. (N, ...)
search:   x (N*S, 3, i, i), row n*S + s of slot n, kernel_0 .. -> response (N*S, 1, h, w), or cls and reg

Images are float 0..255, BGR or RGB as the metadata's ``color`` says. N, S and i are free; e is fixed, because a
kernel's sides are written into the search graph. Graphs are checked against PyTorch before anything is written.
"""

import copy
import hashlib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.files import UserError
from lib.models.graphs import NEEDS, GraphModel, open_session
from lib.models.weights import LoadedModel

OPSET = 18
TOLERANCE = 1e-4  # largest difference from PyTorch, as a share of the largest value


@dataclass(frozen=True)
class Graphs:
    """Two ONNX files, and what they say of themselves."""

    template: bytes
    search: bytes
    facts: Mapping[str, str]

    def model(self) -> GraphModel:
        """As a tracker runs them."""
        return GraphModel(
            open_session(self.template),
            open_session(self.search),
            color=self.facts["color"],
            template_side=int(self.facts["template_side"]),
        )

    def files(self) -> tuple[bytes, bytes]:
        """The bytes to write, with the facts in their metadata."""
        pair = hashlib.sha256(self.template + self.search).hexdigest()[:16]
        return tuple(
            _with_metadata(graph, {**self.facts, "pair": pair, "graph": name})
            for name, graph in (("template", self.template), ("search", self.search))
        )  # type: ignore[return-value]


def export(loaded: LoadedModel, *, template_side: int = 127, search_side: int = 255) -> tuple[Graphs, float]:
    """The graphs of a fused model in float32, and how far they are from PyTorch; or why not, in one line."""
    model = loaded.model.fuse().to(memory_format=torch.contiguous_format).cpu()
    z, x = images(2, template_side), images(2 * scales_of(loaded.arch), search_side)
    try:
        with torch.no_grad():
            kernels = model.template(z)
            names = [f"kernel_{number}" for number in range(len(kernels))]
            slots = {name: {0: "slots"} for name in ("z", *names)}
            graphs = Graphs(
                template=_graph(_Template(model), (z,), ["z"], names, slots),
                search=_search_graph(model, kernels, x),
                facts=facts_of(loaded, template_side, search_side),
            )
        apart = check(model, graphs)
    except UserError:
        raise
    except Exception as error:  # exporters and onnxruntime raise classes of their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{loaded.arch} must be made of what ONNX has, it is not ({reason}): export another") from error
    return graphs, apart


@torch.no_grad()
def search_graph(model: Any, kernels: tuple[Tensor, ...], x: Tensor) -> bytes:
    """The search graph alone, in float32, of a model on any device, for kernels of these sides (N, ...)."""
    copied = copy.deepcopy(model).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    images = x[: len(x) // len(kernels[0])]  # of one slot; of two the graph is made, to hold for any number
    pair, *two = (torch.cat([part, part]).cpu().float() for part in (images, *(kernel[:1] for kernel in kernels)))
    return _search_graph(copied, tuple(two), pair)


def _search_graph(model: Any, kernels: tuple[Tensor, ...], x: Tensor) -> bytes:
    names = [f"kernel_{number}" for number in range(len(kernels))]
    predictions = ["cls", "reg"] if hasattr(model, "connect_model") else ["response"]
    axes: dict[str, dict[int, str]] = {name: {0: "slots"} for name in names}
    axes["x"] = {0: "images", 2: "side", 3: "side"}
    return _graph(_Search(model), (x, *kernels), ["x", *names], predictions, axes)


def facts_of(loaded: LoadedModel, template_side: int, search_side: int) -> dict[str, str]:
    """What a tracker must know beside the graphs; numbers and lists as JSON."""
    return {
        "arch": loaded.arch,
        "family": "SiamRPN" if loaded.ratios else "SiamFC",
        "color": getattr(loaded.model, "color", "bgr"),
        "mapping": loaded.mapping,
        "cls_type": loaded.cls_type or "",
        "ratios": json.dumps(loaded.ratios),
        "scales": json.dumps(loaded.scales),
        "stride": str(loaded.model.backbone.stride),
        "width": str(loaded.width),
        "template_side": str(template_side),
        "search_side": str(search_side),
        "hyper": json.dumps(loaded.hyper),
        "precision": "fp32",
    }


def scales_of(arch: str) -> int:
    """Search images that the tracker of a model makes of each frame."""
    return 1 if "RPN" in arch else 3


def images(count: int, side: int, seed: int = 0) -> Tensor:
    """(count, 3, side, side) smooth random images, 0..255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 12, 12, generator=generator) * 255
    return F.interpolate(coarse, (side, side), mode="bilinear")


def check(model: Any, graphs: Graphs) -> float:
    """Refuse graphs that differ from ``model`` by more than the tolerance; returns how far they are apart.

    One slot, and three whose search images are larger than those of which the graph was made.
    """
    side, searches = int(graphs.facts["search_side"]), scales_of(graphs.facts["arch"])
    others = graphs.model()
    apart = max(difference(model, others, graphs.facts, n, searches, i) for n, i in ((1, side), (3, side + 16)))
    if not apart <= TOLERANCE:
        raise UserError(
            f"the graphs of {graphs.facts['arch']} must give PyTorch's numbers within {TOLERANCE:g} of the largest, "
            f"they are {apart:.1e} apart: try other versions of torch and onnxruntime"
        )
    return apart


@torch.no_grad()
def difference(model: Any, other: Any, facts: Mapping[str, str], slots: int, searches: int, search_side: int) -> float:
    """Largest difference of two models' kernels and predictions, each as a share of its largest value."""
    z = images(slots, int(facts["template_side"]), seed=1)
    x = images(slots * searches, search_side, seed=2)
    outputs = []
    for each in (model, other):
        kernels = each.template(z)
        prediction = each.match(kernels, each.search(x))
        outputs.append((*kernels, *(prediction if isinstance(prediction, tuple) else (prediction,))))
    shares = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*outputs, strict=True)]
    return max(shares) if all(share == share for share in shares) else float("nan")


class _Template(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return self.model.template(z)


class _Search(_Template):
    def forward(self, x: Tensor, *kernels: Tensor) -> Any:
        return self.model.match(kernels, self.model.search(x))


def _graph(
    module: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], outputs: Sequence[str], axes: dict[str, Any]
) -> bytes:
    """By the exporter that traces: ours is code without branches on data, and any product of N and S may be a batch."""
    need_onnx()
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # on sides of kernels that become constants, as they must
        torch.onnx.export(
            module,
            inputs,
            buffer,  # type: ignore[arg-type]  # the exporter that traces takes it
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes={name: axes[name] for name in (*names, *outputs) if name in axes},
        )
    return _own_weights(buffer.getvalue())


def need_onnx() -> Any:
    """The package, or one line that says how to get it."""
    try:
        import onnx
    except ImportError:
        raise UserError(f"exporting needs onnx, which is not installed: {NEEDS}") from None
    return onnx


def _own_weights(graph: bytes) -> bytes:
    """Layers read their weights, not copies of equal ones, which others would take for computed values."""
    proto = need_onnx().load_model_from_string(graph)
    weights = {tensor.name for tensor in proto.graph.initializer}
    copies = [node for node in proto.graph.node if node.op_type == "Identity" and node.input[0] in weights]
    sources = {node.output[0]: node.input[0] for node in copies}
    for node in copies:
        proto.graph.node.remove(node)
    for node in proto.graph.node:
        node.input[:] = [sources.get(name, name) for name in node.input]
    return proto.SerializeToString()


def _with_metadata(graph: bytes, facts: Mapping[str, str]) -> bytes:
    onnx = need_onnx()
    proto = onnx.load_model_from_string(graph)
    onnx.helper.set_model_props(proto, dict(facts))
    return proto.SerializeToString()


def with_graphs(graphs: Graphs, template: bytes, search: bytes, precision: str) -> Graphs:
    """The same model in another precision."""
    return replace(graphs, template=template, search=search, facts={**graphs.facts, "precision": precision})
