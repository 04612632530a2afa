"""Bootstrap and paired test against loops, known distributions and simulated coverage."""

import numpy as np
import pytest

from lib.evaluation import otb, statistics


def added(values):
    """Totals of the mean: sum and count."""
    return np.stack([np.asarray(values, float), np.ones(len(values))], 1)


def mean_of(totals):
    return totals[..., 0] / totals[..., 1]


def test_draws_are_resamples_and_the_same_each_time():
    weights = statistics.draws(7, 500, seed=3)
    assert weights.shape == (500, 7) and (weights.sum(1) == 7).all() and weights.min() == 0
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.2)
    np.testing.assert_allclose(weights.var(0), 1 - 1 / 7, atol=0.25)  # binomial
    statistics.draws.cache_clear()
    np.testing.assert_array_equal(statistics.draws(7, 500, seed=3), weights)
    assert not np.array_equal(statistics.draws(7, 500, seed=4), weights)


def test_interval_same_as_a_loop():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 20))
    values[1, 4] = np.nan
    low, high = statistics.interval(values, resamples=300, seed=1)
    for k in range(3):
        samples = []
        for counts in statistics.draws(20, 300, seed=1).astype(int):
            chosen = np.repeat(values[k], counts)
            samples.append(np.nanmean(chosen))
        np.testing.assert_allclose([low[k], high[k]], np.quantile(samples, [0.025, 0.975]), atol=1e-12)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    for values in (rng.normal(2, 1, (400, 60)), rng.beta(4, 2, (400, 60)) + 2 - 2 / 3):
        low, high = statistics.interval(values, resamples=600)
        assert 0.90 <= np.mean((low <= 2) & (high >= 2)) <= 0.97


def test_degenerate_intervals():
    low, high = statistics.interval(np.ones((2, 1)))
    assert np.isnan(low).all() and np.isnan(high).all()
    assert statistics.interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    assert np.isnan(statistics.interval([np.nan, np.nan])[0])
    assert statistics.bounds(np.array([1.0, 2.0, np.nan]), 5.0)[1] == 5.0  # holds the value itself


def test_paired_difference():
    rng = np.random.default_rng(2)
    a = rng.normal(size=40)
    b = a - 0.1 + 0.05 * rng.normal(size=40)  # a little worse, nearly everywhere
    found = statistics.paired(added(a), added(b), mean_of)
    assert found.value == pytest.approx(np.mean(a - b), abs=1e-12)
    np.testing.assert_allclose([found.low, found.high], statistics.interval(a - b), atol=1e-12)
    assert found.p == pytest.approx(1 / 10_001)
    back = statistics.paired(added(b), added(a), mean_of)
    assert back.value == pytest.approx(-found.value) and back.p == found.p


def test_p_is_exact_for_few_sequences():
    """Five sequences, all in favour: 2 of the 32 ways of swapping are as great."""
    found = statistics.paired(added([1, 2, 3, 4, 5]), added([0] * 5), mean_of)
    assert found.p == pytest.approx(2 / 32, abs=0.01)
    same = statistics.paired(added([1, 2]), added([1, 2]), mean_of)
    assert same.value == 0 and same.p == 1


def test_p_is_uniform_without_a_difference():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(150, 2 * 20))
    p = [statistics.paired(added(row[:20]), added(row[20:]), mean_of, resamples=200).p for row in values]
    assert 0.02 <= np.mean(np.array(p) <= 0.1) <= 0.18


def test_scores_of_curves_are_linear_in_weights():
    rng = np.random.default_rng(4)
    truth = rng.uniform(10, 50, (30, 4))
    curves = otb.curves(truth + rng.normal(0, 3, truth.shape), truth, [10, 10, 10])
    weights = np.array([[1, 1, 1], [0, 2, 1.0]])
    got = curves.scores(weights)["auc"]
    each = curves.values()["auc"]
    np.testing.assert_allclose(got, [each.mean(), (2 * each[1] + each[2]) / 3])
