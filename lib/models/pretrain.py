"""ImageNet starts: torchvision's public weights brought into the backbones that share their layout.

Axes: O output channels, I input channels of a convolution.

Those networks see RGB / 255, normalised; ours see BGR 0..255. The stem is changed so that it gives the same numbers
on our images. With x_c = raw_c / 255, mean m_c, deviation s_c, mean deviation s, K = 255 s and D = sum w_c m_c / s_c:
sum of w_c (x_c - m_c) / s_c = (sum of (w_c s / s_c) raw_c) / K - D. The weights keep their magnitude, w_c s / s_c, and
the batch-norm after them takes K and D into its statistics: mean' = K (mean + D), var' = K^2 (var + eps) - eps.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.files import UserError
from lib.models.backbones.alexnet import AlexNet
from lib.models.backbones.ci_densenet import LAYERS, CIDenseNet
from lib.models.backbones.ci_resnet import CIResNet
from lib.models.backbones.ci_resnext import CIResNeXt
from lib.models.weights import Report, fill, read

EPS = 1e-5  # of every batch-norm here, theirs and ours
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB of ImageNet, after / 255


@dataclass(frozen=True)
class Public:
    """A public file: its name ends in the first digits of its SHA-256."""

    url: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str:
        return self.file.rpartition("-")[2].removesuffix(".pth")


KNOWN = {
    "resnet50": Public("https://download.pytorch.org/models/resnet50-0676ba61.pth"),
    "resnext50_32x4d": Public("https://download.pytorch.org/models/resnext50_32x4d-7cdf4587.pth"),
    "densenet121": Public("https://download.pytorch.org/models/densenet121-a639ec97.pth"),
    "alexnet": Public("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
}


def start_from(model: Any, source: str | Path, *, folder: str | Path = "pretrain") -> Report:
    """Fill ``model`` in place from a file, a file in ``folder``, or a known name, which is fetched into ``folder``.

    The file is of the model itself, of another model with the same backbone, or of an ImageNet network whose layout
    the backbone shares. It fails when nothing fits.
    """
    path = find(source, folder)
    state, _ = read(path)
    layout = layout_of(state)
    if layout is not None:
        return _from_imagenet(model, state, layout, str(source))
    # a bare backbone's names lack the model's 'features.features.', some files' half of it
    prefixes = ("", "features.", "features.features.")
    own = model.state_dict()
    state = max(
        ({prefix + key: value for key, value in state.items()} for prefix in prefixes),
        key=lambda named: sum(k in own and own[k].shape == v.shape for k, v in named.items()),
    )
    odd = [key for key in state if key.startswith("features.") and key in own and own[key].shape != state[key].shape]
    if odd:
        shapes = f"{tuple(state[odd[0]].shape)}, the model's is {tuple(own[odd[0]].shape)}"
        raise UserError(f"{source} must have the backbone's shapes, its {odd[0]} is {shapes}: use its WIDTH, or others")
    report = fill(model, state)
    if not report.loaded:
        raise UserError(f"{source} must have tensors of the model, none has its names or shapes: name other weights")
    return report


def find(source: str | Path, folder: str | Path) -> Path:
    """The file that ``source`` names; a known name is fetched, once, and its checksum compared."""
    known = KNOWN.get(str(source))
    if known is None:
        for path in (Path(source), Path(folder) / source):
            if path.is_file():
                return path
        raise UserError(
            f"weights to start from must be a file or one of {', '.join(KNOWN)}; {source} is neither: "
            f"put it into {folder}/, or give its path"
        )
    path = Path(folder) / known.file
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(known.url, str(path), hash_prefix=known.digest, progress=False)
        except (OSError, RuntimeError) as error:  # no connection, no such page, another checksum
            raise UserError(
                f"{source} could not be fetched ({error}): get {known.url} by other means and put it at {path}"
            ) from None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(known.digest):
        raise UserError(f"the SHA-256 of {path} must begin with {known.digest}, it is {digest}: delete it, get it anew")
    return path


def layout_of(state: Mapping[str, Tensor]) -> str | None:
    """The ImageNet network whose names and shapes these are, None for another file."""
    if "layer2.1.conv2.weight" in state and "layer1.0.conv2.weight" in state:  # in CIR networks, 2.1 is a pool
        inner: tuple[int, ...] = tuple(state["layer1.0.conv2.weight"].shape)
        known: dict[tuple[int, ...], str] = {(64, 64, 3, 3): "ResNet-50", (128, 4, 3, 3): "ResNeXt-50 32x4d"}
        return known.get(inner, "ResNet of another form")
    if "features.conv0.weight" in state and any("denseblock1.denselayer1." in key for key in state):
        return "DenseNet-121"
    kernels = [v.shape[2] for k, v in state.items() if v.dim() == 4]
    ours = any(key.startswith("features.features.") for key in state)
    return "AlexNet" if kernels == [11, 5, 3, 3, 3] and not ours else None


def _from_imagenet(model: Any, state: Mapping[str, Tensor], layout: str, source: str) -> Report:
    backbone = model.backbone
    fits = FITS.get(layout)
    if fits is None or not isinstance(backbone, fits[0]):
        ours = next((name for name, (kind, _) in FITS.items() if isinstance(backbone, kind)), "no public network")
        raise UserError(f"{source} holds a {layout}, the backbone {type(backbone).__name__} can start from {ours}")
    own = backbone.state_dict()
    mapped, used = fits[1](state, backbone)
    odd = [key for key, value in mapped.items() if own[key].shape != value.shape]
    if odd:
        shapes = f"{tuple(mapped[odd[0]].shape)}, not {tuple(own[odd[0]].shape)}"
        raise UserError(f"{source} must have the backbone's shapes, {odd[0]} is {shapes}: use WIDTH 1")
    backbone.load_state_dict(mapped, strict=False)
    prefix = next(name for name, module in model.named_modules() if module is backbone) + "."
    return Report(
        loaded=[prefix + key for key in mapped],
        missing=[key for key in model.state_dict() if key.removeprefix(prefix) not in mapped],
        unused=[key for key in state if key not in used],
    )


Mapped = tuple[dict[str, Tensor], set[str]]  # tensors by the backbone's names, and the file's names that were read
NORM = ("weight", "bias", "running_mean", "running_var")


def _from_resnet(state: Mapping[str, Tensor], backbone: CIResNet) -> Mapped:
    """Stem, stage 1 and the first units of stage 2, which a pool after the first shifts by one."""
    source = {"conv1": "conv1", "bn1": "bn1"}
    for ours, theirs in _units(backbone):
        parts = [f"{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "bn")] + ["downsample.0", "downsample.1"]
        source |= {f"{ours}.{part}": f"{theirs}.{part}" for part in parts}
    mapped, used = _copied(state, backbone, source)
    _see_raw_bgr(mapped, "conv1", "bn1")
    return mapped, used


def _from_resnext(state: Mapping[str, Tensor], backbone: CIResNeXt) -> Mapped:
    """As ResNet; the shortcut's batch-norm goes into its convolution and bn3; the one after the sum changes nothing."""
    names = {"conv1_0": "conv1", "bn1": "bn1", "conv3_0": "conv2", "bn2": "bn2", "conv1_1": "conv3", "bn3": "bn3"}
    source = {"conv0": "conv1", "bn0": "bn1"}
    for ours, theirs in _units(backbone):
        source |= {f"{ours}.basic.{our}": f"{theirs}.{their}" for our, their in names.items()}
        source |= {f"{ours}.shortcut.0": f"{theirs}.downsample.0"}
    mapped, used = _copied(state, backbone, source)
    mapped["conv0.bias"] = torch.zeros(len(mapped["conv0.weight"]))
    _see_raw_bgr(mapped, "conv0", "bn0")
    for ours, theirs in _units(backbone):
        if f"{ours}.shortcut.0.weight" in mapped:
            norm = [state[f"{theirs}.downsample.1.{part}"].double() for part in NORM]
            used |= {f"{theirs}.downsample.1.{part}" for part in NORM}
            scale = norm[0] / (norm[3] + EPS).sqrt()
            shift = norm[1] - norm[2] * scale
            shortcut = mapped[f"{ours}.shortcut.0.weight"]
            mapped[f"{ours}.shortcut.0.weight"] = (shortcut.double() * scale[:, None, None, None]).float()
            mapped[f"{ours}.basic.bn3.bias"] = (mapped[f"{ours}.basic.bn3.bias"].double() + shift).float()
        mapped |= _identity(f"{ours}.bn0", backbone.get_submodule(f"{ours}.bn0"))
    return mapped, used


