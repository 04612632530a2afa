"""From the host's memory to a device's."""

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on the device. Neither the host nor what the device is at waits for a copy from the host to a GPU."""
    if device.type == "cuda" and not x.is_cuda:
        x = x.pin_memory()
    return x.to(device, non_blocking=True)
