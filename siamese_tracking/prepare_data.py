"""From raw data to what training and testing read.

Training crops and their json, from sequence folders, videos with a text of boxes, COCO, VID, DET,
YouTube-BB, GOT-10k, LaSOT:
  python siamese_tracking/prepare_data.py crops my_videos --out dataset/mine --side 511 --check 24
A test set's json, in place or with the frames of videos written out:
  python siamese_tracking/prepare_data.py test-set dataset/OTB2015
  python siamese_tracking/prepare_data.py test-set my_test_videos --out dataset/mine-test
"""

import argparse
import os
import sys
from pathlib import Path

from lib.data.prepare.check import contact_sheet
from lib.data.prepare.layouts import LAYOUTS, find_clips
from lib.data.prepare.rules import Rules
from lib.data.prepare.testset import copy_test_set, write_test_json
from lib.data.prepare.write import Setting, prepare
from lib.evaluation.datasets import load
from lib.evaluation.names import OTB_FRAMES
from lib.files import run_script


def parser() -> argparse.ArgumentParser:
    """Two commands; ``crops`` says which boxes it takes."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    crops = commands.add_parser("crops", help="write training crops and their json")
    crops.add_argument("--side", type=int, default=511, help="px of a crop, the exemplar being 127 (default: 511)")
    crops.add_argument("--every", type=int, default=1, help="take each n-th frame (default: 1)")
    crops.add_argument("--check", type=int, default=0, metavar="N", help="draw N random crops with their boxes")
    crops.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    crops.add_argument("--quality", type=int, default=90, help="of the JPEG files, 1 to 100 (default: 90)")
    rules = Rules()
    for name, text in (
        ("min_side", "px, shorter side of a box at least"),
        ("max_ratio", "longer side over shorter at most"),
        ("min_visible", "share of a box inside the image at least"),
        ("max_fill", "share of the image that a box covers at most"),
    ):
        value = getattr(rules, name)
        crops.add_argument(f"--{name}", type=float, default=value, help=f"{text} (default: {value:g})")
    tests = commands.add_parser("test-set", help="write a test set's json")
    for command in (crops, tests):
        command.add_argument("source", type=Path, help="folder of raw data, or a video")
        command.add_argument("--layout", default="auto", choices=("auto", *LAYOUTS), help="default: by looking")
        command.add_argument("--split", help="of an official layout: this one alone (default: all but a test set)")
        command.add_argument("--base", type=int, choices=(0, 1), help="number of the first pixel (default: by layout)")
    crops.add_argument("--out", type=Path, required=True, help="folder of the crops; the json goes beside it")
    tests.add_argument("--out", type=Path, help="dataset/NAME to write frames into (default: the source as it lies)")
    return top


def main() -> None:
    """Parse, do, count."""
    args = parser().parse_args()
    if args.command == "test-set" and args.out is None:
        folder = args.source.resolve()
        count = write_test_json(folder.with_name(folder.name + ".json"), load(folder.name, folder.parent))
        print(f"{folder}.json: {count} sequences")
        return
    starts = {name: first for name, (first, _) in OTB_FRAMES.items()}
    source = find_clips(args.source, args.layout, split=args.split, base=args.base, starts=starts)
    if args.command == "test-set":
        print(f"{args.out}.json: {copy_test_set(source, args.out)} sequences")
        return
    rules = Rules(args.min_side, args.max_ratio, args.min_visible, args.max_fill)
    setting = Setting(args.side, args.every, args.quality, rules)
    summary = prepare(source, args.out, setting, workers=args.workers)
    print("\n".join(summary.problems), file=sys.stderr, end="\n" if summary.problems else "")
    print(summary.table())
    print(f"crops in {args.out}, annotation in {args.out}.json")
    if args.check:
        print(f"look at {contact_sheet(args.out, args.check)}")


if __name__ == "__main__":
    run_script(main)
