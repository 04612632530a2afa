"""Follow targets through a video, a folder of frames or a stream, from their boxes in the first frame.

python siamese_tracking/run_video.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth --video videos/bag.mp4

Without --init_bbox the target is drawn with the mouse. Boxes are zero-based x,y,width,height in pixels.
"""

import argparse

from lib.core.live_options import add_tracker_options, need_display, read_box, tracker_from
from lib.files import run_script
from lib.tracker.player import check_writable, follow_video, write_boxes
from lib.tracker.streams import VideoFile, open_source
from lib.tracker.windows import Window, display_problem


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_tracker_options(parser)
    parser.add_argument("--video", required=True, help="a video file, a folder of frames, an URL or a camera's index")
    parser.add_argument(
        "--init_bbox",
        "--target",
        dest="targets",
        action="append",
        nargs="+",
        metavar="lx,ly,w,h",
        help="start box; give it again for each further target",
    )
    parser.add_argument("--save", help="video to write, with boxes and scores drawn (.mp4 .mov .mkv .avi)")
    parser.add_argument("--boxes", help="text to write, x,y,w,h a frame; several targets: NAME_1.txt, NAME_2.txt")
    parser.add_argument("--show", action="store_true", help="show it in a window; done anyway where nothing is written")
    return parser.parse_args()


def main() -> None:
    """Follow, write, say what was found."""
    args = parse()
    targets = [read_box(words) for words in args.targets] if args.targets else None
    if args.show or targets is None:
        need_display("" if targets else "give the target as --init_bbox x,y,width,height")
    for path in filter(None, (args.save, args.boxes)):
        check_writable(path, args.video)
    source = open_source(args.video)
    save = VideoFile(args.save, source.fps) if args.save else None
    tracker = tracker_from(args)
    shown = args.show or targets is None or not (args.save or args.boxes or display_problem())
    window = Window(source.name) if shown else None
    track = follow_video(tracker, source, targets, threshold=args.threshold, window=window, save=save)
    written = [str(path) for path in write_boxes(args.boxes, track.boxes)] if args.boxes else []
    written += [args.save] if args.save else []
    frames = len(track.boxes)
    lost = (track.scores < args.threshold).sum(0).tolist()
    print(
        f"{frames} frames in {track.seconds:.1f} s ({frames / track.seconds:.1f} frames/s), to {track.ended}; "
        f"score below {args.threshold:g} (lost): {', '.join(f'{n}' for n in lost)} frames; "
        f"written: {', '.join(written) or 'nothing (--save out.mp4, --boxes out.txt)'}"
    )
    if track.ended == "Ctrl-C":
        raise SystemExit(130)


if __name__ == "__main__":
    run_script(main)
