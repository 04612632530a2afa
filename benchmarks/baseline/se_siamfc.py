"""SE-SiamFC computed as it was published with SiamSE: a stand-in to measure against, not to use.

In every call each layer multiplies its weights with its basis, convolves with all scales' kernels at the largest one's
size (groups = scales), and moves between (N, C, S, H, W) and (N, S*C, H, W); 1x1 layers are 3-d convolutions,
batch-norms are not folded, and cells that cropping drops are computed.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

SCALES = 3


class PublishedSESiamFC:
    """Works from the state-dict of an SE-SiamFC; images (N, 3, side, side) RGB 0..255."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {key.removeprefix("features."): value for key, value in state.items()}

    def features(self, x: Tensor) -> Tensor:
        """(N, C, S, H, W)."""
        mean, std = (self.state[key].view(1, 3, 1, 1) for key in ("mean", "std"))
        x = (x / 255 - mean) / std
        x = F.relu_(self._norm("features.bn1", self._lift("features.conv1", x, stride=2)))
        x = F.max_pool3d(_crop(x, 2), (1, 2, 2))
        for unit in range(3):
            x = self._unit(f"features.layer1.{unit}", x)
        x = F.max_pool3d(self._unit("features.layer2.0", x, pooled=True), (1, 2, 2))
        for unit in (2, 3, 4):
            x = self._unit(f"features.layer2.{unit}", x, last=unit == 4)
        return x

    template = search = features

    def match(self, kernels: Tensor, features: Tensor) -> Tensor:
        """Template features of one slot (1, C, S, h, w), search features -> response (N, 1, h', w')."""
        return 0.1 * F.conv2d(features.max(2)[0], kernels.max(2)[0])

    def _unit(self, name: str, x: Tensor, *, pooled: bool = False, last: bool = False) -> Tensor:
        out = x.max(2)[0] if pooled else x
        out = F.relu_(self._norm(f"{name}.bn1", self._pointwise(f"{name}.conv1", out)))
        out = (self._lift if pooled else self._convolve)(f"{name}.conv2", out)
        out = F.relu_(self._norm(f"{name}.bn2", out))
        out = self._norm(f"{name}.bn3", self._pointwise(f"{name}.conv3", out))
        if f"{name}.downsample.0.weight" in self.state:
            x = self._norm(f"{name}.downsample.1", self._pointwise(f"{name}.downsample.0", x))
        out = _crop(out + x, 1)
        return out if last else F.relu_(out)

    def _kernel(self, name: str) -> Tensor:
        """(C', C, S, k, k)."""
        weight, basis = self.state[f"{name}.weight"], self.state[f"{name}.basis"]
        kernel = weight @ basis.flatten(1)
        return kernel.view(*weight.shape[:2], *basis.shape[1:])

    def _lift(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = self._kernel(name)
        flat = kernel.permute(0, 2, 1, 3, 4).contiguous().flatten(0, 1)
        y = F.conv2d(F.pad(x, [kernel.shape[-1] // 2] * 4), flat, stride=stride)
        return y.unflatten(1, (len(kernel), SCALES))

    def _convolve(self, name: str, x: Tensor) -> Tensor:
        kernel = self._kernel(name)
        flat = kernel.permute(2, 0, 1, 3, 4).contiguous().flatten(0, 1)
        x = x.permute(0, 2, 1, 3, 4).contiguous().flatten(1, 2)
        y = F.conv2d(F.pad(x, [kernel.shape[-1] // 2] * 4), flat, groups=SCALES)
        return y.unflatten(1, (SCALES, -1)).permute(0, 2, 1, 3, 4).contiguous()

    def _pointwise(self, name: str, x: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        if x.ndim == 4:
            return F.conv2d(x, weight)
        weight = weight.unsqueeze(2) if weight.ndim == 4 else weight
        around = weight.shape[2] - 1
        return F.conv3d(x, weight, padding=(around, 0, 0))[:, :, around:]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, var, gain, shift = (self.state[f"{name}.{part}"] for part in parts)
        return F.batch_norm(x, mean, var, gain, shift)


def _crop(x: Tensor, cells: int) -> Tensor:
    return F.pad(x, [-cells] * 4)
