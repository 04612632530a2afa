"""Render the demo data: test, validation and training sequences from photographs that scikit-image ships.

python siamese_tracking/make_demo.py [--out dataset] [--seed 0]
"""

import argparse
import os

from lib.data.demo import make_demo
from lib.files import run_script


def main() -> None:
    """Parse, render, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="dataset", help="folder to write into (default: dataset)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other sequences (default: 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    args = parser.parse_args()
    made = make_demo(args.out, args.seed, workers=args.workers)
    print(f"demo data: {'rendered into' if made else 'already complete in'} {args.out}")


if __name__ == "__main__":
    run_script(main)
