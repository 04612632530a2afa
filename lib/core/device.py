"""The device that a run uses, and the process set up for it."""

import ctypes
import sys
from collections.abc import Sequence

import cv2
import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's mallopt


def choose_device(device: str = "auto", gpus: Sequence[int] = (0,)) -> torch.device:
    """``auto``: the first of ``gpus`` that exists, otherwise the CPU. A GPU that is asked for but absent is said."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if device == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    present = [gpu for gpu in gpus if gpu < torch.cuda.device_count()]
    if not present:
        print(f"no GPU of {device} {list(gpus)} is here: going on with the CPU", file=sys.stderr)
        return torch.device("cpu")
    return torch.device("cuda", present[0])


def prepare_process() -> None:
    """Called once by scripts: settings of the process.

    glibc gives big blocks back to the system after every layer and asks for them anew: keeping them halves the time of
    a search pass on a CPU. OpenCV's own threads would compete with PyTorch's.
    """
    cv2.setNumThreads(1)
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
        except (OSError, AttributeError):  # another C library: it runs as fast as that one does
            pass
