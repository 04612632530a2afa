"""Published models against recorded outputs: names, shapes, features, heads; plain and fused.

Axes: as in lib/models. Recorded from the published code.
"""

import json

import numpy as np
import pytest
import torch

from lib.models import zoo
from tests.models.recorded import image, recorded_model

MODELS = (
    "SiamFCRes22",
    "SiamFCRes22W",
    "SiamFCIncep22",
    "SiamFCNext22",
    "SiamRPNRes22_thinner",
    "SiamRPNRes22_thicker",
)
TOLERANCE = 5e-5  # of the maximum, as seen between equivalent runs


@pytest.mark.parametrize("name", MODELS)
def test_names_and_shapes_are_the_released_ones(name, reference):
    recorded = json.loads((reference / "golden/state_dict_keys.json").read_text())[name]
    arch, _, cls_type = name.partition("_")
    with torch.device("meta"):
        model = zoo.build(arch, **({"cls_type": cls_type} if cls_type else {}))
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == recorded


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_features_and_heads_are_the_recorded_ones_plain_and_fused(name, reference):
    golden = reference / "golden"
    mode = "raw" if name.startswith("SiamRPN") else "track"
    prefix = f"{name}/{'raw' if mode == 'raw' else 'preset'}/"
    with np.load(golden / "models.npz") as file:
        recorded = {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
    plain = recorded_model(name, golden, mode).eval()
    for model in (plain, plain.fuse()):
        zf, xf = model.backbone(image(0, 127)), model.backbone(image(1, 255))
        heads = model.match(model.template(image(0, 127)), xf)
        outputs = {"zf_sample": zf.flatten()[::97], "xf_sample": xf.flatten()[::997]}
        for number, head in enumerate(heads if isinstance(heads, tuple) else (heads,)):
            outputs[f"head{number}"] = head
        assert outputs.keys() == {key for key in recorded if "stats" not in key and "shape" not in key}
        for key, value in outputs.items():
            error = np.abs(value.numpy() - recorded[key]).max() / np.abs(recorded[key]).max()
            assert error < TOLERANCE, key
        for key, feature in (("zf", zf), ("xf", xf)):
            assert tuple(recorded[f"{key}_shape"]) == feature.shape
            wide, stats = feature.double(), recorded[f"{key}_stats"]
            found = np.array([wide.mean(), wide.std(correction=0), wide.abs().sum()])
            np.testing.assert_allclose((found - stats) / stats[[1, 1, 2]], 0, atol=TOLERANCE)
