"""Losses and gradients of the published models against recorded ones: model, losses and freezing together.

Axes: N = 4 pairs, A = 5 anchors, 17 x 17 cells.
"""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lib.losses.classification import BLOCK_WEIGHT, block_term, logistic
from lib.losses.regression import weighted_l1
from lib.models.heads import logit
from tests.models.recorded import image, recorded_model

CASES = (
    "SiamFCRes22/raw/unfix0.0",
    "SiamFCRes22/train/unfix0.7",
    "SiamFCRes22W/train/unfixNone",
    "SiamFCIncep22/train/unfixNone",
    "SiamFCNext22/train/unfixNone",
    "SiamRPNRes22_thinner/train/unfix0.7",
    "SiamRPNRes22_thicker/train/unfix0.0",
)


def open_as_recorded(model: nn.Module, recorded: dict) -> None:
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key in recorded["trainable"])
    for name, module in model.named_modules():
        module.training = name in recorded["bn_in_train_mode"]
    assert recorded["n_trainable"] == sum(p.requires_grad for p in model.parameters())


def loss_terms(model: nn.Module, labels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prediction = model(image(10, 127, 4), image(11, 255, 4))
    if isinstance(prediction, torch.Tensor):
        return {"loss": logistic(prediction.squeeze(1), labels["fc_label"])}
    z = logit(prediction[0], 5)
    cls = logistic(z, labels["rpn_cls"])
    if prediction[0].shape[1] == 5:
        cls = cls + BLOCK_WEIGHT * block_term(z, labels["fc_label"])
    reg = weighted_l1(prediction[1], labels["rpn_reg"], labels["rpn_regw"])
    return {"cls_loss": cls, "reg_loss": reg, "loss": cls + reg}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradient_norms_are_the_recorded_ones(case, reference):
    golden = reference / "golden"
    recorded = json.loads((golden / "models.json").read_text())["loss"][case]
    with np.load(golden / "labels_batch4.npz") as file:
        labels = {key: torch.from_numpy(file[key]) for key in file.files}
    name, mode, _ = case.split("/")
    model = recorded_model(name, golden, mode)
    open_as_recorded(model, recorded)
    terms = loss_terms(model, labels)
    terms["loss"].backward()

    for key, value in terms.items():
        assert value.item() == pytest.approx(recorded[key], rel=5e-5), key
    norms = {key: p.grad.double().norm().item() for key, p in model.named_parameters() if p.grad is not None}
    assert norms.keys() == recorded["grad_norms"].keys()
    total = recorded["total_grad_norm"]
    for key, value in norms.items():
        assert value == pytest.approx(recorded["grad_norms"][key], rel=5e-3, abs=1e-6 * total), key
    statistics = model.state_dict()
    for key, value in recorded["running_stats_sum_after"].items():
        assert statistics[key].double().sum().item() == pytest.approx(value, rel=1e-4, abs=1e-3), key
