"""Losses and gradient norms of whole models equal the recorded ones.

Recorded with the labels of ``labels_batch4.npz``; which layers and batch-norms train is listed there.
"""

import importlib.util
import json

import numpy as np
import pytest
import torch

from lib.losses.classification import BLOCK_WEIGHT, block_term, logistic
from lib.losses.regression import weighted_l1
from lib.models import zoo
from lib.models.heads import logit

CASES = [
    "SiamFCRes22/raw/unfix0.0",
    "SiamFCRes22/train/unfix0.0",
    "SiamFCRes22/train/unfix0.7",
    "SiamRPNRes22_thinner/raw/unfix0.0",
    "SiamRPNRes22_thinner/train/unfix0.0",
    "SiamRPNRes22_thinner/train/unfix0.7",
    "SiamRPNRes22_thicker/train/unfix0.0",
    "SiamRPNRes22_thicker/train/unfix0.7",
]


def load(folder, name):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(seed: int, side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (4, 3, side, side)).astype(np.float32))


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradient_norms(reference, case):
    golden = reference / "golden"
    recorded = json.loads((golden / "models.json").read_text())["loss"][case]
    labels = {key: torch.from_numpy(value) for key, value in np.load(golden / "labels_batch4.npz").items()}
    name, mode, _ = case.split("/")
    arch, _, cls_type = name.partition("_")
    model = zoo.build(arch, **({"cls_type": cls_type} if cls_type else {}))
    gains = load(golden, "presets").preset(name, model.state_dict().keys(), "train") if mode == "train" else None
    load(golden, "fill").fill(model, gains)

    modules, parameters = dict(model.eval().named_modules()), dict(model.named_parameters())
    for key in recorded["bn_in_train_mode"]:
        modules[key].train()
    for key, parameter in parameters.items():
        parameter.requires_grad = key in recorded["trainable"]

    prediction = model(images(10, 127), images(11, 255))
    if cls_type:
        z = logit(prediction[0], 5)
        cls, reg = logistic(z, labels["rpn_cls"]), weighted_l1(prediction[1], labels["rpn_reg"], labels["rpn_regw"])
        if cls_type == "thinner":
            cls = cls + BLOCK_WEIGHT * block_term(z, labels["fc_label"])
        loss = cls + reg
        assert cls.item() == pytest.approx(recorded["cls_loss"], rel=5e-5)
        assert reg.item() == pytest.approx(recorded["reg_loss"], rel=5e-5)
    else:
        loss = logistic(prediction[:, 0], labels["fc_label"])
    assert loss.item() == pytest.approx(recorded["loss"], rel=5e-5)
    loss.backward()
    ours = {key: parameter.grad.norm().item() for key, parameter in parameters.items() if parameter.requires_grad}
    assert ours == pytest.approx(recorded["grad_norms"], rel=5e-3, abs=1e-6 * recorded["total_grad_norm"])
