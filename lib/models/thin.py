"""Narrow weights from wide ones: channels are chosen on images, and what reads them makes good what is lost.

ThiNet (Luo et al., ICCV 2017): of a layer's channels those stay from which the outputs of the layers that read them can
be told best, chosen one after the other; these layers are then fitted by least squares, to give what they gave before.
A unit's last layer is fitted to its sum with the shortcut, so errors do not add up along the units.

Axes: N images, C channels, H W cells, M samples (cells of all images), I inputs of a layer, O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lib.models.layers.cir import CIRBottleneck, crop
from lib.models.layers.folded import affine

SAMPLES = 20_000  # M
RIDGE = 1e-3  # of the inputs' mean variance: what one could as well be told from others must not grow

Problem = tuple[Tensor, Tensor]  # inputs (M, I) and the outputs (M, O) that shall be told from them


@torch.no_grad()
def thin(wide: Any, narrow: Any, images: Tensor) -> float:
    """Fill ``narrow`` in place with what ``wide`` knows, a CIResNet as it is; ``images`` (N, 3, H, W): what they see.

    Returns the share of the variance of the wide features, over the images, that the narrow ones tell.
    """
    wide.eval()
    narrow.eval()
    full = wide.stem(images)
    kept = _choose(_readers(full, wide.layer1[0]), len(wide.bn1.weight), len(narrow.bn1.weight))
    _take(wide, narrow, images, kept)
    slim = narrow.stem(images)
    for layers, theirs, readers in ((wide.layer1, narrow.layer1, [wide.layer2[0]]), (wide.layer2, narrow.layer2, [])):
        passed = [full]  # the stream after each layer
        for layer in layers:
            passed.append(layer(passed[-1]))
        problems = [
            p for x, layer in zip(passed[1:], [*layers[1:], *readers], strict=False) for p in _readers(x, layer)
        ]
        if not readers:  # features are read as they are
            problems.append((_rows(passed[-1]), _rows(passed[-1])))
        kept = _choose(problems, layers[0].conv3.out_channels, theirs[0].conv3.out_channels)
        for layer, their in zip(layers, theirs, strict=True):
            if isinstance(layer, CIRBottleneck):
                full, slim = _thin_unit(layer, their, full, slim, kept)
            else:
                full, slim = layer(full), their(slim)
    inputs, outputs = _rows(slim), _rows(full)
    weight, bias = _fit(inputs, outputs)
    return 1 - float((outputs - inputs @ weight.T - bias).var(0).sum() / outputs.var(0).sum())


def _readers(x: Tensor, unit: nn.Module) -> list[Problem]:
    """What a unit makes of the stream ``x``: the outputs of the layers that read it, before the ReLU."""
    if not isinstance(unit, CIRBottleneck):
        return []
    made = [unit.bn1(unit.conv1(x)), *([] if unit.downsample is None else [unit.downsample(x)])]
    return [(_rows(x), _rows(y)) for y in made]


def _thin_unit(wide: Any, narrow: Any, full: Tensor, slim: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Fit one unit, whose sum keeps the channels ``kept``; returns what comes out of both."""
    first = wide.bn1(wide.conv1(full))
    second = wide.bn2(wide.conv2(first.relu()))
    third = wide.bn3(wide.conv3(second.relu()))
    shortcut = full if wide.downsample is None else wide.downsample(full)

    inner = _choose([(_rows(first.relu(), 3), _rows(second))], first.shape[1], narrow.conv1.out_channels)
    _fill(narrow.conv1, narrow.bn1, _rows(slim), _rows(first)[:, inner])
    hidden = narrow.bn1(narrow.conv1(slim)).relu()
    middle = _choose([(_rows(second.relu()), _rows(third))], second.shape[1], narrow.conv2.out_channels)
    _fill(narrow.conv2, narrow.bn2, _rows(hidden, 3), _rows(second)[:, middle])
    hidden = narrow.bn2(narrow.conv2(hidden)).relu()
    if narrow.downsample is not None:
        _fill(narrow.downsample[0], narrow.downsample[1], _rows(slim), _rows(shortcut)[:, kept])
        slim = narrow.downsample(slim)
    _fill(narrow.conv3, narrow.bn3, _rows(hidden), _rows(third + shortcut)[:, kept] - _rows(slim))
    sums = third + shortcut, narrow.bn3(narrow.conv3(hidden)) + slim
    return tuple(crop(x if wide.last else x.relu(), 1) for x in sums)  # type: ignore[return-value]


