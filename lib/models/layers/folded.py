"""Convolutions for inference: batch-norm folded in, ReLU in the same pass.

Axes: N images, C channels, H W cells.

conv then batch-norm in evaluation mode is one convolution: with scale s = gamma / sqrt(var + eps) and shift
t = beta - mean * s, norm(W x + b) = (s W) x + (s b + t). Folding is done in float64. All convolutions here are valid
(no padding): a padded convolution whose border is dropped afterwards is a valid one on fewer cells.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.layers import winograd

SHAPES = 4  # of images, for which a layer keeps its packed weight


def _pointwise(*args: Any) -> Tensor:
    """oneDNN's convolution, what is done to each cell after it in the same pass."""
    return torch.ops.mkldnn._convolution_pointwise(*args)


def _packed(weight: Tensor, shape: Sequence[int], steps: Sequence[Any]) -> Tensor:
    """In the layout that oneDNN wants for images of this shape; else every call makes it anew."""
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *steps, list(shape))


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift, (C,) float64 each, of a batch-norm in evaluation mode: norm(x) = scale * x + shift."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale.detach(), (norm.bias.double() - norm.running_mean.double() * scale).detach()


def constant(x: Tensor) -> nn.Parameter:
    """A weight that is not trained. A Parameter, so that ``model.parameters()`` still tells the device and dtype."""
    return nn.Parameter(x.detach().clone(), requires_grad=False)


class FoldedConv(nn.Module):
    """Valid convolution with ``conv``'s weights and ``norm`` folded in, then ReLU if asked.

    (N, C, H, W) -> (N, C', H', W').

    ``conv``'s own padding is left out: the caller keeps only the cells that did not see it.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, *, relu: bool = False) -> None:
        super().__init__()
        weight, bias = conv.weight.double(), None if conv.bias is None else conv.bias.double()
        if norm is not None:
            scale, shift = affine(norm)
            weight, bias = weight * scale[:, None, None, None], shift if bias is None else scale * bias + shift
        self.weight = constant(weight.to(conv.weight.dtype))
        self.bias = None if bias is None else constant(bias.to(conv.weight.dtype))
        self.stride = (conv.stride[0], conv.stride[1])
        self.groups, self.relu = conv.groups, relu
        self.steps = ([0, 0], self.stride, [1, 1], self.groups)  # padding, stride, dilation, groups of oneDNN
        self._made: dict[Any, tuple[Any, Tensor]] = {}

    def scale_outputs(self, scale: Tensor, shift: Tensor | None = None) -> "FoldedConv":
        """Fold a further scale * . + shift (each (C',)) into a convolution without ReLU."""
        assert not self.relu
        dtype = self.weight.dtype
        self.weight = constant((self.weight.double() * scale[:, None, None, None]).to(dtype))
        bias = shift if self.bias is None else scale * self.bias.double() + (0 if shift is None else shift)
        self.bias = None if bias is None else constant(bias.to(dtype))
        return self

    def forward(self, x: Tensor) -> Tensor:
        if _in_one_pass(x):
            if winograd.pays(x, self.weight, self.stride, self.groups):
                return self._in_tiles(x)
            after = "relu" if self.relu else "none"
            return _pointwise(x, self._kept("whole", x, self._whole), self.bias, *self.steps, after, [], "")
        bias = None if self.bias is None else self.bias.to(x.dtype)
        out = F.conv2d(x, self.weight, bias, self.stride, groups=self.groups)
        return out.relu_() if self.relu else out

    def plus(self, x: Tensor, other: Tensor, *, relu: bool = False) -> Tensor:
        """Convolution (without a ReLU of its own) + ``other``, which may be overwritten, then ReLU if asked.

        One pass over memory where it can be.
        """
        assert not self.relu
        if _in_one_pass(x):
            other = other.contiguous(memory_format=torch.channels_last)
            after: Any = ("add", 1.0, "relu" if relu else None, [], "")
            weight = self._kept("whole", x, self._whole)
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return torch.ops.mkldnn._convolution_pointwise_.binary(other, x, weight, bias, *self.steps, *after)
        out = self(x)
        out += other
        return out.relu_() if relu else out

    def _in_tiles(self, x: Tensor) -> Tensor:
        tiles, steps = winograd.tiles(x), (*self.steps[:3], winograd.READ)
        weight = self._kept("tiles", x, lambda w, _: _packed(winograd.transformed(w), tiles.shape, steps))
        bias = None if self.bias is None else winograd.at_one(self.bias)
        products = _pointwise(tiles, weight, bias, *steps, "none", [], "")
        return winograd.rows_of(products, len(x), x.shape[2] - 2, relu=self.relu)

    def _whole(self, weight: Tensor, shape: Sequence[int]) -> Tensor:
        return _packed(weight, shape, self.steps)

    def _kept(self, name: str, x: Tensor, make: Callable[[Tensor, Sequence[int]], Any]) -> Any:
        """What ``make`` makes of the weight for images of this shape, made once."""
        weight = self.weight
        key = (name, x.shape, x.dtype, weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if key not in self._made:
            if len(self._made) >= SHAPES:
                self._made.clear()
            self._made[key] = make(weight, x.shape), weight.detach()  # which keeps its address from being another's
        return self._made[key][0]

    def _apply(self, fn: Any, recurse: bool = True) -> "FoldedConv":
        """On a CPU the bias stays float32 where the weight becomes bfloat16: oneDNN adds it so in ``forward``.

        Rounded weights err now up, now down; a rounded bias moves every cell the same way, and the stem's, which takes
        the image's mean away, is large beside what is left. ``plus`` and other ways to compute round it after all.
        """
        exact = None if self.bias is None or self.bias.is_meta else self.bias.detach().float()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if exact is not None and self.weight.device.type == "cpu" and self.weight.dtype == torch.bfloat16:
            self.bias = constant(exact.cpu())
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles pack their weights themselves."""
        return {**self.__dict__, "_made": {}}


class FoldedSum(nn.Module):
    """``conv``(x) + ``shortcut``(other), then ReLU if asked: (N, C, H, W), (N, D, H, W) -> (N, C', H, W).

    Two 1x1 convolutions are one of both inputs: to join those moves less than to write a sum and add to it. A shortcut
    without weights (None) is added inside the convolution. ``conv`` is taken over.
    """

    def __init__(self, conv: FoldedConv, shortcut: FoldedConv | None, *, relu: bool) -> None:
        super().__init__()
        self.conv, self.joined, self.relu = conv, shortcut is not None, relu
        if shortcut is not None:
            assert conv.weight.shape[2:] == shortcut.weight.shape[2:] == (1, 1)
            assert conv.bias is not None and shortcut.bias is not None
            conv.weight = constant(torch.cat([conv.weight, shortcut.weight], 1))
            conv.bias = constant(conv.bias + shortcut.bias)
            conv.relu = relu

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """``other`` may be overwritten."""
        return self.conv(torch.cat([x, other], 1)) if self.joined else self.conv.plus(x, other, relu=self.relu)


def _in_one_pass(x: Tensor) -> bool:
    """Whether oneDNN's convolution with ReLU may be called: it is what torch.compile calls on CPUs, not for export.

    It saves a pass over memory for each layer, and 1x1 layers without ReLU are a tenth faster too; the answer is the
    same to the last bit or so.
    """
    return bool(
        not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()  # before what a compiler cannot follow
        and x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        and not torch.is_autocast_enabled("cpu")
        and not (x.requires_grad and torch.is_grad_enabled())
    )
