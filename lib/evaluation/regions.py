"""Overlaps of all frames of a tracker's runs, whatever the regions: rectangles or polygons, rasterised or exact.

Legend: ``K`` runs (one repetition of one sequence), ``F`` frames of all runs one after another, ``Q`` sequences. A row
of a result is a region (xywh or polygon) or [code, nan, ...]: 1 start, 2 failure, 0 skipped.
"""

from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.polygons import Convention, polygon_overlap, rasterised_overlap

Array = NDArray[np.float64]
Overlap = Literal["rasterised", "exact"]

START, FAILURE, SKIPPED, REGION = 1, 2, 0, -1


@dataclass(frozen=True)
class Runs:
    """Overlaps of all runs of one tracker on all sequences, in the order of the sequences."""

    overlaps: Array  # (F,) NaN where there is no region
    wide: Array  # (F,) the same in an image one pixel wider and higher
    codes: NDArray[np.int64]  # (F,) 1 start, 2 failure, 0 skipped, -1 a region
    lengths: NDArray[np.int64]  # (K,) frames
    sequence: NDArray[np.int64]  # (K,) which sequence
    frames: NDArray[np.int64]  # (Q,) frames of each sequence

    @property
    def repetitions(self) -> NDArray[np.int64]:
        """(Q,) runs of each sequence."""
        return np.bincount(self.sequence, minlength=len(self.frames))


def collect(
    sequences: List[Sequence],
    results: Mapping[str, Array | List[Array]],
    *,
    convention: Convention = "pysot",
    overlap: Overlap = "rasterised",
) -> Runs:
    """Overlaps of every frame of every repetition, all at once."""
    runs = [_as_runs(sequence, results[sequence.name]) for sequence in sequences]
    rows = [row for run in runs for row in run]
    repeated = [sequence for sequence, run in zip(sequences, runs, strict=True) for _ in run]
    codes = np.concatenate([np.where(np.isnan(row[:, 1]), np.nan_to_num(row[:, 0]), REGION) for row in rows])
    overlaps, wide = overlaps_of(rows, repeated, convention, overlap)
    return Runs(
        overlaps=overlaps,
        wide=wide,
        codes=codes.astype(np.int64),
        lengths=np.array([len(row) for row in rows]),
        sequence=np.repeat(np.arange(len(sequences)), [len(run) for run in runs]),
        frames=np.array([len(sequence) for sequence in sequences]),
    )


def _as_runs(sequence: Sequence, result: Array | List[Array]) -> list[Array]:
    runs = [result] if isinstance(result, np.ndarray) and result.ndim == 2 else list(result)
    for run in runs:
        if len(run) != len(sequence):
            raise UserError(f"{sequence.name}: a result must have {len(sequence)} rows, got {len(run)}; run it again")
    if not runs:
        raise UserError(f"{sequence.name}: at least one result must be there, got none")
    return runs


def overlaps_of(
    rows: List[Array], sequences: List[Sequence], convention: Convention, overlap: Overlap
) -> tuple[Array, Array]:
    """(F,) overlaps of runs, and those in a wider image, NaN where a region is missing.

    ``rows`` and ``sequences`` pair by pair; runs with like regions are scored together.
    """
    groups: dict[tuple[int, int, bool], list[int]] = {}
    sizes = [sequence.image_size() for sequence in sequences]
    for k, (row, sequence, size) in enumerate(zip(rows, sequences, sizes, strict=True)):
        groups.setdefault((row.shape[1], sequence.truth.shape[1], size is None), []).append(k)
    found = [np.empty((2, 0))] * len(rows)
    for (_, _, unbounded), members in groups.items():
        lengths = [len(rows[k]) for k in members]
        track = torch.from_numpy(np.concatenate([rows[k] for k in members]))
        truth = torch.from_numpy(np.concatenate([sequences[k].truth for k in members]))
        bound = (
            None if unbounded else torch.tensor([sizes[k] for k in members]).repeat_interleave(torch.tensor(lengths), 0)
        )
        both = _two_overlaps(track, truth, bound, convention, overlap)
        for k, part in zip(members, np.split(both, np.cumsum(lengths)[:-1], 1), strict=True):
            found[k] = part
    inside, wide = np.concatenate(found, 1)
    return inside, wide


def _two_overlaps(
    track: torch.Tensor, truth: torch.Tensor, size: torch.Tensor | None, convention: Convention, overlap: Overlap
) -> Array:
    """(2, F) overlaps in the image and in one a pixel wider and higher; NaN where either region is missing."""
    values = np.full((2, len(track)), np.nan)
    scored = (track.isfinite().all(1) & truth.isfinite().all(1)).nonzero()[:, 0]
    a, b = track[scored], truth[scored]
    if overlap == "exact":
        values[:, scored] = polygon_overlap(a, b).numpy()
        return values
    bound = None if size is None else size[scored]
    values[:, scored] = rasterised_overlap(a, b, bound, convention=convention).numpy()
    if bound is not None and convention == "pysot":
        far = torch.maximum(_farthest(a), _farthest(b))
        beyond = (far > bound - 1).any(1).nonzero()[:, 0]  # all others are not clipped there
        values[1, scored[beyond]] = rasterised_overlap(a[beyond], b[beyond], bound[beyond] + 1).numpy()
    return values


def _farthest(region: torch.Tensor) -> torch.Tensor:
    """(F, 2) greatest x and y of each region."""
    return region[:, :2] + region[:, 2:] if region.shape[1] == 4 else region.unflatten(1, (4, 2)).amax(1)
