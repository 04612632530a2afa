"""Models and images of the recorded outputs: weights filled from each tensor's name (see golden/README)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from lib.models import zoo


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded_model(name: str, golden: Path, mode: str) -> torch.nn.Module:
    """The model called ``name`` with recorded weights: 'raw', or with the gains of 'track' or 'train'."""
    arch, _, cls_type = name.partition("_")
    model = zoo.build(arch, **({"cls_type": cls_type} if cls_type else {}))
    gains = load_module(golden / "presets.py").preset(name, list(model.state_dict()), mode)
    return load_module(golden / "fill.py").fill(model, None if mode == "raw" else gains)


def image(seed: int, side: int, count: int = 1) -> torch.Tensor:
    pixels = np.random.default_rng(seed).uniform(0, 255, (count, 3, side, side))
    return torch.from_numpy(pixels.astype(np.float32))
