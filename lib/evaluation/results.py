"""Result files: a tracker's boxes as text, in the layouts that the benchmarks share.

- ``otb``: ``<results>/<data set>/<tracker>/<sequence>.txt``, a row a frame: x, y, w, h; one-based, where the data set's
  own boxes are (:attr:`Sequence.origin`).
- ``vot``: ``<tracker>/baseline/<sequence>/<sequence>_001.txt`` (``_002`` .. for repetitions), a row a frame: ``1``
  start, ``2`` failure, ``0`` skipped, else x, y, w, h or the eight numbers of a polygon.
- ``got10k``: ``<tracker>/<sequence>/<sequence>_001.txt``, rows as OTB's.
- ``longterm``: ``<tracker>/longterm/<sequence>/<sequence>_001.txt``, rows as OTB's, the first one the code ``1``;
  beside it ``<sequence>_001_confidence.value``, a number a line, none in the first.

In memory rows are float64: zero-based xywh; for VOT as in the file, codes as [code, nan, nan, nan].
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.boxfiles import parse_rows, parse_rows_or_codes, read_bytes
from lib.evaluation.facts import OTB_FRAMES
from lib.evaluation.names import key, scored_part
from lib.evaluation.sequences import Sequence
from lib.files import UserError, atomic_write

Array = NDArray[np.float64]

_PLACE = np.array([1, 1, 0, 0])  # the columns that count pixels from an origin


def result_path(tracker: str | Path, sequence: Sequence, kind: str, repetition: int = 1) -> Path:
    """Where a tracker's result on a sequence lies under the tracker's folder."""
    name = sequence.name
    if kind == "otb":
        return Path(tracker) / f"{name}.txt"
    experiment = {"vot": "baseline", "longterm": "longterm"}.get(kind, "")
    return Path(tracker) / experiment / name / f"{name}_{repetition:03d}.txt"


def set_folder(dataset: str | Path, max_frames: int | None) -> str:
    """Name of a set's folder of results; the first frames of a set are another set than the whole of it."""
    return Path(dataset).name + (f"-first{max_frames}" if max_frames else "")  # of a path its last part


def write(path: str | Path, rows: Array, kind: str, origin: int = 1) -> None:
    """Write rows (T, 4 or 8) atomically, with all digits."""
    rows = np.asarray(rows, np.float64)
    rows = rows if kind == "vot" else rows + origin * _PLACE
    lines = [_line(row) for row in rows.tolist()]
    if kind == "longterm":
        lines[:1] = ["1"]
    atomic_write(path, "\n".join(lines) + "\n")


def write_confidences(path: str | Path, confidences: ArrayLike) -> None:
    """Write (T,) scores beside the long-term result at ``path``; the first frame's is the start's, and left out."""
    numbers = np.asarray(confidences, np.float64).tolist()
    atomic_write(confidence_path(path), "\n".join(["", *map(repr, numbers[1:])]) + "\n")


def confidence_path(path: str | Path) -> Path:
    """Where the confidences of the long-term result at ``path`` lie."""
    return Path(path).with_name(f"{Path(path).stem}_confidence.value")


def write_times(path: str | Path, seconds: ArrayLike) -> None:
    """Write the seconds that each frame took, (T,) or (T, repetitions), to a ``<sequence>_time.txt``."""
    values = np.asarray(seconds, np.float64)
    rows = values.reshape(len(values), -1).tolist()
    atomic_write(path, "".join(",".join(f"{value:.8f}" for value in row) + "\n" for row in rows))


def _line(row: list[float]) -> str:
    is_code = row[0] == row[0] and row[1] != row[1]
    return str(int(row[0])) if is_code else ",".join(map(repr, row))


def read(path: str | Path, sequence: Sequence, kind: str) -> Array:
    """Rows of one result file, which must have one for each frame of the sequence; see :func:`fit`."""
    rows = fit(parse(read_bytes(path), path, kind, sequence.origin), sequence, kind)
    if len(rows) < len(sequence):
        raise UserError(f"{path} must have {len(sequence)} rows, one a frame, got {len(rows)}; delete it and run again")
    return rows[: len(sequence)]


def fit(rows: Array, sequence: Sequence, kind: str) -> Array:
    """Rows that begin at the sequence's first frame.

    OTB scores some videos in part. A result over such a whole video begins early (five rows of Tiger1, 299 of David)
    and may end late: these rows are dropped.
    """
    if kind == "otb" and len(sequence) <= OTB_FRAMES.get(key(sequence.name), (1, 0))[1]:
        return rows[scored_part(sequence.name, len(rows))]
    return rows


def parse(text: bytes, path: str | Path, kind: str, origin: int = 1) -> Array:
    """Rows of the text of a result file; ``path`` is named in errors. A code in a long-term result is no box (NaN)."""
    if kind == "otb":
        return parse_rows(text, path, (4,)) - origin * _PLACE
    rows = parse_rows_or_codes(text, path, (4, 8) if kind == "vot" else (4,))
    if kind == "vot":
        return rows
    rows[np.isnan(rows).any(1)] = np.nan
    return rows - origin * _PLACE


def to_length(rows: Array, sequence: Sequence, kind: str) -> tuple[Array | None, str]:
    """A row for each frame, or None where a file cannot be used, and what is to be said of it."""
    frames = len(sequence)
    odd = ~np.isfinite(rows).all(1)
    if kind == "vot":  # codes are no boxes
        odd &= ~np.isnan(rows[:, 1:]).all(1) | np.isnan(rows[:, 0])
    if kind == "longterm":  # a tracker may say that there is nothing to see
        odd &= ~np.isnan(rows).all(1)
    if kind == "vot" and odd.any():
        return None, f"a box must be of finite numbers, that of frame {odd.argmax()} is not; left out, run it again"
    if len(rows) == frames and odd.any():
        return rows, f"{odd.sum()} of {frames} rows are not finite, they count as lost"
    if len(rows) == frames:
        return rows, ""
    if len(rows) > frames:
        return rows[:frames], f"{len(rows)} rows for {frames} frames, the last ones are dropped"
    if kind == "vot":
        return None, f"{len(rows)} rows for {frames} frames, left out; run the sequence again"
    if len(rows) == frames - 1 and not _begins_with(sequence, rows):
        return np.concatenate([sequence.truth[:1], rows]), f"{len(rows)} rows, from the second of {frames} frames on"
    lost = np.full((frames - len(rows), rows.shape[1]), np.nan)
    return np.concatenate([rows, lost]), f"{len(rows)} rows for {frames} frames, the missing ones count as lost"


def _begins_with(sequence: Sequence, rows: Array) -> bool:
    """Whether the first row is the box that was given, a pixel more or less; some tools leave that one out."""
    start = sequence.truth[0]
    return start.shape != rows.shape[1:] or not np.isfinite(start).all() or bool((abs(rows[0] - start) <= 1).all())
