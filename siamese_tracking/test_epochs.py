"""Test every epoch's checkpoint on a set, over the devices at hand; print the scores by epoch, the best one marked.

python siamese_tracking/test_epochs.py --arch SiamRPNRes22 --start_epoch 30 --end_epoch 50 --gpu_nums 4
"""

import argparse

from lib.core.device import prepare_process
from lib.core.subject import add_options, add_result_options
from lib.core.testing import checkpoints_of, score_epochs
from lib.files import run_script


def main() -> None:
    """Parse, track, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start_epoch", type=int, default=30, help="first epoch (default: %(default)s)")
    parser.add_argument("--end_epoch", type=int, default=50, help="last epoch (default: %(default)s)")
    parser.add_argument(
        "--checkpoint_dir", default="snapshot", help="folder of checkpoint_e*.pth (default: %(default)s)"
    )
    add_options(parser, dataset="VOT2017")
    add_result_options(parser)
    args = parser.parse_args()
    prepare_process()
    print(score_epochs(args, checkpoints_of(args.checkpoint_dir, args.start_epoch, args.end_epoch)))


if __name__ == "__main__":
    run_script(main)
