"""Work over the devices at hand: which ones there are, and one call after another spread over processes.

joblib starts the processes, so that any of its backends can take their place: within
``joblib.parallel_config(backend="ray")`` the same calls run on a cluster.
"""

import os
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import joblib
import torch
from tqdm import tqdm

from lib.core.device import prepare_process
from lib.files import end_with

Result = TypeVar("Result")

_claimed: dict[str, tuple[socket.socket | None, torch.device]] = {}  # this process's place in a run


def devices_at_hand(device: str = "auto", gpus: Sequence[int] | None = None) -> list[torch.device]:
    """The GPUs of ``gpus`` (None: all) that are here, else the CPU; named ones that are absent are said on stderr.

    ``device``: auto, cuda, mps or cpu.
    """
    if device == "cpu":
        return [torch.device("cpu")]
    if device == "mps" and torch.backends.mps.is_available():
        return [torch.device("mps")]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = list(range(count)) if gpus is None else list(gpus)
    present = [gpu for gpu in wanted if gpu < count]
    absent = [str(gpu) for gpu in wanted if gpu >= count]
    if absent or (not present and device != "auto"):
        instead = f"GPU {', '.join(map(str, present))}" if present else "the CPU"
        missing = f"GPU {', '.join(absent)}" if absent else device
        if os.environ.get("RANK", "0") == "0":  # of processes that torchrun started one speaks
            print(f"note: {missing} is not here; going on with {instead}", file=sys.stderr)
    return [torch.device("cuda", gpu) for gpu in present] or [torch.device("cpu")]


def places_for(devices: Sequence[torch.device], processes: int | None = None) -> list[torch.device]:
    """The device of each process: one process a GPU, or ``processes`` (None: one) on a CPU, at most one a core."""
    if devices[0].type != "cpu":
        return list(devices[: processes or len(devices)])
    return [devices[0]] * max(1, min(processes or 1, joblib.cpu_count()))


def spread(work: Callable[..., Result], tasks: Sequence[Any], places: Sequence[torch.device]) -> Iterator[Result]:
    """Yield ``work(task, device)`` of every task, in their order; with one place in this process, else in others.

    ``work`` is a function of a module, ``task`` can be pickled. A process keeps its device, and what ``work`` caches,
    from call to call.
    """
    if len(places) == 1:
        for task in tasks:
            yield work(task, places[0])
        return
    run = f"siamese-{os.getpid()}-{zlib.crc32(str(places).encode())}"
    calls = (joblib.delayed(_work)(work, task, list(places), run) for task in tasks)
    yield from joblib.Parallel(n_jobs=len(places), batch_size=1, return_as="generator")(calls)


def _work(work: Callable[..., Result], task: Any, places: list[torch.device], run: str) -> Result:
    if run not in _claimed:
        prepare_process()
        end_with(os.getppid())  # with it goes its GPU
        tqdm.set_lock(threading.RLock())  # a lock for all processes would be left in the system by one that is stopped
        _claimed[run] = _claim(places, run)
    return work(task, _claimed[run][1])


def _claim(places: list[torch.device], run: str) -> tuple[socket.socket | None, torch.device]:
    """The first place that no other process of the run has. What holds it is a name in Linux's abstract socket space:
    it is gone when the process is, however it ended, and every machine of a cluster has its own."""
    for number, place in enumerate(places):
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0{run}.{number}")
        except OSError:
            holder.close()
            continue
        return holder, place
    return None, places[os.getpid() % len(places)]
