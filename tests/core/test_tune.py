"""The search: published ranges, trials that depend on (seed, batch) and finished trials alone, and its memory."""

import re

import numpy as np
import optuna
import pytest

from lib.core.tune import PROPOSE, Finished, Search, propose_gene, propose_tpe, search_space
from lib.files import UserError
from lib.tracker.family import defaults

FC, RPN = search_space(False, "GENE"), search_space(True, search_sides=True)
PUBLISHED = {"scale_step": (1, 1.2), "scale_lr": (0.15, 0.7), "scale_penalty": (0.9, 1), "w_influence": (0.05, 0.65)}
PUBLISHED_RPN = {"penalty_k": (0.001, 0.6), "lr": (0.1, 0.8), "window_influence": (0.05, 0.65)}


def score(params: dict) -> float:
    """A smooth hill within the ranges of SiamFC, its top 1."""
    top, width = np.array([1.05, 0.4, 0.97, 0.3]), np.array([0.1, 0.25, 0.05, 0.3])
    values = np.array([params[name] for name in PUBLISHED])
    return float(np.exp(-(((values - top) / width) ** 2).sum()))


def finished(params: list[dict]) -> list[Finished]:
    return [Finished(each, score(each)) for each in params]


@pytest.mark.parametrize("propose", PROPOSE.values())
@pytest.mark.parametrize(("space", "ranges", "step"), [(FC, PUBLISHED, 1e-4), (RPN, PUBLISHED_RPN, 1e-3)])
def test_trials_lie_on_the_published_grid(propose, space, ranges, step):
    trials = propose(space, [], 30, (0, 0))
    more = propose(space, [Finished(params, float(n % 7)) for n, params in enumerate(trials)], 10, (0, 1))
    for name, (low, high) in ranges.items():
        values = np.array([params[name] for params in trials + more])
        assert values.min() >= low - 1e-12 and values.max() <= high + 1e-12
        steps = (values - low) / step
        np.testing.assert_allclose(steps, steps.round(), atol=1e-6)
        drawn = values[: len(trials)]
        assert drawn.min() < low + 0.2 * (high - low) and drawn.max() > high - 0.2 * (high - low)
    if space is RPN:
        for name, sides in (("small_sz", {255, 271}), ("big_sz", {255, 271, 287})):
            assert {params[name] for params in trials} == sides
    assert all(each.keys() == space.keys() for each in trials + more)


def test_the_ranges_of_tpe_differ_in_two_ends():
    ours = search_space(False, "TPE")
    assert (ours["scale_penalty"].low, ours["w_influence"].high) == (0.95, 0.7)
    assert "small_sz" not in search_space(True)


@pytest.mark.parametrize("propose", PROPOSE.values())
def test_trials_depend_on_seed_batch_and_history(propose):
    history = finished(propose(FC, [], 12, (0, 0)))
    again = propose(FC, history, 12, (0, 1))
    assert propose(FC, list(history), 12, (0, 1)) == again
    assert propose(FC, history, 12, (1, 1)) != again and propose(FC, history, 12, (0, 2)) != again
    assert propose(FC, [Finished(each.params, -each.value) for each in history], 12, (0, 1)) != again


# ------------------------------------------------------------------------------------------------- the genetic search


def generation(space, counts: dict[int, int], values: dict[int, float]) -> list[Finished]:
    """``counts[n]`` trials whose every gene is the n-th value of its range, with score ``values[n]``."""
    grids = {name: (each.low, each.step) for name, each in space.items()}
    params = {n: {name: round(low + n * step, 10) for name, (low, step) in grids.items()} for n in counts}
    return [Finished(params[n], values[n]) for n, count in counts.items() for _ in range(count)]


def genes(space, trials: list[dict]) -> np.ndarray:
    """(trials, genes) numbers on the grid."""
    return np.array([[round((t[name] - each.low) / each.step) for name, each in space.items()] for t in trials])


