"""Convolutions for inference: batch-norm folded in, ReLU in the same pass.

Axes: N images, C channels, H W cells.

conv then batch-norm in evaluation mode is one convolution: with scale s = gamma / sqrt(var + eps) and shift
t = beta - mean * s, norm(W x + b) = (s W) x + (s b + t). Folding is done in float64. All convolutions here are valid
(no padding): a padded convolution whose border is dropped afterwards is a valid one on fewer cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
            after = "relu" if self.relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, [0, 0], self.stride, [1, 1], self.groups, after, [], ""
            )
        out = F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return out.relu_() if self.relu else out


def _in_one_pass(x: Tensor) -> bool:
    """Whether oneDNN's convolution with ReLU may be called: it is what torch.compile calls on CPUs, not for export.

    It saves a pass over memory for each layer, and 1x1 layers without ReLU are a tenth faster too; the answer is the
    same to the last bit or so.
    """
    return bool(
        x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        and not torch.is_autocast_enabled("cpu")
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )
