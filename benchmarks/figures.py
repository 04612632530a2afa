"""What benchmarks say of the machine, and how they write their figures down."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lib.files import atomic_write

CPU = torch.device("cpu")


def machine(benchmark: str, device: torch.device = CPU) -> dict[str, Any]:
    """Device, versions, and the command that was typed, without folders of this machine."""
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else f"{platform.machine()}, {torch.get_num_threads()} threads"
    command = " ".join([f"python -m benchmarks.{benchmark}", *sys.argv[1:]])
    if reference := os.environ.get("TRACKING_REFERENCE"):
        command = command.replace(reference, "$TRACKING_REFERENCE")
    return {"device": name, "torch": torch.__version__, "command": command}


def aligned(line: Mapping[str, Any], width: int) -> str:
    """Names and values of a row of the terminal; words take ``width`` characters."""
    return "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{v:{width}}" for k, v in line.items())


def write(path: str | Path | None, about: Mapping[str, Any], **figures: Any) -> None:
    """The figures as JSON, where they are asked for."""
    if path:
        atomic_write(path, json.dumps({"machine": about, **figures}, indent=1) + "\n")
