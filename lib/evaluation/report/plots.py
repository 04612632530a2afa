"""Plots as inline SVG: drawn by matplotlib without its global figure state, coloured by the page's CSS variables.

matplotlib draws with stand-in colours; afterwards each is replaced by a variable, so that one drawing serves light and
dark. Text stays text, and takes the page's font.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.report.style import PALETTE, Style

Array = NDArray[np.float64]

INK, SOFT, LINE, PAGE = "#5e1e10", "#5e1e11", "#5e1e12", "#5e1e13"
_SERIES = [f"#5e1e{index:02x}" for index in range(len(PALETTE))]
_VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", PAGE: "var(--page)"} | {
    stand_in: f"var(--s{index})" for index, stand_in in enumerate(_SERIES)
}
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout everywhere
    "font.size": 12.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "lines.linewidth": 1.8,
    "xtick.major.pad": 5,
    "axes.unicode_minus": False,
    "axes.formatter.useoffset": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}
LARGE, SMALL = (400, 280), (300, 220)  # user units; about CSS pixels


def curves(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]],
    styles: Mapping[str, Style],
    *,
    xlabel: str,
    ylabel: str,
    mark: float | None = None,
    span: tuple[float, float] | None = None,
    label: str,
) -> str:
    """One line a tracker; ``mark`` is a dotted upright line and ``span`` a shaded interval of the x axis."""

    def draw(axes: Axes) -> None:
        if span is not None:
            axes.axvspan(*span, color=LINE, alpha=0.5, linewidth=0)
        if mark is not None:
            axes.axvline(mark, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
        top = 0.0
        for name, (x, y) in lines.items():
            style = styles[name]
            axes.plot(np.asarray(x, float), np.asarray(y, float), color=_colour(style), linestyle=(0, style.dash))
            top = max(top, float(np.nanmax(np.append(y, 0))))
        low, high = _limits([x for x, _ in lines.values()])
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(low, high), ylim=(0, 1.02 if 0.5 < top <= 1 else top * 1.08 or 1))

    return _svg(draw, label=label)


def training(epochs: Array, terms: Mapping[str, Array], *, ylabel: str, bins: int = 80, label: str) -> str:
    """Loss terms (or the learning rate) over epochs: the mean of each bin of steps, in a band from least to greatest.

    epochs: (K,) epochs done at each logged step, rising. terms: name -> (K,), NaN where a step has none.
    """

    def draw(axes: Axes) -> None:
        parts = np.array_split(np.arange(len(epochs)), min(bins, len(epochs)))
        x = np.array([epochs[part].mean() for part in parts])
        seen: list[Array] = []
        for index, values in enumerate(terms.values()):
            low, mean, high = _binned(values, parts)
            style = Style(index)
            if len(parts) < len(epochs):
                _band(axes, x, low, high, colour=_colour(style))
            axes.plot(x, mean, color=_colour(style), linestyle=(0, style.dash))
            if len(parts) <= 12:  # one lonely point is no line
                _points(axes, x, mean, colour=_colour(style))
            seen += [low, mean]
        axes.set(xlabel="epoch", ylabel=ylabel)
        _choose_scale(axes, np.concatenate(seen))

    return _svg(draw, label=label)


def epochs(numbers: Array, scores: Array, low: Array, high: Array, chosen: int, *, ylabel: str, label: str) -> str:
    """Score of each epoch (E,) with its interval as a band where known; the chosen one (an index) ringed."""

    def draw(axes: Axes) -> None:
        _band(axes, numbers, low, high, colour=_SERIES[0])
        axes.plot(numbers, scores, color=_SERIES[0])
        _points(axes, numbers, scores, colour=_SERIES[0])
        axes.axvline(numbers[chosen], color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
        _ring(axes, numbers[chosen], scores[chosen])
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.05, y=0.12)

    return _svg(draw, label=label)


def history(numbers: Array, values: Array, *, ylabel: str, label: str) -> str:
    """Every finished trial (T,) as a dot, the best so far as a line, the best ringed."""

    def draw(axes: Axes) -> None:
        axes.step(numbers, np.maximum.accumulate(values), where="post", color=_SERIES[0])
        _points(axes, numbers, values, width=_dot(len(values)), alpha=0.7)
        _ring(axes, numbers[values.argmax()], values.max())
        axes.set(xlabel="trial", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.05, y=0.12)

    return _svg(draw, label=label)


def parameter(settings: Sequence[Any], values: Array, *, ylabel: str, label: str) -> str:
    """One hyper-parameter of every finished trial against its score (T,); words and few repeated numbers are kinds."""

    def draw(axes: Axes) -> None:
        numbers = all(isinstance(setting, int | float | np.number) for setting in settings)
        kinds = sorted(set(settings), key=float if numbers else str)
        axes.set(ylabel=ylabel)
        if numbers and (len(kinds) > 4 or len(kinds) == len(settings)):
            x = np.array(settings, float)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        else:
            # side by side around their kind: multiples of the golden ratio spread evenly, and the same each time
            beside = (np.arange(len(settings)) * 0.618034 % 1 - 0.5) * 0.5
            x = np.array([kinds.index(setting) for setting in settings]) + beside
            axes.set_xticks(range(len(kinds)), [_plain(kind) if numbers else str(kind) for kind in kinds])
        _points(axes, x, values, width=_dot(len(x)), alpha=0.7)
        _ring(axes, x[values.argmax()], values.max())
        axes.margins(x=0.08, y=0.12)

    return _svg(draw, size=SMALL, label=label)


def _colour(style: Style) -> str:
    return _SERIES[style.index % len(_SERIES)]


def _limits(values: Sequence[ArrayLike]) -> tuple[float, float]:
    low = min(float(np.min(x)) for x in values)
    high = max(float(np.max(x)) for x in values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _binned(values: Array, parts: Sequence[NDArray[np.intp]]) -> tuple[Array, Array, Array]:
    """Least, mean and greatest finite value of each part; NaN where a part has none."""
    finite = [values[part][np.isfinite(values[part])] for part in parts]
    table = [(part.min(), part.mean(), part.max()) if part.size else (np.nan,) * 3 for part in finite]
    low, mean, high = np.array(table).T
    return low, mean, high


def _choose_scale(axes: Axes, values: Array) -> None:
    """A logarithmic y axis where positive values span more than a factor of 30."""
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 30 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:g}"


def _band(axes: Axes, x: Array, low: Array, high: Array, *, colour: str) -> None:
    """A pale band between two lines, in pieces where either is unknown."""
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(known)) + 1
    for piece in np.split(np.arange(len(x)), edges):
        if known[piece[0]]:
            there_and_back = np.append(x[piece], x[piece][::-1]), np.append(low[piece], high[piece][::-1])
            axes.fill(*there_and_back, color=colour, alpha=0.18, linewidth=0)


def _dot(count: int) -> float:
    """Width of each of so many dots."""
    return 5 if count <= 200 else 3.2


def _points(axes: Axes, x: ArrayLike, y: ArrayLike, *, colour: str = SOFT, width: float = 5, alpha: float = 1) -> None:
    """Dots as one path of strokes without length: a few bytes a dot instead of an element each, and no ids."""
    vertices = np.repeat(np.stack(np.broadcast_arrays(np.atleast_1d(x), y), -1).astype(float), 2, axis=0)
    vertices = vertices[np.isfinite(vertices).all(-1)]
    codes = np.tile([Path.MOVETO, Path.LINETO], len(vertices) // 2)
    path = Path(vertices, codes)
    path.should_simplify = False  # it takes a stroke without length for nothing
    dots = PathPatch(path, fill=False, edgecolor=colour, linewidth=width, capstyle="round", alpha=alpha)
    axes.add_patch(dots).set_zorder(3)
    axes.update_datalim(vertices)
    axes.autoscale_view()


def _ring(axes: Axes, x: float, y: float) -> None:
    _points(axes, x, y, colour=_SERIES[1], width=11)
    _points(axes, x, y, colour=PAGE, width=6)


def _svg(draw: Callable[[Axes], None], *, size: tuple[int, int] = LARGE, label: str) -> str:
    """Draw on fresh axes; an ``<svg>`` element without ids. The label is what a screen reader says instead of it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the reader's own matplotlib settings say
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        axes.tick_params(which="both", length=0)
        draw(axes)
        for artist in figure.findobj():
            artist.set_clip_on(False)  # clip paths need ids; the limits hold all the data
        file = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _themed(file.getvalue().decode(), label)


def _themed(svg: str, label: str) -> str:
    """matplotlib's file as an element of the page: no prologue, ids, fonts or sizes of its own, the page's colours."""
    view = re.search(r'viewBox="[^"]*"', svg)
    body = re.sub(r"<defs>.*?</defs>|<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.S)
    body = body[body.index(">") + 1 :]
    body = re.sub(r' id="[^"]*"| transform="rotate\(-0 [^"]*\)"|font-family:[^;"]*;? ?', "", body)
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{2,}", _tenth, tag[0]), body)
    body = re.sub(r" ?\n *", "\n", body).replace("\nL ", "L").replace("\nz\n", "z")
    body = re.sub("|".join(_VARIABLES), lambda colour: _VARIABLES[colour[0]], body)
    assert view is not None and "href" not in body and "url(" not in body
    return f'<svg {view[0]} role="img" aria-label="{escape(label)}">{body.strip()}'


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"
