"""Which layers an epoch trains, on the model itself, against what the released code had open."""

import json

import pytest
import torch
from torch import nn

from lib.core.freeze import open_layers
from lib.models.zoo import build

SMALL = {"width": 0.125}


def _norms_in_training(model) -> set[str]:
    return {name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training}


def _open(model) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("name", "ratio"), [("SiamFCRes22", 0.0), ("SiamFCRes22", 0.7), ("SiamRPNRes22_thinner", 0.7)])
def test_released_layers_are_those_of_the_released_code(reference, name, ratio):
    recorded = json.loads((reference / "golden/models.json").read_text())["loss"][f"{name}/train/unfix{ratio}"]
    model = build(name.split("_")[0], **SMALL)
    opened = open_layers(model, max(1, round(100 * ratio)), 100, "released")
    assert _open(model) == set(recorded["trainable"])
    assert _norms_in_training(model) == set(recorded["bn_in_train_mode"])
    assert {id(p) for p in opened.parameters} == {id(p) for p in model.parameters() if p.requires_grad}


def test_paper_opens_from_the_back_and_keeps_frozen_norms_in_evaluation():
    model = build("SiamFCRes22", **SMALL)
    before: set[str] = set()
    for epoch in range(1, 11):
        opened = open_layers(model, epoch, 10, "paper")
        assert before <= _open(model) and not opened.held and not opened.fresh_optimiser
        units = {name.rsplit(".", 1)[0] for name in _open(model)}
        assert _norms_in_training(model) <= units
        before = _open(model)
    assert "features.features.layer1.0.conv1.weight" in before and "features.features.conv1.weight" not in before
    open_layers(model, 1, 10, "none")
    assert "features.features.conv1.weight" in _open(model) and len(_norms_in_training(model)) == 24


def test_released_moves_the_last_unit_alone_between_openings():
    model = build("SiamRPNRes22", **SMALL)
    between, opening = open_layers(model, 25, 100, "released"), None
    held = {id(p) for p in between.held}
    names = {name for name, p in model.named_parameters() if p.requires_grad and id(p) not in held}
    assert all(".layer2.4." in name or name.startswith("connect_model.") for name in names)
    assert not between.fresh_optimiser
    opening = open_layers(model, 20, 100, "released")
    assert opening.fresh_optimiser and not opening.held


@pytest.mark.parametrize("mode", ["paper", "none"])
def test_what_is_frozen_stays(mode):
    model = build("SiamFCRes22", **SMALL)
    opened = open_layers(model, 1, 100, mode)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    images = torch.Generator().manual_seed(0)
    z, x = (torch.rand(2, 3, side, side, generator=images) for side in (127, 255))
    model(z, x).square().mean().backward()
    assert all(p.grad is not None for p in opened.parameters)
    optimiser.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    if mode == "none":
        assert any(".conv1" in name for name in moved)
    else:
        assert moved and all(".layer2.4." in name for name in moved)
