"""Text files of numbers, a row a line, separated by comma, semicolon, tab or space; any line ends."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.files import UserError

Array = NDArray[np.float64]

_SEPARATORS = bytes.maketrans(b",;\t\r", b"    ")


def read_rows(path: str | Path, columns: tuple[int, ...] = (4,)) -> Array:
    """(T, c) numbers of a text file whose rows all have c numbers, c one of ``columns``."""
    return parse_rows(read_bytes(path), path, columns)


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a text file, without a byte-order mark."""
    try:
        return Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UserError(f"{path} must be a readable file: {error.strerror or error}") from error


def parse_rows(text: bytes, path: str | Path, columns: tuple[int, ...] = (4,)) -> Array:
    """:func:`read_rows` from bytes; ``path`` is named in errors."""
    text = text.translate(_SEPARATORS)
    counts = _numbers_per_line(text)
    width = int(counts[0]) if len(counts) else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's sign that it met something that is no number
        try:
            values = np.fromstring(text, np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if width not in columns or np.any(counts != width) or values.size != width * len(counts):
        raise UserError(_first_bad_line(text, path, columns))
    return values.reshape(-1, width)


def _numbers_per_line(text: bytes) -> NDArray[np.int64]:
    """Numbers in each line that holds any."""
    letters = np.frombuffer(text, np.uint8)
    ink = letters > 32
    first = ink.copy()
    first[1:] &= ~ink[:-1]  # first letter of each number
    ends = np.flatnonzero(letters == 10)
    line = np.searchsorted(ends, np.flatnonzero(first))
    counts = np.bincount(line)
    return counts[counts > 0]


def _first_bad_line(text: bytes, path: str | Path, columns: tuple[int, ...]) -> str:
    want = " or ".join(map(str, columns))
    width = None
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        for word in words:
            try:
                float(word)
            except ValueError:
                return f"{path}, line {number}: a row must hold {want} numbers, {word!r} is none; mend the file"
        width = width or len(words)
        if len(words) not in columns or len(words) != width:
            return f"{path}, line {number}: a row must hold {want} numbers, as all others, got {len(words)}; mend it"
    return f"{path}: rows of {want} numbers must be there, the file is empty; write it again"
