"""Several processes that train one model: each has a share of every batch, and they act as one process on the whole.

The processes are those of ``torchrun`` where it started them, else they are started here, one for each device. Axes:
N pairs of a share, C channels.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from lib.core.device import prepare_process
from lib.files import UserError, atomic_write
from lib.losses.classification import class_counts


@dataclass(frozen=True)
class Group:
    """The processes that train one model, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def joined(self, model: nn.Module) -> nn.Module:
        """``model`` with batch-norms over the whole batch; names of its weights stay. For one process itself."""
        if self.size == 1:
            return model
        on_gpu = next(model.parameters()).device.type == "cuda"
        return nn.SyncBatchNorm.convert_sync_batchnorm(model) if on_gpu else _with_joint_norms(model)

    def replica(self, model: nn.Module) -> nn.Module:
        """``model`` whose gradients are means over the processes, of the parameters that are open now."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model)

    def divisors(self, label: Tensor) -> Tensor | None:
        """What losses divide by, so that their mean over the processes is the loss of the whole batch."""
        if self.size == 1:
            return None
        counts = class_counts(label)
        dist.all_reduce(counts)
        return counts.clamp(min=1) / self.size

    def share(self, label: Tensor) -> Tensor | float:
        """Factor of a mean over this process's N pairs: N * size / N of the whole batch."""
        if self.size == 1:
            return 1.0
        whole = torch.tensor(float(len(label)), device=label.device)
        dist.all_reduce(whole)
        return len(label) * self.size / whole

    def values(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """The terms of a loss over the whole batch, the same numbers in every process."""
        found = torch.stack([term.detach() for term in terms.values()])
        if self.size > 1:
            dist.all_reduce(found)
            found /= self.size
        return dict(zip(terms, found.tolist(), strict=True))


ALONE = Group()


class JointBatchNorm(_BatchNorm):
    """Batch normalisation (Ioffe & Szegedy 2015) over the batch of all processes, on any device.

    y = (x - m) / sqrt(v + eps) * weight + bias, with mean m and biased variance v of each channel over all processes;
    the running variance is the unbiased one. In evaluation mode as usual.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        dims = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        wide = x.float()
        count = _sum(wide.new_tensor(x.numel() / x.shape[1]))
        mean = _sum(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes after N, C."""


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    return _Sum.apply(x)


def _with_joint_norms(module: nn.Module) -> nn.Module:
    """Replace every batch-norm by a joint one with its parameters and buffers."""
    if isinstance(module, _BatchNorm):
        joint = JointBatchNorm(module.num_features, eps=module.eps, momentum=module.momentum)
        joint._parameters, joint._buffers = module._parameters, module._buffers
        joint.train(module.training)
        return joint
    for name, child in module.named_children():
        setattr(module, name, _with_joint_norms(child))
    return module


# ------------------------------------------------------------------------------------------------ starting processes

Work = Callable[[torch.device, Group], Any]


def run_together(work: Work, devices: Sequence[torch.device]) -> Any:
    """``work(device, group)`` in one process for each device; returns what the first process returns.

    Under torchrun this is already one of the processes. ``work`` can be pickled.
    """
    if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _run_under_torchrun(work, devices)
    if len(devices) == 1:
        return work(devices[0], ALONE)
    with tempfile.TemporaryDirectory(prefix="siamese-") as folder:
        try:
            started = torch.multiprocessing.spawn(
                _run_one, (work, list(devices), folder), nprocs=len(devices), join=False
            )
            _wait(started)
        except torch.multiprocessing.ProcessExitedException as error:
            said = Path(folder) / "error"
            if said.is_file():
                raise UserError(said.read_text()) from None
            raise UserError(f"a training process ended with status {error.exit_code}, see above: start again") from None
        return torch.load(Path(folder) / "result", weights_only=True)


def _wait(started: Any) -> None:
    """Until all processes have ended; they end with this one when it is interrupted."""
    try:
        while not started.join():
            pass
    except KeyboardInterrupt:
        for process in started.processes:
            process.terminate()
        raise


def _run_under_torchrun(work: Work, devices: Sequence[torch.device]) -> Any:
    rank, size, here = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if devices[0].type == "cuda" and beside > len(devices):
        raise UserError(f"each process must have a GPU, there are {beside} for {len(devices)}: --nproc_per_node fewer")
    return _run_in_group(work, devices[here % len(devices)], rank, size, "env://")


def _run_one(rank: int, work: Work, devices: list[torch.device], folder: str) -> None:
    """One of the started processes."""
    prepare_process()
    torch.set_num_threads(max(1, joblib.cpu_count() // len(devices)))
    try:
        result = _run_in_group(work, devices[rank], rank, len(devices), f"file://{folder}/meeting")
    except UserError as error:
        atomic_write(Path(folder) / "error", str(error))
        sys.exit(2)
    if rank == 0:
        torch.save(result, Path(folder) / "result")


def _run_in_group(work: Work, device: torch.device, rank: int, size: int, meeting: str) -> Any:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=size)
    result = work(device, Group(rank, size))
    dist.destroy_process_group()
    return result
