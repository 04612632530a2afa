"""SIGKILL at random moments of every stage. A run that was killed goes on, is killed again, and ends like any other."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.disturb.job import STAGES, Job, Watch, check_whole, same_crops, same_job, stage_of
from benchmarks.disturb.process import Run
from lib.files import UserError

SHARES = {"prepare": 8, "train": 12, "test": 8, "tune": 10, "score": 6, "report": 6}  # of 50 kills
IN_A_RUN = 2  # kills of one stage in one run


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: where it is, what it printed, and when it came to each stage (s from its start)."""

    folder: Path
    table: str
    at: dict[str, float]

    def length(self, stage: str) -> float:
        """Seconds that a stage took."""
        return self.at[STAGES[STAGES.index(stage) + 1]] - self.at[stage]


def undisturbed(job: Job) -> Whole:
    """Run the job from beginning to end."""
    folder = job.root / "whole"
    watch, run, at = Watch(folder), job.onekey(folder), {}
    for stage in STAGES:
        if run.until(lambda stage=stage: watch.reached(stage)):  # type: ignore[misc]
            at[stage] = time.monotonic() - run.began
    if run.wait() != 0 or run.complaint:
        raise UserError(f"the undisturbed run must end well, it said: {' / '.join(run.complaint)}")
    return Whole(folder, run.table, {stage: at.get(stage, time.monotonic() - run.began) for stage in STAGES})


def kill_everywhere(job: Job, whole: Whole, kills: int, seed: int) -> Iterator[str]:
    """The stage of each kill as it happens; raises ValueError where a file is corrupt or a run ends otherwise."""
    if not kills:
        return
    rng = np.random.default_rng(seed)
    due = Counter({stage: max(1, round(kills * share / 50)) for stage, share in SHARES.items()})
    if excess := due.total() - kills:
        due["train"] -= excess
    yield from _kill_crops(job, due.pop("prepare"), rng)
    number = 0
    while +due:
        number += 1
        folder, rest = job.root / f"killed{number}", dict.fromkeys(STAGES, 1.0)  # share of a stage that is to be done
        for target in [stage for stage in STAGES for _ in range(min(IN_A_RUN, due[stage]))]:
            watch, run = Watch(folder), job.onekey(folder)
            share = rng.random() * rest[target]
            rest[target] -= share
            if not run.until(lambda w=watch, t=target: w.reached(t)):  # type: ignore[misc]
                break
            landed = stage_of(folder) if _kill(run, share * whole.length(target)) else ""
            check_whole(folder)
            if landed in due:
                due[landed if due[landed] > 0 else max(due, key=due.__getitem__)] -= 1
                yield landed
            if not +due:
                break
        last = job.onekey(folder)
        ended_well(last, whole.table)
        same_job(folder / "output", whole.folder / "output")


def _kill(run: Run, moment: float) -> bool:
    """Kill after so many seconds; False where the run had ended by itself."""
    time.sleep(moment)
    with suppress(ProcessLookupError):
        if not run.ended():
            run.send(signal.SIGKILL)
    return run.wait() == -signal.SIGKILL


def _kill_crops(job: Job, kills: int, rng: np.random.Generator) -> Iterator[str]:
    """The same for prepare_data.py."""
    began = time.monotonic()
    run = job.crops(job.root / "crops" / "out", workers=1)
    run.wait()
    length, table = time.monotonic() - began, run.table.replace("/crops/", "/{}/")
    number = done = 0
    while done < kills:
        number += 1
        folder = job.root / f"crops{number}"
        for _ in range(min(3, kills - done)):
            if _kill(job.crops(folder / "out", workers=1), rng.random() * length):
                check_whole(folder)
                done += 1
                yield "prepare"
        last = job.crops(folder / "out", workers=2 if number == 1 else 1)  # as many as one likes
        ended_well(last, table.replace("{}", folder.name))
        same_crops(folder, job.root / "crops")


def ended_well(run: Run, table: str) -> None:
    """A run ended with 0 and printed this table."""
    if run.wait() != 0 or run.table != table:
        raise ValueError(
            f"{' '.join(run.words)} ended with {run.status}, {run.complaint}, and this table:\n{run.table}"
        )
