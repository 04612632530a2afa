"""Checkpoints: a model with all that a bit-exact resume needs, written whole or not at all."""

import io
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lib.files import UserError, atomic_write

NAME = re.compile(r"checkpoint_e(\d+)\.pth")
BROKEN = (RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError)


def checkpoint_path(folder: str | Path, epoch: int) -> Path:
    """Where the one-based ``epoch`` is kept."""
    return Path(folder) / f"checkpoint_e{epoch}.pth"


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Plain values and tensors only, so that it loads with ``weights_only=True``."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    atomic_write(path, buffer.getvalue())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of our own onto the CPU."""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a pickle that is then refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"a checkpoint must exist, {path} does not: check the path or train first") from None
    except BROKEN as error:
        reason = (re.split(r"\n|\. ", str(error))[0] or type(error).__name__).strip(". ")  # torch adds advice to itself
        raise UserError(f"{path} must be a whole checkpoint, it cannot be read ({reason}): delete it") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path} must hold a state_dict, it does not: give a checkpoint_e*.pth of a training run")
    return content


def epochs_on_disk(folder: str | Path) -> list[int]:
    """One-based epochs whose checkpoints lie in ``folder``, ascending."""
    folder = Path(folder)
    found = (NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for match in found if match)


def latest_checkpoint(folder: str | Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read; a damaged one is named and the one before it is taken."""
    for epoch in reversed(epochs_on_disk(folder)):
        try:
            return load_checkpoint(checkpoint_path(folder, epoch))
        except UserError:
            damaged = f"{checkpoint_path(folder, epoch)} is damaged"
            print(f"note: {damaged}: training goes on from the epoch before and writes it anew", file=sys.stderr)
    return None
