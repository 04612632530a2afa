"""From CIResNet22 to SE-ResNet22: a scale-equivariant network that begins where a trained ordinary one stands.

Axes: C channels (C' of the output), B basis functions, k side of a kernel, S scales.

At the smallest scale the steerable kernels become the source's; at the others they are the same functions, wider. What
is 1x1 is copied, a mixing of scales begins with the own scale alone, batch-norms and heads are copied (Sosnovik et al.,
arXiv 2007.09115, section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.files import UserError
from lib.models import zoo
from lib.models.backbones.se_resnet import MEAN, STD
from lib.models.layers.steerable import ScaleMixingConv, SteerableConv
from lib.models.pretrain import find, layout_of, start_from
from lib.models.weights import COUNTERS, load_model, read

COUNTERPARTS = {
    "SiamFCRes22": "SESiamFCResNet22",
    "SiamRPNRes22": "SESiamRPNRes22",
    "SiamRPNRes22DW": "SESiamRPNRes22DW",
}
INPUTS = ("rgb", "bgr255")  # what the source sees: normalised RGB as the target, or BGR 0..255 as the trackers
DAMPING = 1e-12  # Tikhonov's, where the basis is not complete
STEM, STEM_NORM = "features.features.conv1", "features.features.bn1"


@dataclass(frozen=True)
class Represented:
    """How well a layer's kernels are represented at the smallest scale."""

    layer: str
    kernel: tuple[int, int]
    functions: int
    rank: int  # of the basis on the cells of the kernel
    error: float  # |represented - kernel| / |kernel|


@dataclass(frozen=True)
class Transferred:
    """A scale-equivariant model made from a file, in evaluation mode."""

    model: Any
    arch: str
    options: dict[str, Any]  # of the model: what a checkpoint records
    mapping: str  # of logits to scores
    layers: list[Represented]
    copied: int  # tensors taken as they are


def transfer_file(source: str | Path, *, source_input: str = "rgb", folder: str | Path = "pretrain") -> Transferred:
    """The scale-equivariant model of a CIResNet22 file: a tracker, a backbone, or an ImageNet ResNet-50 (its layers).

    ``source_input``: what the source was trained on, see :func:`transfer`; an ImageNet file says so itself.
    """
    path = find(source, folder)
    if layout_of(read(path)[0]) is not None:
        model = zoo.build("SiamFCRes22")
        start_from(model, path)  # made for BGR 0..255 there
        return _of_model(model.state_dict(), "SiamFCRes22", {"width": 1.0}, "sigmoid", "bgr255")
    loaded = load_model(path)
    if loaded.arch not in COUNTERPARTS:
        known = ", ".join(COUNTERPARTS)
        raise UserError(f"weights to transfer must be of {known}; {path} is of {loaded.arch}: name other weights")
    options: dict[str, Any] = {"width": loaded.width}
    if loaded.cls_type:
        options |= {"cls_type": loaded.cls_type, "ratios": loaded.ratios, "scales": loaded.scales}
    return _of_model(loaded.model.state_dict(), loaded.arch, options, loaded.mapping, source_input)


def _of_model(
    state: Mapping[str, Tensor], arch: str, options: dict[str, Any], mapping: str, source_input: str
) -> Transferred:
    target = zoo.build(COUNTERPARTS[arch], **options).eval()
    layers, copied = transfer(state, target, source_input=source_input)
    return Transferred(target, COUNTERPARTS[arch], options, mapping, layers, copied)


def transfer(
    source: Mapping[str, Tensor], target: nn.Module, *, source_input: str = "rgb"
) -> tuple[list[Represented], int]:
    """Fill ``target``, scale-equivariant, from the state-dict of its ordinary counterpart, in place.

    ``source_input``: 'rgb' where the source's stem sees what the target's does, normalised RGB (as published);
    'bgr255' where it sees BGR 0..255, as SiamDW's trackers do: the stem is then changed to give the same numbers.

    Returns the steerable layers, and how many tensors were copied.
    """
    if source_input not in INPUTS:
        raise UserError(f"the input of the source must be one of {', '.join(INPUTS)}; got {source_input!r}")
    state = dict(source)
    if source_input == "bgr255":
        state |= normalised_stem(state)
    modules = dict(target.named_modules())
    new: dict[str, Tensor] = {}
    layers: list[Represented] = []
    copied = 0
    for key, old in target.state_dict().items():
        name, _, part = key.rpartition(".")
        module = modules[name]
        if part == "basis" or key in ("features.mean", "features.std"):
            continue
        if key not in state:
            if key.endswith(COUNTERS):
                continue
            raise UserError(f"weights to transfer must hold {key}, they do not: they are not of CIResNet22")
        if isinstance(module, SteerableConv):
            weight, rank, error = coefficients(state[key], module.basis[:, 0])
            kernel = (int(state[key].shape[-2]), int(state[key].shape[-1]))
            layers.append(Represented(name, kernel, len(module.basis), rank, error))
            new[key] = weight.reshape(old.shape)
        elif isinstance(module, ScaleMixingConv):
            new[key] = torch.zeros_like(old)
            new[key][:, :, 0] = state[key]
        else:
            new[key], copied = state[key], copied + 1
    target.load_state_dict(new, strict=False)
    return layers, copied


