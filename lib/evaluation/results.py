"""Result files: a tracker's boxes as text, in the layouts that the benchmarks share.

- OTB: ``<results>/<data set>/<tracker>/<sequence>.txt``, a row a frame: x, y, w, h, one-based.
- VOT: ``<results>/<data set>/<tracker>/baseline/<sequence>/<sequence>_001.txt`` (``_002`` .. for repetitions), a row a
  frame: ``1`` start, ``2`` failure, ``0`` skipped, else x, y, w, h or the eight numbers of a polygon.

In memory rows are float64: zero-based xywh for OTB; as in the file for VOT, codes as [code, nan, nan, nan].
"""

import re
from collections.abc import Iterable
from collections.abc import Sequence as List
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.evaluation.boxfiles import parse_rows_or_codes, read_bytes, read_rows
from lib.evaluation.names import OTB_FRAMES, key, match, scored_part, spellings
from lib.evaluation.sequences import Sequence
from lib.files import UserError, atomic_write

Array = NDArray[np.float64]

_ONE = np.array([1, 1, 0, 0])


def result_path(tracker: str | Path, sequence: Sequence, kind: str, repetition: int = 1) -> Path:
    """Where a tracker's result on a sequence lies under the tracker's folder."""
    name = sequence.name
    if kind == "otb":
        return Path(tracker) / f"{name}.txt"
    return Path(tracker) / "baseline" / name / f"{name}_{repetition:03d}.txt"


def write(path: str | Path, rows: Array, kind: str) -> None:
    """Write rows (T, 4 or 8) atomically, with all digits."""
    rows = np.asarray(rows, np.float64)
    rows = rows + _ONE if kind == "otb" else rows
    lines = [_line(row) for row in rows.tolist()]
    atomic_write(path, "\n".join(lines) + "\n")


def _line(row: list[float]) -> str:
    is_code = row[0] == row[0] and row[1] != row[1]
    return str(int(row[0])) if is_code else ",".join(map(repr, row))


def read(path: str | Path, sequence: Sequence, kind: str) -> Array:
    """Rows of one result file, which must have one for each frame of the sequence; see :func:`fit`."""
    rows = fit(_rows(path, kind), sequence, kind)
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


def _rows(path: str | Path, kind: str) -> Array:
    return read_rows(path, (4,)) - _ONE if kind == "otb" else parse_rows_or_codes(read_bytes(path), path)


# ------------------------------------------------------------------------------------------- all results of a tracker


@dataclass(frozen=True)
class Results:
    """What a tracker's folder holds of a data set."""

    runs: dict[str, list[Array]]  # sequence -> rows (T, 4 or 8) of each repetition
    problems: list[str]  # a line for each file that was mended or left out

    def tracks(self) -> dict[str, Array]:
        """The first repetition of each sequence."""
        return {name: runs[0] for name, runs in self.runs.items()}


def read_all(tracker: str | Path, sequences: List[Sequence], kind: str) -> Results:
    """All results of a tracker's folder; files that cannot be used are named, the rest is read.

    A sequence whose every file is bad or missing is left out. OTB frames after a file's last row count as lost (NaN).
    """
    runs: dict[str, list[Array]] = {}
    problems: list[str] = []
    files = _files(Path(tracker), sequences, kind)
    for sequence in sequences:
        for path in files.get(sequence.name, ()):
            try:
                rows, remark = _to_length(fit(_rows(path, kind), sequence, kind), len(sequence), kind)
            except UserError as error:
                rows, remark = None, str(error)
            if remark:
                problems.append(remark if str(path) in remark else f"{path}: {remark}")
            if rows is not None:
                runs.setdefault(sequence.name, []).append(rows)
    missing = [sequence.name for sequence in sequences if sequence.name not in files]
    if missing:
        some = ", ".join(missing[:8]) + (", .." if len(missing) > 8 else "")
        problems.append(f"{tracker}: no result of {len(missing)} of {len(sequences)} sequences: {some}")
    return Results(runs, problems)


def _to_length(rows: Array, frames: int, kind: str) -> tuple[Array | None, str]:
    odd = ~np.isfinite(rows).all(1)
    odd &= ~np.isnan(rows[:, 1:]).all(1) | np.isnan(rows[:, 0]) if kind == "vot" else True  # codes are no boxes
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
    lost = np.full((frames - len(rows), rows.shape[1]), np.nan)
    return np.concatenate([rows, lost]), f"{len(rows)} rows for {frames} frames, the missing ones count as lost"


def _files(tracker: Path, sequences: List[Sequence], kind: str) -> dict[str, list[Path]]:
    """The result files of each sequence that has any, whatever the spelling of its name."""
    names = [sequence.name for sequence in sequences]
    base = next((tracker / inner for inner in ("baseline", "supervised") if (tracker / inner).is_dir()), tracker)
    found: dict[str, list[Path]] = {}
    if kind == "vot":
        folders = {path.name: path for path in _sorted(base.iterdir()) if path.is_dir()} if base.is_dir() else {}
        for name, folder in match(names, folders).items():
            texts = [path for path in _sorted(folders[folder].glob("*.txt")) if _is_run(path, folder)]
            if texts:
                found[name] = texts
    stems = {path.stem: path for path in _sorted(base.glob("*.txt"))} if base.is_dir() else {}
    stems = {re.sub(r"_001$", "", stem): path for stem, path in stems.items()} if kind == "vot" else stems
    for name, stem in match([name for name in names if name not in found], stems).items():
        found[name] = [stems[stem]]
    return found


def _is_run(path: Path, folder: str) -> bool:
    """``<sequence>_001.txt``, not the times or confidences beside it."""
    return re.fullmatch(re.escape(folder) + r"(_\d+)?", path.stem, re.IGNORECASE) is not None


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.name)


def trackers(
    results: str | Path, dataset: str, pattern: str = "*", start: int = 0, end: int | None = None
) -> list[Path]:
    """Folders of the trackers whose name matches ``pattern``, ordered by name, from ``start`` to before ``end``.

    Results on a part of a larger data set (OTB2013 of OTB2015) may lie under the larger one's name; ``results`` may
    also be the data set's folder itself.
    """
    root = Path(results).expanduser()
    there = {path.name.casefold(): path for path in _sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}
    places = [there[name.casefold()] for name in spellings(dataset) if name.casefold() in there]
    if root.is_dir() and root.resolve().name.casefold() in map(str.casefold, spellings(dataset)):
        places.append(root)
    for folder in places:
        inside = [path for path in _sorted(folder.iterdir()) if path.is_dir()]
        chosen = [path for path in inside if fnmatch(path.name, pattern)][start:end]
        if chosen:
            return chosen
    raise UserError(f"trackers' results must lie in {root / dataset}/<tracker matching {pattern!r}>, none is there")
