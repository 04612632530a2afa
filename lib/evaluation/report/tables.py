"""Tables of scores: for the page, per sequence, and as plain text for a terminal."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from lib.evaluation.report.content import Report, Row, Score, SequenceRow
from lib.evaluation.report.frames import sparkline
from lib.evaluation.report.style import Style

_UNKNOWN = (math.nan, math.nan, math.nan)
_NONE = "–"


def terminal_table(rows: Sequence[Row]) -> str:
    """Plain text, a line a row: name, then ``value [low, high]`` a score, numbers aligned on the decimal point."""
    columns = columns_of(rows)
    cells = [["", *columns, ""]]
    texts = {column: _terminal_cells([row.scores.get(column, _UNKNOWN) for row in rows]) for column in columns}
    cells += [[row.name, *(texts[column][i] for column in columns), row.note] for i, row in enumerate(rows)]
    widths = [max(_width(line[k]) for line in cells) for k in range(len(columns) + 2)]
    return "\n".join(
        "  ".join(text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _terminal_cells(scores: Sequence[Score]) -> list[str]:
    places = decimals(number for score in scores for number in score)
    numbers = [[_number(part, places) for part in score] for score in scores]
    wide = [max((len(line[k]) for line in numbers), default=0) for k in range(3)]
    return [
        f"{value:>{wide[0]}}" + (f" [{low:>{wide[1]}}, {high:>{wide[2]}}]" if has_interval(score) else "")
        for score, (value, low, high) in zip(scores, numbers, strict=True)
    ]


def _width(text: str) -> int:
    """Columns that a terminal gives to the text: wide East Asian letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Names of the scores in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row.scores))


def decimals(numbers: Iterable[float]) -> int:
    """Decimal places for a column: none for counts, else about three significant digits of the greatest."""
    known = [abs(float(number)) for number in numbers if math.isfinite(number)]
    greatest = max(known, default=0)
    if greatest >= 2 and all(number == int(number) for number in known):
        return 0
    return 3 if greatest < 10 else 2 if greatest < 100 else 1


def has_interval(score: Score) -> bool:
    return math.isfinite(score[1]) and math.isfinite(score[2])


def _number(value: float, places: int) -> str:
    return f"{value:.{places}f}" if math.isfinite(value) else _NONE


def is_lower_better(column: str, report: Report) -> bool:
    return bool({column, column.split(" ")[0]} & report.lower_is_better)


def result_table(report: Report, styles: Mapping[str, Style]) -> str:
    """The final table: a number, its interval in words and drawn, a cell; the best of each column marked."""
    columns = columns_of(report.rows)
    notes = any(row.note for row in report.rows)
    heads = "".join(f'<th scope="col">{escape(column)}{_direction(column, report)}</th>' for column in columns)
    cells = {column: _score_cells(column, report, styles) for column in columns}
    lines = [
        f'<tr><th scope="row">{key(styles[row.name])}{escape(row.name)}</th>'
        + "".join(cells[column][i] for column in columns)
        + (f'<td class="note">{escape(row.note)}</td>' if notes else "")
        + "</tr>"
        for i, row in enumerate(report.rows)
    ]
    remark = '<th scope="col" class="left">remark</th>' if notes else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="result table"><table class="result"><thead><tr>'
        f'<th scope="col">tracker</th>{heads}{remark}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _direction(column: str, report: Report) -> str:
    return " ↓" if is_lower_better(column, report) else ""


def _score_cells(column: str, report: Report, styles: Mapping[str, Style]) -> list[str]:
    scores = [row.scores.get(column, _UNKNOWN) for row in report.rows]
    places = decimals(number for score in scores for number in score)
    known = [round(score[0], places) for score in scores if math.isfinite(score[0])]
    best = (min if is_lower_better(column, report) else max)(known) if len(known) > 1 else None
    scale = _round_up(max((abs(n) for score in scores for n in score if math.isfinite(n)), default=1))
    cells = []
    for row, score in zip(report.rows, scores, strict=True):
        text = _number(score[0], places)
        if math.isfinite(score[0]) and round(score[0], places) == best:
            text = f'<b class="best">{text}<span class="hidden"> (best)</span></b>'
        else:
            text = f'<span class="value">{text}</span>'
        if has_interval(score):
            text += f'<span class="interval">[{_number(score[1], places)}, {_number(score[2], places)}]</span>'
        cells.append(f"<td>{text}{_range(score, scale, styles[row.name])}</td>")
    return cells


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten: the far end of a drawn scale."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-9))


