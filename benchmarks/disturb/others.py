"""Faults other than SIGKILL: each must end in one clear line, and the next run must go on to the same end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.disturb.job import Job, Watch, check_whole, same_job
from benchmarks.disturb.kills import Whole, ended_well
from benchmarks.disturb.process import Run

Said = tuple[int, str]  # exit status, and the line on stderr


class Skip(Exception):
    """Why a fault cannot be made here."""


def said(run: Run, status: int) -> Said:
    """What a run ended with: the expected status, and one line."""
    found, lines = run.wait(), run.complaint
    if found != status or len(lines) != 1:
        raise ValueError(f"{' '.join(run.words)} must end with {status} and one line, got {found} and {lines}")
    return found, lines[0]


def goes_on(job: Job, folder: Path, whole: Whole, data: Path | None = None) -> None:
    """Nothing is corrupt, and the next run ends as an undisturbed one."""
    check_whole(folder / "output")
    ended_well(job.onekey(folder, data=data), whole.table)
    same_job(folder / "output", whole.folder / "output")


def reach(run: Run, happened: Callable[[], bool]) -> None:
    """Wait for it; the run must not end before."""
    if not run.until(happened):
        raise ValueError(f"{' '.join(run.words)} ended with {run.status} too early: {run.complaint}")


@contextmanager
def at_stage(run: Run, watch: Watch, stage: str) -> Iterator[None]:
    """Hold the run where a stage begins."""
    reach(run, lambda: watch.reached(stage))
    run.send(signal.SIGSTOP)
    yield
    run.send(signal.SIGCONT)


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[Path]:
    """A file system of its own at ``folder``."""
    folder.mkdir(parents=True)
    try:
        mount("-t", "tmpfs", "-o", f"size={size}", "faults", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skip("only root may mount a small file system") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def disk_full(job: Job, whole: Whole, stage: str) -> Said:
    """No byte is free from the beginning of a stage on."""
    with small_disk(job.root / f"full-{stage}") as folder:
        watch, run = Watch(folder), job.onekey(folder)
        filler = folder / "filler"
        with at_stage(run, watch, stage), open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        found = said(run, 2)
        filler.unlink()
        goes_on(job, folder, whole)
    return found


def read_only(job: Job, whole: Whole) -> Said:
    """The output folder takes nothing."""
    with small_disk(job.root / "read-only") as folder:
        (folder / "output").mkdir()
        job.settings(folder)
        mount("-o", "remount,ro", str(folder))
        found = said(job.onekey(folder), 2)
        mount("-o", "remount,rw", str(folder))
        goes_on(job, folder, whole)
    return found


def frame_vanishes(job: Job, whole: Whole) -> Said:
    """A frame of the test set is gone when it is its turn."""
    folder = job.root / "frame"
    data = Path(shutil.copytree(job.data, folder / "data"))
    watch, run = Watch(folder), job.onekey(folder, data=data)
    frame = sorted((data / "demo-val").rglob("*.jpg"))[-1]
    with at_stage(run, watch, "test"):
        frame.rename(frame.with_suffix(".gone"))
    found = said(run, 2)
    frame.with_suffix(".gone").rename(frame)
    goes_on(job, folder, whole, data)
    return found


def checkpoint_vanishes(job: Job, whole: Whole) -> Said:
    """The weights of an epoch are gone when they are to be tested."""
    folder = job.root / "weights"
    watch, run = Watch(folder), job.onekey(folder)
    file = folder / "output" / "snapshot" / "checkpoint_e3.pth"
    with at_stage(run, watch, "test"):
        file.unlink()
    found = said(run, 2)
    goes_on(job, folder, whole)
    return found


def checkpoint_cut(job: Job, whole: Whole) -> Said:
    """The newest checkpoint is half as long: the one before it is used."""
    folder = job.root / "cut"
    watch, run = Watch(folder), job.onekey(folder)
    with at_stage(run, watch, "test"):
        run.send(signal.SIGKILL)
    run.wait()
    file = folder / "output" / "snapshot" / "checkpoint_e3.pth"
    os.truncate(file, file.stat().st_size // 2)
    found = said(job.onekey(folder), 0)
    same_job(folder / "output", whole.folder / "output")
    return found


def two_runs(job: Job, whole: Whole) -> Said:
    """A second run in the folder of a first one is refused, which goes on untouched."""
    folder = job.root / "two"
    watch, run = Watch(folder), job.onekey(folder)
    reach(run, lambda: watch.reached("train"))
    found = said(job.onekey(folder), 2)
    ended_well(run, whole.table)
    same_job(folder / "output", whole.folder / "output")
    return found


def signalled(job: Job, whole: Whole, *numbers: signal.Signals) -> Said:
    """Signals while it trains, as from a shell."""
    folder = job.root / "-".join(number.name for number in numbers)
    watch, run = Watch(folder), job.onekey(folder, forked=False)
    reach(run, lambda: watch.reached("train"))
    time.sleep(whole.length("train") / 2)
    for number in numbers:
        run.send(number)
        time.sleep(0.01)
    found = said(run, 128 + numbers[0])
    goes_on(job, folder, whole)
    return found


def signalled_together(job: Job, whole: Whole) -> Said:
    """Ctrl-C in a terminal reaches the processes that a command has started, too."""
    words: list[object] = ["siamese_tracking/test_epochs.py", "--checkpoint_dir", whole.folder / "output" / "snapshot"]
    words += ["--start_epoch", 1, "--end_epoch", 3, "--dataset", "demo-test", "--dataset_root", job.data]
    words += ["--threads", 2, "--device", "cpu", "--result_path"]
    folder = job.root / "together"
    run = job.script([*words, folder], forked=False)
    reach(run, lambda: any(folder.rglob("test*.txt")))
    os.killpg(run.pid, signal.SIGINT)
    found = said(run, 130)
    tables = []
    for place in (folder, job.root / "apart"):
        again = job.script([*words, place])
        if again.wait():
            raise ValueError(f"the next run must go on, it said {again.complaint}")
        tables.append(again.out.read_text().replace(str(place), ""))
    if tables[0] != tables[1]:
        raise ValueError(f"tables must be the same, got {tables}")
    return found


FAULTS: dict[str, Callable[[Job, Whole], Said]] = {
    "disk full in train": partial(disk_full, stage="train"),
    "disk full in test": partial(disk_full, stage="test"),
    "disk full in tune": partial(disk_full, stage="tune"),
    "disk full in report": partial(disk_full, stage="report"),
    "read-only output folder": read_only,
    "frame vanishes": frame_vanishes,
    "checkpoint vanishes": checkpoint_vanishes,
    "checkpoint cut": checkpoint_cut,
    "two runs in one folder": two_runs,
    "SIGTERM": lambda job, whole: signalled(job, whole, signal.SIGTERM),
    "Ctrl-C": lambda job, whole: signalled(job, whole, signal.SIGINT),
    "Ctrl-C twice": lambda job, whole: signalled(job, whole, signal.SIGINT, signal.SIGINT),
    "Ctrl-C, two processes": signalled_together,
}