def _rows(x: Tensor, kernel: int = 1) -> Tensor:
    """(N, C, H, W) -> (M, C) float64, or (M, C * kernel^2): the neighbourhoods; the same cells for the same N, H, W.

    Cells at the border are left out: a unit drops them.
    """
    images, height, width = len(x), x.shape[2] - 2, x.shape[3] - 2
    chosen = torch.randperm(images * height * width, generator=torch.Generator().manual_seed(0))[:SAMPLES]
    image, row, column = torch.unravel_index(chosen, (images, height, width))
    row, column = row + 1, column + 1
    reach = torch.arange(kernel) - kernel // 2
    down, across = row[:, None, None] + reach[:, None], column[:, None, None] + reach
    return x.movedim(1, -1)[image[:, None, None], down, across].movedim(-1, 1).flatten(1).double()


def _choose(problems: Sequence[Problem], channels: int, count: int) -> Tensor:
    """Indices of the ``count`` of ``channels`` that tell the outputs of all problems best, each counting the same.

    Forward selection. With C the inputs' covariance and X that of inputs and outputs, a channel j (a block of rows,
    where neighbourhoods are inputs) adds trace(X_j' C_jj^-1 X_j); what it tells is then taken out of C and X.
    """
    tasks = []
    for inputs, outputs in problems:
        outputs = (outputs - outputs.mean(0)) / (outputs.std(0) + 1e-6) / outputs.shape[1] ** 0.5
        tasks.append((_covariance(inputs), (inputs - inputs.mean(0)).T @ outputs / len(inputs)))
    chosen = []
    for _ in range(count):
        gain = torch.zeros(channels, dtype=torch.float64)
        for c, x in tasks:
            blocks = c.unflatten(0, (channels, -1)).unflatten(2, (channels, -1)).diagonal(dim1=0, dim2=2).movedim(-1, 0)
            parts = x.unflatten(0, (channels, -1))
            gain += (parts * torch.linalg.solve(blocks, parts)).sum((1, 2))
        chosen.append(int(gain.argmax()))
        for c, x in tasks:
            size = len(c) // channels
            j = slice(chosen[-1] * size, (chosen[-1] + 1) * size)
            told = torch.linalg.solve(c[j, j], torch.cat([c[j], x[j]], 1))
            across = c[:, j].clone()
            c -= across @ told[:, : len(c)]
            x -= across @ told[:, len(c) :]
            c[j], c[:, j], c[j, j], x[j] = 0.0, 0.0, torch.eye(size, dtype=torch.float64), 0.0
    return torch.tensor(chosen).sort().values


def _covariance(inputs: Tensor) -> Tensor:
    """(M, I) -> (I, I), its diagonal a little larger."""
    centred = inputs - inputs.mean(0)
    covariance = centred.T @ centred / len(inputs)
    return covariance.diagonal_scatter(covariance.diagonal() + RIDGE * covariance.diagonal().mean())


def _fit(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (O, I) and bias (O,) of the least squares of outputs (M, O) on inputs (M, I)."""
    shared = (inputs - inputs.mean(0)).T @ (outputs - outputs.mean(0)) / len(inputs)
    weight = torch.linalg.solve(_covariance(inputs), shared).T
    return weight, outputs.mean(0) - weight @ inputs.mean(0)


def _fill(conv: Any, norm: Any, inputs: Tensor, outputs: Tensor) -> None:
    """Fit a convolution and its batch-norm, whose statistics become those of the samples."""
    weight, bias = _fit(inputs, outputs)
    conv.weight.copy_(weight.reshape(conv.weight.shape))
    made = inputs @ weight.T
    _set_norm(norm, made.mean(0), made.var(0), torch.ones_like(bias), bias)


def _set_norm(norm: Any, mean: Tensor, variance: Tensor, gain: Tensor, shift: Tensor) -> None:
    """Make ``norm`` give gain * x + shift where it knows x to have this mean and variance (each of shape (O,))."""
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(gain * (variance + norm.eps).sqrt())
    norm.bias.copy_(shift + gain * mean)


def _take(wide: Any, narrow: Any, images: Tensor, kept: Tensor) -> None:
    """The stem's filters ``kept`` as they are."""
    narrow.conv1.weight.copy_(wide.conv1.weight[kept])
    made = narrow.conv1(images)
    gain, shift = affine(wide.bn1)
    _set_norm(narrow.bn1, made.mean((0, 2, 3)), made.var((0, 2, 3)), gain[kept], shift[kept])
