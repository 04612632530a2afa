"""The sections of the page: each takes the report and returns its content, or nothing where there is no data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from lib.evaluation.report import plots
from lib.evaluation.report.content import Report
from lib.evaluation.report.frames import strip, swatch
from lib.evaluation.report.style import Style
from lib.evaluation.report.tables import columns_of, is_lower_better, key, result_table, sequence_table


@dataclass(frozen=True)
class _Curve:
    title: str
    xlabel: str
    ylabel: str
    number: str  # what the number in the legend is
    mark: float | None = None  # threshold at which it is read


_CURVES = {
    "success": _Curve("Success", "overlap threshold", "share of frames", "area under the curve"),
    "precision": _Curve(
        "Precision", "centre error threshold (pixels)", "share of frames", "share within 20 pixels", 20
    ),
    "normalised precision": _Curve(
        "Normalised precision", "threshold (target sizes)", "share of frames", "share within 0.2 target sizes", 0.2
    ),
    "eao": _Curve("Expected overlap", "sequence length (frames)", "expected overlap", "mean over the shaded lengths"),
}


def result(report: Report, looks: Mapping[str, Style]) -> str:
    if not report.rows:
        return ""
    lead = "The best of each column is bold with a dot; brackets and bars are intervals."
    if any(is_lower_better(column, report) for column in columns_of(report.rows)):
        lead += " With ↓, lower is better."
    return f'<p class="soft">{lead}</p>{result_table(report, looks)}'


def film(report: Report, looks: Mapping[str, Style]) -> str:
    films = [film for film in report.strips if film.frames]
    if not films:
        return ""
    labels = dict.fromkeys(label for film in films for _, _, boxes in film.frames for label in boxes)
    legend = "".join(f"<li>{swatch(looks[label])}{escape(label)}</li>" for label in labels)
    return f'<ul class="legend">{legend}</ul>{"".join(strip(film, looks) for film in films)}'


def _plot(title: str, svg: str, legend: list[str], remark: str = "") -> str:
    items = "".join(f"<li>{item}</li>" for item in legend)
    return (
        f'<figure class="plot"><h3>{escape(title)}</h3>{svg}<figcaption>'
        f"{f'<ul class=legend>{items}</ul>' if legend else ''}{escape(remark)}</figcaption></figure>"
    )


def curves(report: Report, looks: Mapping[str, Style]) -> str:
    figures = []
    for kind, spec in _CURVES.items():
        lines = {tracker: kinds[kind] for tracker, kinds in report.curves.items() if kind in kinds}
        if not lines:
            continue
        span = report.eao_interval if kind == "eao" else None
        numbers = {name: _summary(kind, *curve, span) for name, curve in lines.items()}
        order = sorted(lines, key=lambda name: -numbers[name] if math.isfinite(numbers[name]) else math.inf)
        told = ", ".join(f"{name} {_three(numbers[name])}".strip() for name in order)
        svg = plots.curves(
            lines,
            looks,
            xlabel=spec.xlabel,
            ylabel=spec.ylabel,
            mark=spec.mark,
            span=span,
            label=f"{spec.title} plot: {told}",
        )
        legend = [f"{key(looks[name])}{escape(name)} <b>{_three(numbers[name])}</b>" for name in order]
        known = any(math.isfinite(number) for number in numbers.values())
        figures.append(_plot(spec.title, svg, legend, f"The number is the {spec.number}." if known else ""))
    return f'<div class="plots">{"".join(figures)}</div>' if figures else ""


def _summary(kind: str, x: Any, y: Any, span: tuple[float, float] | None) -> float:
    """One number for a curve: AUC, precision at its usual threshold, or EAO over its interval; NaN if it has none."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    mark = _CURVES[kind].mark
    if mark is not None:
        return float(np.interp(mark, x, y)) if x.min() <= mark <= x.max() else math.nan
    if kind == "success":
        return float(y.mean())
    inside = (x >= span[0]) & (x <= span[1]) if span else np.zeros(len(x), bool)
    return float(y[inside].mean()) if inside.any() else math.nan


def _three(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else ""


def sequences(report: Report, looks: Mapping[str, Style]) -> str:
    return sequence_table(report, looks) if report.sequences else ""


def training(report: Report) -> str:
    figures = _losses(report) if report.training else []
    scores = np.array([record["score"] for record in report.epochs], float)
    if np.isfinite(scores).any():
        figures.append(_epochs(report, scores))
    return f'<div class="plots">{"".join(figures)}</div>' if figures else ""


def _losses(report: Report) -> list[str]:
    done = _epochs_done(np.array([record["epoch"] for record in report.training], float))
    names = dict.fromkeys(name for record in report.training for name in record if name not in ("epoch", "step", "lr"))
    terms = {
        name: np.array([record.get(name, math.nan) for record in report.training], float)
        for name in ("loss", *(name for name in names if name != "loss"))
    }
    rates = np.array([record.get("lr", math.nan) for record in report.training], float)
    lost = int((~np.isfinite(terms["loss"])).sum())
    remark = f"{lost} of {len(done)} logged steps had no finite loss." if lost else ""
    figures = []
    if lost < len(done):
        last = _last(terms["loss"])
        svg = plots.training(done, terms, ylabel="loss", label=f"Loss over epochs; the last logged is {last:.4g}")
        legend = [key(Style(index)) + escape(name) for index, name in enumerate(terms)] if len(terms) > 1 else []
        figures.append(_plot("Loss", svg, legend, remark))
    if np.isfinite(rates).any():
        svg = plots.training(
            done, {"lr": rates}, ylabel="learning rate", bins=len(done), label=f"Learning rate, last {_last(rates):.4g}"
        )
        figures.append(_plot("Learning rate", svg, []))
    return figures


def _last(values: np.ndarray) -> float:
    return float(values[np.isfinite(values)][-1])


def _epochs_done(epoch: np.ndarray) -> np.ndarray:
    """(K,) one-based epoch of each logged step -> epochs done by then; the steps of an epoch divide it evenly."""
    _, group, count = np.unique(epoch, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    rank = np.empty(len(epoch))
    rank[order] = np.arange(len(epoch)) - first[group[order]]
    return epoch - 1 + (rank + 1) / count[group]


def _epochs(report: Report, scores: np.ndarray) -> str:
    numbers = np.array([record["epoch"] for record in report.epochs], float)
    low, high = (np.array([record.get(end, math.nan) for record in report.epochs], float) for end in ("low", "high"))
    chosen = (
        int(np.nanargmax(scores)) if report.chosen_epoch is None else int((numbers == report.chosen_epoch).argmax())
    )
    told = f"chosen: epoch {numbers[chosen]:g}, {report.epoch_score} {_three(float(scores[chosen]))}"
    svg = plots.epochs(
        numbers, scores, low, high, chosen, ylabel=report.epoch_score, label=f"{report.epoch_score} per epoch; {told}"
    )
    return _plot("Score per epoch", svg, [f"{_ring()}{escape(told)}"])


def _ring() -> str:
    return (
        '<svg class="key" viewBox="0 0 24 10" aria-hidden="true">'
        '<circle cx="12" cy="5" r="4.5" fill="none" stroke="var(--s1)" stroke-width="2.5"/></svg>'
    )


def tuning(report: Report) -> str:
    finished = [record for record in report.trials if record["value"] is not None and math.isfinite(record["value"])]
    finished.sort(key=lambda record: record["number"])
    parts = []
    if finished:
        values = np.array([record["value"] for record in finished], float)
        best = finished[int(values.argmax())]
        told = f"best: trial {best['number']}, {report.trial_score} {_three(float(values.max()))}"
        svg = plots.history(
            np.array([record["number"] for record in finished], float),
            values,
            ylabel=report.trial_score,
            label=f"Tuning history of {len(finished)} trials; {told}",
        )
        failed = len(report.trials) - len(finished)
        remark = f"{failed} of {len(report.trials)} trials failed and are left out." if failed else ""
        legend = [f"{key(Style(0))}best so far", f"{_ring()}{escape(told)}"]
        parts.append(f'<div class="plots">{_plot("History", svg, legend, remark)}{_importance(report)}</div>')
        parts.append(_parameters(report, finished))
    elif report.importance:
        parts.append(_importance(report))
    return "".join(parts)


def _importance(report: Report) -> str:
    if not report.importance:
        return ""
    greatest = max(report.importance.values()) or 1
    lines = "".join(
        f'<dt>{escape(name)}</dt><dd><i style="width:{100 * share / greatest:.1f}%"></i></dd><dd>{share:.2f}</dd>'
        for name, share in sorted(report.importance.items(), key=lambda item: -item[1])
    )
    return f'<div><h3>Importance of each parameter</h3><dl class="bars">{lines}</dl></div>'


def _parameters(report: Report, finished: list[Mapping[str, Any]]) -> str:
    """Each parameter against the score, the most important first."""
    names = list(dict.fromkeys(name for record in finished for name in record["params"]))
    names.sort(key=lambda name: -report.importance.get(name, 0))
    best = max(finished, key=lambda record: record["value"])
    figures = []
    for name in names:
        having = [record for record in finished if name in record["params"]]
        values = np.array([record["value"] for record in having], float)
        svg = plots.parameter(
            [record["params"][name] for record in having],
            values,
            ylabel=report.trial_score,
            label=f"{name} against {report.trial_score}",
        )
        chosen = best["params"].get(name)
        figures.append(_plot(name, svg, [f"{_ring()}best at {escape(_shown(chosen))}"] if chosen is not None else []))
    return f'<div class="plots small tuned">{"".join(figures)}</div>' if figures else ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def origin(report: Report) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in report.provenance.items())
    settings = (
        f'<details><summary>Settings file</summary><pre tabindex="0">{escape(report.settings_yaml)}</pre></details>'
        if report.settings_yaml
        else ""
    )
    return (f'<dl class="facts">{facts}</dl>' if facts else "") + settings
