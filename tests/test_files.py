"""What is written at the edges, what is left there, and how a script ends when it is told to."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.files import append, atomic_write, part_of, sweep

SCRIPT = """
import atexit, signal, sys, time
from lib.files import run_script
def leave():
    print("leaving", flush=True)
    time.sleep(float(sys.argv[2]))
atexit.register(leave)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
def main():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("unwinding", flush=True)
        time.sleep(float(sys.argv[1]))
run_script(main)
"""


def test_old_parts_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A young one may be written right now, by a process of another container too, whose number is not known here."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    atomic_write(tmp_path / "deep" / "kept.json", "{}")
    old, young = (tmp_path / "deep" / f".kept.json.{pid}.part" for pid in (os.getppid(), dead.pid))
    near, folder = tmp_path / f".log.{dead.pid}.part", tmp_path / "deep" / f".video.{dead.pid}.part"
    folder.mkdir()
    for path in (old, young, near):
        path.write_text("half of i")
    for path, minutes in ((old, 61), (young, 59), (near, 61), (folder, 61)):
        os.utime(path, (0, time.time() - 60 * minutes))
    sweep(tmp_path, deep=False)
    assert not near.exists() and old.exists()
    near.write_text("half of i")
    os.utime(near, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        sweep(tmp_path)
    assert near.exists() and old.exists()
    sweep(tmp_path)
    assert sorted((tmp_path / "deep").iterdir()) == sorted([young, folder, tmp_path / "deep" / "kept.json"])


def test_two_hosts_never_write_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Their processes may have the same number, as here."""
    path, met = tmp_path / "state.json", []
    replace = os.replace

    def while_another_writes(part: Path, target: Path) -> None:
        if not met:
            met.append(part)
            atomic_write(path, "the other's")
            assert path.read_text() == "the other's" and part.read_text() == "ours"
        replace(part, target)

    monkeypatch.setattr(os, "replace", while_another_writes)
    atomic_write(path, "ours")
    assert path.read_text() == "ours" and [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_part_is_swept_whatever_it_is_of(tmp_path: Path):
    parts = [part_of(tmp_path / name) for name in ("a.json", ".hidden", "no suffix", "x.1.part", "größe-ab.pth")]
    parts.append(tmp_path / ".a.json.17.part")  # of older versions
    kept = [tmp_path / name for name in ("a.part", ".a.part", ".a-0123abcd.part", ".a.17-0123abcd.part.json")]
    for path in (*parts, *kept):
        path.write_text("half of i")
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def refused(path: Path, **_: bool) -> None:
    """As another user's file in a folder that has the sticky bit."""
    raise PermissionError(errno.EPERM, "Operation not permitted", str(path))


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
    assert script.stdout
    heard = ["begun\n", "unwinding\n" if unwinding else "leaving\n"]  # after these it is time for the next signal
    for number, line in zip(signals, heard, strict=False):
        assert line in iter(script.stdout.readline, "")
        script.send_signal(number)
    return script.wait(timeout=50), script.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_a_line_and_a_second_one_at_once(number: signal.Signals):
    line = "-c: interrupted; what is on disk is complete, run again to go on\n"
    assert ended_by(number, unwinding=0) == (128 + number, line)
    assert ended_by(number, number, unwinding=600) == (128 + number, line)
    assert ended_by(number, number, unwinding=0, leaving=600) == (128 + number, line)


def test_an_ignored_signal_stays_ignored():
    """nohup, and a shell's &, start commands so."""
    ignoring = SCRIPT.replace("signal.default_int_handler", "signal.SIG_IGN").replace("sleep(60)", "sleep(1)")
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
