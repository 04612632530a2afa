"""Search of a tracker's hyper-parameters: trials are extra slots, scored in memory, kept in Optuna's storage.

Search draws in batches. Before batch k the sampler is made anew from (seed, k) and the finished trials of the batches
before it, so a search that was killed anywhere goes on with the trials that it would have drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from lib.files import UserError

optuna.logging.set_verbosity(optuna.logging.WARNING)

Hyper = dict[str, Any]
Space = Mapping[str, BaseDistribution]


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


class Search:
    """A study on disk that can be stopped anywhere. It holds finished trials only."""

    def __init__(
        self, storage: str | Path, name: str, *, space: Space, subject: Mapping[str, Any], seed: int, batch: int
    ) -> None:
        """``storage``: a file of SQLite, or an URL of any database of Optuna's. ``subject``: what is tuned on what
        (data, weights); a study of another subject is refused."""
        url = str(storage) if "://" in str(storage) else f"sqlite:///{Path(storage).resolve()}"
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.study = optuna.create_study(storage=url, study_name=name, direction="maximize", load_if_exists=True)
        self.space, self.seed, self.batch = space, seed, batch
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
        evaluate: Callable[[list[Hyper]], list[float]],
        propose: Callable[[Space, Sequence[Finished], int, tuple[int, int]], list[Hyper]] = propose_tpe,
    ) -> Finished:
        """Go on until ``trials`` are finished; returns the best. ``evaluate`` scores several at once."""
        done = self.finished
        while len(done) < trials:
            number = len(done) // self.batch
            before = done[: number * self.batch]
            drawn = propose(self.space, before, self.batch, (self.seed, number))
            open_ = drawn[len(done) - len(before) : trials - len(before)]
            for params, value in zip(open_, evaluate(open_), strict=True):
                self.study.add_trial(_frozen(self.space, Finished(params, value)))
            done = self.finished
        return max(done, key=lambda trial: trial.value)

    def importance(self) -> dict[str, float]:
        """Share of each hyper-parameter in the variance of the score; empty when there is too little to tell."""
        values = {trial.value for trial in self.finished}
        if len(values) < 4:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}


def _frozen(space: Space, trial: Finished) -> FrozenTrial:
    return create_trial(params=trial.params, distributions=dict(space), value=trial.value)
