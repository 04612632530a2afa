"""The least time of a search by direct convolution: max(operations / matrix speed, bytes / bandwidth), as measured."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib.models.layers.folded import FoldedConv


@dataclass(frozen=True)
class Machine:
    """What a device reaches in one type of number."""

    flops: float  # of a product of large matrices, a second
    bandwidth: float  # of a copy of a large tensor, bytes read and written a second

    def best(self, again: "Machine") -> "Machine":
        """Of two measurements: other work on the machine makes it slower, never faster."""
        return Machine(max(self.flops, again.flops), max(self.bandwidth, again.bandwidth))


@dataclass(frozen=True)
class Floor:
    """What a slot's search is made of, and the least milliseconds for it."""

    gflop: float
    mbytes: float  # inputs, outputs and weights of the convolutions, in and out of memory once a layer
    ms: float

    def line(self, taken_ms: float) -> dict[str, Any]:
        return {**{f"floor_{k}": v for k, v in asdict(self).items()}, "distance": taken_ms / self.ms}


def best_seconds(call: Callable[[], Any], device: torch.device, repeats: int = 20) -> float:
    """The shortest of some calls, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def machine_of(device: torch.device, dtype: torch.dtype) -> Machine:
    """Measure the speed of matrix products and of memory."""
    side, large = (8192, 1 << 28) if device.type == "cuda" else (1024, 1 << 24)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(large, device=device)
    target = torch.empty_like(source)
    flops = 2 * side**3 / best_seconds(lambda: a @ b, device)
    return Machine(flops, 2 * 4 * large / best_seconds(lambda: target.copy_(source), device))


@torch.no_grad()
def floor_of(model: Any, machine: Machine, *, images: int, instance: int = 255) -> Floor:
    """Of one slot with so many search ``images`` of a fused model: its convolutions, all but a percent of the work."""
    model = copy.deepcopy(model).to("meta")  # where nothing is computed, and no sum rides on a convolution unseen
    first = next(model.parameters())
    seen = {"flop": 0.0, "bytes": 0.0}

    def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["flop"] += 2 * output.numel() * layer.weight[0].numel()
        seen["bytes"] += (inputs[0].numel() + output.numel() + layer.weight.numel()) * output.element_size()

    like = {"device": first.device, "dtype": first.dtype}
    kernels = model.template(torch.zeros(1, 3, 127, 127, **like))
    for module in model.modules():
        if isinstance(module, (FoldedConv, nn.Conv2d)):
            module.register_forward_hook(count)
    model.match(kernels, model.search(torch.zeros(images, 3, instance, instance, **like)))
    seconds = max(seen["flop"] / machine.flops, seen["bytes"] / machine.bandwidth)
    return Floor(seen["flop"] / 1e9, seen["bytes"] / 1e6, 1e3 * seconds)
