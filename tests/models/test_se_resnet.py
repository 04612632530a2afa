"""SE-ResNet22 and its trackers' models: recorded outputs, plain and fused, padding, matching.

Axes: N images or slots, C channels, S = 3 scales, H W cells.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.core.config import load_train
from lib.core.freeze import open_layers
from lib.core.train import build_model
from lib.files import UserError
from lib.geometry.crop import Frames
from lib.losses.classification import logistic
from lib.models import zoo
from lib.models.backbones.se_resnet import SEResNet
from lib.models.graphs import open_model
from lib.models.layers.steerable import SteerableConv, set_padding
from lib.models.layers.steerable_fused import SeparableConv
from lib.models.siamse import SESiamFC
from lib.tracker.siamfc import SiamFCParams, SiamFCTracker
from tests.models.norms import random_norms
from tests.models.recorded import image, recorded_model
from tests.models.test_recorded_losses import open_as_recorded

NAME = "SESiamFCResNet22"
RPN = ("SESiamRPNRes22", "SESiamRPNRes22DW")
TOLERANCE = 5e-5  # of the maximum, as seen between equivalent runs


def small(arch: str = NAME, width: float = 0.25) -> nn.Module:
    """Random weights and batch-norm statistics, float64, in evaluation mode."""
    return random_norms(zoo.build(arch, width=width).double().eval())


def paddings(model: nn.Module) -> set[str]:
    return {module.padding_mode for module in model.modules() if isinstance(module, SteerableConv)}


def assert_same(found: torch.Tensor, expected: torch.Tensor, share: float = 1e-7) -> None:
    # the basis is rounded to float32, the functions of the fused layers are not
    torch.testing.assert_close(found, expected, rtol=0, atol=share * float(expected.abs().max()))


def test_names_and_shapes_are_the_released_ones(reference):
    recorded = json.loads((reference / "golden/state_dict_keys_se.json").read_text())[NAME]
    with torch.device("meta"):
        model = zoo.build(NAME)
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == recorded


@torch.no_grad()
def test_features_and_response_are_the_recorded_ones_plain_and_fused(reference):
    golden = reference / "golden"
    with np.load(golden / "models_se.npz") as file:
        recorded = {key.removeprefix(f"{NAME}/preset/"): file[key] for key in file.files}
    plain = recorded_model(NAME, golden, "track").eval()
    for model in (plain, plain.fuse()):
        (zf,), xf = model.template(image(0, 127)), model.search(image(1, 255))
        samples = {"zf_sample": zf.flatten()[::97], "xf_sample": xf.flatten()[::997], "head0": model.match((zf,), xf)}
        for key, value in samples.items():
            assert np.abs(value.numpy() - recorded[key]).max() < TOLERANCE * np.abs(recorded[key]).max(), key
        for key, feature in (("zf", zf), ("xf", xf)):
            assert tuple(recorded[f"{key}_shape"]) == feature.shape
            wide, stats = feature.double(), recorded[f"{key}_stats"]
            found = np.array([wide.mean(), wide.std(correction=0), wide.abs().sum()])
            np.testing.assert_allclose((found - stats) / stats[[1, 1, 2]], 0, atol=TOLERANCE)


def test_loss_and_gradient_norms_are_the_recorded_ones(reference):
    golden = reference / "golden"
    recorded = json.loads((golden / "models_se.json").read_text())["loss"][f"{NAME}/train/unfix0.7"]
    with np.load(golden / "labels_batch4.npz") as file:
        label = torch.from_numpy(file["fc_label"])
    model = recorded_model(NAME, golden, "train")
    open_as_recorded(model, recorded)
    set_padding(model, "constant")  # as it was recorded
    loss = logistic(model(image(10, 127, 4), image(11, 255, 4)).squeeze(1), label)
    loss.backward()

    assert loss.item() == pytest.approx(recorded["loss"], rel=5e-5)
    norms = {key: p.grad.double().norm().item() for key, p in model.named_parameters() if p.grad is not None}
    assert norms.keys() == recorded["grad_norms"].keys()
    for key, value in norms.items():
        floor = 1e-6 * recorded["total_grad_norm"]
        assert value == pytest.approx(recorded["grad_norms"][key], rel=5e-3, abs=floor), key
    statistics = model.state_dict()
    for key, value in recorded["running_stats_sum_after"].items():
        assert statistics[key].double().sum().item() == pytest.approx(value, rel=1e-4, abs=1e-3), key


def test_first_boxes_of_the_recorded_track(reference):
    golden = reference / "golden"
    with np.load(golden / "trackers_se.npz") as file:
        boxes = file[f"{NAME}/default/boxes_cxcywh"]
    video = cv2.VideoCapture(str(reference / "videos/bag.avi"), cv2.CAP_FFMPEG)
    frames = [Frames.pack([np.ascontiguousarray(video.read()[1][..., ::-1])]) for _ in range(4)]
    model = recorded_model(NAME, golden, "raw").eval().fuse()
    model.color = "bgr"  # the frames were turned to RGB above
    tracker = SiamFCTracker(model=model)
    state = tracker.init(frames[0], torch.from_numpy(boxes[:1]), SiamFCParams.columns(1))
    for frame, box in zip(frames[1:], boxes[1:], strict=False):
        state, _ = tracker.step(state, frame)
        np.testing.assert_allclose(state.box[0].numpy(), box, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("arch", "side"), [*((NAME, s) for s in (127, 128, 133, 150)), *((a, 133) for a in RPN)])
@torch.no_grad()
def test_fused_it_gives_the_same(arch, side):
    model = small(arch)
    fused = model.fuse()
    z, x = (torch.rand(2, 3, s, s + extra, dtype=torch.float64) * 255 for s, extra in ((127, 0), (side, 5)))
    for found, expected in zip(fused.template(z), model.template(z), strict=True):
        assert_same(found, expected)
    assert_same(fused.search(x), model.search(x))
    found, expected = fused(z, x), model(z, x)
    for one, other in zip(found, expected, strict=True) if arch != NAME else [(found, expected)]:
        assert_same(one, other)
    names = {key.rpartition(".")[2] for key in fused.state_dict()}
    assert not any(isinstance(module, nn.BatchNorm2d | SteerableConv) for module in fused.backbone.modules())
    assert "basis" not in names
    assert sum(isinstance(module, SeparableConv) for module in fused.modules()) == 7  # the largest scale of each unit


@torch.no_grad()
def test_fused_with_other_scales_kernels_and_widths():
    net = SEResNet(units=(1, 2), scales=(1.0, 1.5), sizes=(7, 7, 3), effective=(3, 2, 1), width=0.25).double().eval()
    x = torch.randn(2, 3, 101, 96, dtype=torch.float64)
    features = net(x)
    assert features.shape[:3] == (2, 128, 2)
    assert_same(net.fused()(x), features)


@torch.no_grad()
def test_images_are_normalised_inside_and_do_not_mix():
    model = small()
    assert (model.color, model.fuse().color) == ("rgb", "rgb")
    x = torch.rand(3, 3, 127, 127, dtype=torch.float64) * 255
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    together = model.search(x)
    for number, one in enumerate(x):
        assert_same(model.backbone.features(((one / 255 - mean) / std)[None]), together[number : number + 1], 1e-6)


@torch.no_grad()
def test_a_network_with_one_scale_in_mind_finds_it_again():
    # of constant images every scale is alike but for the mass of its filters, and no cell sees padding in the middle
    net = small().backbone.features
    features = net(torch.full((1, 3, 255, 255), 0.7, dtype=torch.float64))
    middle = features[..., 9:12, 9:12]
    assert_same(middle, middle[..., 1:2, 1:2].expand_as(middle))
    assert float((middle[:, :, 0] - middle[:, :, 2]).abs().max()) > 1e-6


def test_padding_is_circular_while_the_model_trains_frozen_layers_too():
    model = small()
    assert paddings(zoo.build(NAME, width=0.25)) == {"circular"}  # like any new module, in training mode
    assert paddings(model) == {"constant"}
    opened = open_layers(model, 1, 50, "paper")
    assert paddings(model) == {"circular"}
    assert not model.backbone.features.bn1.training
    assert {id(p) for p in opened.parameters} == {id(p) for p in model.backbone.features.layer2[-1].parameters()}
    open_layers(model, 35, 50, "paper")
    assert model.backbone.features.conv1.weight.requires_grad, "the stem opens with the last stage"
    assert paddings(model.eval()) == {"constant"}
    x = torch.rand(1, 3, 127, 127, dtype=torch.float64) * 255
    with torch.no_grad():
        zeros = model.search(x)
        set_padding(model, "circular")
        assert float((model.search(x) - zeros).abs().max()) > 1e-3 * float(zeros.abs().max())


@torch.no_grad()
def test_response_is_that_of_the_maxima_over_scales():
    model = small()
    kernels, features = torch.randn(2, 8, 3, 5, 5), torch.randn(6, 8, 3, 21, 21)  # two slots, three images each
    response = model.match((kernels,), features)
    assert response.shape == (6, 1, 17, 17)
    for row in range(6):
        expected = 0.1 * F.conv2d(features[row : row + 1].amax(2), kernels[row // 3 : row // 3 + 1].amax(2))
        torch.testing.assert_close(response[row : row + 1], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_greedypw_takes_the_best_of_three_sizes_of_the_search_features():
    backbone = SEResNet(width=0.25)
    model, plain = (SESiamFC(backbone=backbone, matching=name).eval() for name in ("greedypw", "corr"))
    kernels, features = torch.randn(2, 8, 3, 5, 5), torch.randn(4, 8, 3, 21, 21)
    z, x = kernels.amax(2), features.amax(2)
    best = torch.full((4, 1, 17, 17), -torch.inf)
    for ratio, side in ((1 / 1.2, 17), (1, 21), (1.2, 25)):
        resized = F.interpolate(x, scale_factor=ratio, mode="bicubic", align_corners=True) if ratio != 1 else x
        assert resized.shape[-1] == side
        for row in range(4):
            one = F.conv2d(resized[row : row + 1], z[row // 2 : row // 2 + 1])
            one = one if ratio == 1 else F.interpolate(one, size=(17, 17), mode="bicubic", align_corners=True)
            best[row] = torch.maximum(best[row], 0.1 * one[0])
    response = model.match((kernels,), features)
    torch.testing.assert_close(response, best, rtol=1e-4, atol=1e-4)
    assert (response >= plain.match((kernels,), features) - 1e-5).all()
    assert model.fuse().matching == "greedypw"
    with pytest.raises(UserError, match="corr, greedypw"):
        SESiamFC(backbone=backbone, matching="pairwise")


def test_new_weights_are_drawn_by_fan_out():
    net = SEResNet()
    for layer, outputs, cells in (
        (net.conv1, 64, 49),
        (net.layer1[0].conv1, 64, 2),
        (net.layer1[1].conv2, 64, 9),
        (net.layer2[0].conv1, 128, 1),
        (net.layer2[2].conv3, 512, 1),
    ):
        expected = (2 / (outputs * cells)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert abs(layer.weight.mean().item()) < 0.05 * expected


def test_stages_and_field():
    backbone = zoo.build(NAME, width=0.25).backbone
    net = backbone.features
    stages = backbone.stages()
    assert stages.stage2 == [net.layer2[4], net.layer2[3], net.layer2[2], net.layer2[0]]
    assert stages.stage1 == [net.layer1[2], net.layer1[1], net.layer1[0]]
    assert stages.stem == [net.conv1, net.bn1]
    assert (backbone.stride, backbone.channels, backbone.receptive_field) == (8, 128, 175)


def test_the_matching_is_chosen_by_name_or_by_a_checkpoint(tmp_path: Path):
    model = zoo.build(NAME, width=0.125, matching="greedypw")
    assert model.matching == "greedypw" and zoo.build(NAME, width=0.125).matching == "corr"
    content = {"arch": NAME, "state_dict": model.state_dict(), "model": {"width": 0.125, "matching": "greedypw"}}
    torch.save(content, tmp_path / "a.pth")
    assert open_model(tmp_path / "a.pth").model.matching == "greedypw"
    assert open_model(tmp_path / "a.pth", matching="corr").model.matching == "corr"
    with pytest.raises(UserError, match="of SE-SiamFC's weights alone"):
        zoo.build("SiamFCRes22", width=0.125, matching="greedypw")


def test_the_matching_is_chosen_in_a_training_file():
    path = Path(__file__).parents[2] / "experiments" / "train" / "SESiamFC.yaml"
    told = {"TRAIN.WIDTH": 0.125, "TRAIN.MATCHING": "greedypw"}
    assert build_model(load_train(path, told)).matching == "greedypw"
    assert build_model(load_train(path, {"TRAIN.WIDTH": 0.125})).matching == "corr"
