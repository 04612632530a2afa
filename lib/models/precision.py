"""Exported graphs in half precision, or with convolutions of 8-bit integers.

Axes: N slots, S search images of one slot.

fp16: weights and activations are halves, inputs and outputs stay float32. int8: weights of convolutions are int8 with a
scale for each output channel, their inputs uint8 with the range seen on calibration crops (onnxruntime's static
quantisation); correlation, and the few channels behind it, stay float32.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lib.files import UserError
from lib.models.export import Graphs, need_onnx, with_graphs

PRECISIONS = ("fp32", "fp16", "int8")


def in_half(graphs: Graphs) -> Graphs:
    """The graphs in half precision."""
    onnx = need_onnx()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings(action="ignore"):  # on weights below the least half, which become that
        template, search = (
            convert_float_to_float16(onnx.load_model_from_string(graph), keep_io_types=True).SerializeToString()
            for graph in (graphs.template, graphs.search)
        )
    return with_graphs(graphs, template, search, "fp16")


def in_int8(graphs: Graphs, z: Tensor, x: Tensor) -> Graphs:
    """Quantised by ranges seen on M pairs of crops in the model's colours, z (M, 3, e, e) and x (M, 3, i, i)."""
    if not len(z):
        raise UserError("int8 needs crops to calibrate with, there are none: give --crops FOLDER")
    model = graphs.model()
    kernels = [model.template(each) for each in z.split(1)]
    template = _quantised(graphs.template, ({"z": each.numpy()} for each in z.split(1)))
    feeds = (
        {"x": image.numpy()} | {f"kernel_{k}": part.numpy() for k, part in enumerate(parts)}
        for image, parts in zip(x.split(1), kernels, strict=True)
    )
    return with_graphs(graphs, template, _quantised(graphs.search, feeds), "int8")


def _quantised(graph: bytes, feeds: Iterator[dict[str, np.ndarray]]) -> bytes:
    onnx = need_onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Feeds(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(feeds, None)

    proto = onnx.load_model_from_string(graph)
    with tempfile.TemporaryDirectory(prefix="int8-") as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            proto,
            path,
            Feeds(),
            per_channel=True,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_behind_the_match(proto),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice to prepare graphs that are so prepared; it writes to the root of all logs."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _behind_the_match(proto: Any) -> list[str]:
    """Convolutions whose inputs depend on the kernels: they are small, and what they give are the scores."""
    known = {value.name for value in proto.graph.input if value.name.startswith("kernel_")}
    found = []
    for node in proto.graph.node:  # in the order of computation
        if known.intersection(node.input):
            known.update(node.output)
            if node.op_type == "Conv":
                found.append(node.name)
    return found
