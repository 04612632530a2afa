"""Weights on a test set: what test_siamfc.py, test_siamrpn.py and test_epochs.py do.

Sequences and epochs are spread over the devices at hand. Results are files, so a run that was stopped goes on with what
is missing.
"""

import argparse
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lib.core.checkpoint import checkpoint_path, epochs_on_disk
from lib.core.device import prepare_process
from lib.core.parallel import spread
from lib.core.runs import Plan, add_protocol_options, check_seconds, plan_of, record, table_of
from lib.core.scoring import HEADLINE, NAMES, Stage, score
from lib.core.subject import Subject, add_options, add_result_options, home_of, hyper_parameters, places_of, subject_of
from lib.core.summary import table_rows
from lib.evaluation.report import terminal_table
from lib.files import UserError, atomic_write, sweep
from lib.models.graphs import weight_files

# --------------------------------------------------------------------------------------------------------- result files


def begin_results(folder: Path, subject: Subject, hyper: Mapping[str, Any]) -> None:
    """Make ``folder`` hold results of these weights, data and hyper-parameters alone. Older ones of ours give way."""
    sweep(folder)
    marker = folder / "tracker.json"
    of = {"weights": digest(subject.weights), "data": str(subject.place()), "hyper": dict(sorted(hyper.items()))}
    told = json.dumps(of, indent=1)
    texts = [*folder.rglob("*.txt"), *folder.rglob("*_confidence.value")]
    if marker.is_file() and marker.read_text() == told:
        return
    if texts and not marker.is_file():
        raise UserError(f"{folder} holds results that are not of this program: give another --name, or move them away")
    if texts:
        print(f"{folder}: results of other weights, data, hyper-parameters or times are replaced")
    for text in texts:
        text.unlink()
    atomic_write(marker, told)


def digest(path: str | Path) -> str:
    """SHA-256 of the weights in a file, or in two graphs."""
    try:
        return hashlib.sha256(b"".join(file.read_bytes() for file in weight_files(path))).hexdigest()
    except OSError as error:
        raise UserError(f"weights must be a readable file, {path} is not ({error.strerror}): check the path") from None


# ------------------------------------------------------------------------------------------------------------- tracking


@dataclass(frozen=True)
class Task:
    """A tracker on some sequences of a set, for one process."""

    subject: Subject
    hyper: dict[str, Any]
    folder: Path
    videos: tuple[int, ...] | None = None  # None: all
    quiet: bool = True
    plan: Plan | None = None  # None: one pass, or restarts, as the set is scored


def track_task(task: Task, device: torch.device) -> None:
    """Write the result files that are missing."""
    whole = task.subject.stage(device)
    family, _ = task.subject.family(device)
    stage = whole
    if task.videos is not None:
        stage = Stage(whole.name, [whole.videos[n] for n in task.videos], device, slots=whole.slots)
        stage.supply = whole.supply
    if task.plan is None:
        stage.track_to_files(family, task.hyper, task.folder, task.folder.name, quiet=task.quiet)
    else:
        record(stage, family, task.hyper, task.folder, task.plan, quiet=task.quiet)


def track(subject: Subject, hyper: dict[str, Any], folder: Path, places: Sequence[torch.device], plan: Plan) -> None:
    """All sequences of the set, spread over the places: longest first, one at a time on CPUs, a share a GPU."""
    if len(places) == 1:
        track_task(Task(subject, hyper, folder, quiet=False, plan=plan), places[0])
        return
    stage = subject.stage(home_of(places))
    lengths = [len(video) for video in stage.videos]
    shares = deal(lengths, len(places) if places[0].type != "cpu" else len(lengths))
    tasks = [Task(subject, hyper, folder, tuple(share), plan=plan) for share in shares]
    run_all(track_task, tasks, places, folder.name, "share")


def deal(weights: Sequence[float], parts: int) -> list[list[int]]:
    """Numbers 0, 1 .. dealt into at most ``parts`` of about equal weight, the heaviest first."""
    shares: list[list[int]] = [[] for _ in range(min(parts, len(weights)))]
    loads = [0.0] * len(shares)
    for number in sorted(range(len(weights)), key=lambda n: -weights[n]):
        least = loads.index(min(loads))
        shares[least].append(number)
        loads[least] += weights[number]
    return shares


Work = Callable[[Any, torch.device], Any]


def run_all(
    work: Work, tasks: Sequence[Any], places: Sequence[torch.device], label: str, unit: str, *, quiet: bool = False
) -> None:
    """Do all tasks; where they are done by other processes a bar counts them."""
    done = spread(work, tasks, places)
    for _ in tqdm(done, label, len(tasks), unit=unit, disable=quiet or len(places) == 1, leave=False):
        pass


