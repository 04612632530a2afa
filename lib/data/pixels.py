"""Pixels of the training crops: each file is decoded once where memory allows, ahead of its use by threads where not.

Axes: M crops, S side; images are (M, 3, S, S) uint8, BGR.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lib.data.index import Index
from lib.files import UserError
from lib.images import read_image
from lib.memory import sent

Ints = NDArray[np.int64]
UNKNOWN, GOOD, BAD = 0, 1, 2
SHARE = 0.4  # of the memory that is free, for pixels


class Rows(NamedTuple):
    """Crops of one side."""

    rows: Ints  # (m,) their places in what was asked for
    images: Tensor  # (m, 3, S, S) uint8


class Pixels:
    """Decoded crops of an index.

    Where all of them fit in ``budget`` bytes (of ``device``, else of the host; default: a share of what is free) a crop
    stays decoded after its first use; otherwise crops are decoded for each batch. ``residence`` says which it is.

    A file that is missing or broken, or whose side is not its set's, is never used: the next readable crop of its track
    (after the last comes the first), else of its set, takes its place, whatever was read before.
    """

    def __init__(
        self, index: Index, *, device: torch.device | str = "cpu", budget: int | None = None, workers: int = 8
    ) -> None:
        self.index = index
        self._state = np.zeros(len(index), np.uint8)
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
        self._coming: dict[int, Future[np.ndarray | None]] = {}
        sides = np.array([self._side_of_set(s) for s in range(len(index.sets))], np.int64)
        self.side: Ints = sides[index.set_of(np.arange(len(index)))]  # (K,) pixels
        # crops of one side share a buffer; a crop's place in it
        self._place = np.empty(len(index), np.int64)
        for side in np.unique(self.side):
            self._place[self.side == side] = np.arange((self.side == side).sum())
        self.bytes = int((3 * self.side**2).sum())
        self.device, self.residence = self._find_room(torch.device(device), budget)
        self._buffers: dict[int, Tensor] = {}
        if self.residence != "stream":
            self._buffers = {
                int(side): torch.empty((count, 3, side, side), dtype=torch.uint8, device=self.device)
                for side, count in zip(*np.unique(self.side, return_counts=True), strict=True)
            }

    def fetch(self, ids: Ints) -> tuple[Ints, list[Rows]]:
        """The crops that stand for ``ids`` (M,), and their pixels on ``device``, one entry for each side among them."""
        ids = np.asarray(ids, np.int64)
        images = self._read(np.unique(ids))
        used = ids.copy()
        for row in np.flatnonzero(self._state[ids] == BAD):
            used[row] = self._substitute(int(ids[row]), images)
        parts = []
        for side in np.unique(self.side[used]):
            rows = np.flatnonzero(self.side[used] == side)
            if self._buffers:
                places = sent(torch.from_numpy(self._place[used[rows]]), self.device)
                pixels = self._buffers[int(side)].index_select(0, places)
            else:
                pixels = torch.from_numpy(np.stack([images[int(i)] for i in used[rows]]))
            parts.append(Rows(rows, pixels))
        return used, parts

    def expect(self, ids: Ints) -> None:
        """Begin to decode crops that :meth:`fetch` will be asked for soon."""
        ids = np.unique(ids)
        state = self._state[ids]
        for crop in ids[state == UNKNOWN if self._buffers else state != BAD].tolist():
            if crop not in self._coming:
                self._coming[crop] = self._pool.submit(self._decode, crop)

    def preload(self, *, quiet: bool = False, chunk: int = 256) -> None:
        """Decode all crops now, with a progress bar; nothing to do where they do not fit."""
        if not self._buffers:
            return
        chunks = np.split(np.arange(len(self.index)), range(chunk, len(self.index), chunk))
        with tqdm(total=len(self.index), desc="decode", unit="crop", disable=quiet) as bar:
            for number, ids in enumerate(chunks):
                for ahead in chunks[number : number + 2]:
                    self.expect(ahead)
                self._read(ids)
                bar.update(len(ids))

    @property
    def unreadable(self) -> int:
        """Files found broken so far."""
        return int((self._state == BAD).sum())

    def report(self) -> str:
        """Where the pixels are, and what could not be read."""
        where = {"stream": "decoded for each batch", "host": "decoded once, in host memory"}
        lines = [
            f"{self.bytes / 2**30:.2f} GiB of pixels, {where.get(self.residence, f'decoded once, on {self.device}')}"
        ]
        if self.unreadable:
            first = self.index.path(int(np.argmax(self._state == BAD)))
            lines.append(f"left out: {self.unreadable} crops that cannot be read, the first is {first}")
        return "\n".join(lines)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read(self, ids: Ints) -> dict[int, np.ndarray]:
        """Decode what is not known of distinct ``ids``; into the buffers, or, without them, to be returned."""
        self.expect(ids)
        images: dict[int, np.ndarray] = {}
        for crop in ids.tolist():
            if crop in self._coming:
                image = self._coming.pop(crop).result()
                self._state[crop] = BAD if image is None else GOOD
                if image is not None:
                    images[crop] = image
        if not self._buffers:
            return images
        new = np.array(sorted(images), np.int64)
        for side in np.unique(self.side[new]):
            crops = new[self.side[new] == side]
            pixels = torch.from_numpy(np.stack([images[i] for i in crops.tolist()]))
            places = torch.from_numpy(self._place[crops]).to(self.device)
            self._buffers[int(side)].index_copy_(0, places, pixels.to(self.device))
        return {}

    def _substitute(self, crop: int, images: dict[int, np.ndarray]) -> int:
        """The next readable crop of the track of ``crop``, else of its set; a function of the files alone."""
        track = int(self.index.track_of(np.asarray(crop)))
        first, last = (int(i) for i in self.index.track_start[track : track + 2])
        whole = self.index.crops_of_set(int(self.index.set_of(np.asarray(crop))))
        for candidate in [
            *range(crop + 1, last),
            *range(first, crop),
            *range(last, whole.stop),
            *range(whole.start, first),
        ]:
            if self._state[candidate] != BAD and candidate not in images:
                images.update(self._read(np.array([candidate])))
            if self._state[candidate] == GOOD:
                return candidate
        raise UserError(f"no crop of the set of {self.index.path(crop)} can be read: check PATH")

    def _decode(self, crop: int) -> np.ndarray | None:
        """(3, S, S), or None where the file is no image of the set's side."""
        side = int(self.side[crop])
        image = read_image(self.index.path(crop))
        if image is None or image.shape != (side, side, 3):
            return None
        planes = np.empty((3, side, side), np.uint8)
        cv2.split(image, list(planes))
        return planes

    def _side_of_set(self, number: int) -> int:
        """The side of the set's first readable square image."""
        for crop in self.index.crops_of_set(number):
            image = read_image(self.index.path(crop))
            if image is not None and image.shape[0] == image.shape[1]:
                return image.shape[0]
        part = self.index.sets[number]
        raise UserError(f"set {part.name} must hold square images; none under {part.path} can be read")

    def _find_room(self, device: torch.device, budget: int | None) -> tuple[torch.device, str]:
        for place in dict.fromkeys([device, torch.device("cpu")]):
            if self.bytes <= (free_memory(place) * SHARE if budget is None else budget):
                return place, "host" if place.type == "cpu" else "device"
        return torch.device("cpu"), "stream"


def free_memory(device: torch.device) -> int:
    """Bytes free on a device; of the host's the least of what the machine and the control group allow."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine = _table(Path("/proc/meminfo")).get("MemAvailable:", 4 * 2**20) * 1024  # unknown: a small machine's
    group = Path("/sys/fs/cgroup")
    most, used = (_table(group / name).get("", None) for name in ("memory.max", "memory.current"))
    if most is None or used is None:
        return machine
    cached = _table(group / "memory.stat")  # pages of files give way
    return max(0, min(machine, most - used + cached.get("active_file", 0) + cached.get("inactive_file", 0)))


def _table(path: Path) -> dict[str, int]:
    """Numbers of a status file of the kernel by the word before them; a number alone has the name ""."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    entries = [(["", *words] if len(words) == 1 else words)[:2] for words in map(str.split, lines) if words]
    return {name: int(number) for name, number in entries if number.isdigit()}
