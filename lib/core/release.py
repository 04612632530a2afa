"""From a recipe to weights that can be handed on: train, choose on held-back videos, tune, pack."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from lib.core.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from lib.core.config import load_test
from lib.core.onekey import onekey
from lib.core.settings import TrainSettings
from lib.core.train import training_index
from lib.data.replay import LAYOUT, write_replays
from lib.files import UserError, atomic_write

KEPT = ("arch", "model", "mapping", "epoch", "provenance", "settings")  # of a checkpoint, beside its weights


def release(settings: TrainSettings, path: Path, *, quiet: bool = False) -> str:
    """Run the recipe, or what is left of it, and write its best epoch to ``path``; returns the table.

    The recipe holds videos back (DATASET.HELD_BACK); they become its test set TUNE.DATA. Hyper-parameters lie with the
    weights.
    """
    write_held_back(settings, quiet=quiet)
    outcome = onekey(settings, quiet=quiet)
    assert outcome.epoch is not None
    tuned = Path(settings.OUTPUT_DIR) / "tuned.yaml"
    hyper = load_test(tuned)[settings.TUNE.DATA] if settings.TUNE.ISTRUE else {}
    packed = pack(load_checkpoint(checkpoint_path(settings.CHECKPOINT_DIR, outcome.epoch)), hyper)
    save_checkpoint(path, packed)
    return f"{outcome}\n{path}: epoch {outcome.epoch}, {path.stat().st_size / 2**20:.1f} MiB"


def write_held_back(settings: TrainSettings, *, quiet: bool = False) -> None:
    """Make the test set of the videos that are held back, where it is not there yet or was made of others."""
    videos, name = settings.DATASET.HELD_BACK, settings.TUNE.DATA or settings.TEST.DATA
    if not videos:
        raise UserError("a recipe must hold videos back to choose by, this one has none: name them in HELD_BACK")
    folder = Path(settings.DATASET_ROOT) / name
    marker, told = folder / "made_of.json", json.dumps({"videos": videos, **LAYOUT}, indent=1)
    if not marker.is_file() or marker.read_text() != told:
        shutil.rmtree(folder, ignore_errors=True)
        whole = settings.DATASET.model_copy(update={"HELD_BACK": ()})
        index, _ = training_index(settings.model_copy(update={"DATASET": whole}))
        write_replays(index, list(videos), folder, quiet=quiet)
        atomic_write(marker, told)


def pack(checkpoint: dict[str, Any], hyper: dict[str, float]) -> dict[str, Any]:
    """A checkpoint without what only training needs, convolutions in half precision.

    What else there is stays as it is: variances of raw pixels are beyond the range of half precision, a steerable basis
    is exact. Paths lead through the variable that named them, not through this machine's folders.
    """
    state = {
        key: value.half() if key.endswith("weight") and value.ndim > 1 else value
        for key, value in checkpoint["state_dict"].items()
    }
    wide = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if wide:
        raise UserError(
            f"weights must be within the range of half precision, {wide[0]} is not: train with weight decay"
        )
    told = {key: checkpoint[key] for key in KEPT}
    if reference := os.environ.get("TRACKING_REFERENCE"):
        told["settings"] = told["settings"].replace(reference, "${TRACKING_REFERENCE}")
    return told | {"state_dict": state, "hyper": dict(hyper)}
