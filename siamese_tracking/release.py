"""Train the models of snapshot/: train, choose on held-back videos, tune, pack. Stopped, it goes on.

python siamese_tracking/release.py
python siamese_tracking/release.py experiments/train/release/siamfc.yaml --out /tmp/mine
"""

import argparse
from pathlib import Path

from lib.core.config import load_train
from lib.core.device import prepare_process
from lib.core.release import release
from lib.files import run_script

RECIPES = "experiments/train/release"


def main() -> None:
    """Every recipe in turn; the weights have the recipe's name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*", type=Path, help=f"training files (default: those of {RECIPES})")
    parser.add_argument("--out", type=Path, default=Path("snapshot"), help="folder of the weights (default: snapshot)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args()
    prepare_process()
    for recipe in args.recipe or sorted(Path(RECIPES).glob("*.yaml")):
        print(f"=== {recipe.stem}", flush=True)
        print(release(load_train(recipe), args.out / f"{recipe.stem}.pth", quiet=args.quiet), flush=True)


if __name__ == "__main__":
    run_script(main)