def test_a_generation_has_the_published_statistics():
    # chances of a draw: kind 1 has 500 * (3 - 1), kind 2 has 500 * (2 - 1), kind 3, the worst, none
    parents = generation(FC, {1: 500, 2: 500, 3: 500}, {1: 3.0, 2: 2.0, 3: 1.0})
    children = genes(FC, propose_gene(FC, parents, 1500, (0, 1)))
    assert children.shape == (1500, 4)
    inherited = np.isin(children, [1, 2])
    assert np.mean(~inherited) == pytest.approx(0.1, abs=0.02)  # mutation
    assert np.mean(children[inherited] == 1) == pytest.approx(2 / 3, abs=0.03)  # roulette
    assert np.mean(children == 3) < 0.002
    whole = children[inherited.all(1)]
    mixed = (whole != whole[:, :1]).any(1).mean()
    # parents differ in 4 of 9 pairs, .8 of them cross, and 2 of 16 ways to exchange four genes leave them whole
    assert mixed == pytest.approx(4 / 9 * 0.8 * 14 / 16, abs=0.04)


def test_children_share_out_the_genes_of_their_parents(monkeypatch):
    monkeypatch.setattr("lib.core.tune.MUTATION", 0)
    parents = generation(FC, {1: 50, 2: 50, 3: 2}, {1: 3.0, 2: 3.0, 3: 1.0})
    one, other = genes(FC, propose_gene(FC, parents, 400, (0, 1))).reshape(2, -1, 4)
    differ = one != other  # where the parents differ in one gene they differ in all
    assert (differ.all(1) | ~differ.any(1)).all() and 0.3 < differ.any(1).mean() < 0.7


def test_only_the_last_generation_has_children():
    older = generation(FC, {9: 30}, {9: 50.0})
    parents = generation(FC, {1: 15, 2: 15}, {1: 3.0, 2: 2.0})
    assert propose_gene(FC, older + parents, 30, (0, 1)) == propose_gene(FC, parents, 30, (0, 1))


def test_equals_have_equal_chances_and_odd_numbers_do():
    children = genes(FC, propose_gene(FC, generation(FC, {1: 200, 2: 201}, {1: 1.0, 2: 1.0}), 401, (0, 1)))
    assert children.shape == (401, 4)
    assert np.mean(children == 1) == pytest.approx(0.45, abs=0.08)


@pytest.mark.parametrize(("propose", "size", "batches"), [(propose_tpe, 10, 8), (propose_gene, 50, 10)])
def test_a_search_finds_more_than_chance(propose, size, batches):
    history: list[Finished] = []
    for number in range(batches):
        history += finished(propose(FC, history, size, (0, number)))
    values = np.array([trial.value for trial in history]).reshape(batches, size)
    assert values[-2:].mean() > values[0].mean() + 0.2
    by_chance = [max(score(params) for params in propose_gene(FC, [], values.size, (n, 0))) for n in range(9)]
    assert values.max() > np.median(by_chance)


# ------------------------------------------------------------------------------------------------------- its memory


def study(storage, *, batch: int = 4, seed: int = 0, name: str = "a study", **subject) -> Search:
    return Search(storage, name, space=FC, subject={"data": "OTB2013", **subject}, seed=seed, batch=batch)


class Stop(Exception):
    """Stands for a kill."""


class Evaluation:
    """Scores trials, counts them, and stops in the middle of a call after ``limit`` of them."""

    def __init__(self, limit: float = np.inf) -> None:
        self.limit, self.seen = limit, []

    def __call__(self, trials: list[dict]) -> list[float]:
        for params in trials:
            if len(self.seen) >= self.limit:
                raise Stop
            self.seen.append(params)
        return [score(params) for params in trials]


