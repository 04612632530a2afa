"""Classification losses against slow versions in plain Python, limits, gradients, and what they mend."""

import math

import pytest
import torch
import torch.nn.functional as F

from lib.files import UserError
from lib.losses.classification import (
    LOSSES,
    balanced_focal,
    block_term,
    class_counts,
    classification_loss,
    focal,
    hinge,
    logistic,
)

ALL = [logistic, hinge, focal, balanced_focal]


def sigmoid(s: float) -> float:
    return 1 / (1 + math.exp(-s))


def slow_cell(name: str, z: float, positive: bool) -> float:
    s = z if positive else -z
    p = sigmoid(s)
    if name == "hinge":
        return max(0.0, 1 - s)
    if name == "logistic":
        return -math.log(p)
    alpha = {"focal": 0.25 if positive else 0.75, "balanced_focal": 1.0}[name]
    return -alpha * (1 - p) ** 2 * math.log(p)


def slow(name: str, z: torch.Tensor, label: torch.Tensor) -> float:
    cells = list(zip(z.flatten().tolist(), label.flatten().tolist(), strict=True))
    positive = [slow_cell(name, s, True) for s, y in cells if y == 1]
    negative = [slow_cell(name, s, False) for s, y in cells if y == 0]
    if name == "focal":
        return (sum(positive) + sum(negative)) / max(len(positive), 1)
    return sum(0.5 * sum(part) / len(part) for part in (positive, negative) if part)


def batch(shape=(3, 5, 7, 7), dtype=torch.float64, label_dtype=torch.int64):
    z = torch.randn(shape, dtype=dtype) * 3
    return z, torch.randint(-1, 2, shape).to(label_dtype)


@pytest.mark.parametrize("name", ["logistic", "hinge", "focal", "balanced_focal"])
@pytest.mark.parametrize("label_dtype", [torch.int64, torch.int8, torch.float32])
def test_equals_the_slow_version(name, label_dtype):
    z, label = batch(label_dtype=label_dtype)
    assert LOSSES[name](z, label).item() == pytest.approx(slow(name, z, label), rel=1e-9)


