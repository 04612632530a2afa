"""Trackers' scores with intervals and paired tests, as a table on the terminal, csv, LaTeX and json."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation import statistics
from lib.files import UserError

Array = NDArray[np.float64]

Column = tuple[str, str, int]  # score, its title, decimals

LOWER_IS_BETTER = {"robustness", "failures", "failures_weighted", "centre_error", "centre_error_mean"}
INTERVALS = "[95 % intervals: bootstrap over sequences; p: paired randomisation test against the best]"


class Parts(Protocol):
    """What each sequence adds to a data set's totals, and the scores that follow from them."""

    def added(self) -> Array: ...

    def scores(self, weights: ArrayLike | None = None) -> dict[str, Array]: ...

    def values(self) -> dict[str, Array]: ...


ScoresOf = Callable[[Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Cell:
    """A number with its interval, and how likely the best tracker is no better."""

    value: float
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan

    def text(self, places: int) -> str:
        """``0.612 [0.571, 0.650]``."""
        if not np.isfinite(self.value):
            return "-"
        text = f"{self.value:.{places}f}"
        return text + (f" [{self.low:.{places}f}, {self.high:.{places}f}]" if np.isfinite(self.low + self.high) else "")


@dataclass(frozen=True)
class Share:
    """A tracker on the part of the data set that has an attribute."""

    names: list[str]  # of the sequences
    added: Array  # (Q, C) what each adds to the totals
    cells: dict[str, Cell]  # score -> its value there


@dataclass(frozen=True)
class Entry:
    """One tracker on one data set."""

    name: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    sequences: dict[str, dict[str, float]]  # sequence -> its scores
    parts: Parts  # from which the scores of any weighting of its sequences follow
    scores_of: ScoresOf  # scores of totals
    note: str = ""
    p: float = np.nan  # of the headline score, against the best tracker
    attributes: dict[str, Share] = field(default_factory=dict)

    def cell(self, score: str) -> Cell:
        """A score with its interval."""
        return Cell(self.scores.get(score, np.nan), *self.intervals.get(score, (np.nan, np.nan)))


@dataclass
class Board:
    """All trackers, best first; ``headline`` is the score that orders them."""

    headline: str
    columns: list[Column]
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    attributes: dict[str, int] = field(default_factory=dict)  # attribute -> how many sequences have it

    def table(self, columns: List[Column] | None = None) -> str:
        """Aligned text: a line a tracker, each score with its interval."""
        columns = self._shown(columns)
        lines = [["", *(title for _, title, _ in columns), ""]]
        lines += [[e.name, *(e.cell(name).text(places) for name, _, places in columns), e.note] for e in self.entries]
        return aligned(lines)

    def attribute_table(self) -> str:
        """Aligned text: a line an attribute, each tracker's headline score; ``*``: p < .05 against the best."""
        places = next(places for name, _, places in self.columns if name == self.headline)
        lines = [["", "sequences", *(entry.name for entry in self.entries)]]
        for name, count in self.attributes.items():
            cells = [_headline(entry, name, self.headline) for entry in self.entries]
            lines.append([name, str(count), *(cell.text(places) + ("*" if cell.p < 0.05 else "") for cell in cells)])
        return aligned(lines)

    def json(self, *, full: bool = False) -> str:
        """{tracker: {score: value}}, what cannot be scored null; ``full`` adds intervals, p, sequences, attributes."""
        data: dict[str, dict[str, Any]] = {}
        for entry in self.entries:
            data[entry.name] = {name: finite(value) for name, value in entry.scores.items()}
            if full:
                data[entry.name] |= _details(entry)
        return json.dumps(data, indent=1) + "\n"

    def csv(self) -> str:
        """A line a tracker: each score with the ends of its interval; then, if any, a line a tracker and attribute."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = list(self.entries[0].scores)
        parts = ["attribute"] if self.attributes else []
        writer.writerow(
            ["tracker", *parts, *(f"{name}{end}" for name in names for end in ("", " low", " high")), "p", "note"]
        )
        for entry in self.entries:
            whole = {name: entry.cell(name) for name in names}
            shares = {name: share.cells for name, share in entry.attributes.items()}
            for part, cells in {"": whole, **shares}.items():
                p = _headline(entry, part, self.headline).p if part else entry.p
                triples = [cells.get(name, Cell(np.nan)) for name in names]
                numbers = [_digits(number) for cell in triples for number in (cell.value, cell.low, cell.high)]
                writer.writerow([entry.name, *([part] if parts else []), *numbers, _digits(p), entry.note])
        return text.getvalue()

    def latex(self, columns: List[Column] | None = None) -> str:
        """A table for booktabs: the best of each column in bold, intervals small, p in the last column."""
        columns = self._shown(columns)
        best = {name: self._best(name) for name, _, _ in columns}
        lines = [f"\\begin{{tabular}}{{l{'c' * len(columns)}c}}", "\\toprule"]
        lines += [" & ".join(["Tracker", *(_escaped(title) for _, title, _ in columns), "$p$"]) + " \\\\", "\\midrule"]
        for entry in self.entries:
            cells = [_latex_cell(entry.cell(name), places, entry is best[name]) for name, _, places in columns]
            p = f"{entry.p:.2g}" if np.isfinite(entry.p) else "--"
            lines.append(" & ".join([_escaped(entry.name), *cells, p]) + " \\\\")
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"

    def _shown(self, columns: List[Column] | None) -> list[Column]:
        """The columns that any tracker has a score in."""
        return [column for column in columns or self.columns if any(column[0] in e.scores for e in self.entries)]

    def _best(self, score: str) -> Entry | None:
        known = [entry for entry in self.entries if np.isfinite(entry.scores.get(score, np.nan))]
        choose = min if score in LOWER_IS_BETTER else max
        return choose(known, key=lambda entry: entry.scores[score]) if known else None


def _headline(entry: Entry, attribute: str, headline: str) -> Cell:
    share = entry.attributes.get(attribute)
    return share.cells[headline] if share else Cell(np.nan)


def aligned(lines: list[list[str]]) -> str:
    """Columns of text, each as wide as its widest cell."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def finite(value: float) -> float | None:
    """The value, None where it is no number: json has no NaN."""
    return value if np.isfinite(value) else None


def _details(entry: Entry) -> dict[str, Any]:
    attributes = {
        name: {score: [finite(c.value), finite(c.low), finite(c.high)] for score, c in share.cells.items()}
        for name, share in entry.attributes.items()
    }
    return {
        "intervals": {name: [finite(low), finite(high)] for name, (low, high) in entry.intervals.items()},
        "p": finite(entry.p),
        "note": entry.note,
        "sequences": {
            name: {score: finite(value) for score, value in scores.items()} for name, scores in entry.sequences.items()
        },
        **({"attributes": attributes} if attributes else {}),
    }


def _digits(number: float) -> str:
    return f"{number:.6g}" if np.isfinite(number) else ""


def _escaped(text: str) -> str:
    for sign in ("\\", "&", "%", "$", "#", "_", "{", "}"):
        text = text.replace(sign, "\\textbackslash " if sign == "\\" else f"\\{sign}")
    return text


def _latex_cell(cell: Cell, places: int, best: bool) -> str:
    if not np.isfinite(cell.value):
        return "--"
    text = f"\\textbf{{{cell.value:.{places}f}}}" if best else f"{cell.value:.{places}f}"
    interval = cell.text(places).partition(" ")[2]
    return text + (f" {{\\scriptsize {interval}}}" if interval else "")


# ------------------------------------------------------------------------------------------------- filling a board


def bootstrap(scores: Callable[[Array], Mapping[str, Array]], sequences: int) -> dict[str, tuple[float, float]]:
    """Intervals of ``scores(weights)``; none for a single sequence."""
    if sequences < 2:
        return {}
    once, samples = scores(np.ones((1, sequences))), scores(statistics.draws(sequences))
    limits = {name: statistics.bounds(samples[name], value[0]) for name, value in once.items()}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def finish(board: Board, compare: bool = True) -> Board:
    """Best first; each other one compared with the best, on the sequences that both have."""
    if not board.entries:
        why = [problem for problem in board.problems if " is left out, nothing" not in problem] or board.problems
        raise UserError("at least one tracker must have results that can be scored: " + "; ".join(why[:3]))
    board.entries.sort(key=lambda entry: (-np.nan_to_num(entry.scores[board.headline], nan=-1), entry.name))
    best = board.entries[0]
    for k, entry in enumerate(board.entries[1:] if compare else (), 1):
        found, common = against(best, entry, board.headline)
        if np.isfinite(found.p):
            part = "" if common == len(best.sequences) == len(entry.sequences) else f" on {common} common ones"
            note = "; ".join(filter(None, (entry.note, f"{found.behind(best.name)}{part}")))
            board.entries[k] = replace(entry, note=note, p=found.p)
    for attribute in board.attributes if compare else ():
        _compare_shares(board, attribute)
    return board


def against(a: Entry, b: Entry, score: str) -> tuple[statistics.Difference, int]:
    """The paired test of two trackers on the sequences that both have, and how many these are."""
    first = Share(list(a.sequences), a.parts.added(), {})
    return _paired(first, Share(list(b.sequences), b.parts.added(), {}), a.scores_of, score)


def _paired(a: Share, b: Share, scores_of: ScoresOf, score: str) -> tuple[statistics.Difference, int]:
    common = set(a.names) & set(b.names)
    first, second = (each.added[[name in common for name in each.names]] for each in (a, b))
    if not common:
        return statistics.Difference(np.nan, np.nan, np.nan, np.nan), 0
    return statistics.paired(first, second, lambda totals: scores_of(totals)[score]), len(common)


def share_of(names: list[str], added: Array, scores_of: ScoresOf) -> Share:
    """Scores with intervals on sequences that add these rows (Q, C)."""

    def scores(weights: Array) -> Mapping[str, Array]:
        return scores_of(weights @ added)

    limits = bootstrap(scores, len(names))
    values = scores(np.ones((1, len(names))))
    cells = {name: Cell(float(value[0]), *limits.get(name, (np.nan, np.nan))) for name, value in values.items()}
    return Share(names, added, cells)


def _compare_shares(board: Board, attribute: str) -> None:
    """Adds p to the headline score of all but the best tracker on an attribute."""
    there = [e for e in board.entries if np.isfinite(_headline(e, attribute, board.headline).value)]
    best = max(there, key=lambda entry: _headline(entry, attribute, board.headline).value, default=None)
    for entry in there:
        if entry is not best and best is not None:
            shares = best.attributes[attribute], entry.attributes[attribute]
            found, _ = _paired(*shares, entry.scores_of, board.headline)
            cells = entry.attributes[attribute].cells
            cells[board.headline] = replace(cells[board.headline], p=found.p)