@pytest.mark.parametrize("method", PROPOSE)
def test_stopped_anywhere_it_goes_on_with_the_same_trials(method, tmp_path, monkeypatch):
    whole = study(tmp_path / "whole.db")
    best = whole.run(11, Evaluation(), PROPOSE[method])
    tell = optuna.study.Study.add_trial
    for number, limit in enumerate((3, 2, 5, np.inf)):  # in an evaluation; the last time as results are told
        told = []

        def add(self, trial, told=told, last=limit == np.inf):
            if last and len(told) == 2:
                raise Stop
            told.append(trial)
            tell(self, trial)

        monkeypatch.setattr(optuna.study.Study, "add_trial", add)
        with pytest.raises(Stop):
            study(tmp_path / "parts.db").run(11, Evaluation(limit), PROPOSE[method], at_once=1 + number)
    monkeypatch.setattr(optuna.study.Study, "add_trial", tell)
    parts = study(tmp_path / "parts.db")
    assert 0 < len(parts.finished) < 11
    assert parts.run(11, Evaluation(), PROPOSE[method], at_once=3) == best
    assert parts.finished == whole.finished and len(whole.finished) == 11
    assert parts.run(11, Evaluation(0), PROPOSE[method]) == best  # nothing is left to do


def test_what_is_drawn_again_is_not_tracked_again(tmp_path):
    def same(space, history, count, seed):
        return propose_tpe(space, [], 2, (0, 0)) * (count // 2)

    evaluation = Evaluation()
    search = study(tmp_path / "tune.db")
    search.run(8, evaluation, same)
    assert len(evaluation.seen) == 2 and len(search.finished) == 8
    assert {trial.value for trial in search.finished} == {score(params) for params in evaluation.seen}


def test_a_study_of_something_else_is_refused(tmp_path):
    study(tmp_path / "tune.db").run(2, Evaluation())
    for other in ({"seed": 1}, {"batch": 5}, {"data": "OTB2015"}):
        with pytest.raises(UserError, match=f"other {next(iter(other))}"):
            study(tmp_path / "tune.db", **other)
    assert study(tmp_path / "tune.db", seed=1, name="another").finished == []


def test_a_database_is_named_by_its_url(tmp_path):
    url = f"sqlite:///{tmp_path}/by_url.db"
    study(url).run(3, Evaluation())
    assert (tmp_path / "by_url.db").is_file() and len(study(tmp_path / "by_url.db").finished) == 3


def test_trials_without_a_score_end_it(tmp_path):
    with pytest.raises(UserError, match=re.escape("max_frames")):
        study(tmp_path / "tune.db").run(4, lambda trials: [float("nan")] * len(trials))


def test_importance_finds_what_matters(tmp_path):
    search = study(tmp_path / "tune.db", batch=30)
    assert search.importance() == {}
    search.run(30, lambda trials: [params["scale_lr"] for params in trials], propose_gene)
    shares = search.importance()
    assert max(shares, key=shares.__getitem__) == "scale_lr" and sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("propose", PROPOSE.values())
def test_the_defaults_are_the_first_trial_and_change_no_other(propose, tmp_path):
    usual = {"scale_step": 1.0375, "scale_lr": 0.59, "scale_penalty": 0.9745, "w_influence": 0.35}
    assert {name: defaults(False)[name] for name in FC} == usual
    assert defaults(True) | {"penalty_k": 0.055, "lr": 0.295, "window_influence": 0.42} == defaults(True)
    tried: list[dict] = []

    def evaluate(trials):
        tried.extend(trials)
        return [-abs(params["scale_lr"] - 0.59) for params in trials]

    search = Search(tmp_path / "a.db", "a", space=FC, subject={}, seed=0, batch=4, defaults=defaults(False))
    assert search.run(4, evaluate, propose).params == usual == tried[0]
    other: list[dict] = []
    study(tmp_path / "b.db", batch=4).run(4, lambda trials: other.extend(trials) or [0.0] * len(trials), propose)
    assert tried[1:] == other[1:]
