"""The photographs that scikit-image ships inside its wheel, read by path (its own loaders may download)."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from lib.files import UserError

# No photograph is in two splits, neither as an object nor as a background.
SPLITS = {
    "train": (
        "astronaut.png",
        "retina.jpg",
        "hubble_deep_field.jpg",
        "coins.png",
        "brick.png",
        "grass.png",
        "moon.png",
        "text.png",
    ),
    "val": ("chelsea.png", "rocket.jpg", "gravel.png"),
    "test": ("motorcycle_left.png", "coffee.png", "ihc.png", "camera.png"),
}
LONG_SIDE = 640  # px; larger photographs are shrunk, so that a cut-out of 30 to 100 px holds whole things


def photograph_folder() -> Path:
    """The folder of scikit-image's shipped files."""
    spec = importlib.util.find_spec("skimage")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise UserError("the demo data needs scikit-image, which is not installed; run: pip install scikit-image")
    return Path(spec.origin).parent / "data"


@lru_cache
def read_photographs(split: str) -> tuple[np.ndarray, ...]:
    """All photographs of a split, (H, W, 3) uint8 BGR each; not to be written to."""
    return tuple(_read(photograph_folder() / name) for name in SPLITS[split])


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(
            f"scikit-image must ship {path.name}, but {path} does not exist; install the pinned version: "
            "pip install -r requirements.txt"
        )
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} must be a photograph, but it cannot be decoded; reinstall scikit-image")
    shrink = LONG_SIDE / max(image.shape[:2])
    if shrink < 1:
        size = round(image.shape[1] * shrink), round(image.shape[0] * shrink)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image
