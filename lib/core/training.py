"""What train_siamfc.py and train_siamrpn.py share."""

import argparse
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lib.core.config import load_train
from lib.core.device import prepare_process
from lib.core.lock import locked, same_run
from lib.core.settings import TrainSettings
from lib.core.train import train_on_gpus
from lib.files import UserError


def command(family: str, description: str | None, *, cfg: str) -> None:
    """Parse, train, say where the checkpoints are and what to run next."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default=cfg, help="training file (default: %(default)s)")
    parser.add_argument("--gpus", help="0,1 ...: a process each, instead of GPUS in the file")
    parser.add_argument("--workers", type=int, help="threads that decode images, instead of WORKERS in the file")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args()
    settings = load_train(args.cfg, {"GPUS": args.gpus, "WORKERS": args.workers})
    if settings.FAMILY != family:
        other = f"train_{settings.FAMILY.lower()}.py"
        raise UserError(f"{args.cfg} must hold a block {family}:, it holds {settings.FAMILY}: run {other} with it")
    prepare_process()
    first = os.environ.get("RANK", "0") == "0"  # under torchrun every process comes here
    with locked(settings.OUTPUT_DIR) if first else nullcontext():
        if first:
            same_run(settings, Path(settings.OUTPUT_DIR))
        counts = train_on_gpus(settings, quiet=args.quiet)
    if first:
        print(_done(settings, counts))


def _done(settings: TrainSettings, counts: dict[str, Any]) -> str:
    train, test, folder = settings.TRAIN, settings.TEST, settings.CHECKPOINT_DIR
    epochs = settings.test_epochs if test.ISTRUE else range(max(1, train.END_EPOCH * 6 // 10), train.END_EPOCH + 1)
    return (
        f"trained: {train.END_EPOCH} epochs of {counts['pairs']} pairs from {counts['crops']} crops, "
        f"{counts['skipped']} steps skipped\n"
        f"checkpoints: {folder}/checkpoint_e1.pth to checkpoint_e{train.END_EPOCH}.pth\n"
        f"next: python siamese_tracking/test_epochs.py --arch {train.MODEL} --start_epoch {epochs[0]} "
        f"--end_epoch {epochs[-1]} --dataset {test.DATA or 'OTB2015'} --dataset_root {settings.DATASET_ROOT} "
        f"--checkpoint_dir {folder}"
    )
