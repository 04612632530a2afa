"""Text files of numbers, a row a line, separated by comma, semicolon, tab or space; any line ends."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from lib.files import UserError

Array = NDArray[np.float64]

_SEPARATORS = bytes.maketrans(b",;\t\r", b"    ")
_TO_COMMAS = bytes.maketrans(b"\n\t; ", b",,,,")
_NOT_NUMBERS = tuple(bytes([letter]) for letter in b'"tfnNI[{')  # what JSON's other values begin with


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
    values, counts = _numbers(text, path, columns)
    width = int(counts[0])
    if width not in columns or np.any(counts != width):
        raise UserError(_first_bad_line(text, path, columns))
    return values.reshape(-1, width)


def parse_rows_or_codes(
    text: bytes, path: str | Path, columns: tuple[int, ...] = (4, 8), codes: tuple[int, ...] = (0, 1, 2)
) -> Array:
    """(T, c) rows of c numbers, among which a row of one number is a code, kept as [code, nan, ...]."""
    values, counts = _numbers(text, path, columns, codes)
    width = int(counts.max()) if counts.max() > 1 else columns[0]
    single = counts == 1
    first = np.cumsum(counts) - counts
    if width not in columns or np.any(~single & (counts != width)) or not np.isin(values[first[single]], codes).all():
        raise UserError(_first_bad_line(text, path, columns, codes))
    rows = np.full((len(counts), width), np.nan)
    rows[single, 0] = values[first[single]]
    rows[~single] = values[(first[~single, None] + np.arange(width))]
    return rows


def _numbers(
    text: bytes, path: str | Path, columns: tuple[int, ...], codes: tuple[int, ...] = ()
) -> tuple[Array, NDArray[np.int64]]:
    """All numbers, and how many each line holds that holds any."""
    return _plain_numbers(text) or _any_numbers(text, path, columns, codes)


def _plain_numbers(text: bytes) -> tuple[Array, NDArray[np.int64]] | None:
    """:func:`_numbers` of a tidy file, which nearly all are: one separator between two numbers, none elsewhere.

    Such a file, its line ends made commas, is the inside of a JSON list, for which a parser is at hand that is four
    times as fast as NumPy's and as exact. None for all other files: they go the slow way.
    """
    text = text.strip().replace(b"\r\n", b"\n")
    if any(letter in text for letter in _NOT_NUMBERS):
        return None
    line_ends = np.frombuffer(text, np.uint8) == 10
    text = text.replace(b"\n", b",") if b"," in text else text.translate(_TO_COMMAS)
    try:
        values = np.array(from_json(b"[%b]" % text), np.float64)
    except ValueError:
        return None
    commas = np.flatnonzero(np.frombuffer(text, np.uint8) == 44)
    counts = np.diff(np.flatnonzero(line_ends[commas]), prepend=-1, append=len(commas))
    return (values, counts) if len(values) else None


def _any_numbers(
    text: bytes, path: str | Path, columns: tuple[int, ...], codes: tuple[int, ...]
) -> tuple[Array, NDArray[np.int64]]:
    """:func:`_numbers` of any file, however many separators and empty lines."""
    text = text.translate(_SEPARATORS)
    counts = _numbers_per_line(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's sign that it met something that is no number
        try:
            values = np.fromstring(text, np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if len(counts) == 0 or values.size != counts.sum():
        raise UserError(_first_bad_line(text, path, columns, codes))
    return values, counts


def _numbers_per_line(text: bytes) -> NDArray[np.int64]:
    """Numbers in each line that holds any."""
    letters = np.frombuffer(text, np.uint8)
    ink = letters > 32
    first = ink.copy()
    first[1:] &= ~ink[:-1]  # first letter of each number
    ends = np.flatnonzero(letters == 10)
    counts = np.bincount(np.searchsorted(ends, np.flatnonzero(first)))
    return counts[counts > 0]


def _first_bad_line(text: bytes, path: str | Path, columns: tuple[int, ...], codes: tuple[int, ...] = ()) -> str:
    want = " or ".join(map(str, columns)) + " numbers"
    want += f" or one code of {', '.join(map(str, codes))}" if codes else ""
    width = None
    for number, line in enumerate(text.translate(_SEPARATORS).decode("utf-8", "replace").split("\n"), 1):
        words = line.split()
        where = f"{path}, line {number}: a row must hold {want}"
        for word in words:
            if not _is_number(word):
                return f"{where}, {word!r} is no number; mend the file"
        if codes and len(words) == 1:
            if float(words[0]) not in codes:
                return f"{where}, {words[0]} is no code; mend the file"
        elif words:
            width = width or len(words)
            if len(words) not in columns or len(words) != width:
                return f"{where}, as many as the others, got {len(words)}; mend the file"
    return f"{path}: rows of {want} must be there, the file is empty; write it again"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word  # which Python allows between digits