def coefficients(kernel: Tensor, basis: Tensor) -> tuple[Tensor, int, float]:
    """Weights w (C', C, B) float32 with sum over b of w_b basis_b = kernel, the rank of the basis, the relative error.

    ``kernel`` (C', C, h, w), ``basis`` (B, k, k) at one scale, of which the middle h x w cells count. Where it is
    complete on them, w is the solution; otherwise the least-squares one with Tikhonov's damping d, min |basis w -
    kernel|^2 + d |w|^2, by the singular values s_i of the basis: s_i / (s_i^2 + d) in place of 1 / s_i. So directions
    that the basis does not have stay exactly 0. In float64.
    """
    outputs, inputs, height, width = kernel.shape
    functions = centred(basis.double(), (height, width)).flatten(1)
    flat = kernel.double().flatten(0, 1).flatten(1)
    rank = int(torch.linalg.matrix_rank(functions))
    if rank == len(functions) == height * width:
        solved = torch.linalg.solve(functions.T, flat.T).T
    else:
        left, values, right = torch.linalg.svd(functions, full_matrices=False)
        inverse = torch.where(values > values[0] * 1e-12, values / (values**2 + DAMPING), 0.0)
        solved = flat @ right.T * inverse @ left.T
    weight = solved.float()
    error = torch.linalg.norm(weight.double() @ functions - flat) / torch.linalg.norm(flat).clamp(min=1e-300)
    return weight.unflatten(0, (outputs, inputs)), rank, float(error)


def centred(x: Tensor, size: Sequence[int]) -> Tensor:
    """The middle cells of x (..., H, W), zeros around where it is smaller: (..., *size), odd sides all."""
    down, across = ((new - old) // 2 for new, old in zip(size, x.shape[-2:], strict=True))
    return nn.functional.pad(x, (across, across, down, down))


def normalised_stem(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stem and its batch-norm for normalised RGB, that give what the source's give for BGR 0..255.

    A raw value is u_c = 255 (s_c x_c + m_c), with mean m and deviation s of channel c. With the mean deviation t and
    K = 255 t: sum of w_c u_c = K (sum of (w_c s_c / t) x_c) + D, D = 255 sum of w_c m_c. The weights keep their
    magnitude, w_c s_c / t, and the batch-norm takes K and D in: mean' = (mean - D) / K, var' = (var + eps) / K^2 - eps.
    """
    weight = state[f"{STEM}.weight"].double().flip(1)
    mean, std = torch.tensor(MEAN).double(), torch.tensor(STD).double()
    k, eps = 255 * std.mean(), nn.BatchNorm2d(1).eps
    offset = 255 * (weight.sum((2, 3)) @ mean)
    variance = (state[f"{STEM_NORM}.running_var"].double() + eps) / k**2 - eps
    if (variance < 0).any():
        raise UserError("a stem of BGR 0..255 must have variances of that order; they are smaller: use the input rgb")
    return {
        f"{STEM}.weight": (weight * (std / std.mean())[:, None, None]).float(),
        f"{STEM_NORM}.running_mean": ((state[f"{STEM_NORM}.running_mean"].double() - offset) / k).float(),
        f"{STEM_NORM}.running_var": variance.float(),
    }


def table(layers: Sequence[Represented]) -> str:
    """How well each kernel was represented, as aligned text."""
    rows = [("layer", "kernel", "functions", "rank", "relative error")]
    for row in layers:
        size = f"{row.kernel[0]}x{row.kernel[1]}"
        rows.append((row.layer, size, str(row.functions), str(row.rank), f"{row.error:.1e}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(line) for line in lines)
