"""Commands that run beside us and can be stopped, slowed and killed.

Most are forked from this process, which has imported everything already: a kill then lands in the work and not in the
seconds of importing. Others are started as from a shell.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
POLL, PATIENCE = 0.002, 600.0  # s
LATE = (  # what a run imports on its way
    "lib.core.onekey",
    "lib.data.prepare.check",
    "matplotlib.backends.backend_svg",
    "optuna.storages._rdb.storage",
    "sqlalchemy.dialects.sqlite",
    "torch._dynamo",
)


def preload() -> None:
    """Import all that a run needs; afterwards this process can be forked."""
    torch.set_num_threads(1)
    for name in LATE:
        import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked"


class Run:
    """A command that was started; its stdout and stderr go into files."""

    def __init__(self, words: Sequence[object], said: Path, *, forked: bool = True) -> None:
        self.words = [str(word) for word in words]
        self.out, self.err = said.with_suffix(".out"), said.with_suffix(".err")
        self.began = time.monotonic()
        self.status: int | None = None
        self.pid = self._fork() if forked else self._start()

    def _fork(self) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            os._exit(self._be_the_command())
        return pid

    def _be_the_command(self) -> int:
        os.setsid()
        for number, path in ((1, self.out), (2, self.err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = [str(ROOT / self.words[0]), *self.words[1:]]
        status = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def _start(self) -> int:
        command = [sys.executable, str(ROOT / self.words[0]), *self.words[1:]]
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job; the command must heed it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            return subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True).pid

    def ended(self) -> bool:
        """Whether it is over; its status is then known."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit status; minus the signal's number where one killed it."""
        assert self.until(lambda: False, seconds) is False and self.status is not None
        return self.status

    def until(self, happened: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait for something; False where the command ended first."""
        deadline = time.monotonic() + seconds
        while not happened():
            if self.ended():
                return False
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"{' '.join(self.words)} did nothing for {seconds:g} s")
            time.sleep(POLL)
        return True

    def send(self, number: int) -> None:
        """A signal for the command alone, not for its children."""
        os.kill(self.pid, number)

    @property
    def complaint(self) -> list[str]:
        """Lines on stderr as a terminal shows them: a progress bar is overwritten by what comes after it."""
        lines = (line.rpartition("\r")[2] for line in self.err.read_bytes().decode().split("\n"))
        return [line for line in lines if line.strip()]

    @property
    def table(self) -> str:
        """What it printed, up to the place of the report: runs in other folders print the same."""
        return self.out.read_text().partition("\nreport:")[0]
