"""Looking for things on disk, whatever their case; and saying what is not there."""

import re
import sys
from collections.abc import Callable, Iterable
from collections.abc import Sequence as List
from dataclasses import replace
from pathlib import Path

from lib.evaluation.names import SUBSETS, canonical, key, letters
from lib.evaluation.sequences import Sequence
from lib.files import UserError

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}
IMAGE_FOLDERS = ("img", "color", "imgs", "images", "frames")


def child(folder: Path | None, *names: str) -> Path | None:
    """The first of ``folder / name`` that exists; the exact name, else one that differs in case and punctuation."""
    if folder is None or not folder.is_dir():
        return None
    for name in names:
        if (folder / name).exists():
            return folder / name
    there: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        there.setdefault(_plain(path.name), path)
    return next((there[_plain(name)] for name in names if _plain(name) in there), None)


def _plain(name: str) -> str:
    """Letters of a name and of its suffix: OTB2015.json is not the folder OTB-2015."""
    stem, dot, suffix = name.rpartition(".")
    return f"{letters(stem)}.{letters(suffix)}" if stem and dot else letters(name)


def subfolders(folder: Path | None) -> list[str]:
    """Names, in order, without hidden ones."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_folder(home: Path) -> Path:
    """Where a sequence's images lie: ``img``, ``color`` ... within its folder, or the folder itself."""
    inside = next((home / inner for inner in IMAGE_FOLDERS if (home / inner).is_dir()), None)
    if inside is not None or not home.is_dir():
        return inside or home
    others = {name.casefold(): name for name in subfolders(home)}
    return next((home / others[inner] for inner in IMAGE_FOLDERS if inner in others), home)


def images(folder: Path | None) -> list[Path]:
    """Image files of a folder in the order of the numbers in their names."""
    if folder is None or not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
    return sorted(files, key=lambda path: (tuple(map(int, re.findall(r"\d+", path.stem))), path.name))


def numbered(files: List[Path], first: int, last: int) -> list[Path]:
    """The images numbered ``first`` to ``last``, up to the first that is not there."""
    by_number: dict[int, Path] = {}
    for path in files:
        digits = re.findall(r"\d+", path.stem)
        if digits:
            by_number.setdefault(int(digits[-1]), path)
    there = [by_number.get(number) for number in range(first, last + 1)]
    end = there.index(None) if None in there else len(there)
    return [path for path in there[:end] if path is not None]


def unwrapped(folder: Path, is_it: Callable[[Path], bool]) -> Path:
    """The folder itself, or the one that lies alone in it, as archives leave it: the first that ``is_it``."""
    inner = folder
    for _ in range(3):
        if is_it(inner):
            return inner
        within = subfolders(inner)
        if len(within) != 1:
            break
        inner = inner / within[0]
    return folder


def cut(sequence: Sequence, count: int) -> Sequence:
    """The first ``count`` frames."""
    whole = len(sequence)
    tags = {
        k: v[:count] if v.ndim and v.dtype.kind in "bif" and len(v) == whole else v for k, v in sequence.tags.items()
    }
    return replace(sequence, frames=sequence.frames[:count], truth=sequence.truth[:count], tags=tags)


def members(name: str, titles: Iterable[str]) -> set[str]:
    """Those of ``titles`` that belong to a data set: all, unless it is a part of a larger one (OTB2013).

    Members that are not there are named. That is an error where other titles are: the larger set should have them all.
    Where there are members only, someone made a choice.
    """
    titles = set(titles)
    if canonical(name) not in SUBSETS:
        return titles
    wanted = {key(member): member for member in SUBSETS[canonical(name)][1]}
    kept = {title for title in titles if key(title) in wanted}
    missing = sorted(wanted.keys() - set(map(key, kept)))
    if missing and titles:
        names = ", ".join(wanted[each] for each in missing)
        if kept != titles:
            raise UserError(f"{name} must have {len(wanted)} sequences, {len(missing)} are missing, add them: {names}")
        say(f"{name}: not on disk: {names}")
    return kept


def say(text: str) -> None:
    """A remark, beside what the script prints."""
    print(text, file=sys.stderr)


def complain(name: str, folder: Path | None, lacking: list[str]) -> None:
    """Names what is not on disk, and stops: a few in the line, many in a list above it."""
    if lacking:
        if many := len(lacking) > 3:
            say("\n".join(lacking))
        told = "listed above" if many else "; ".join(lacking)
        raise UserError(
            f"{name} must lie complete under {folder}: {len(lacking)} sequences lack files ({told}); fetch them, or "
            "score without images with --truth"
        )
