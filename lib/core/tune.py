"""Search of a tracker's hyper-parameters: trials are extra slots, scored in memory, kept in Optuna's storage.

Search draws in batches. Before batch k the sampler is made anew from (seed, k) and the finished trials of the batches
before it, so a search that was killed anywhere goes on with the trials that it would have drawn.
"""

import errno
import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from lib.files import UserError

optuna.logging.set_verbosity(optuna.logging.WARNING)

Hyper = dict[str, Any]
Space = Mapping[str, BaseDistribution]
Propose = Callable[[Space, Sequence["Finished"], int, tuple[int, int]], list[Hyper]]


@dataclass(frozen=True)
class Finished:
    """One trial and its score."""

    params: Hyper
    value: float


def search_space(is_rpn: bool, method: str = "TPE", *, search_sides: bool = False) -> Space:
    """The published ranges. ``search_sides``: also the side of SiamRPN's search window (VOT2017, VOT2018)."""
    if not is_rpn:
        genetic = method == "GENE"
        return {
            "scale_step": FloatDistribution(1.0, 1.2, step=1e-4),
            "scale_lr": FloatDistribution(0.15, 0.7, step=1e-4),
            "scale_penalty": FloatDistribution(0.9 if genetic else 0.95, 1.0, step=1e-4),
            "w_influence": FloatDistribution(0.05, 0.65 if genetic else 0.7, step=1e-4),
        }
    space: dict[str, BaseDistribution] = {
        "penalty_k": FloatDistribution(0.001, 0.6, step=1e-3),
        "lr": FloatDistribution(0.1, 0.8, step=1e-3),
        "window_influence": FloatDistribution(0.05, 0.65, step=1e-3),
    }
    if search_sides:
        space["small_sz"] = CategoricalDistribution((255, 271))
        space["big_sz"] = CategoricalDistribution((255, 271, 287))
    return space


def propose_tpe(space: Space, history: Sequence[Finished], count: int, seed: tuple[int, int]) -> list[Hyper]:
    """``count`` new trials by tree-structured Parzen estimators (Bergstra et al. 2011) over the finished ones."""
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=state, multivariate=True, n_startup_trials=10)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_frozen(space, trial) for trial in history])
    return [study.ask(dict(space)).params for _ in range(count)]


CROSSOVER, EXCHANGE, MUTATION = 0.8, 0.5, 0.1  # published probabilities of the genetic search


