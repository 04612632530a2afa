"""Frames from disk to the device: decoded ahead by threads, each once while they fit in memory."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import images
from lib.files import UserError
from lib.geometry.crop import Frames
from lib.memory import sent


def read_image(path: Path | str) -> np.ndarray:
    """(H, W, 3) uint8 BGR, whatever the file holds (grey, alpha, 16 bit)."""
    image = images.read_image(path)
    if image is None:
        state = "is damaged or of an unknown format" if Path(path).is_file() else "does not exist"
        raise UserError(f"a frame must be a readable image, {path} {state}: restore it or drop the sequence")
    return image


WAITING = 4  # times what is asked for at once may wait; more is of slots that failed and will not come for it


class FrameSupply:
    """Packs frames for a step. Decoded frames stay on the device up to ``budget_bytes``, the least used go first."""

    def __init__(self, *, device: torch.device | str = "cpu", budget_bytes: int = 4 << 30, workers: int = 2) -> None:
        self.device = torch.device(device)
        self.budget_bytes = budget_bytes
        self.held: OrderedDict[Path, Tensor] = OrderedDict()
        self.held_bytes = 0
        self.ahead: dict[Path, Future[np.ndarray]] = {}
        self.pool = ThreadPoolExecutor(workers)

    def prefetch(self, paths: Iterable[Path]) -> None:
        """Begin to decode frames that will be asked for soon."""
        paths = list(paths)
        for path in paths:
            if path not in self.held and path not in self.ahead:
                self.ahead[path] = self.pool.submit(read_image, path)
        while len(self.ahead) > WAITING * max(len(paths), 1):
            self.ahead.pop(next(iter(self.ahead))).cancel()

    def frames(self, paths: Sequence[Path]) -> Frames:
        """The frames of N slots, on the device."""
        return Frames.pack([self._image(path) for path in paths])

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _image(self, path: Path) -> Tensor:
        if path in self.held:
            self.held.move_to_end(path)
            return self.held[path]
        waiting = self.ahead.pop(path, None)
        image = sent(torch.from_numpy(read_image(path) if waiting is None else waiting.result()), self.device)
        self.held[path] = image
        self.held_bytes += image.numel()
        while self.held_bytes > self.budget_bytes and len(self.held) > 1:
            _, oldest = self.held.popitem(last=False)
            self.held_bytes -= oldest.numel()
        return image
