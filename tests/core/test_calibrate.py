"""Fresh weights begin with predictions of order one, and are otherwise the weights they were."""

import pytest
import torch

from lib.core.calibrate import LOGITS, OFFSETS, calibrate
from lib.data.batches import Batch
from lib.models import zoo

SMALL = {"width": 0.125}


def _batch() -> Batch:
    images = torch.Generator().manual_seed(1)
    z, x = (torch.rand(2, 3, side, side, generator=images) * 255 for side in (127, 255))
    return Batch(z, x, torch.zeros(2, 17, 17))


@pytest.mark.parametrize("backbone", zoo.BACKBONES)
def test_closing_layers_multiply_the_features(backbone):
    net = zoo.build(f"SiamFC{backbone}", **SMALL).train().backbone  # batch-norms undo a factor of their input
    x = _batch().z
    with torch.no_grad():
        before = net(x)
        for layer in net.closing_layers():
            for parameter in layer.parameters(recurse=False):
                parameter.mul_(0.25)
        torch.testing.assert_close(net(x), 0.25 * before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22", "SiamRPNRes22DW"])
def test_predictions_become_of_order_one(arch):
    model, batch = zoo.build(arch, **SMALL), _batch()
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    calibrate(model, batch)
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers())
    with torch.no_grad():
        prediction = model.train()(batch.z, batch.x)
    outputs = prediction if isinstance(prediction, tuple) else (prediction,)
    for output, goal in zip(outputs, (LOGITS, OFFSETS), strict=False):
        assert float(output.std((-2, -1)).mean()) == pytest.approx(goal, rel=0.05)
