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
    if arch.startswith("SiamFC"):
        assert float(prediction.std((-2, -1)).mean()) == pytest.approx(LOGITS, rel=0.05)
        return
    for output, goal in zip(prediction, (LOGITS, OFFSETS), strict=True):
        assert float(output.pow(2).mean().sqrt()) == pytest.approx(goal, rel=0.05)


def test_gradients_of_head_and_backbone_are_in_proportion():
    """Before, the head's gradient was two orders of magnitude above its weights', the backbone's below."""
    model, batch = zoo.build("SiamRPNRes22", **SMALL), _batch()
    before = _relative_gradients(model, batch)
    calibrate(model, batch)
    after = _relative_gradients(model, batch)
    assert before["head"] / before["backbone"] > 30
    assert after["head"] / after["backbone"] < 10


def _relative_gradients(model, batch) -> dict[str, float]:
    """Norm of the gradient over that of the weights."""
    model.zero_grad()
    cls, reg = model.train()(batch.z, batch.x)
    (torch.nn.functional.softplus(cls).mean() + reg.abs().mean()).backward()
    parts = {"head": model.connect_model, "backbone": model.backbone}
    norms = {name: [(p.grad.norm(), p.detach().norm()) for p in part.parameters()] for name, part in parts.items()}
    return {
        name: float(torch.stack([g for g, _ in pairs]).norm() / torch.stack([w for _, w in pairs]).norm())
        for name, pairs in norms.items()
    }
