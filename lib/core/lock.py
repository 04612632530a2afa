"""One run at a time in an output folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.files import UserError


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold ``folder``; another run in it is refused. The system lets go when the process ends, however it ends."""
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115 - held open as long as the lock
    except OSError as error:
        message = f"the output folder {folder} must be writable ({error.strerror}): choose another OUTPUT_DIR"
        raise UserError(message) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another"
            raise UserError(f"one run at a time: {folder} is in use by process {owner}: wait or stop it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
