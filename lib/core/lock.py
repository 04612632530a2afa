"""One run at a time in an output folder, and one set of settings."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lib.core.config import to_yaml
from lib.core.settings import TrainSettings
from lib.files import UserError, atomic_write, sweep

FREE_KEYS = ("GPUS", "DEVICE", "WORKERS", "SLOTS", "THREADS", "PRINT_FREQ")  # a run may go on with others of these


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
        sweep(folder)
        yield


def same_run(settings: TrainSettings, folder: Path) -> None:
    """A folder belongs to one set of settings once a run in it has begun; a mistake found before may be mended."""
    sweep(settings.CHECKPOINT_DIR)
    path, text = folder / "settings.yaml", to_yaml(settings)
    begun = any((folder / name).exists() for name in ("train.jsonl", "result", "tune.db"))
    if path.is_file() and begun:
        before, now = (_flat(yaml.safe_load(each)) for each in (path.read_text(), text))
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed := [key for key in changed if key.split(".")[-1] not in FREE_KEYS]:
            raise UserError(
                f"{folder} holds a run with other settings ({', '.join(changed)}): "
                "choose another OUTPUT_DIR, or delete that folder to begin anew"
            )
    atomic_write(path, text)


def _flat(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
