"""Which loss of the classification is best? Equal pairs, equal tuning trials on held-back videos, several seeds.

Trains small models (experiments/train/losses/*.yaml) and scores them on OTB-mini, one pass, and on VOT-mini with
resets, in $TRACKING_REFERENCE/dataset. Seeds count as repetitions. Stopped, it goes on where it was.

python -m benchmarks.losses [--recipes siamfc siamrpn] [--seeds 0 1 2]
"""

import argparse
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from benchmarks import figures
from lib.core.config import load_train
from lib.core.device import choose_device, prepare_process
from lib.core.release import release
from lib.core.scoring import Scores, Stage, score
from lib.core.subject import Subject
from lib.core.summary import table_rows
from lib.core.testing import begin_results
from lib.evaluation import otb, statistics
from lib.evaluation.datasets import load
from lib.evaluation.report import terminal_table
from lib.files import UserError, run_script

LOSSES = ("logistic", "hinge", "focal")
SETS = ("OTB-mini", "VOT-mini")
OUT = Path("output/losses")


def main() -> None:
    """Train what is missing, track, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["siamfc", "siamrpn"], help="default: siamfc siamrpn")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/losses.json"))
    args = parser.parse_args()
    if "TRACKING_REFERENCE" not in os.environ:
        raise UserError(
            "the crops and test sets must be named: export TRACKING_REFERENCE=<folder of train/ and dataset/>"
        )
    prepare_process()
    device = choose_device("auto", (0,))
    stages = [Stage(name, load(name, test_sets()), device) for name in SETS]
    found: dict[str, Any] = {}
    for recipe in args.recipes:
        rows = {loss: [tracks(recipe, loss, seed, stages, device) for seed in args.seeds] for loss in LOSSES}
        found[recipe] = compare(recipe, rows, stages)
        figures.write(args.json, figures.machine("losses", device), seeds=args.seeds, **found)


def test_sets() -> Path:
    """Where they lie."""
    return Path(os.environ["TRACKING_REFERENCE"]) / "dataset"


def tracks(recipe: str, loss: str, seed: int, stages: list[Stage], device: torch.device) -> list[list[Any]]:
    """[set][video] rows of one model."""
    folder = OUT / recipe / f"{loss}-seed{seed}"
    weights = folder / "weights.pth"
    if not weights.is_file():
        instead = {"SEED": seed, "TRAIN.LOSS": loss, "OUTPUT_DIR": str(folder)}
        settings = load_train(
            f"experiments/train/losses/{recipe}.yaml", instead | {"CHECKPOINT_DIR": str(folder / "snapshot")}
        )
        print(release(settings, weights), flush=True)
    subjects = [Subject(str(weights), stage.name, str(test_sets())) for stage in stages]
    family, loaded = subjects[0].family(device)
    for stage, subject in zip(stages, subjects, strict=True):
        begin_results(folder / stage.name, subject, loaded.hyper)
    return [stage.track_to_files(family, loaded.hyper, folder / stage.name, str(folder)) for stage in stages]


def compare(recipe: str, rows: dict[str, list[Any]], stages: list[Stage]) -> dict[str, Any]:
    """Print a table a set, and every pair of losses tested sequence by sequence; returns the numbers."""
    found: dict[str, Any] = {}
    for number, stage in enumerate(stages):
        by_video = {
            loss: [[run[number][video] for run in runs] for video in range(len(stage.videos))]
            for loss, runs in rows.items()
        }
        scores: dict[str, Scores] = {loss: score(stage, each) for loss, each in by_video.items()}  # type: ignore[arg-type]
        print(f"\n{recipe} on {stage.name}, {len(next(iter(rows.values())))} seeds")
        print(terminal_table(table_rows(scores)))
        found[stage.name] = {
            loss: {key: [value, *each.interval.get(key, ())] for key, value in each.mean.items()}
            for loss, each in scores.items()
        }
        if stage.kind == "otb":
            found["differences in AUC"] = _differences(stage, by_video)
    return found


def _differences(stage: Stage, by_video: dict[str, list[Any]]) -> dict[str, Any]:
    names = [video.name for video in stage.videos]
    auc = {
        loss: otb.evaluate(stage.videos, dict(zip(names, each, strict=True))).values()["auc"][:, None]
        for loss, each in by_video.items()
    }
    found = {}
    for one, other in combinations(auc, 2):
        got = statistics.paired(auc[one], auc[other], lambda totals: totals[..., 0] / len(names))
        print(f"{one} - {other}: {got.value:+.3f} [{got.low:+.3f}, {got.high:+.3f}], p {got.p:.2f}")
        found[f"{one} - {other}"] = [got.value, got.low, got.high, got.p]
    return found


if __name__ == "__main__":
    run_script(main)
