"""Weights in: checkpoints of ours and of others, read safely; names and shapes say what they are weights of.

Accepted: SiamDW's and SiamSE's .pth and .model files and bare state dicts, in torch's zip or its older format, with or
without ``module.`` before the names, bare or under ``state_dict``. A file is data, never code: pickled objects are
refused.
"""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.files import UserError
from lib.models import zoo

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # where others keep the tensors
COUNTERS = ".num_batches_tracked"  # absent before PyTorch 0.4.1, and of no use to a tracker
DEFAULT_RATIOS, DEFAULT_SCALES = (0.33, 0.5, 1, 2, 3), (8,)
BROKEN = (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Loaded:
    """A file of weights, understood."""

    state_dict: dict[str, Tensor]
    arch: str  # name in the zoo
    width: float
    cls_type: str | None  # thinner or thicker, None for SiamFC
    anchors: int | None  # of a cell, None for SiamFC
    extra: dict[str, Any]  # what else the file holds: epoch, optimizer, mapping ...


@dataclass(frozen=True)
class Report:
    """Which tensors found each other."""

    loaded: list[str]
    missing: list[str]  # of the model, kept as they were
    unused: list[str]  # of the file
    told: float | None = None  # share of the features' variance that is left, where weights were thinned

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        for name, keys in (("missing", self.missing), ("unused", self.unused)):
            if keys:
                parts.append(f"{name}: {_summary(keys)}")
        if self.told is not None:
            parts.append(f"thinned to this width, which tells {self.told:.1%} of the features' variance")
        return "; ".join(parts)


@dataclass(frozen=True)
class LoadedModel:
    """A model with its weights, and what a tracker must know beside them."""

    model: Any  # on the CPU, in evaluation mode
    arch: str
    width: float
    cls_type: str | None
    anchors: int | None
    ratios: tuple[float, ...]  # of the anchors, height / width; empty for SiamFC
    scales: tuple[float, ...]  # of the anchors, times the stride; empty for SiamFC
    mapping: str  # of logits to scores: sigmoid or hinge
    report: Report
    extra: dict[str, Any] = field(repr=False)
    hyper: dict[str, float] = field(default_factory=dict)  # tuned for the weights, and kept with them


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, without ``module.``, and whatever else the file holds; everything on the CPU."""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a pickle that is then refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"weights must exist, {path} does not: check the path") from None
    except IsADirectoryError:
        raise UserError(f"weights must be a file, {path} is a folder: name a file in it") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it asks for {found[1]}" if found else "it is no file of tensors"
        raise UserError(
            f"{path} must hold tensors and plain values alone, {what}: it was not loaded; save its state_dict() anew"
        ) from None
    except BROKEN as error:
        reason = (re.split(r"\n|\. ", str(error))[0] or type(error).__name__).strip(". ")  # torch adds advice to itself
        raise UserError(f"{path} must be a whole file of weights, it cannot be read ({reason}): get it anew") from None
    return unwrap(content, str(path))


def unwrap(content: Any, source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict inside of what was loaded, its names without ``module.``, and the rest."""
    extra: dict[str, Any] = {}
    if isinstance(content, Mapping):
        inner = [key for key in WRAPPERS if _holds_tensors(content.get(key))]
        if inner:
            extra = {str(key): value for key, value in content.items() if key != inner[0]}
            content = content[inner[0]]
    if not _holds_tensors(content):
        raise UserError(f"{source} must hold a state_dict, it holds none: save the model's state_dict()")
    state = {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
    return state, extra


def load_weights(path: str | Path) -> Loaded:
    """Read a file and say what it holds the weights of."""
    state, extra = read(path)
    arch = _arch_of(state, str(path), extra.get("arch"))
    cls_type, anchors = _head_of(state)
    width = _width_of(arch, state, cls_type, anchors, extra)
    if width is None:
        raise UserError(f"{path} must have the shapes of {arch} at some width, it has not: {_odd(arch, state)}")
    return Loaded(state, arch, width, cls_type, anchors, extra)


def load_model(
    path: str | Path,
    *,
    arch: str | None = None,
    cls_type: str | None = None,
    anchors: int | None = None,
    ratios: Sequence[float] | None = None,
    scales: Sequence[float] | None = None,
) -> LoadedModel:
    """The model that the file is of, with its weights. What is named may only repeat what the file says.

    ``ratios`` and ``scales`` of the anchors are recorded in our own checkpoints; other files with five anchors have
    the published ones.
    """
    loaded = load_weights(path)
    check_told(loaded, path, arch=arch, cls_type=cls_type, anchors=anchors)
    ratios, scales = _anchor_shapes(loaded, ratios, scales, path)
    head: dict[str, Any] = {"cls_type": loaded.cls_type, "ratios": ratios, "scales": scales} if loaded.cls_type else {}
    options = loaded.extra.get("model")
    matching = str(options.get("matching", "corr")) if isinstance(options, Mapping) else "corr"
    model = zoo.build(loaded.arch, width=loaded.width, matching=matching, **head)
    report = fill(model, loaded.state_dict)
    lost = [key for key in report.missing if not key.endswith(COUNTERS) and key not in _constants(model)]
    if lost:
        raise UserError(f"{path} must hold all weights of {loaded.arch}, it lacks {_summary(lost)}")
    mapping = str(loaded.extra.get("mapping", "sigmoid"))
    return LoadedModel(
        model=model.eval(),
        arch=loaded.arch,
        width=loaded.width,
        cls_type=loaded.cls_type,
        anchors=loaded.anchors,
        ratios=ratios,
        scales=scales,
        mapping=mapping,
        report=report,
        extra=loaded.extra,
        hyper=dict(loaded.extra.get("hyper", {})),
    )


def check_told(
    loaded: Loaded | LoadedModel, path: str | Path, *, arch: str | None, cls_type: str | None, anchors: int | None
) -> None:
    """What was named beside the file must be what the file says."""
    told = {"architecture": arch, "cls_type": cls_type, "number of anchors": anchors}
    for (what, said), found in zip(told.items(), (loaded.arch, loaded.cls_type, loaded.anchors), strict=True):
        if said is not None and said != found:
            raise UserError(f"the {what} of {path} is {found}, not {said}: name that, or other weights")


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> Report:
    """Copy tensors whose name and shape are the model's; the report names the others. In place."""
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return Report(
        loaded=list(fitting),
        missing=[key for key in own if key not in fitting],
        unused=[key for key in state if key not in fitting],
    )


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(part, Tensor) for part in value.values())


@cache
def _shapes(arch: str, **options: Any) -> dict[str, torch.Size]:
    """Names and shapes of a model's tensors; nothing is allocated."""
    with torch.device("meta"):
        return {key: value.shape for key, value in zoo.build(arch, **options).state_dict().items()}


def _names(keys: Iterable[str]) -> set[str]:
    return {key for key in keys if not key.endswith(COUNTERS)}


def _arch_of(state: Mapping[str, Tensor], source: str, recorded: Any) -> str:
    """The model of the zoo whose names are those of the file: all of them, or as many as possible.

    Models of equal names (Res22 and Res22W) are told apart by the ratios of their shapes.
    """
    names = _names(state)
    common = {arch: len(names & _names(_shapes(arch))) for arch in zoo.names()}
    most = max(common.values())
    if most == 0:
        keys = ", ".join(sorted(state)[:3])
        raise UserError(f"{source} must be of a model of the zoo, none has names like {keys}: name other weights")

    def strays(arch: str) -> int:
        return len(names ^ _names(_shapes(arch)))

    least = min(map(strays, common))
    best = [arch for arch in common if strays(arch) == least]
    return min(best, key=lambda arch: (_unlikeness(_shapes(arch), state), arch != recorded))


def _unlikeness(shapes: Mapping[str, torch.Size], state: Mapping[str, Tensor]) -> float:
    """How far the channel counts of the convolutions are from one common multiple: the spread of their ratios."""
    ratios = _ratios(shapes, state)
    return max(ratios) - min(ratios) if ratios else float("inf")


def _ratios(shapes: Mapping[str, torch.Size], state: Mapping[str, Tensor]) -> list[float]:
    """Output channels of the backbone's convolutions in the file over those at full width, most frequent first."""
    found = Counter(
        len(state[key]) / shape[0]
        for key, shape in shapes.items()
        if key in state and len(shape) >= 2 and state[key].dim() == len(shape) and key.startswith("features.")
    )
    return [ratio for ratio, _ in found.most_common()]


def _head_of(state: Mapping[str, Tensor]) -> tuple[str | None, int | None]:
    """(cls_type, anchors of a cell) from the shapes of a region proposal head; (None, None) without one."""
    head = {k.removeprefix("connect_model."): v.shape for k, v in state.items() if k.startswith("connect_model.")}
    if "search_cls.weight" in head and "template_cls.weight" in head and "template_reg.weight" in head:
        classes = head["template_cls.weight"][0] // head["search_cls.weight"][0]
        offsets = head["template_reg.weight"][0] // head["search_cls.weight"][0]
    elif "cls.head.3.weight" in head and "reg.head.3.weight" in head:
        classes, offsets = head["cls.head.3.weight"][0], head["reg.head.3.weight"][0]
    else:
        return None, None
    return ("thinner" if 4 * classes == offsets else "thicker"), offsets // 4


def _width_of(
    arch: str, state: Mapping[str, Tensor], cls_type: str | None, anchors: int | None, extra: Mapping[str, Any]
) -> float | None:
    """A width at which every shape of the file is the model's: a recorded one, the ratio of some layer, or near it.

    Channels are rounded, so a layer's ratio is the width only nearly; any width that gives the same shapes will do.
    """
    head = {"cls_type": cls_type, "ratios": (1.0,) * anchors, "scales": (8,)} if cls_type and anchors else {}
    options = extra.get("model")
    recorded = [float(options["width"])] if isinstance(options, Mapping) and "width" in options else []
    ratios = _ratios(_shapes(arch), state)
    if not ratios:
        return None
    grid = [n / 200 for n in range(round(160 * min(ratios)), round(240 * max(ratios)) + 1) if n]
    for width in (*recorded, *ratios, *grid):
        shapes = _shapes(arch, width=width, **head)
        if all(state[key].shape == shape for key, shape in shapes.items() if key in state):
            return width
    return None


def _odd(arch: str, state: Mapping[str, Tensor]) -> str:
    """The first tensor that is not of the full-width shape."""
    for key, shape in _shapes(arch).items():
        if key in state and state[key].shape != shape:
            return f"{key} is {tuple(state[key].shape)}, at full width it is {tuple(shape)}"
    return "the widths of the layers do not go together"


def _anchor_shapes(
    loaded: Loaded, ratios: Sequence[float] | None, scales: Sequence[float] | None, path: str | Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ratios and scales of the anchors: as told, as recorded, or the published ones."""
    if loaded.anchors is None:
        return (), ()
    options = loaded.extra.get("model")
    recorded = options if isinstance(options, Mapping) else {}
    shapes = (
        tuple(ratios or recorded.get("ratios") or DEFAULT_RATIOS),
        tuple(scales or recorded.get("scales") or DEFAULT_SCALES),
    )
    if len(shapes[0]) * len(shapes[1]) != loaded.anchors:
        raise UserError(
            f"{path} has {loaded.anchors} anchors in a cell, ratios {shapes[0]} and scales {shapes[1]} make "
            f"{len(shapes[0]) * len(shapes[1])}: give the ratios and scales that it was trained with"
        )
    return shapes


def _constants(model: nn.Module) -> set[str]:
    """Buffers that the constructor makes, which files need not hold: all but a batch-norm's."""
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}
    return {key for key, _ in model.named_buffers() if key.rpartition(".")[0] not in norms}


def _summary(keys: Sequence[str], most: int = 6) -> str:
    """Names of tensors, those of one module together: 'fc.* (2), layer3.* (120)'."""
    groups = Counter(_group(key) for key in keys)
    parts = [f"{name} ({count})" if count > 1 else name for name, count in groups.most_common()]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _group(key: str) -> str:
    parts = key.split(".")
    depth = next((i for i, part in enumerate(parts) if part != "features"), 0) + 1
    return ".".join(parts[:depth]) + (".*" if parts[depth:] else "")
