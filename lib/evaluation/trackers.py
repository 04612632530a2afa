"""Trackers' folders of results: which there are, and all that each holds of a data set, in whatever layout.

The runs of a sequence lie in ``<tracker>/<sequence>.txt``, or as ``<sequence>_001.txt`` (``_002`` ...) in a folder of
the sequence's name or in the tracker's; VOT's toolkits put them under the name of the experiment (``baseline``,
``realtime``, ``longterm``). Times are in ``<sequence>_time.txt`` beside them or in ``times/``, confidences in
``<sequence>_001_confidence.value``.
"""

import os
import re
from collections.abc import Callable, Iterable
from collections.abc import Sequence as List
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.evaluation import results
from lib.evaluation.boxfiles import parse_rows, read_bytes
from lib.evaluation.names import key, letters, match, spellings
from lib.evaluation.sequences import Sequence
from lib.files import UserError

Array = NDArray[np.float64]

# folders of experiments, by the kind of rows where none is asked for
EXPERIMENTS = {"vot": ("baseline", "supervised"), "longterm": ("longterm", "unsupervised", "baseline"), "otb": ()}
RUN = re.compile(r"_\d{3,4}$")
BESIDE = re.compile(r"_(time|confidence|value)s?$", re.IGNORECASE)  # a file that is no run


@dataclass(frozen=True)
class Results:
    """What a tracker's folder holds of a data set."""

    runs: dict[str, list[Array]] = field(default_factory=dict)  # sequence -> rows (T, 4 or 8) of each repetition
    problems: list[str] = field(default_factory=list)  # a line for each file that was mended or left out
    identical: int = 1  # repetitions of every sequence, where they are the same to the last letter: one is kept
    seconds: dict[str, Array] = field(default_factory=dict)  # sequence -> what each frame took, where that was kept
    confidences: dict[str, list[Array]] = field(default_factory=dict)  # sequence -> (T,) of each repetition

    def tracks(self) -> dict[str, Array]:
        """The first repetition of each sequence."""
        return {name: runs[0] for name, runs in self.runs.items()}


def read_all(tracker: str | Path, sequences: List[Sequence], kind: str, *, experiment: str | None = None) -> Results:
    """All results of a tracker's folder; files that cannot be used are named, the rest is read.

    ``kind`` of rows: "otb", "vot", or "longterm", which has confidences. A sequence whose every file is bad or missing
    is left out. One-pass frames after a file's last row count as lost (NaN).
    """
    found, listing = Results(), cache(_entries)
    files = _files(Path(tracker), [sequence.name for sequence in sequences], kind, experiment)
    same: list[str] = []
    for sequence in sequences:
        texts = _texts(files.get(sequence.name, ()), found)
        alike = kind != "longterm" and len(texts) > 1 and len(set(texts.values())) == 1
        for path, text in list(texts.items())[: 1 if alike else None]:
            _read_run(path, text, sequence, kind, found)
        if alike and sequence.name in found.runs:
            found.runs[sequence.name] *= len(texts)
            same.append(sequence.name)
        if texts:
            _read_times(next(iter(texts)), sequence.name, found, listing)
    missing = [sequence.name for sequence in sequences if sequence.name not in files]
    if missing:
        some = ", ".join(missing[:8]) + (", .." if len(missing) > 8 else "")
        found.problems.append(f"{tracker}: no result of {len(missing)} of {len(sequences)} sequences: {some}")
    return _each_run_once(Path(tracker), found, same)


def _each_run_once(tracker: Path, found: Results, same: list[str]) -> Results:
    """One repetition of each sequence where all have as many and none of them differs; says where some do not."""
    repetitions = {len(runs) for runs in found.runs.values()}
    if len(same) == len(found.runs) and len(repetitions) == 1:
        runs = {name: runs[:1] for name, runs in found.runs.items()}
        return replace(found, runs=runs, identical=repetitions.pop())
    if same:
        found.problems.append(f"{tracker}: the runs of {len(same)} of {len(found.runs)} sequences are identical")
    return found


def _texts(paths: Iterable[Path], found: Results) -> dict[Path, bytes]:
    texts = {}
    for path in paths:
        try:
            texts[path] = read_bytes(path)
        except UserError as error:
            found.problems.append(str(error))
    return texts


def _read_run(path: Path, text: bytes, sequence: Sequence, kind: str, found: Results) -> None:
    """Add the rows of one file, and its confidences, or say why not."""
    frames = len(sequence)
    scores = None
    try:
        rows, remark = results.to_length(_rows(path, text, sequence, kind), sequence, kind)
        if kind == "longterm" and rows is not None:
            scores = _confidences(path, frames)
    except UserError as error:
        rows, remark = None, str(error)
    if remark:
        found.problems.append(remark if str(path.parent) in remark else f"{path}: {remark}")
    if rows is not None:
        found.runs.setdefault(sequence.name, []).append(rows)
    if scores is not None:
        found.confidences.setdefault(sequence.name, []).append(scores)


def _rows(path: Path, text: bytes, sequence: Sequence, kind: str) -> Array:
    return results.fit(results.parse(text, path, kind, sequence.origin), sequence, kind)


