"""Weighted L1 against a loop, and its limits."""

import pytest
import torch

from lib.losses.regression import weighted_l1


def batch(n=3, a=5, side=4):
    prediction = torch.randn(n, 4 * a, side, side, dtype=torch.float64)
    target = torch.randn(n, 4, a, side, side, dtype=torch.float64)
    positive = torch.rand(n, a, side, side) < 0.1
    weight = positive / (positive.sum((1, 2, 3), keepdim=True) + 1e-6)
    return prediction, target, weight


def test_equals_a_loop():
    prediction, target, weight = batch()
    total = 0.0
    for n, a, i, j in weight.nonzero().tolist():
        for c in range(4):
            total += weight[n, a, i, j].item() * abs(prediction[n, c * 5 + a, i, j] - target[n, c, a, i, j]).item()
    assert weighted_l1(prediction, target, weight).item() == pytest.approx(total / 3, rel=1e-6)
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: weighted_l1(t, target, weight), (prediction,))


def test_cells_without_weight_count_nothing():
    prediction, target, weight = batch()
    everywhere = (weight > 0)[:, None].expand_as(target).flatten(1, 2)
    far = torch.where(everywhere, prediction, torch.full_like(prediction, float("inf"))).requires_grad_()
    assert weighted_l1(far, target, weight).item() == weighted_l1(prediction, target, weight).item()
    weighted_l1(far, target, weight).backward()
    assert (far.grad[~everywhere] == 0).all()
    empty = weighted_l1(prediction.requires_grad_(), target, torch.zeros_like(weight))
    empty.backward()
    assert empty.item() == 0 and (prediction.grad == 0).all()


def test_half_precision_is_summed_in_single_without_read_back():
    prediction, target, weight = batch()
    assert weighted_l1(prediction.bfloat16(), target.float(), weight).dtype == torch.float32
    weighted_l1(*(t.to("meta") for t in (prediction, target, weight)))


def test_shapes_must_agree():
    prediction, target, weight = batch()
    with pytest.raises(ValueError, match="must agree"):
        weighted_l1(prediction, target, weight[:, None])
    with pytest.raises(ValueError, match="must agree"):
        weighted_l1(target, target, weight)
