"""What the tests of run_video.py and run_webcam.py share: weights, a clip, and the command lines."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from lib.core.checkpoint import save_checkpoint
from tests.tracker.clips import small_model

ROOT = Path(__file__).parents[2]
SIZE = (320, 240)
TARGET = (100, 120, 50, 40)  # xywh in the first frame


def checkpoint(path: Path, arch: str = "SiamFCRes22") -> Path:
    """Random weights as a training run writes them."""
    content = {"epoch": 1, "arch": arch, "state_dict": small_model(arch).state_dict(), "mapping": "sigmoid"}
    save_checkpoint(path, content)
    return path


def frame(number: int) -> np.ndarray:
    """A bright square that moves over dark, coarse noise."""
    image = _ground().copy()
    x, y, w, h = TARGET
    x += round(40 * np.sin(number / 20))
    image[y : y + h, x : x + w] = (60, 220, 250)
    return image


@cache
def _ground() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 90, (15, 20, 3), dtype=np.uint8)
    return cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)


def clip(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE)
    for number in range(frames):
        writer.write(frame(number))
    writer.release()
    return path


def start(script: str, *words: object, display: str | None = None) -> subprocess.Popen[str]:
    """A script in a process of its own, with or without a display."""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"OMP_NUM_THREADS": "1"} | ({"DISPLAY": display} if display else {})
    command = [sys.executable, str(ROOT / "siamese_tracking" / script), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
