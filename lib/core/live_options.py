"""What the command lines of run_video.py and run_webcam.py share."""

import argparse
from collections.abc import Sequence

from lib.core.config import load_test
from lib.core.device import prepare_process
from lib.core.subject import add_network_options, add_weight_options
from lib.files import UserError
from lib.tracker.live import LiveTracker, load
from lib.tracker.player import THRESHOLD
from lib.tracker.windows import display_problem


def add_tracker_options(parser: argparse.ArgumentParser) -> None:
    """Weights, hyper-parameters, device."""
    parser.add_argument("--resume", help="weights (default: the best shipped model)")
    add_weight_options(parser, anchors=False)
    add_network_options(parser)
    parser.add_argument(
        "--hyper", nargs="+", metavar="K=V", help="hyper-parameters, name=value ..; or a test YAML and a data set in it"
    )
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="score below which a target counts as lost")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")


def tracker_from(args: argparse.Namespace) -> LiveTracker:
    """The tracker that the command line asks for."""
    hyper = None if args.hyper is None else read_hyper(args.hyper)
    prepare_process()
    told = {"arch": args.arch, "matching": args.matching, "device": args.device, "precision": args.precision}
    told["backend"] = args.backend
    return load(args.resume, hyper=hyper, **told)


def need_display(otherwise: str) -> None:
    """Fail in one line where no window can be opened."""
    problem = display_problem()
    if problem:
        raise UserError(f"a window needs a display, {problem}{': ' if otherwise else ''}{otherwise}")


def read_box(words: Sequence[str]) -> tuple[float, ...]:
    """A box from the command line: 334,128,104,132, also in brackets, with spaces, in one word or several."""
    text = " ".join(words)
    numbers = text.strip("[]() ").replace(",", " ").split()
    try:
        box = tuple(map(float, numbers))
    except ValueError:
        box = ()
    if len(box) != 4:
        raise UserError(f"a box must be four numbers lx,ly,w,h (left, top, width, height in pixels), got {text!r}")
    return box


def read_hyper(words: Sequence[str]) -> dict[str, float]:
    """``name=value`` words, or a test file and, where it holds several, the name of a data set."""
    if all("=" in word for word in words):
        pairs = [word.split("=", 1) for word in words]
        try:
            return {name: float(value) for name, value in pairs}
        except ValueError:
            raise UserError(f"hyper-parameters must be name=number, got {' '.join(words)}") from None
    sets = load_test(words[0])
    name = words[1] if len(words) == 2 else next(iter(sets)) if len(sets) == len(words) == 1 else None
    if name not in sets:
        raise UserError(f"{words[0]} holds {', '.join(sets)}: name one of them after it, --hyper {words[0]} NAME")
    return sets[name]