def _range(score: Score, scale: float, style: Style) -> str:
    """The value as a dot and its interval as a bar on a line from 0 to ``scale``; not read out, the numbers are."""
    if not math.isfinite(score[0]):
        return ""
    value, low, high = (100 * min(max(number, 0), scale) / scale for number in score)
    bar = f'<line x1="{low:.1f}%" x2="{high:.1f}%" y1="6" y2="6" stroke-width="4" stroke-opacity=".45"/>'
    return (
        f'<svg class="range" aria-hidden="true" stroke="{style.css}" fill="{style.css}">'
        '<line x2="100%" y1="6" y2="6" stroke="var(--line)"/>'
        f'{bar if has_interval(score) else ""}<circle cx="{value:.1f}%" cy="6" r="4" stroke="none"/></svg>'
    )


def key(style: Style) -> str:
    """A short piece of the tracker's line, as in the plots."""
    dash = f' stroke-dasharray="{" ".join(f"{part:g}" for part in style.dash)}"' if style.dash else ""
    return (
        f'<svg class="key" viewBox="0 0 24 10" aria-hidden="true"><line x2="24" y1="5" y2="5" stroke="{style.css}" '
        f'stroke-width="2.5"{dash}/></svg>'
    )


def sequence_table(report: Report, styles: Mapping[str, Style]) -> str:
    """Scores per sequence and tracker, sorted by a click on a header, and the overlap over time where known."""
    trackers = list(dict.fromkeys(name for line in report.sequences for name in line.scores))
    drawn = any(line.overlaps for line in report.sequences)
    places = decimals(value for line in report.sequences for value in line.scores.values())
    greatest = max((v for line in report.sequences for v in line.scores.values() if math.isfinite(v)), default=1)
    heads = [_sorter("sequence", "text"), _sorter("frames")]
    heads += [_sorter(name, mark=key(styles[name])) for name in trackers]
    heads += ['<th scope="col" class="left">overlap over time</th>'] if drawn else []
    lines = []
    for line in report.sequences:
        cells = [f'<th scope="row" data-value="{escape(line.name)}">{escape(line.name)}</th>']
        cells.append(f'<td data-value="{line.frames}">{line.frames}</td>')
        cells += [_bar(line, name, places, _round_up(greatest), styles[name]) for name in trackers]
        cells += [f"<td>{sparkline(line, styles) if line.overlaps else ''}</td>"] if drawn else []
        lines.append(f"<tr>{''.join(cells)}</tr>")
    told = f"{report.sequence_score} of each tracker. Click a header to sort."
    told += " The overlap runs from 0 at the foot to 1 at the top." if drawn else ""
    return (
        '<div class="scroll tall" tabindex="0" role="region" aria-label="scores per sequence">'
        f'<table class="sortable"><caption>{escape(told)}</caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _sorter(name: str, kind: str = "number", mark: str = "") -> str:
    data = ' data-text=""' if kind == "text" else ""
    return f'<th scope="col" aria-sort="none"{data}>{mark}<button type="button">{escape(name)}</button></th>'


def _bar(line: SequenceRow, name: str, places: int, scale: float, style: Style) -> str:
    value = line.scores.get(name, math.nan)
    if not math.isfinite(value):
        return f'<td data-value="">{_NONE}</td>'
    length = 100 * min(max(value, 0), scale) / scale
    look = f"--v:{length:.1f}%;--c:{style.css}"
    return f'<td class="bar" data-value="{value:.6g}" style="{look}">{_number(value, places)}</td>'