def _from_densenet(state: Mapping[str, Tensor], backbone: CIDenseNet) -> Mapped:
    """Stem, the first dense block, the first transition. Older files write norm.1 for norm1."""
    older = "features.denseblock1.denselayer1.norm.1.weight" in state
    source = {name: f"features.{name}" for name in ("conv0", "norm0", "transition1.norm", "transition1.conv")}
    for number in range(1, LAYERS[0] + 1):
        for part in ("norm1", "conv1", "norm2", "conv2"):
            theirs = f"{part[:-1]}.{part[-1]}" if older else part
            source[f"denseblock1.denselayer{number}.{part}"] = f"features.denseblock1.denselayer{number}.{theirs}"
    mapped, used = _copied(state, backbone, source)
    _see_raw_bgr(mapped, "conv0", "norm0")
    return mapped, used


def _from_alexnet(state: Mapping[str, Tensor], backbone: AlexNet) -> Mapped:
    """Five convolutions in order: the original grouped form, or torchvision's, which is narrower and has no groups.

    Each half of a layer's channels goes to that half (group) of ours. Our other channels stay random and the file's do
    not read them; weights between the halves are dropped where ours is grouped.
    """
    keys = [key for key, value in state.items() if value.dim() == 4]
    biases = [key.removesuffix("weight") + "bias" for key in keys]
    mapped: dict[str, Tensor] = {}
    inputs = torch.arange(3)  # where among our channels the file's are
    for number, (weight, bias) in enumerate(zip(map(state.get, keys), map(state.get, biases), strict=True), 1):
        part: Any = getattr(backbone, f"conv{number}")
        conv: nn.Conv2d = part[0]
        assert weight is not None and bias is not None
        if len(weight) > conv.out_channels or len(weight) % 2:
            raise UserError(f"{keys[number - 1]} has {len(weight)} channels, ours {conv.out_channels}: use WIDTH 1")
        outputs = torch.arange(len(weight))
        outputs[len(weight) // 2 :] += (conv.out_channels - len(weight)) // 2
        whole = torch.zeros(conv.out_channels, conv.in_channels, *weight.shape[2:])
        whole[outputs[:, None], inputs] = _ungrouped(weight, len(inputs) // weight.shape[1])
        new = conv.weight.detach().clone()
        new[outputs] = _grouped(whole, conv.groups)[outputs]
        shift = torch.zeros(conv.out_channels)
        shift[outputs] = bias
        mapped |= {f"conv{number}.0.weight": new, f"conv{number}.0.bias": shift}
        if number < 5:  # the file has no batch-norm: ours starts as the identity of evaluation mode, plus the bias
            mapped[f"conv{number}.0.bias"] = torch.zeros_like(shift)
            mapped |= _identity(f"conv{number}.1", part[1]) | {f"conv{number}.1.bias": shift}
        inputs = outputs
    _see_raw_bgr(mapped, "conv1.0", "conv1.1")
    return mapped, {*keys, *biases}


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """(O, I / groups, k, k) -> (O, I, k, k), zero between the groups."""
    whole = weight.new_zeros(len(weight), groups, *weight.shape[1:])
    for number, rows in enumerate(torch.arange(len(weight)).chunk(groups)):
        whole[rows, number] = weight[rows]
    return whole.flatten(1, 2)


def _grouped(whole: Tensor, groups: int) -> Tensor:
    """(O, I, k, k) -> (O, I / groups, k, k), without what lies between the groups."""
    blocks = whole.unflatten(1, (groups, -1)).unflatten(0, (groups, -1))
    return torch.cat([blocks[number, :, number] for number in range(groups)])


def _units(backbone: CIResNet | CIResNeXt) -> list[tuple[str, str]]:
    """(our name, ResNet's name) of each unit; in ours the pool is layer2.1."""
    first = [(f"layer1.{n}", f"layer1.{n}") for n in range(len(backbone.layer1))]
    second = [(f"layer2.{n + (n > 0)}", f"layer2.{n}") for n in range(len(backbone.layer2) - 1)]
    return first + second


def _copied(state: Mapping[str, Tensor], backbone: nn.Module, source: Mapping[str, str]) -> Mapped:
    """Tensors of the modules ``source`` {our name: the file's name}, those that both have."""
    mapped, used = {}, set()
    for key in backbone.state_dict():
        module, _, part = key.rpartition(".")
        theirs = f"{source.get(module)}.{part}"
        if theirs in state:
            mapped[key] = state[theirs].clone()
            used.add(theirs)
    return mapped, used


def _identity(name: str, norm: Any) -> dict[str, Tensor]:
    """Tensors of a batch-norm that changes nothing in evaluation mode."""
    zeros, ones = torch.zeros(norm.num_features), torch.ones(norm.num_features)
    weight = ones * (1 + EPS) ** 0.5
    values = {"weight": weight, "bias": zeros, "running_mean": zeros.clone(), "running_var": ones}
    return {f"{name}.{part}": value for part, value in values.items()}


def _see_raw_bgr(mapped: dict[str, Tensor], conv: str, norm: str) -> None:
    """Change a stem for normalised RGB into one for BGR 0..255, in place; the formulas are at the top of the file."""
    weight = mapped[f"{conv}.weight"].double()  # (O, 3, k, k)
    mean, deviation = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, DEVIATION))
    gain = 255 * deviation.mean()
    offset = (weight * mean / deviation).sum((1, 2, 3))
    mapped[f"{conv}.weight"] = (weight * deviation.mean() / deviation).flip(1).float()
    running_mean, running_var = (mapped[f"{norm}.running_{part}"].double() for part in ("mean", "var"))
    mapped[f"{norm}.running_mean"] = (gain * (running_mean + offset)).float()
    mapped[f"{norm}.running_var"] = (gain**2 * (running_var + EPS) - EPS).float()


# what each public network's weights fit, and how
FITS: dict[str, tuple[type[nn.Module], Callable[[Mapping[str, Tensor], Any], Mapped]]] = {
    "ResNet-50": (CIResNet, _from_resnet),
    "ResNeXt-50 32x4d": (CIResNeXt, _from_resnext),
    "DenseNet-121": (CIDenseNet, _from_densenet),
    "AlexNet": (AlexNet, _from_alexnet),
}
