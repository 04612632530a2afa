"""What is written at the edges, what is left there, and how a script ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.files import append, atomic_write, sweep

SCRIPT = """
import atexit, sys, time
from lib.files import run_script
atexit.register(lambda: time.sleep(float(sys.argv[2])))
def main():
    print("begun", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(float(sys.argv[1]))
run_script(main)
"""


def test_parts_of_writers_that_are_gone_are_swept(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    atomic_write(tmp_path / "deep" / "kept.json", "{}")
    mine, other = (tmp_path / "deep" / f".kept.json.{pid}.part" for pid in (dead.pid, os.getppid()))
    near = tmp_path / f".log.{dead.pid}.part"
    for path in (mine, other, near):
        path.write_text("half of i")
    sweep(tmp_path, deep=False)
    assert not near.exists() and mine.exists()
    sweep(tmp_path)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted([other.name, "kept.json"])


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path):
    append(tmp_path / "log", "one")
    append(tmp_path / "log", "two")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    with pytest.raises(OSError) as caught:
        append(tmp_path / "none" / "log", "one")
    assert caught.value.filename == str(tmp_path / "none" / "log")
    if Path("/dev/full").exists():
        with pytest.raises(OSError) as caught:
            append("/dev/full", "one")
        assert caught.value.filename == "/dev/full"


def ended_by(*signals: signal.Signals, unwinding: float, leaving: float = 0) -> tuple[int, str]:
    """Status and stderr of a script that gets signals while it works, and takes so many seconds to unwind and leave."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(unwinding), str(leaving)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdout and script.stdout.readline() == "begun\n"
    for number in signals:
        script.send_signal(number)
        time.sleep(0.2)  # else they are one
    return script.wait(timeout=50), script.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_a_line_and_a_second_one_at_once(number: signal.Signals):
    line = "-c: interrupted; what is on disk is complete, run again to go on\n"
    assert ended_by(number, unwinding=0) == (128 + number, line)
    assert ended_by(number, number, unwinding=600) == (128 + number, line)
    assert ended_by(number, number, unwinding=0, leaving=600) == (128 + number, line)


def test_an_ignored_signal_stays_ignored():
    """nohup, and a shell's &, start commands so."""
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{SCRIPT}".replace("sleep(60)", "sleep(1)")
    script = subprocess.Popen([sys.executable, "-c", ignoring, "0", "0"], stdout=subprocess.PIPE)
    assert script.stdout and script.stdout.readline() == b"begun\n"
    script.send_signal(signal.SIGINT)
    assert script.wait(timeout=50) == 0


PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
CHILD = """
import os, time
from lib.files import end_with
end_with(os.getppid())
print("begun", flush=True)
time.sleep(30)
print("outlived its parent")
"""


def test_a_process_ends_with_a_parent_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE)
    assert parent.stdout and parent.stdout.readline() == b"begun\n"
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == b""  # until the child has closed it
