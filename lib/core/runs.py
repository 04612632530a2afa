"""A tracker on a test set by any protocol; its results in the layouts that the benchmarks' toolkits and servers take.

=========  ===========================================================  ================================================
protocol   what is done                                                 files, in ``<results>/<data set>/<tracker>/``
=========  ===========================================================  ================================================
one_pass   from the first frame to the last                             ``<seq>.txt`` (OTB, LaSOT, TrackingNet ...);
                                                                        of VOT ``unsupervised/<seq>/<seq>_001.txt``
reset      a new start after every failure (VOT)                        ``baseline/<seq>/<seq>_001.txt``
real_time  frames that come while the tracker is busy are missed        ``realtime/<seq>.txt``;
                                                                        of VOT ``realtime/<seq>/<seq>_001.txt``
long_term  one pass, how sure the tracker was is kept (VOT-LT)          ``longterm/<seq>/<seq>_001.txt`` and
                                                                        ``<seq>_001_confidence.value``
got10k     one pass, timed; three times if runs are unlike one another  ``<seq>/<seq>_001.txt``
=========  ===========================================================  ================================================

Where videos are tracked one at a time (``got10k``, ``real_time`` with measured times, one slot) the seconds of each
frame are kept as ``<seq>_time.txt`` beside the boxes. A run that was stopped goes on with what is missing; measured
times are read back, so the frames that are missed are those of the first attempt.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lib.core.scoring import Stage, score
from lib.core.subject import count
from lib.core.summary import table_row
from lib.evaluation import boards, conventions, names, protocols, realtime, results
from lib.evaluation.boxfiles import read_rows
from lib.evaluation.report import terminal_table
from lib.evaluation.sequences import Sequence as Video
from lib.files import UserError
from lib.tracker.family import Family
from lib.tracker.slots import Scheduler

Array = NDArray[np.float64]
Run = tuple[int, int, Array, Array | None, Array | None]  # repetition, video, rows, confidences, seconds

REPETITIONS = {"got10k": 3, "reset": 15}  # of a stochastic tracker


@dataclass(frozen=True)
class Layout:
    """Where a protocol's results lie, and what their rows are (the kinds of ``results.py``)."""

    home: str  # folder in the tracker's
    place: str
    rows: str


LAYOUTS = {
    ("one_pass", "otb"): Layout("", "otb", "otb"),
    ("one_pass", "vot"): Layout("unsupervised", "got10k", "vot"),
    ("reset", "vot"): Layout("", "vot", "vot"),
    ("real_time", "otb"): Layout("realtime", "otb", "otb"),
    ("real_time", "vot"): Layout("realtime", "got10k", "vot"),
    ("long_term", "otb"): Layout("", "longterm", "longterm"),
    ("got10k", "otb"): Layout("", "got10k", "got10k"),
}
EXPERIMENTS = {"real_time": "realtime", "long_term": "longterm"}  # folders by which evaluate.py knows a protocol


@dataclass(frozen=True)
class Plan:
    """How a test set is tracked: can be told to other processes."""

    protocol: str
    kind: str  # of the sequences
    repetitions: int | None = None  # None: as many as the protocol wants of a stochastic tracker
    seconds: float | str | None = None  # real time: of every frame, or a folder of <seq>_time.txt; None: measured
    fps: float = realtime.FPS

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.protocol, self.kind]

    @property
    def experiment(self) -> str | None:
        """What evaluate.py calls it; None: what it looks for without being told."""
        return EXPERIMENTS.get(self.protocol) or self.layout.home or None

    @property
    def timed(self) -> bool:
        """Whether what each frame takes is measured: one video at a time, nothing else beside it."""
        return self.protocol == "got10k" or (self.protocol == "real_time" and self.seconds is None)

    @property
    def alone(self) -> bool:
        """Whether one process does it all."""
        return self.timed or (self.repetitions or 1) > 1

    def told(self, videos: Sequence[Video]) -> dict[str, Any]:
        """What results of a real-time run depend on beside the weights; of times in files, what they say."""
        seconds = "measured" if self.seconds is None else given_seconds(self.seconds, videos)
        if isinstance(seconds, Mapping):
            each = (f"{name} {np.asarray(values).tolist()}" for name, values in seconds.items())
            seconds = hashlib.sha256("\n".join(each).encode()).hexdigest()
        return {"seconds": seconds, "fps": self.fps}


# ------------------------------------------------------------------------------------------------- the command line


def add_protocol_options(parser: argparse.ArgumentParser) -> None:
    """Options of :func:`plan_of`."""
    choices = ("auto", *dict.fromkeys(protocol for protocol, _ in LAYOUTS))
    parser.add_argument("--protocol", choices=choices, default="auto", help="default: the data set's own")
    parser.add_argument("--repetitions", type=count, help="runs of each video, if two differ (got10k: 3, reset: 15)")
    parser.add_argument("--seconds", help="real_time: of each frame, or a folder of <seq>_time.txt (default: measured)")
    parser.add_argument(
        "--fps", type=float, default=realtime.FPS, help="of the camera in real_time (default: %(default)g)"
    )