def _confidences(run: Path, frames: int) -> Array:
    """(T,) confidences of the run in that file; NaN where there is none, as in the first frame."""
    stem = RUN.sub("", run.stem)
    names = [f"{run.stem}_confidence", f"{stem}_confidence", f"{run.stem}_confidence.value", run.stem]
    places = [
        run.with_name(name + suffix) for name in names for suffix in (".value", ".txt") if name + suffix != run.name
    ]
    path = next((place for place in places if place.is_file()), places[0])
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    if len(lines) == frames - 1:
        lines.insert(0, "")
    if len(lines) != frames:
        raise UserError(
            f"{path} must have {frames} lines, one confidence a frame, got {len(lines)}; {run.name} left out"
        )
    values = np.full(frames, np.nan)
    for number, line in enumerate(lines):
        if line.strip():
            try:
                values[number] = float(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number + 1}: {line!r} is no number; mend the file") from error
    return values


def _read_times(run: Path, sequence: str, found: Results, listing: Callable[[Path], set[str]]) -> None:
    """Add the seconds that each frame took, where a file beside a run tells them."""
    stem = RUN.sub("", run.stem)
    beside = listing(run.parent)
    names = [f"{stem}_time.txt", f"{run.stem}_time.txt", f"{run.stem}_time.value", f"{stem}_time.value"]
    places = [run.parent / name for name in names if name in beside]
    if "times" in beside and f"{stem}_time.txt" in listing(run.parent / "times"):
        places.append(run.parent / "times" / f"{stem}_time.txt")
    if places:
        try:
            values = parse_rows(read_bytes(places[0]), places[0], tuple(range(1, 64))).ravel()
        except UserError as error:
            found.problems.append(str(error))
        else:
            found.seconds[sequence] = values[np.isfinite(values) & (values > 0)]


# --------------------------------------------------------------------------------------------------- finding files


def _entries(folder: str | Path) -> set[str]:
    """Names in a folder."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _files(tracker: Path, sequences: list[str], kind: str, experiment: str | None) -> dict[str, list[Path]]:
    """The result files of each sequence that has any, whatever the spelling of its name."""
    inner = (experiment,) if experiment else EXPERIMENTS[kind]
    base = next((tracker / name for name in inner if (tracker / name).is_dir()), tracker)
    if experiment and base == tracker and experiment not in tracker.resolve().parts:
        return {}  # of other experiments
    entries = _entries(base)
    stems = {name.removesuffix(".txt"): base / name for name in sorted(entries) if name.endswith(".txt")}
    stems = {stem: path for stem, path in stems.items() if not BESIDE.search(stem)}
    found = {name: [stems[stem]] for name, stem in match(sequences, stems).items()}
    wanted = [name for name in sequences if name not in found]
    if not wanted:
        return found
    folders = [name for name in entries if not name.endswith((".txt", ".value"))]
    for name, folder in match(wanted, folders).items():
        runs = [base / folder / each for each in sorted(_entries(base / folder)) if _is_run(each, folder)]
        if runs:
            found[name] = runs
    grouped: dict[str, list[Path]] = {}
    for stem, path in stems.items():
        if RUN.search(stem):
            grouped.setdefault(RUN.sub("", stem), []).append(path)
    for name, stem in match([name for name in wanted if name not in found], grouped).items():
        found[name] = grouped[stem]
    return found


def _is_run(name: str, folder: str) -> bool:
    """``<sequence>.txt`` or ``<sequence>_001.txt``, not the times or confidences beside it."""
    stem = name.removesuffix(".txt")
    return stem != name and key(folder) in (key(stem), key(RUN.sub("", stem)))


def find(folder: str | Path, dataset: str, patterns: str = "*", start: int = 0, end: int | None = None) -> list[Path]:
    """Folders of the trackers whose name matches one of ``patterns`` (commas between), ``start`` to before ``end``.

    Results on a part of a larger data set (OTB2013 of OTB2015) may lie under the larger one's name; ``folder`` may
    also be the data set's folder itself, or a tracker's. Of a data set that is a path the last part counts.
    """
    root, dataset = Path(folder).expanduser(), Path(dataset).name
    there = {letters(name): root / name for name in reversed(_subfolders(root))}
    named = [letters(name) for name in spellings(dataset)]
    places = [there[name] for name in named if name in there]
    if root.is_dir() and letters(root.resolve().name) in named:
        places.append(root)
    for place in places:
        if chosen := _matching([place / name for name in _subfolders(place)], patterns)[start:end]:
            return chosen
    if not places:
        if chosen := _matching([root / name for name in _subfolders(root) if _is_tracker(root / name)], patterns)[
            start:end
        ]:
            return chosen
        if _is_tracker(root) and _matching([root], patterns):
            return [root]
    where = f"{root / dataset}/<tracker matching {patterns!r}>"
    raise UserError(f"trackers' results must lie in {where}, none is there: check the folder and the pattern")


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _matching(folders: list[Path], patterns: str) -> list[Path]:
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    return [folder for folder in folders if any(fnmatch(folder.name, pattern) for pattern in wanted)]


def _is_tracker(folder: Path) -> bool:
    """Whether results lie in it, not in folders of trackers within it."""
    entries = _entries(folder)
    if any(name.endswith(".txt") for name in entries) or entries & {
        name for own in EXPERIMENTS.values() for name in own
    }:
        return True
    inner = next((name for name in sorted(entries) if (folder / name).is_dir()), None)
    return inner is not None and any(_is_run(name, inner) for name in _entries(folder / inner))
