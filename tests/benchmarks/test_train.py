"""The training step beside the plain one: the same loss, gradient and weights; the peer's targets are ours."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.baseline import training
from benchmarks.baseline.training import published_step
from lib.core.calibrate import calibrate
from lib.core.config import load_train
from lib.core.distributed import Group
from lib.core.freeze import open_layers
from lib.core.train import build_model, compiled, losses, run_epoch
from lib.data.batches import Batch
from lib.data.targets import AnchorRule, anchor_delta, anchor_label, centre_label
from lib.geometry.anchors import training_anchors
from lib.models.backbones import ci_resnet
from lib.models.layers import cir
from tests.core.tiny import write_settings

BOXES = np.array([[127.5, 127.5, 64, 64], [131.5, 119, 90, 50], [123.4, 130, 44, 100]])


def one_batch(family: str) -> Batch:
    z, x = 255 * torch.rand(3, 3, 127, 127), 255 * torch.rand(3, 3, 255, 255)
    block = centre_label(torch.from_numpy(BOXES[:, :2]), 17, 255)
    if family == "SIAMFC":
        return Batch(z, x, block)
    anchors = training_anchors((0.33, 0.5, 1, 2, 3), (8,), 17, 255, 8)
    parts = zip(*(training.anchor_targets(anchors, box, np.random.default_rng(0)) for box in BOXES), strict=True)
    label, delta, weight = (torch.from_numpy(np.stack(part)) for part in parts)
    return Batch(z, x, label, delta, weight, block)


@pytest.mark.parametrize(("family", "arch"), [("SIAMFC", "SiamFCRes22"), ("SIAMRPN", "SiamRPNRes22")])
def test_a_step_is_the_plain_step(tmp_path, monkeypatch, family, arch):
    """Loss, gradient and step: in float64 the same, in float32 and bfloat16 as near as they can be."""
    settings = load_train(write_settings(tmp_path, tmp_path, family=family, model=arch))
    batch = one_batch(family)
    begun = build_model(settings)
    calibrate(begun, batch)
    norms = [module for module in begun.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        begun.train().search(batch.x)  # the norms' statistics are those of the batch

    def after(model: nn.Module, loss: float) -> tuple[float, torch.Tensor, torch.Tensor]:
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()
        moved = [
            (p.detach().double() - q).flatten() for p, q in zip(model.parameters(), begun.parameters(), strict=True)
        ]
        return loss, gradient, torch.cat(moved)

    def plain_step(dtype: torch.dtype, mode: str = "none") -> tuple[float, torch.Tensor, torch.Tensor]:
        """PyTorch's plain layout, cropping by slices."""
        model = copy.deepcopy(begun).to(dtype)
        open_layers(model, 1, 50, mode)
        parts = [part.to(dtype) for part in batch if part is not None]
        with monkeypatch.context() as plain:
            for module in (cir, ci_resnet):
                plain.setattr(module, "crop", lambda x, cells: x[..., cells:-cells, cells:-cells])
            loss = published_step(model, _sgd(model), parts, lambda p, b: losses(settings, p, Batch(*b))["loss"])
        return after(model, loss)

    def step(dtype: torch.dtype, mode: str = "none", amp: bool = False) -> tuple[float, torch.Tensor, torch.Tensor]:
        model = copy.deepcopy(begun).to(dtype)
        chosen = settings.model_copy(update={"TRAIN": settings.TRAIN.model_copy(update={"AMP": amp})})
        converted = Batch(*(None if part is None else part.to(dtype) for part in batch))
        opened = open_layers(model, 1, 50, mode)
        return after(model, run_epoch(chosen, model, _sgd(model), opened, iter([converted]), lambda *_: None)[0])

    @torch.no_grad()
    def errors(found: tuple[float, torch.Tensor, torch.Tensor]) -> list[float]:
        gradient, moved = (float((a - b).norm() / b.norm()) for a, b in zip(found[1:], exact[1:], strict=True))
        return [abs(found[0] / exact[0] - 1), gradient, moved]

    exact = plain_step(torch.float64)
    assert exact[0] > 0 and exact[1].norm() > 0 and exact[2].norm() > 0
    assert max(errors(step(torch.float64))) < 1e-8
    assert max(errors(plain_step(torch.float32))) < 0.02 and max(errors(step(torch.float32))) < 0.02
    # in bfloat16 with the batch-norms of the backbone at rest: those of three pairs of noise multiply every error
    exact = plain_step(torch.float64, "paper")
    loss, gradient, moved = errors(step(torch.float32, "paper", amp=True))
    assert loss < 0.02 and 1e-4 < gradient < 0.1 and 1e-4 < moved < 0.1


