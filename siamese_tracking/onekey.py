"""Train, test every epoch, tune, score and report, in one command; started again it goes on where it was.

python siamese_tracking/onekey.py --cfg experiments/train/demo.yaml
"""

import argparse

from lib.core.config import load_train
from lib.core.device import prepare_process
from lib.core.onekey import onekey
from lib.files import run_script


def main() -> None:
    """Parse, run, print the table and where the report is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default="experiments/train/demo.yaml", help="training file (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="instead of SEED in the file")
    parser.add_argument("--output", help="instead of OUTPUT_DIR; checkpoints then go into its folder snapshot")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args()
    checkpoints = f"{args.output}/snapshot" if args.output else None
    settings = load_train(args.cfg, {"SEED": args.seed, "OUTPUT_DIR": args.output, "CHECKPOINT_DIR": checkpoints})
    prepare_process()
    table, report = onekey(settings, quiet=args.quiet)
    print(f"\n{table}\n\nreport: {report}")


if __name__ == "__main__":
    run_script(main)