@pytest.mark.parametrize("name", ["logistic", "hinge", "focal", "balanced_focal"])
def test_gradient_is_the_slope(name):
    z, label = batch((2, 1, 3, 3))
    z = (z + 0.03 * z.sign()).requires_grad_()  # away from the hinge's corner at +-1 and from 0
    assert torch.autograd.gradcheck(lambda t: LOSSES[name](t, label), (z,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", ALL)
def test_an_ignored_cell_has_no_value_and_no_gradient(loss):
    z, label = batch()
    other = torch.where(label == -1, torch.full_like(z, float("inf")), z).requires_grad_()
    assert loss(other, label).item() == loss(z, label).item()
    loss(other, label).backward()
    assert (other.grad[label == -1] == 0).all() and (other.grad[label != -1].abs() > 0).any()


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("label", [1, 0])
def test_an_empty_class_contributes_zero(loss, label):
    """Published: the mean over an empty class is NaN."""
    z = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    value = loss(z, torch.full_like(z, label))
    name = next(key for key, entry in LOSSES.items() if entry is loss)
    assert value.item() == pytest.approx(slow(name, z, torch.full_like(z, label)), rel=1e-9)
    value.backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("loss", ALL)
def test_nothing_labelled_is_zero(loss):
    z = torch.randn(1, 1, 2, 2, requires_grad=True)
    value = loss(z, torch.full_like(z, -1))
    value.backward()
    assert value.item() == 0 and (z.grad == 0).all()


@pytest.mark.parametrize("loss", ALL)
def test_a_class_with_one_member_counts(loss):
    """Published: a class with a single member is dropped."""
    z = torch.zeros(1, 1, 3, 3, requires_grad=True)
    label = torch.zeros(1, 1, 3, 3)
    label[0, 0, 1, 1] = 1
    loss(z, label).backward()
    assert z.grad[0, 0, 1, 1] < -0.05


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("size", [1e3, 1e10, 3e38])
def test_far_logits_stay_finite(loss, size):
    z = torch.tensor([size, -size, size, -size], requires_grad=True)
    value = loss(z, torch.tensor([1, 1, 0, 0]))
    value.backward()
    assert (value.isfinite() or size > 1e38) and not value.isnan() and z.grad.isfinite().all()


@pytest.mark.parametrize("loss", ALL)
def test_half_precision_is_summed_in_single(loss):
    z, label = batch((8, 5, 17, 17), torch.bfloat16)
    assert loss(z, label).dtype == torch.float32
    torch.testing.assert_close(loss(z, label), loss(z.float(), label), rtol=1e-6, atol=0)


def test_softmax_is_the_two_way_cross_entropy_and_logistic():
    two = torch.randn(2, 2, 9)
    label = torch.randint(0, 2, (2, 9))
    label[0, :2] = torch.tensor([0, 1])
    entropy = F.cross_entropy(two, label, reduction="none")
    expected = 0.5 * entropy[label == 1].mean() + 0.5 * entropy[label == 0].mean()
    assert LOSSES["softmax"] is logistic
    torch.testing.assert_close(LOSSES["softmax"](two[:, 1] - two[:, 0], label), expected)


def test_hinge_is_not_the_embedding_loss_of_the_fork():
    """HingeEmbeddingLoss fed with 1/0: a positive adds its score (pushed down without end), a negative max(s, 1)."""
    z = torch.tensor([-0.5, 0.5, -3.0, 3.0], requires_grad=True)
    label = torch.tensor([1, 1, 0, 0])
    fork = F.hinge_embedding_loss(z, label, margin=1.0, reduction="none")
    torch.testing.assert_close(fork, torch.tensor([-0.5, 0.5, 1.0, 3.0]))
    fork_gradient = torch.autograd.grad(fork.sum(), z)[0]
    ours_gradient = torch.autograd.grad(hinge(z, label), z)[0]
    torch.testing.assert_close(fork_gradient, torch.tensor([1.0, 1.0, 0.0, 1.0]))
    torch.testing.assert_close(ours_gradient, torch.tensor([-0.25, -0.25, 0.0, 0.25]))
    far = torch.tensor([5.0, -5.0])
    assert hinge(far, torch.tensor([1, 0])).item() == 0  # well classified: nothing left to learn


def test_focal_forgets_the_easy_and_keeps_the_hard():
    label = torch.tensor([1, 0])
    easy, hard = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
    plain, focused = [logistic(t, label) for t in (easy, hard)], [balanced_focal(t, label) for t in (easy, hard)]
    assert focused[0] / plain[0] == pytest.approx((1 - sigmoid(4)) ** 2, rel=1e-4)
    assert focused[1] / plain[1] == pytest.approx((1 - sigmoid(-4)) ** 2, rel=1e-4)


def test_gamma_zero_is_weighted_logistic():
    z, label = batch()
    torch.testing.assert_close(balanced_focal(z, label, gamma=0.0), logistic(z, label))
    parts = F.binary_cross_entropy_with_logits(z, (label == 1).double(), reduction="none")
    expected = (0.3 * parts[label == 1].sum() + 0.7 * parts[label == 0].sum()) / (label == 1).sum()
    torch.testing.assert_close(focal(z, label, gamma=0.0, alpha=0.3), expected)


@pytest.mark.parametrize("loss", ALL)
def test_parts_of_a_batch_average_to_the_whole(loss):
    z, label = batch((4, 5, 7, 7))
    label[:2] = torch.where(label[:2] == 1, -1, label[:2])  # all positives in the second half
    shared = class_counts(label).clamp(min=1) / 2
    parts = [loss(z[part], label[part], shared) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(parts) / 2, loss(z, label))


def test_block_term_is_logistic_on_the_sum_over_negative_blocks():
    z = torch.randn(2, 5, 4, 4, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 2, (2, 4, 4)).double()
    label[0, 0, 0] = -1
    cells = [
        math.log1p(math.exp(z[n, :, i, j].sum().item()))
        for n in range(2)
        for i in range(4)
        for j in range(4)
        if label[n, i, j] == 0
    ]
    assert block_term(z, label).item() == pytest.approx(sum(cells) / len(cells), rel=1e-9)
    assert torch.autograd.gradcheck(lambda t: block_term(t, label), (z,))
    assert block_term(z, torch.ones_like(label)).item() == 0


def test_bad_input_is_named():
    with pytest.raises(UserError, match="logistic, softmax, hinge, focal"):
        classification_loss("hing")
    assert classification_loss("hinge") is hinge
    with pytest.raises(ValueError, match=r"\(2, 1, 3, 3\) and \(2, 3, 3\)"):  # would broadcast to (2, 2, 3, 3)
        logistic(torch.zeros(2, 1, 3, 3), torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="same shape"):
        block_term(torch.zeros(2, 5, 3, 3), torch.zeros(2, 1, 3, 3))


@pytest.mark.parametrize("loss", ALL)
def test_nothing_is_read_back_to_the_host(loss):
    """On the meta device any read-back (item, a boolean index, nonzero) fails."""
    z = torch.zeros(2, 5, 17, 17, device="meta", requires_grad=True)
    loss(z, torch.zeros(2, 5, 17, 17, device="meta")).backward()
    block_term(z, torch.zeros(2, 17, 17, device="meta")).backward()
