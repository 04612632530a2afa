"""The end of a run: the table on the terminal and the report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.core.config import to_yaml
from lib.core.scoring import HEADLINE, NAMES, Scores, Stage, behind, score
from lib.core.settings import TrainSettings, cautions
from lib.core.train import read_log
from lib.core.tune import Search
from lib.evaluation import report
from lib.files import atomic_write
from lib.geometry.boxes import iou_xywh
from lib.tracker.frames import read_image

Array = NDArray[np.float64]
STRIPS, FRAMES = 3, 8  # film strips in the report, frames in each


def write_report(
    settings: TrainSettings,
    folder: Path,
    *,
    epochs: Mapping[int, Scores],
    epoch: int | None,
    finals: Mapping[str, list[Array]],
    stage: Stage,
    search: Search | None,
    tuned_by: str,
    made: Mapping[str, str],
) -> "Outcome":
    """Score the final rows {tracker: [(T, 4) of each video]} and write report.html; ``made``: how, by name."""
    scores = {name: score(stage, rows) for name, rows in finals.items()}
    headline = HEADLINE[stage.kind]
    rows = table_rows(scores)
    page = report.Report(
        title=f"{settings.TRAIN.MODEL} on {settings.final_data}",
        created=time.strftime("%Y-%m-%d %H:%M"),
        provenance=made,
        settings_yaml=to_yaml(settings),
        warnings=cautions(settings),
        rows=rows,
        training=read_log(folder / "train.jsonl"),
        epochs=[_epoch(number, each) for number, each in epochs.items()],
        epoch_score=NAMES[next(iter(epochs.values())).headline] if epochs else "",
        chosen_epoch=epoch if epochs else None,
        trials=[
            {"number": number, "value": trial.value, "params": trial.params}
            for number, trial in enumerate(search.finished if search else (), 1)
        ],
        trial_score=NAMES.get(tuned_by, ""),
        importance=search.importance() if search else {},
        curves={name: each.curves for name, each in scores.items()},
        sequences=_per_sequence(stage, finals, scores),
        sequence_score=NAMES[headline],
        strips=_strips(stage, finals),
    )
    path = folder / "report.html"
    atomic_write(path, report.render(page))
    return Outcome(rows, path, epoch, scores)


@dataclass(frozen=True)
class Outcome:
    """What a run ends with."""

    rows: list[report.Row]
    report: Path
    epoch: int | None = None  # the chosen one
    scores: Mapping[str, Scores] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"\n{report.terminal_table(self.rows)}\n\nreport: {self.report}"


def compared(outcomes: Mapping[str, Outcome], folder: Path) -> Outcome:
    """Runs of equal budgets side by side: what was learnt under each name, and a page of the table."""
    learnt = ("trained", "tuned")
    same = next(iter(outcomes.values())).rows
    rows = [replace(row, note="") for row in same if row.name not in learnt]
    rows += table_rows(
        {
            f"{name}, {row.name}": outcome.scores[row.name]
            for name, outcome in outcomes.items()
            for row in outcome.rows
            if row.name in learnt
        }
    )
    path = folder / "report.html"
    links = [f"{name}: {outcome.report}" for name, outcome in outcomes.items()]
    page = report.Report(title="Runs compared: " + ", ".join(outcomes), rows=rows, warnings=links)
    atomic_write(path, report.render(page))
    return Outcome(rows, path)


def table_row(name: str, scores: Scores) -> report.Row:
    """A line of the final table."""
    unknown = (np.nan, np.nan)
    return report.Row(
        name, {NAMES[key]: (value, *scores.interval.get(key, unknown)) for key, value in scores.mean.items()}
    )


def table_rows(scores: Mapping[str, Scores]) -> list[report.Row]:
    """Lines of a table whose trackers ran on the same videos; all but the best with the test against it."""
    notes = behind(scores)
    return [replace(table_row(name, each), note=notes.get(name, "")) for name, each in scores.items()]


def _epoch(number: int, scores: Scores) -> dict[str, Any]:
    low, high = scores.interval.get(scores.headline, (np.nan, np.nan))
    return {"epoch": number, "score": scores.mean[scores.headline], "low": low, "high": high}


def _per_sequence(
    stage: Stage, finals: Mapping[str, list[Array]], scores: Mapping[str, Scores]
) -> list[report.SequenceRow]:
    key = "auc" if stage.kind == "otb" else "accuracy"
    return [
        report.SequenceRow(
            name=video.name,
            frames=len(video),
            scores={name: float(each.videos[key][number]) for name, each in scores.items()},
            overlaps={name: overlap(video.truth, rows[number]) for name, rows in finals.items()},
        )
        for number, video in enumerate(stage.videos)
    ]


def overlap(truth: Array, rows: Array) -> Array:
    """(T,) overlap in each frame, by the truth's bounding box where it is a polygon; NaN without a box."""
    if truth.shape[1] == 8:
        corners = truth.reshape(-1, 4, 2)
        truth = np.concatenate([corners.min(1), corners.max(1) - corners.min(1)], 1)
    return iou_xywh(truth, rows)


def _strips(stage: Stage, finals: Mapping[str, list[Array]]) -> list[report.Strip]:
    """Sequences spread over the set, frames spread over each; then the frames around the worst failures."""
    strips = []
    shown = [name for name in ("untrained", "trained", "tuned") if name in finals]
    for number in np.unique(np.linspace(0, len(stage.videos) - 1, STRIPS).round().astype(int)):
        frames = np.unique(np.linspace(0, len(stage.videos[number]) - 1, FRAMES).round().astype(int))
        strips.append(_strip(stage, finals, number, frames, shown, ""))
    last = shown[-1] if shown else ""
    for number, video in enumerate(stage.videos):
        if last and len(strips) < 2 * STRIPS:
            lost = overlap(video.truth, finals[last][number])
            lost = np.where(finals[last][number][:, 0] == 2, 0, lost) if stage.kind == "vot" else lost
            frames = report.frames_around_failure(lost)
            if len(frames):
                strips.append(_strip(stage, finals, number, frames, [last], f": where {last} loses it"))
    return strips


def _strip(
    stage: Stage,
    finals: Mapping[str, list[Array]],
    number: int,
    frames: NDArray[np.intp],
    shown: list[str],
    remark: str,
) -> report.Strip:
    video = stage.videos[number]
    pictures = []
    for frame in frames.tolist():
        boxes = {"truth": video.truth[frame]} | {name: finals[name][number][frame] for name in shown}
        pictures.append((read_image(video.frames[frame]), frame, boxes))
    return report.Strip(video.name + remark, pictures)
