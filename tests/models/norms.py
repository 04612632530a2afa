"""Models as if trained: batch-norms that do something."""

from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def random_norms(model: Model, gains: tuple[float, float] = (0.5, 1.5)) -> Model:
    """Random statistics, shifts and gains in every batch-norm; in place."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, *gains)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model