def command(family: str, description: str | None, *, dataset: str) -> str:
    """test_siamfc.py and test_siamrpn.py."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", "--checkpoint", help="weights: a checkpoint of ours or a published file")
    parser.add_argument("--epoch_test", type=_flag, default=False, help="True: results are named after the epoch too")
    parser.add_argument("--name", help="name of the tracker in the results (default: its architecture)")
    add_options(parser, dataset)
    add_result_options(parser)
    add_protocol_options(parser)
    args = parser.parse_args()
    prepare_process()
    return score_weights(args, family)


def _flag(text: str) -> bool:
    return text.lower() in ("true", "1", "yes")


def score_weights(args: argparse.Namespace, family: str) -> str:
    """Track the set of the options with their weights, write result files; returns the table."""
    places = places_of(args)
    subject, home = subject_of(args, args.resume, places), home_of(places)
    _, weights = subject.family(home)
    arch = weights.arch
    if family not in arch:
        script = "test_siamrpn.py" if "RPN" in arch else "test_siamfc.py"
        raise UserError(f"{args.resume} must be weights of a {family}, they are of {arch}: run {script}")
    stage = subject.stage(home)
    plan = plan_of(args, stage.kind)
    hyper = hyper_parameters(args.cfg, args.dataset, weights, stage.kind)
    name = args.name or arch + (f"_e{epoch_of(args.resume)}" if args.epoch_test else "")
    folder = subject.results(args.result_path, name)
    check_seconds(plan, stage, folder)
    begin_results(folder, subject, hyper)
    if plan.protocol == "real_time":
        begin_results(folder / plan.layout.home, subject, hyper | plan.told(stage.videos))
    track(subject, hyper, folder, places[:1] if plan.alone else places, plan)
    return f"{table_of(stage, folder, plan)}\nresults: {folder / plan.layout.home}"


def checkpoints_of(folder: str | Path, start: int, end: int) -> dict[int, Path]:
    """Checkpoints of the epochs ``start`` to ``end`` by epoch; says which ones are not there."""
    there = [epoch for epoch in epochs_on_disk(folder) if start <= epoch <= end]
    if not there:
        raise UserError(
            f"{folder} must hold checkpoint_e{start}.pth to e{end}.pth, none is there: name their folder "
            "(--checkpoint_dir)"
        )
    if len(there) < end - start + 1:
        missing = [str(epoch) for epoch in range(start, end + 1) if epoch not in there]
        print(f"not in {folder}: epochs {', '.join(missing)}")
    return {epoch: checkpoint_path(folder, epoch) for epoch in there}


def score_epochs(args: argparse.Namespace, checkpoints: Mapping[int, Path]) -> str:
    """Track the set with every epoch's checkpoint; returns the table by epoch, the best one marked."""
    places = places_of(args)
    first, home = subject_of(args, next(iter(checkpoints.values())), places), home_of(places)
    subjects = {epoch: replace(first, weights=str(path)) for epoch, path in checkpoints.items()}
    stage, weights = first.stage(home), first.family(home)[1]
    arch, hyper = weights.arch, hyper_parameters(args.cfg, args.dataset, weights, stage.kind)
    tasks = {
        epoch: Task(subject, hyper, subject.results(args.result_path, f"{arch}_e{epoch}"), quiet=len(places) > 1)
        for epoch, subject in subjects.items()
    }
    for task in tasks.values():
        begin_results(task.folder, task.subject, hyper)
    run_all(track_task, list(tasks.values()), places, args.dataset, "epoch")
    scores = {epoch: score(stage, stage.read(task.folder)) for epoch, task in tasks.items()}
    headline = HEADLINE[stage.kind]
    known = [epoch for epoch, each in scores.items() if not math.isnan(each.mean[headline])]
    best = max(known, key=lambda epoch: scores[epoch].mean[headline], default=None)
    rows = table_rows({f"epoch {epoch}": each for epoch, each in scores.items()})
    rows = [replace(row, note="best") if row.name == f"epoch {best}" else row for row in rows]
    told = checkpoints[best] if best is not None else f"not known, {NAMES[headline]} needs longer sequences"
    folder = first.results(args.result_path, f"{arch}_e*")
    return f"{terminal_table(rows)}\nresults: {folder}\nbest: {told}"


def epoch_of(path: str | Path) -> int:
    """The epoch in a checkpoint's name."""
    match = re.search(r"_e(\d+)", Path(path).stem)
    if match is None:
        raise UserError(
            f"an epoch's checkpoint must be called like checkpoint_e30.pth, got {path}: leave epoch_test out"
        )
    return int(match[1])
