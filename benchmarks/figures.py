"""What benchmarks say of the machine, and how they write their figures down."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
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
    """Names and values of a row of the terminal; words take ``width`` characters. Profiles follow, a line each."""
    row = "  ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{v:{width}}" for k, v in line.items() if not isinstance(v, dict)
    )
    profiles = ((k, v) for k, v in line.items() if isinstance(v, dict))
    return "\n".join([row, *(f"  {k}: " + ", ".join(f"{n} {s:.1%}" for n, s in v.items()) for k, v in profiles)])


def profile(call: Callable[[], Any], device: torch.device, most: int = 12) -> dict[str, float]:
    """Shares of a call's time that operations take (on a GPU its kernels), the largest first; ``idle`` is the rest."""
    on_gpu, activity = device.type == "cuda", torch.profiler.ProfilerActivity
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    with torch.profiler.profile(activities=[activity.CUDA if on_gpu else activity.CPU]) as profiler:
        began = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize(device)
        microseconds = 1e6 * (time.perf_counter() - began)
    events = (event for event in profiler.key_averages() if event.device_type == kind)
    took = {e.key[:60]: e.self_device_time_total if on_gpu else e.self_cpu_time_total for e in events}
    shares = {name: took[name] / microseconds for name in sorted(took, key=lambda name: -took[name])[:most]}
    return {"idle": max(0.0, 1 - sum(took.values()) / microseconds), **shares}


def write(path: str | Path | None, about: Mapping[str, Any], **figures: Any) -> None:
    """The figures as JSON, where they are asked for."""
    if path:
        atomic_write(path, json.dumps({"machine": about, **figures}, indent=1) + "\n")
