"""Trackers on test sets: run, kept as result files, scored from those files.

A result file is the only source of a score, so a run that was stopped and goes on gives the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from lib.evaluation import otb, protocols, results, statistics, vot
from lib.evaluation.sequences import Sequence as Video
from lib.evaluation.sequences import kind
from lib.tracker.family import Family
from lib.tracker.frames import FrameSupply
from lib.tracker.slots import Scheduler

Array = NDArray[np.float64]
HEADLINE = {"otb": "auc", "vot": "eao"}  # the number that chooses epochs and hyper-parameters
NAMES = {"auc": "AUC", "precision": "precision", "norm_precision": "norm. precision"}
NAMES |= {"accuracy": "A", "robustness": "R", "eao": "EAO", "failures": "failures"}


class Stage:
    """One test set ready to be tracked: its videos, the frames in memory, the number of slots."""

    def __init__(
        self, name: str, videos: Sequence[Video], device: torch.device, *, slots: int = 16, workers: int = 2
    ) -> None:
        self.name, self.slots = name, slots
        self.videos = [replace(video, size=video.image_size()) for video in videos]  # every run of them asks
        self.kind = kind(self.videos)
        self.supply = FrameSupply(device=device, workers=max(1, workers))

    def track(
        self, family: Family, trials: Sequence[Mapping[str, Any]], label: str, *, quiet: bool = False
    ) -> list[list[Array]]:
        """Rows of every trial and video, [trial][video] (T, 4)."""
        rows: list[list[Array]] = [[np.empty(0)] * len(self.videos) for _ in trials]
        frames = len(trials) * sum(map(len, self.videos))
        with tqdm(total=frames, unit="frame", desc=label, disable=quiet, leave=False) as bar:
            for trial, number, result in self.run(family, trials, self.videos, bar):
                rows[trial][number] = result
        return rows

    def run(self, family: Family, trials: Sequence[Mapping[str, Any]], videos: Sequence[Video], bar: tqdm) -> Any:
        """The protocol of the set over these of its videos; see :func:`lib.evaluation.protocols.run`."""
        scheduler = Scheduler(family.at, self.supply, slots=self.slots, on_frames=bar.update)
        reset = self.kind == "vot"
        return protocols.run(videos, trials, trackers=family, scheduler=scheduler, reset=reset)

    def track_to_files(
        self, family: Family, hyper: Mapping[str, Any], folder: str | Path, label: str, *, quiet: bool = False
    ) -> list[Array]:
        """Track what ``folder`` has no whole result of yet, then read all results back."""
        paths = [results.result_path(folder, video, self.kind) for video in self.videos]
        todo = [n for n, path in enumerate(paths) if not path.is_file()]
        if todo:
            videos = [self.videos[n] for n in todo]
            with tqdm(total=sum(map(len, videos)), unit="frame", desc=label, disable=quiet, leave=False) as bar:
                for _, number, rows in self.run(family, [hyper], videos, bar):
                    results.write(paths[todo[number]], rows, self.kind, videos[number].origin)
        return self.read(folder)

    def is_whole(self, folder: str | Path) -> bool:
        """Whether every video has its result."""
        return all(results.result_path(folder, video, self.kind).is_file() for video in self.videos)

    def read(self, folder: str | Path) -> list[Array]:
        """Rows of every video from its result file."""
        paths = [results.result_path(folder, video, self.kind) for video in self.videos]
        return [results.read(path, video, self.kind) for path, video in zip(paths, self.videos, strict=True)]


@dataclass(frozen=True)
class Scores:
    """What a tracker got on a test set."""

    headline: str  # the number that chooses: key of the others
    mean: dict[str, float]  # of the data set
    interval: dict[str, tuple[float, float]]  # 95 %, bootstrap over the videos
    videos: dict[str, Array]  # (Q,) of each video
    curves: dict[str, tuple[Array, Array]]  # kind -> (thresholds or frames, values)
    added: Array  # (Q, C) what each video adds to the totals that the means follow from


def score(stage: Stage, rows: Sequence[Array], *, intervals: bool = True) -> Scores:
    """Score rows (T, 4) of every video of the stage."""
    tracks = {video.name: row for video, row in zip(stage.videos, rows, strict=True)}
    parts: otb.Curves | vot.Sums
    if stage.kind == "otb":
        parts = otb.evaluate(stage.videos, tracks)
        lines = {
            "success": (otb.OVERLAPS, np.nanmean(parts.success, 0)),
            "precision": (otb.DISTANCES, np.nanmean(parts.precision, 0)),
        }
    else:
        parts = vot.evaluate(stage.videos, tracks, stage.name)
        expected = parts.expected_overlap()
        known = np.flatnonzero(np.isfinite(expected))
        lines = {"eao": (known + 1.0, expected[known])}
    mean = {name: float(value) for name, value in parts.scores().items() if name in NAMES}
    spread = {}
    if intervals and len(stage.videos) > 1:
        resampled = parts.scores(statistics.draws(len(stage.videos)))
        for name, value in mean.items():
            low, high = statistics.bounds(resampled[name], value)
            spread[name] = (float(low), float(high))
    return Scores(HEADLINE[stage.kind], mean, spread, dict(parts.values()), lines, parts.added())


def behind(scores: Mapping[str, Scores]) -> dict[str, str]:
    """What is to be said of all but the best: how likely it is no worse (paired test over the same videos)."""
    known = {name: each for name, each in scores.items() if np.isfinite(each.mean[each.headline])}
    if len(known) < 2:
        return {}
    best = max(known, key=lambda name: known[name].mean[known[name].headline])
    headline = known[best].headline

    def value(totals: Array) -> Array:
        return (otb if headline == "auc" else vot).scores_of(totals)[headline]

    tests = {n: statistics.paired(known[best].added, each.added, value) for n, each in known.items() if n != best}
    return {name: test.behind(best) for name, test in tests.items() if np.isfinite(test.p)}