def propose_gene(space: Space, history: Sequence[Finished], count: int, seed: tuple[int, int]) -> list[Hyper]:
    """The next generation of ``count`` by a genetic search over the last ``count`` of the finished trials.

    A gene is one hyper-parameter. Parents are drawn by roulette, their chance being their score above the worst of
    their generation. Of two parents with probability CROSSOVER each gene is exchanged with probability EXCHANGE; each
    gene of a child is drawn anew from its range with probability MUTATION. The first generation is drawn uniformly.
    """
    rng = np.random.default_rng(seed)
    grids = [_grid(distribution) for distribution in space.values()]
    children = fresh = rng.integers([len(grid) for grid in grids], size=(count, len(grids)))
    if history:
        last = history[-count:]
        genes = np.array([[grid.index(v) for grid, v in zip(grids, _row(space, trial), strict=True)] for trial in last])
        fitness = np.array([trial.value for trial in last])
        fitness -= fitness.min()
        chance = fitness / fitness.sum() if fitness.any() else None
        pairs = -(-count // 2)
        parents = genes[rng.choice(len(last), (2, pairs), p=chance)]
        crossed = (rng.random((pairs, 1)) < CROSSOVER) & (rng.random((pairs, len(grids))) < EXCHANGE)
        children = np.where(crossed, parents[::-1], parents).reshape(2 * pairs, -1)[:count]
        children = np.where(rng.random(children.shape) < MUTATION, fresh, children)
    return [dict(zip(space, map(operator.getitem, grids, row), strict=True)) for row in children.tolist()]


def _grid(distribution: BaseDistribution) -> Sequence[Any]:
    """All values of a hyper-parameter."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution) and distribution.step is not None
    low, step = distribution.low, distribution.step
    return [_rounded(low + n * step) for n in range(round((distribution.high - low) / step) + 1)]


def _row(space: Space, trial: Finished) -> list[Any]:
    values = [trial.params[name] for name in space]
    return [_rounded(value) if isinstance(value, float) else value for value in values]


def _rounded(value: float) -> float:
    """Without the last digits, in which sums of steps differ."""
    return round(value, 10)


PROPOSE: dict[str, Propose] = {"TPE": propose_tpe, "GENE": propose_gene}  # by TUNE.METHOD


class Search:
    """A study on disk that can be stopped anywhere. It holds finished trials only."""

    def __init__(
        self,
        storage: str | Path,
        name: str,
        *,
        space: Space,
        subject: Mapping[str, Any],
        seed: int,
        batch: int,
        defaults: Hyper | None = None,
    ) -> None:
        """``storage``: a file of SQLite, or an URL of any database of Optuna's. ``subject``: what is tuned on what
        (data, weights); a study of another subject is refused. ``defaults`` are the first trial: few trials may find
        nothing better."""
        url = str(storage) if "://" in str(storage) else f"sqlite:///{Path(storage).resolve()}"
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.storage = storage
        with self._readable():
            self.study = optuna.create_study(storage=url, study_name=name, direction="maximize", load_if_exists=True)
        self.space, self.seed, self.batch = space, seed, batch
        self.first = [{name: defaults[name] for name in space}] if defaults else []
        subject = {**subject, "seed": seed, "batch": batch}
        known = self.study.user_attrs.get("subject")
        if known is not None and known != subject:
            changed = sorted(key for key in subject if subject[key] != known.get(key))
            raise UserError(
                f"the study {name} in {storage} was begun with other {', '.join(changed)}: "
                "delete the file or choose another output folder"
            )
        self.study.set_user_attr("subject", subject)

    @property
    def finished(self) -> list[Finished]:
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [Finished(dict(trial.params), float(trial.value)) for trial in trials if trial.value is not None]

    def run(
        self,
        trials: int,
        evaluate: Callable[[list[Hyper]], Sequence[float]],
        propose: Propose = propose_tpe,
        *,
        at_once: int | None = None,
    ) -> Finished:
        """Go on until ``trials`` are finished; returns the best. ``evaluate`` scores several at once: a batch, or
        ``at_once`` of it, which are kept as soon as they are known. What is drawn again keeps its score."""
        with self._readable():
            return self._run(trials, evaluate, propose, at_once)

    def _run(
        self,
        trials: int,
        evaluate: Callable[[list[Hyper]], Sequence[float]],
        propose: Propose,
        at_once: int | None,
    ) -> Finished:
        done = self.finished
        while len(done) < trials:
            number = len(done) // self.batch
            before = done[: number * self.batch]
            drawn = propose(self.space, before, self.batch, (self.seed, number))
            if not number:
                drawn[: len(self.first)] = self.first
            open_ = drawn[len(done) - len(before) : trials - len(before)][:at_once]
            known = {_key(trial.params): trial.value for trial in done}
            new = {_key(params): params for params in open_ if _key(params) not in known}
            known |= zip(new, evaluate(list(new.values())) if new else (), strict=True)
            if any(math.isnan(value) for value in known.values()):
                raise UserError(
                    "a trial must have a score, on these sequences it has none: they are too short, raise max_frames"
                )
            for params in open_:
                self.study.add_trial(_frozen(self.space, Finished(params, known[_key(params)])))
            done = self.finished
        return max(done, key=lambda trial: trial.value)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What goes wrong with the database, in one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
            if "full" in reason:  # SQLite's own word
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.storage)) from error
            raise UserError(
                f"the study in {self.storage} must be a database of Optuna's that no other program holds ({reason}): "
                "wait and run again, or if the file is damaged delete it"
            ) from error

    def importance(self) -> dict[str, float]:
        """Share of each hyper-parameter in the variance of the score; empty when there is too little to tell."""
        values = {trial.value for trial in self.finished}
        if len(values) < 4:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}


def _key(params: Hyper) -> tuple:
    return tuple(sorted(params.items()))


def _frozen(space: Space, trial: Finished) -> FrozenTrial:
    return create_trial(params=trial.params, distributions=dict(space), value=trial.value)