def _sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def test_the_peers_targets_are_ours():
    boxes = torch.from_numpy(BOXES)
    expected = centre_label(boxes[:, :2], 17, 255).numpy()
    np.testing.assert_array_equal(np.stack([training.centre_label(box) for box in BOXES]), expected)
    anchors = training_anchors((0.33, 0.5, 1, 2, 3), (8,), 17, 255, 8)
    label, delta, weight = one_batch("SIAMRPN")[2:5]
    np.testing.assert_allclose(delta, anchor_delta(torch.from_numpy(anchors), boxes), rtol=1e-5, atol=1e-6)
    everything = anchor_label(torch.from_numpy(anchors), boxes, AnchorRule())
    assert ((label == everything) | (label == -1)).all()
    assert (label == 1).sum((1, 2, 3)).max() <= 16 and (label >= 0).sum((1, 2, 3)).eq(64).all()
    assert torch.equal(weight > 0, label == 1)


def test_the_peers_images_are_windows_of_the_crop():
    """A smooth crop, its colours jittered by at most a tenth, moved by at most 4 px and 5 %."""
    ramp = np.stack(np.meshgrid(np.arange(287), np.arange(287)), 2)
    crop = np.dstack([ramp, ramp.mean(2, keepdims=True)])[..., :3] * 200 / 287 + 20
    for seed in range(5):
        rng = np.random.default_rng(seed)
        image, box = training.augmented(crop.astype(np.uint8), np.array([64.0, 32.0]), 255, rng, blur=0.5)
        assert image.shape == (255, 255, 3) and image.dtype == np.float32
        assert np.abs(box[:2] - 127.5).max() < 5 and np.abs(box[2:] / [64, 32] - 1).max() < 0.06
        assert np.abs(image - crop[16:-16, 16:-16]).mean() < 15


def test_the_network_is_compiled_where_it_can_be(monkeypatch, capsys):
    model, called = nn.Bilinear(2, 2, 1), []
    z, x = torch.rand(3, 2), torch.rand(3, 2)
    monkeypatch.setattr(torch, "compile", lambda given: lambda *images: called.append(1) or given(*images))
    assert torch.equal(compiled(model)(z, x), model(z, x)) and called == [1]

    def without_a_compiler(*images):
        called.append(1)
        raise RuntimeError("no C++ compiler is here\n  and much more")

    monkeypatch.setattr(torch, "compile", lambda given: without_a_compiler)
    run = compiled(model)
    for _ in range(2):
        assert torch.equal(run(z, x), model(z, x))
    assert called == [1, 1]
    assert capsys.readouterr().err == "COMPILE gives way to eager: no C++ compiler is here\n"
    with pytest.raises(RuntimeError, match="size"):
        run(z, torch.rand(3, 5))  # what the model refuses is no matter of compilers


def test_the_next_batch_is_made_before_the_loss_is_waited_for(tmp_path, monkeypatch):
    settings = load_train(write_settings(tmp_path, tmp_path))
    model, heard = build_model(settings), []

    def supply():
        for number in range(2):
            heard.append(f"batch {number}")
            yield one_batch("SIAMFC")

    class Heard(Group):
        def values(self, terms):
            heard.append("loss")
            return super().values(terms)

    opened = open_layers(model, 1, 50, "none")
    run_epoch(settings, model, _sgd(model), opened, supply(), lambda *_: heard.append("step"), Heard())
    assert heard == ["batch 0", "batch 1", "loss", "step", "loss", "step"]
