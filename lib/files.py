"""Files and failures at the edges: atomic writes, and one clear line for whoever typed the command."""

import errno
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
OLD = 3600.0  # seconds after which nobody writes a file any more


class UserError(ValueError):
    """Bad input. The message is one line: what must hold, what came, what to do."""


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write beside ``path`` and rename, so that a reader (or a kill) sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = part_of(path)
    try:
        with open(beside, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:  # a full disk does not say which file it has no room for
        error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """A name beside ``path`` for what is not whole yet: no other writer has it, on no host that shares the folder."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def append(path: str | Path, line: str) -> None:
    """Add a line to a log; a kill, or a full disk, may cut it short: whoever reads a log leaves such a line out."""
    try:
        with open(path, "a") as file:
            file.write(line + "\n")
    except OSError as error:
        error.filename = str(path)
        raise


def sweep(folder: str | Path, *, deep: bool = True) -> None:
    """Remove what killed writers left beside their files, in ``folder`` (and below), once it is an hour old.

    Whether a writer lives cannot be asked: its number may be of another host or container that shares the folder.
    """
    for path in Path(folder).glob("**/.*.part*" if deep else ".*.part*"):
        # older ones have the process number alone; videos end as their writer wants it
        if re.fullmatch(r"\..+\.\d+(-[0-9a-f]{8})?\.part(\.(?i:mp4|mov|mkv|avi))?", path.name):
            with suppress(OSError):  # gone meanwhile; another user's; a folder
                if time.time() - path.stat().st_mtime > OLD:
                    path.unlink()


def beside(parent: int, work: Callable[..., Result], *words: Any) -> Result:
    """``work(*words)`` in a process that ``parent`` has started, or in itself; see :func:`end_with`."""
    end_with(parent)
    return work(*words)


@cache
def end_with(parent: int) -> None:
    """From now on this process ends when its parent has, however that ended: joblib's would live on for minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()


def say(text: str) -> None:
    """On the terminal, beside what a script prints."""
    print(text, file=sys.stderr)


def reason_of(error: Exception) -> str:
    """The first line of an error that says something."""
    lines = (line.strip() for line in str(error).splitlines())
    return (next(filter(None, lines), "") or type(error).__name__)[:200]


def run_script(main: Callable[[], None]) -> None:
    """Run a script's ``main``; bad input and what the system refuses become one line on stderr and exit status 2.

    Ctrl-C and SIGTERM unwind and end with a line too (130, 143); the second of them ends the process at once.
    """
    received: list[int] = []
    handlers = _listen(received)
    try:
        main()
    except UserError as error:
        sys.exit(_say(f"{Path(sys.argv[0]).name}: {error}", 2))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # full, read-only or vanished: nothing that a traceback would explain
        if error.filename is None and error.errno not in CURES:  # not about a file
            raise
        sys.exit(_say(f"{Path(sys.argv[0]).name}: {_refusal(error)}", 2))
    except KeyboardInterrupt:
        _say(_interrupted(), 130)
        for number in handlers:  # from here on another one needs no word
            signal.signal(number, lambda number, _: os._exit(128 + number))
        handlers.clear()
        sys.exit(128 + (received or [signal.SIGINT])[0])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


CURES = {
    errno.ENOSPC: "free some space, then run again",
    errno.EDQUOT: "free some space, then run again",
    errno.EACCES: "give yourself the right, or name another place",
    errno.EPERM: "give yourself the right, or name another place",
    errno.EROFS: "name another place",
    errno.ENOENT: "put it back, or correct the path",
}


def _listen(received: list[int]) -> dict[int, Any]:
    """SIGINT and SIGTERM raise KeyboardInterrupt once, and are noted; returns the handlers that they had."""

    def stop(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:  # whatever takes so long to unwind
            os.write(2, f"{_interrupted()}\n".encode())
            os._exit(128 + number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return {}
    heeded = (n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None))
    return {number: signal.signal(number, stop) for number in heeded}  # nohup, and a shell's &, have one ignored


def _interrupted() -> str:
    return f"{Path(sys.argv[0]).name}: interrupted; what is on disk is complete, run again to go on"


def _refusal(error: OSError) -> str:
    """What the system refused, of which file, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    cure = CURES.get(error.errno or 0, "mend that, then run again")
    return f"files must be readable and writable, {where}{error.strerror or error}: {cure}"


def _say(line: str, status: int) -> int:
    print(line, file=sys.stderr)
    return status
