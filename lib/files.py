"""Files and failures at the edges: atomic writes, and one clear line for whoever typed the command."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path


class UserError(ValueError):
    """Bad input. The message is one line: what must hold, what came, what to do."""


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write beside ``path`` and rename, so that a reader (or a kill) sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
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


def run_script(main: Callable[[], None]) -> None:
    """Run a script's ``main``; bad input and what the system refuses become one line on stderr and exit status 2."""
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
        sys.exit(_say(f"{Path(sys.argv[0]).name}: interrupted; what is on disk is complete, run again to go on", 130))


CURES = {
    errno.ENOSPC: "free some space, then run again",
    errno.EDQUOT: "free some space, then run again",
    errno.EACCES: "give yourself the right, or name another place",
    errno.EPERM: "give yourself the right, or name another place",
    errno.EROFS: "name another place",
    errno.ENOENT: "put it back, or correct the path",
}


def _refusal(error: OSError) -> str:
    """What the system refused, of which file, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    cure = CURES.get(error.errno or 0, "mend that, then run again")
    return f"files must be readable and writable, {where}{error.strerror or error}: {cure}"


def _say(line: str, status: int) -> int:
    print(line, file=sys.stderr)
    return status