def plan_of(args: argparse.Namespace, kind: str) -> Plan:
    """The plan that the options name for a data set whose sequences are of ``kind``."""
    own = own_protocol(args.dataset, kind)
    protocol = own if args.protocol == "auto" else args.protocol
    if (protocol, kind) not in LAYOUTS:
        fit = ", ".join(name for name, of in LAYOUTS if of == kind)
        raise UserError(f"--protocol must be one of {fit} for {args.dataset}, got {protocol}")
    if args.repetitions and protocol not in REPETITIONS:
        raise UserError(f"--repetitions is of {' and '.join(REPETITIONS)}, {protocol} is run once: leave it out")
    if (args.seconds is not None or args.fps != realtime.FPS) and protocol != "real_time":
        raise UserError(f"--seconds and --fps are of --protocol real_time, got {protocol}: leave them out")
    if not 0 < args.fps < np.inf:
        raise UserError(f"--fps must be above 0, got {args.fps}")
    return Plan(protocol, kind, args.repetitions, _seconds(args.seconds), args.fps)


def own_protocol(dataset: str, kind: str) -> str:
    """The protocol by which a data set's published scores came about."""
    if names.is_got10k(dataset):
        return "got10k"
    return {"one-pass": "one_pass", "reset": "reset", "long-term": "long_term"}[conventions.protocol(dataset, kind)]


