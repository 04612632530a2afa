"""Follow a target in front of a camera.

python siamese_tracking/run_webcam.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth

Keys: s selects a target (draw a box with the mouse, then Enter), r selects anew, q quits.
"""

import argparse

from lib.core.live_options import add_tracker_options, need_display, tracker_from
from lib.files import run_script
from lib.tracker.player import follow_camera
from lib.tracker.streams import open_source
from lib.tracker.windows import Window


def main() -> None:
    """Open camera, weights and window; follow until q."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_tracker_options(parser)
    parser.add_argument("--camera", default="0", help="index, URL or a video file that stands for it (default: 0)")
    args = parser.parse_args()
    need_display("run_video.py works without one")
    source = open_source(args.camera, newest=True)
    tracker = tracker_from(args)
    with Window(f"camera {source.name}") as window:
        follow_camera(tracker, source, window, threshold=args.threshold)


if __name__ == "__main__":
    run_script(main)
