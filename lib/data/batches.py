"""Training batches: pairs of crop numbers in, images and targets on the device out.

Axes: N pairs, e template side, i search side, A anchors, n x n cells of the response.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.data.augment import DRAWS, SHARED, Augmentation, plan, render
from lib.data.pixels import Pixels
from lib.data.targets import AnchorRule, anchor_targets, centre_label
from lib.files import UserError

Ints = NDArray[np.int64]
PUBLISHED = AnchorRule()


class Batch(NamedTuple):
    """Images are float32 BGR, 0 .. 255; labels 1 positive, 0 negative, -1 ignored, float32."""

    z: Tensor  # (N, 3, e, e)
    x: Tensor  # (N, 3, i, i)
    label: Tensor  # (N, n, n) SiamFC; (N, A, n, n) SiamRPN
    delta: Tensor | None = None  # (N, 4, A, n, n) SiamRPN
    weight: Tensor | None = None  # (N, A, n, n) SiamRPN
    block_label: Tensor | None = None  # (N, n, n) SiamRPN: what SiamFC's label would be


def steps_of(pairs: int, batch: int, processes: int = 1) -> int:
    """Batches in so many pairs. The last one may be smaller, but each process must have a pair of it."""
    return pairs // batch + (pairs % batch >= processes)


def batches(
    pixels: Pixels,
    pairs: Ints,
    *,
    batch: int,
    template_size: int = 127,
    search_size: int = 255,
    stride: int = 8,
    augmentation: Augmentation,
    family: Literal["siamfc", "siamrpn"],
    anchors: NDArray[np.float64] | None = None,
    rule: AnchorRule = PUBLISHED,
    seed: int,
    epoch: int,
    start_step: int = 0,
    device: torch.device | str = "cpu",
    part: tuple[int, int] = (0, 1),
    ahead: int = 2,
) -> Iterator[Batch]:
    """Batches of an epoch from ``start_step`` on; each depends on (seed, epoch, step) and its pairs alone.

    ``pairs`` (P, 2) template and search crops, ``batch`` of them a step. ``anchors`` (4, A, n, n) cxcywh on the search
    image and ``rule`` are for SiamRPN. ``part`` = (rank, processes): this process makes its share of each batch, the
    shares together are the batch that one process would make. Files are read ``ahead`` steps before their use.
    """
    device = torch.device(device)
    n = (search_size - template_size) // stride + 1
    real = torch.float32 if device.type == "mps" else torch.float64
    if (family == "siamrpn") != (anchors is not None):
        raise ValueError(f"anchors belong to family siamrpn; got family {family}, anchors {anchors is not None}")
    grid = None if anchors is None else torch.from_numpy(anchors).to(device, real)
    if grid is not None and grid.shape[2:] != (n, n):
        raise ValueError(f"anchors must lie on the {n} x {n} cells of the response; got {tuple(grid.shape)}")
    rank, processes = part
    steps = steps_of(len(pairs), batch, processes)
    if steps == 0:
        raise UserError(f"an epoch needs a pair for each of {processes} processes; got {len(pairs)}: give more PAIRS")

    def share(whole: Any) -> Any:
        return whole[len(whole) * rank // processes : len(whole) * (rank + 1) // processes]

    def pairs_of(step: int) -> Ints:
        return share(pairs[step * batch : (step + 1) * batch])

    @torch.no_grad()
    def make(step: int) -> Batch:
        generator = _generator(seed, epoch, step)
        whole = min(batch, len(pairs) - step * batch)
        draws = share(torch.rand(whole, 2, DRAWS, dtype=torch.float64, generator=generator))
        draws[:, 1, SHARED] = draws[:, 0, SHARED]
        crops = pairs_of(step)
        z, _ = _images(pixels, crops[:, 0], draws[:, 0], template_size, augmentation, device, search=False)
        x, boxes = _images(pixels, crops[:, 1], draws[:, 1], search_size, augmentation, device, search=True)
        boxes = boxes.to(real).to(device, non_blocking=True)
        label = centre_label(boxes[:, :2], n, search_size, stride=stride)
        present = torch.from_numpy(pixels.index.video_of(crops[:, 0]) == pixels.index.video_of(crops[:, 1]))
        present = present.to(device, non_blocking=True)
        label = label * present[:, None, None]
        if grid is None:
            return Batch(z, x, label)
        keys = share(torch.rand(whole, *grid.shape[1:], generator=generator))
        targets = anchor_targets(grid, boxes, keys.to(device, non_blocking=True), rule, present)
        return Batch(z, x, targets.label, targets.delta, targets.weight, label)

    for step in range(start_step, min(start_step + ahead, steps)):
        pixels.expect(pairs_of(step))
    for step in range(start_step, steps):
        if step + ahead < steps:
            pixels.expect(pairs_of(step + ahead))
        yield make(step)


def _images(
    pixels: Pixels, ids: Ints, draws: Tensor, m: int, augmentation: Augmentation, device: torch.device, *, search: bool
) -> tuple[Tensor, Tensor]:
    """(N, 3, m, m) images and, on the host, the (N, 4) boxes of their targets."""
    used, parts = pixels.fetch(ids)
    side, size = torch.from_numpy(pixels.side[used]), torch.from_numpy(pixels.index.size[used])
    done = plan(draws, side, size, m, augmentation, search=search)
    return render([(torch.from_numpy(p.rows), p.images) for p in parts], done, m, device), done.box


def _generator(*key: int) -> torch.Generator:
    """A generator of its own for each (seed, epoch, step), on the host: the same numbers for every device."""
    high, low = np.random.SeedSequence([*key, 1]).generate_state(2).tolist()  # 1: not the stream that drew the pairs
    return torch.Generator().manual_seed(high << 32 | low)