def _seconds(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        if not Path(text).is_dir():
            raise UserError(f"--seconds must be a number or a folder of <seq>_time.txt, got {text}") from None
        return text
    if not 0 <= value < np.inf:
        raise UserError(f"--seconds must not be negative, got {text}")
    return value


def check_seconds(plan: Plan, stage: Stage, folder: Path) -> None:
    """That the times of a real-time run are there is known before older results give way to it."""
    if not isinstance(plan.seconds, str):
        return
    home, given = (folder / plan.layout.home).resolve(), Path(plan.seconds).resolve()
    if folder.resolve() in (given, *given.parents) or given in (home, *home.parents):  # texts in there may give way
        raise UserError(
            f"--seconds must be another folder than that of the results, got {plan.seconds}: copy the times"
        )
    given_seconds(plan.seconds, stage.videos)


# ---------------------------------------------------------------------------------------------------------- tracking


def path_of(folder: Path, video: Video, plan: Plan, repetition: int = 1) -> Path:
    """The result file of a run."""
    return results.result_path(folder / plan.layout.home, video, plan.layout.place, repetition)


def time_path(folder: Path, video: Video, plan: Plan) -> Path:
    """The file of what each frame took."""
    return path_of(folder, video, plan).with_name(f"{video.name}_time.txt")


def record(
    stage: Stage, family: Family, hyper: Mapping[str, Any], folder: Path, plan: Plan, *, quiet: bool = False
) -> None:
    """Track what ``folder`` has no whole result of yet, and write it."""
    repetitions = _repetitions(stage, family, hyper, plan, quiet)
    videos = [v for v in stage.videos if not all(path_of(folder, v, plan, k + 1).is_file() for k in range(repetitions))]
    if not videos:
        return
    costs = _costs(stage, family, hyper, folder, plan, videos, quiet) if plan.protocol == "real_time" else 0.0
    times: dict[int, list[Array]] = {}
    total = frames_to_see(videos, costs, plan.fps) if plan.protocol == "real_time" else sum(map(len, videos))
    with tqdm(total=total * repetitions, unit="frame", desc=folder.name, disable=quiet, leave=False) as bar:
        scheduler = Scheduler(family.at, stage.supply, slots=stage.slots, on_frames=bar.update)
        runs = _runs(family, hyper, videos, plan, repetitions, costs, scheduler)
        for repetition, number, rows, scores, seconds in runs:
            video = videos[number]
            path = path_of(folder, video, plan, repetition + 1)
            if plan.layout.home == "unsupervised":
                rows[0] = [protocols.START, np.nan, np.nan, np.nan]
            if scores is not None and plan.protocol == "long_term":
                results.write_confidences(path, scores)
            if seconds is not None:
                times.setdefault(number, []).append(seconds)
                results.write_times(time_path(folder, video, plan), np.stack(times[number], 1))
            results.write(path, rows, plan.layout.rows, video.origin)  # last: with it the result is whole


def _repetitions(stage: Stage, family: Family, hyper: Mapping[str, Any], plan: Plan, quiet: bool) -> int:
    """Runs of each video, and a word where they are fewer than the protocol has."""
    if plan.protocol not in REPETITIONS:
        return 1
    wanted = plan.repetitions or REPETITIONS[plan.protocol]
    found = protocols.repetitions_needed(
        stage.videos,
        hyper,
        repetitions=wanted,
        stochastic=plan.repetitions is not None or None,
        trackers=family,
        scheduler=Scheduler(family.at, stage.supply, slots=stage.slots),
        reset=plan.protocol == "reset",
    )
    if plan.protocol == "got10k" and plan.repetitions is None and found < wanted and not quiet:
        print(f"the tracker gives the same boxes each time: one run of each video, not {wanted}", file=sys.stderr)
    return found


def _runs(
    family: Family,
    hyper: Mapping[str, Any],
    videos: Sequence[Video],
    plan: Plan,
    repetitions: int,
    costs: realtime.Seconds,
    scheduler: Scheduler,
) -> Iterator[Run]:
    """Every run of these videos as it ends."""
    options: dict[str, Any] = {"trackers": family, "scheduler": scheduler}
    reset = plan.kind == "vot" and plan.protocol != "one_pass"
    if plan.protocol == "real_time":
        options |= {"seconds": costs, "fps": plan.fps, "reset": reset}
        for _, number, rows in realtime.run_real_time(videos, [hyper], **options):
            yield 0, number, rows, None, None
    elif plan.protocol == "got10k" or (scheduler.slots == 1 and not reset):
        yield from realtime.one_by_one(videos, hyper, repetitions=repetitions, **options)
    elif plan.protocol == "long_term":
        for _, number, rows, scores in protocols.long_term(videos, [hyper], **options):
            yield 0, number, rows, scores, None
    else:
        for repetition, number, rows in protocols.run(videos, [hyper] * repetitions, reset=reset, **options):
            yield repetition, number, rows, None, None


# ---------------------------------------------------------------------------------------------------------- real time


def frames_to_see(videos: Sequence[Video], costs: realtime.Seconds, fps: float) -> int:
    """Frames that are not missed, where nothing fails."""
    return sum(len(realtime.frames_seen(realtime.costs_of(video, costs), fps=fps)) for video in videos)


def _costs(
    stage: Stage,
    family: Family,
    hyper: Mapping[str, Any],
    folder: Path,
    plan: Plan,
    videos: Sequence[Video],
    quiet: bool,
) -> realtime.Seconds:
    """Seconds of each frame: as given, as measured by an attempt before, or measured now and written down."""
    if plan.seconds is None:
        todo = [video for video in videos if not time_path(folder, video, plan).is_file()]
        with tqdm(total=sum(map(len, todo)), unit="frame", desc="timing", disable=quiet, leave=False) as bar:
            scheduler = Scheduler(family.at, stage.supply, slots=1, on_frames=bar.update)
            for _, number, _, _, seconds in realtime.one_by_one(todo, hyper, trackers=family, scheduler=scheduler):
                results.write_times(time_path(folder, todo[number], plan), seconds)
    return known_seconds(folder, videos, plan)


def known_seconds(folder: Path, videos: Sequence[Video], plan: Plan) -> realtime.Seconds:
    """Seconds of each frame: as given, or as measured and written below ``folder``."""
    if plan.seconds is not None:
        return given_seconds(plan.seconds, videos)
    return {video.name: _times(time_path(folder, video, plan), video) for video in videos}


def given_seconds(seconds: float | str, videos: Sequence[Video]) -> realtime.Seconds:
    """A number for every frame, or what the ``<seq>_time.txt`` files under a folder say."""
    if not isinstance(seconds, str):
        return seconds
    there = {path.stem.removesuffix("_time"): path for path in sorted(Path(seconds).rglob("*_time.txt"))}
    found = names.match([video.name for video in videos], there)
    missing = [video.name for video in videos if video.name not in found]
    if missing:
        raise UserError(f"{seconds} must hold <seq>_time.txt of every sequence, there is none of {missing[0]}: add it")
    return {video.name: _times(there[found[video.name]], video) for video in videos}


def _times(path: Path, video: Video) -> Array:
    """(T,) seconds of each frame, of the first run where the file has several."""
    values = read_rows(path, tuple(range(1, 64)))[:, 0]
    if len(values) < len(video):
        raise UserError(f"{path} must have {len(video)} rows, one a frame, got {len(values)}; measure again")
    return values[: len(video)]


def seen_of(stage: Stage, folder: Path, plan: Plan) -> str:
    """A line about the frames that were looked at."""
    videos = stage.videos
    share = frames_to_see(videos, known_seconds(folder, videos, plan), plan.fps) / sum(map(len, videos))
    return f"real time at {plan.fps:g} frames a second: {100 * share:.0f} % of the frames are looked at, restarts aside"


# ------------------------------------------------------------------------------------------------------- the scores


def table_of(stage: Stage, folder: Path, plan: Plan) -> str:
    """What came out, with intervals; or where to have it scored."""
    lines = [seen_of(stage, folder, plan)] if plan.protocol == "real_time" else []
    if not boards.has_truth(stage.videos):
        lines.append(
            "no score, only first boxes are given: a benchmark's server takes the texts of this folder, zipped"
        )
    elif plan.protocol in ("one_pass", "reset") and not plan.layout.home and not plan.repetitions:
        lines.append(terminal_table([table_row(folder.name, score(stage, stage.read(folder)))]))
    else:
        board = boards.board_of(stage.name, stage.videos, [folder], experiment=plan.experiment)
        lines += [*board.problems, board.table(), boards.legend(board)]
    return "\n".join(lines)
