"""Learning rates against NumPy and PyTorch; stages of unfreezing against the published thresholds."""

import numpy as np
import pytest
import torch

from lib.core.schedule import ALL_UNITS, PATIENCE, learning_rate, learning_rates, plateau_rate, unfrozen

RATES = {"lr": 1e-2, "lr_end": 1e-5}


def test_log_is_numpys_logspace():
    expected = np.logspace(-2, -5, 50)
    np.testing.assert_allclose(learning_rates(policy="log", end_epoch=50, **RATES), expected, rtol=1e-12)


@pytest.mark.parametrize("policy", ["log", "cos"])
def test_rates_fall_from_lr_to_lr_end(policy: str):
    rates = learning_rates(policy=policy, end_epoch=7, **RATES)
    assert rates[0] == pytest.approx(1e-2, rel=1e-12)
    assert rates[-1] == pytest.approx(1e-5, rel=1e-9)
    assert np.all(np.diff(rates) < 0)


def test_cos_is_pytorchs_annealing():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=8, eta_min=1e-5)
    expected = []
    for _ in range(9):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    np.testing.assert_allclose(learning_rates(policy="cos", end_epoch=9, **RATES), expected, rtol=1e-9)


def test_exp_has_the_published_factor_and_meets_log_over_fifty_epochs():
    rates = learning_rates(policy="exp", end_epoch=50, **RATES)
    np.testing.assert_allclose(np.divide(rates[1:], rates[:-1]), 0.8685, rtol=1e-12)
    np.testing.assert_allclose(rates, learning_rates(policy="log", end_epoch=50, **RATES), rtol=1e-3)


@pytest.mark.parametrize("policy", ["log", "exp", "cos"])
def test_one_epoch_has_lr(policy: str):
    assert learning_rates(policy=policy, end_epoch=1, **RATES) == [1e-2]


@pytest.mark.parametrize("policy", ["log", "exp", "cos"])
def test_warm_up_rises_linearly_and_the_policy_begins_after_it(policy: str):
    rates = learning_rates(policy=policy, end_epoch=10, warmup=3, **RATES)
    np.testing.assert_allclose(rates[:3], [0.25e-2, 0.5e-2, 0.75e-2], rtol=1e-12)
    assert rates[3:] == learning_rates(policy=policy, end_epoch=7, **RATES)


def test_plateau_is_pytorchs_rule():
    random = np.random.default_rng(0)
    for _ in range(20):
        losses = np.concatenate([np.geomspace(1, 0.5, 6), np.repeat(0.5, 9), random.uniform(0.3, 0.6, 25)]).tolist()
        losses[int(random.integers(40))] = float("nan")
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=5, min_lr=1e-5)
        for done, loss in enumerate(losses, 1):
            scheduler.step(loss)
            ours = learning_rate(done + 1, policy="plateau", end_epoch=50, losses=losses[:done], **RATES)
            assert ours == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        assert optimiser.param_groups[0]["lr"] < 1e-2  # the example does reach a plateau


def test_plateau_waits_for_its_patience_and_stops_at_the_floor():
    assert plateau_rate([], **RATES) == 1e-2
    assert plateau_rate([1.0] * (PATIENCE + 1), **RATES) == 1e-2
    assert plateau_rate([1.0] * (PATIENCE + 2), **RATES) == pytest.approx(1e-3)
    assert plateau_rate([1.0] * 100, **RATES) == 1e-5


def test_plateau_does_not_count_epochs_of_warm_up():
    losses = [0.1] * 3 + [1.0] * 6  # a low loss in warm-up would make all later ones look bad
    assert learning_rate(10, policy="plateau", end_epoch=20, warmup=3, losses=losses, **RATES) == 1e-2


def test_wrong_policy_and_wrong_epoch_fail():
    with pytest.raises(ValueError, match="LR_POLICY"):
        learning_rate(1, policy="step", end_epoch=3, **RATES)
    with pytest.raises(ValueError, match=r"1\.\.3"):
        learning_rate(4, policy="log", end_epoch=3, **RATES)
    with pytest.raises(ValueError, match="plateau"):
        learning_rates(policy="plateau", end_epoch=3, **RATES)


@pytest.mark.parametrize(
    ("epoch", "stage2", "stage1"),
    [
        *[(1, 1, 0), (4, 1, 0), (5, 2, 0), (10, 3, 0), (14, 3, 0), (15, ALL_UNITS, 0), (24, ALL_UNITS, 0)],
        *[(25, ALL_UNITS, 1), (30, ALL_UNITS, 2), (34, ALL_UNITS, 2), (35, ALL_UNITS, 3), (50, ALL_UNITS, 3)],
    ],
)
def test_paper_opens_at_the_published_epochs_of_fifty(epoch: int, stage2: int, stage1: int):
    now = unfrozen(epoch, 50, "paper")
    assert (now.stage2, now.stage1, now.stem) == (stage2, stage1, False)
    assert not now.last_unit_alone and not now.fresh_optimiser


@pytest.mark.parametrize("end_epoch", range(10, 101))
def test_every_number_of_epochs_goes_through_every_stage(end_epoch: int):
    stages = [(now.stage2, now.stage1) for now in (unfrozen(e, end_epoch, "paper") for e in range(1, end_epoch + 1))]
    expected = [(1, 0), (2, 0), (3, 0), (ALL_UNITS, 0), (ALL_UNITS, 1), (ALL_UNITS, 2), (ALL_UNITS, 3)]
    # ten epochs or fewer begin at 1/10 or above: the first stage has no epoch of its own
    assert list(dict.fromkeys(stages)) == (expected if end_epoch > 10 else expected[1:])


def test_few_epochs_end_with_everything_open():
    for end_epoch in range(1, 10):
        last = unfrozen(end_epoch, end_epoch, "paper", with_stem=True)
        assert (last.stage2, last.stage1, last.stem) == (ALL_UNITS, 3, True)


def test_stem_joins_at_seven_tenths_where_it_may():
    assert not unfrozen(34, 50, "paper", with_stem=True).stem
    assert unfrozen(35, 50, "paper", with_stem=True).stem
    assert not unfrozen(50, 50, "paper", with_stem=False).stem


def test_released_moves_all_open_units_only_in_the_epochs_of_openings():
    epochs = [unfrozen(epoch, 50, "released") for epoch in range(1, 51)]
    openings = [epoch for epoch, now in enumerate(epochs, 1) if now.fresh_optimiser]
    assert openings == [5, 10, 15, 25, 30, 35]
    assert all(now.last_unit_alone != now.fresh_optimiser for now in epochs)
    same = [(now.stage2, now.stage1) for now in epochs]
    assert same == [(now.stage2, now.stage1) for now in (unfrozen(epoch, 50, "paper") for epoch in range(1, 51))]


def test_none_opens_everything_at_once():
    now = unfrozen(1, 50, "none")
    assert (now.stage2, now.stage1, now.stem, now.last_unit_alone) == (ALL_UNITS, ALL_UNITS, True, False)
    with pytest.raises(ValueError, match="FREEZE_OUT"):
        unfrozen(1, 50, "papers")
