"""Train, test every epoch, tune, score and report, in one command; started again it goes on where it was.

python siamese_tracking/onekey.py --cfg experiments/train/demo.yaml
python siamese_tracking/onekey.py --cfg experiments/train/demo.yaml --losses logistic,hinge,focal
python siamese_tracking/onekey.py --from output/demo/report.html --cfg again.yaml
"""

import argparse
from pathlib import Path

from lib.core.config import load_train
from lib.core.device import prepare_process
from lib.core.onekey import onekey, settings_of
from lib.core.settings import TrainSettings
from lib.core.summary import compared
from lib.files import UserError, atomic_write, run_script


def main() -> None:
    """Parse, run, print the table and where the report is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default="experiments/train/demo.yaml", help="training file (default: %(default)s)")
    parser.add_argument("--losses", help="train under each of these losses, with equal budgets, and compare")
    parser.add_argument("--from", dest="source", help="write the settings file of this report or checkpoint to --cfg")
    parser.add_argument("--seed", type=int, help="instead of SEED in the file")
    parser.add_argument("--output", help="instead of OUTPUT_DIR; checkpoints then go into its folder snapshot")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args()
    if args.source:
        if Path(args.cfg).exists():
            raise UserError(f"--cfg must name a new file to write, {args.cfg} exists: name another")
        atomic_write(args.cfg, settings_of(args.source))
        print(f"settings of {args.source} written to {args.cfg}")
        return
    prepare_process()
    if not args.losses:
        print(onekey(_settings(args, args.output), quiet=args.quiet))
        return
    folder = Path(args.output or _settings(args, None).OUTPUT_DIR)
    runs = {loss: _settings(args, folder / loss, loss) for loss in args.losses.split(",")}
    print(compared({loss: onekey(settings, quiet=args.quiet) for loss, settings in runs.items()}, folder))


def _settings(args: argparse.Namespace, output: Path | str | None, loss: str | None = None) -> TrainSettings:
    checkpoints = f"{output}/snapshot" if output else None
    instead = {"SEED": args.seed, "OUTPUT_DIR": output, "CHECKPOINT_DIR": checkpoints, "TRAIN.LOSS": loss}
    return load_train(args.cfg, {key: str(v) if isinstance(v, Path) else v for key, v in instead.items()})


if __name__ == "__main__":
    run_script(main)
