"""Weight transfer CIResNet22 -> SE-ResNet22: coefficients against NumPy, whole networks against their source.

Axes: C channels (C' of the output), B basis functions, k side of a kernel.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lib.files import UserError
from lib.models import zoo
from lib.models.layers.steerable import SteerableConv, scale_steps, steerable_basis
from lib.models.transfer import centred, coefficients, table, transfer, transfer_file
from lib.models.weights import load_model
from tests.models.norms import random_norms
from tests.models.test_pretrain import resnet

WIDTH = 0.25
SCRIPT = Path(__file__).parents[2] / "siamese_tracking/transfer_weights.py"
ARCHES = {"SiamFCRes22": "SESiamFCResNet22", "SiamRPNRes22": "SESiamRPNRes22", "SiamRPNRes22DW": "SESiamRPNRes22DW"}


def source_model(arch: str = "SiamFCRes22", width: float = WIDTH, *, plain_stem: bool = False) -> nn.Module:
    """Random weights and statistics; ``plain_stem``: its kernels' middle 5x5 alone, which scale 0 can represent."""
    model = random_norms(zoo.build(arch, width=width).eval())
    if plain_stem:
        weight = model.backbone.conv1.weight.data
        model.backbone.conv1.weight.data = centred(centred(weight, (5, 5)), (7, 7))
    return model


def smallest_scale(layer: SteerableConv) -> np.ndarray:
    return torch.einsum("ocb,bhw->ochw", layer.weight.flatten(2), layer.basis[:, 0]).detach().numpy()


def test_a_complete_basis_represents_every_kernel():
    kernel = torch.randn(4, 5, 3, 3)
    basis = steerable_basis(5, 3, scale_steps())[:, 0]
    weight, rank, error = coefficients(kernel, basis)
    functions = basis[:, 1:4, 1:4].double().numpy().reshape(9, 9)
    expected = np.linalg.solve(functions.T, kernel.double().numpy().reshape(20, 9).T).T.reshape(4, 5, 9)
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert weight.dtype == torch.float32
    assert (rank, error < 1e-7) == (9, True)


def test_an_incomplete_basis_represents_what_it_can_and_adds_nothing():
    kernel = torch.randn(4, 3, 7, 7)
    basis = steerable_basis(9, 7, scale_steps())[:, 0]
    weight, rank, error = coefficients(kernel, basis)
    assert rank == 25  # the cells of its window
    functions = basis[:, 1:8, 1:8].double().numpy().reshape(49, 49)
    expected = np.linalg.pinv(functions.T, rcond=1e-10) @ kernel.double().numpy().reshape(12, 49).T
    np.testing.assert_allclose(weight.numpy().reshape(12, 49), expected.T, rtol=1e-4, atol=1e-4)
    represented = (weight.numpy().reshape(12, 49) @ functions).reshape(4, 3, 7, 7)
    np.testing.assert_allclose(represented[..., 1:6, 1:6], kernel[..., 1:6, 1:6], rtol=0, atol=1e-5)
    lost = kernel.clone()
    lost[..., 1:6, 1:6] = 0
    assert error == pytest.approx(float(lost.norm() / kernel.norm()), rel=1e-5)


def test_no_kernel_has_no_error():
    weight, _, error = coefficients(torch.zeros(2, 3, 3, 3), steerable_basis(5, 3, scale_steps())[:, 0])
    assert error == 0
    assert not weight.any()


def test_every_tensor_comes_from_its_place():
    source, target = source_model(), zoo.build("SESiamFCResNet22", width=WIDTH)
    constants = {key: value.clone() for key, value in target.state_dict().items() if key.endswith((".basis", ".mean"))}
    layers, copied = transfer(source.state_dict(), target)
    state, own = source.state_dict(), target.state_dict()
    modules = dict(target.named_modules())
    steerable = [name for name, module in modules.items() if isinstance(module, SteerableConv)]
    assert [layer.layer for layer in layers] == steerable
    assert len(steerable) == 8
    for layer in layers[1:]:
        kernel = state[f"{layer.layer}.weight"].numpy()
        np.testing.assert_allclose(centred_array(smallest_scale(modules[layer.layer])), kernel, rtol=0, atol=1e-6)
        assert (layer.kernel, layer.functions, layer.rank) == ((3, 3), 9, 9)
        assert layer.error < 1e-6
    assert (layers[0].kernel, layers[0].functions, layers[0].rank) == ((7, 7), 49, 25)
    assert 0.4 < layers[0].error < 0.9
    mixing = "features.features.layer1.0.conv1.weight"
    assert torch.equal(own[mixing][:, :, 0], state[mixing])
    assert not own[mixing][:, :, 1:].any()
    rest = [key for key in state if key.rpartition(".")[0] not in steerable and key != mixing]
    assert copied == len(rest)
    assert all(torch.equal(own[key], state[key]) for key in rest)
    assert len(constants) == 9
    assert all(torch.equal(own[key], value) for key, value in constants.items())


def centred_array(kernel: np.ndarray) -> np.ndarray:
    assert not np.delete(np.delete(kernel, slice(1, 4), 2), slice(1, 4), 3).any()
    return kernel[..., 1:4, 1:4]


@pytest.mark.parametrize("source_input", ["rgb", "bgr255"])
@torch.no_grad()
def test_the_smallest_scale_is_the_source_network(source_input):
    source, target = source_model(plain_stem=True), zoo.build("SESiamFCResNet22", width=WIDTH).eval()
    rgb = torch.rand(2, 3, 127, 127) * 255
    seen = rgb.flip(1)
    if source_input == "bgr255":
        source.backbone.bn1.running_var.mul_(1e4)
    else:
        mean, std = target.features.mean[:, None, None], target.features.std[:, None, None]
        seen = (rgb / 255 - mean) / std
    transfer(source.state_dict(), target, source_input=source_input)
    ours, theirs = target.backbone, source.backbone
    normalised = (rgb / 255 - ours.mean[:, None, None]) / ours.std[:, None, None]
    # up to the maximum over scales, in which the larger filters take part
    found = ours.features.layer1(ours.features.stem(normalised))[:2]
    expected = theirs.layer1(theirs.stem(seen))
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())


@pytest.mark.parametrize("arch", ARCHES)
def test_files_of_every_counterpart(arch, tmp_path):
    source = source_model(arch)
    counters = "num_batches_tracked"
    state = {f"module.{key}": value for key, value in source.state_dict().items() if not key.endswith(counters)}
    torch.save({"state_dict": state, "epoch": 50}, tmp_path / "released.pth")
    made = transfer_file(tmp_path / "released.pth")
    assert (made.arch, made.options["width"], made.mapping) == (ARCHES[arch], WIDTH, "sigmoid")
    own = made.model.state_dict()
    heads = [key for key in source.state_dict() if key.startswith("connect_model.")]
    assert all(torch.equal(own[key], source.state_dict()[key]) for key in heads)
    assert bool(heads) == ("RPN" in arch)
    assert not made.model.training


def test_an_imagenet_network(tmp_path):
    torch.save(resnet(64, 1), tmp_path / "resnet50.pth")
    made = transfer_file(tmp_path / "resnet50.pth")
    assert made.arch == "SESiamFCResNet22"
    # it saw normalised RGB, as the target does: brought to BGR 0..255 and back, the kernels are its own
    stem = resnet_like(made.model.backbone.features.conv1)
    expected = torch.load(tmp_path / "resnet50.pth", weights_only=True)["conv1.weight"][..., 1:6, 1:6].numpy()
    np.testing.assert_allclose(stem, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def resnet_like(layer: SteerableConv) -> np.ndarray:
    return smallest_scale(layer)[..., 2:7, 2:7]


def test_what_cannot_be_transferred_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(source_model("SiamFCIncep22").state_dict(), path)
    with pytest.raises(UserError, match=r"SiamFCRes22.*of SiamFCIncep22"):
        transfer_file(path)
    with pytest.raises(UserError, match="neither"):
        transfer_file(tmp_path / "absent.pth")
    target = zoo.build("SESiamFCResNet22", width=WIDTH)
    state = source_model().state_dict()
    with pytest.raises(UserError, match="rgb, bgr255"):
        transfer(state, target, source_input="bgr")
    state["features.features.bn1.running_var"] *= 1e-3  # a stem whose features vary so little has not seen 0..255
    with pytest.raises(UserError, match="variances"):
        transfer(state, target, source_input="bgr255")
    del state["features.features.layer2.3.conv2.weight"]
    with pytest.raises(UserError, match=r"layer2\.3\.conv2\.weight"):
        transfer(state, target)


def test_the_script_writes_weights_and_prints_an_aligned_table(tmp_path, monkeypatch, capsys):
    torch.save(source_model().state_dict(), tmp_path / "CIResNet22_PRETRAIN.model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])  # SiamSE's command has no arguments
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].split() == ["layer", "kernel", "functions", "rank", "relative", "error"]
    assert len({len(line) for line in lines[:9]}) == 1
    assert lines[1].split()[:4] == ["features.features.conv1", "7x7", "49", "25"]
    assert lines[-1].endswith("saved as pretrain/SESiamFCResNet22_pretrained.pth")
    loaded = load_model("pretrain/SESiamFCResNet22_pretrained.pth")
    assert (loaded.arch, loaded.width) == ("SESiamFCResNet22", WIDTH)
    expected = transfer_file("CIResNet22_PRETRAIN.model").model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.model.state_dict().items())


def test_the_table_of_no_layers_is_its_head():
    assert table([]).split() == ["layer", "kernel", "functions", "rank", "relative", "error"]
