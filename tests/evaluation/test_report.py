"""The report page: structure, numbers, pictures, settings carried along, and its behaviour in a real browser."""

import base64
import functools
import hashlib
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from lib.evaluation.report import (
    Report,
    Row,
    SequenceRow,
    Strip,
    frames_around_failure,
    render,
    settings_from_html,
    terminal_table,
)
from lib.evaluation.report.frames import draw_boxes, sparkline
from lib.evaluation.report.sections import _epochs_done
from lib.evaluation.report.style import PALETTE, styles
from lib.files import UserError

NAN = math.nan
NASTY = "<b>&\"'</script><!-- ${x} é"


def full_report(name: str = "trained") -> Report:
    """Every section with a little data, holes included; ``name`` is a tracker."""
    rng = np.random.default_rng(0)
    thresholds, pixels, lengths = np.linspace(0, 1, 21), np.arange(51), np.arange(1, 31)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    box = np.array([10.0, 10.0, 20.0, 12.0])
    return Report(
        title=f"Report of {name}",
        created="2025-01-02 03:04",
        provenance={"seed": "0", "git commit": name},
        settings_yaml="SIAMFC:\n  GPUS: '0'\n",
        warnings=[f"careful with {name}"],
        rows=[
            Row("still box", {"AUC": (0.2, 0.1, 0.3), "R": (9.1, 8.0, 10.25)}, "never moves"),
            Row(name, {"AUC": (0.6, 0.5, 0.7), "R": (0.9, 0.5, 1.5), "EAO": (0.3, NAN, NAN)}),
            Row("tuned", {"AUC": (NAN, NAN, NAN)}),
        ],
        training=[
            {"epoch": e, "step": s, "lr": 10.0**-e, "loss": NAN if s == 3 else 1 / (e + s), "cls": 0.1}
            for e in (1, 2)
            for s in range(100)
        ],
        epochs=[
            {"epoch": 1, "score": 0.5, "low": 0.4, "high": 0.6},
            {"epoch": 2, "score": 0.4},
            {"epoch": 3, "score": NAN},
        ],
        trials=[
            {
                "number": n,
                "value": None if n == 2 else 0.5 + 0.01 * n,
                "params": {"a": 0.1 * n, "kind": "xy"[n % 2], "s": 255},
            }
            for n in range(5)
        ],
        importance={"a": 0.7, "kind": 0.3},
        curves={
            name: {
                "success": (thresholds, 1 - thresholds),
                "precision": (pixels, pixels / 50),
                "normalised precision": (np.linspace(0, 0.5, 51), np.linspace(0, 1, 51)),
                "eao": (lengths, 1 / lengths),
            },
            "still box": {"success": (thresholds, (1 - thresholds) ** 9)},
        },
        eao_interval=(10, 12),
        sequences=[
            SequenceRow("b2", 30, {name: 0.5, "still box": 0.25}, {name: [1.0, NAN, 0.5], "still box": [0.0]}),
            SequenceRow("b10", 7, {name: 0.125}),
            SequenceRow("a1", 200, {name: 0.75, "still box": 0.5}),
        ],
        strips=[Strip(f"{name} runs", [(image, 1, {"truth": box, name: box + 3}), (image, 9, {"truth": box * NAN})])],
    )


@functools.cache
def rendered(name: str) -> str:
    return render(full_report(name))


class Page(HTMLParser):
    """Checks the nesting while reading; collects elements and text."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"attribute twice in {tag}"
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.words.setdefault(self.stack[-1] if self.stack else "", []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", ["trained", NASTY])
def test_page_is_well_formed_and_needs_nothing_from_outside(name):
    text = rendered(name)
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "base", "use", "image")
        for key, value in attributes.items():
            assert not key.startswith("on")
            assert key != "src" or (value or "").startswith("data:image/jpeg;base64,")
            assert "url(" not in (value or "")
    assert "//" not in re.sub(r"base64,[^\"]*|sha256-[^']*", "", text)
    assert all("alt" in image and image["width"] for image in page.all("img"))
    assert all("scope" in cell for cell in page.all("th"))
    assert all("aria-hidden" in svg or ("role" in svg and svg["aria-label"]) for svg in page.all("svg"))
    assert "".join(page.words["h1"]) == f"Report of {name}" and name in page.words["dd"]
    plain = Page(rendered("trained"))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]  # a name never becomes markup


def test_every_section_is_there_and_an_empty_one_leaves_no_heading():
    page = Page(rendered("trained"))
    assert [section["id"] for section in page.all("section")] == [
        *("result", "film", "curves", "sequences", "training", "tuning", "origin")
    ]
    assert len(page.words["h2"]) == 7
    empty = Page(render(Report(title="nothing")))
    assert not empty.all("h2") and not empty.all("nav") and not empty.all("section")
    failed = Report(
        title="t",
        trials=[{"number": 0, "value": None, "params": {}}],
        training=[{"epoch": 1, "loss": NAN}],
        epochs=[{"epoch": 1, "score": NAN}],
        strips=[Strip("no frames", [])],
        curves={"a": {}},
    )
    assert not Page(render(failed)).all("section")


def test_single_points_are_drawn():
    page = render(
        Report(
            title="t",
            training=[{"epoch": 1, "loss": 0.5, "lr": 0.01}],
            epochs=[{"epoch": 1, "score": 0.3}],
            trials=[{"number": 0, "value": 0.4, "params": {"a": True, "b": None}}],
            curves={"one": {"success": ([0.5], [0.25])}},
        )
    )
    assert len(Page(page).all("section")) == 3 and "nan" not in page.lower().split("<body>")[1]


def test_every_trial_is_a_dot():
    trials = [{"number": n, "value": math.sin(n), "params": {"a": math.cos(n)}} for n in range(300)]
    plots = re.findall(r'<svg viewBox[^>]*role="img".*?</svg>', render(Report(title="t", trials=trials)), re.S)
    assert len(plots) == 2
    for plot in plots:
        strokes = re.findall(r"M ([\d.]+ [\d.]+)\s*L ?\1(?=[\s\"])", plot)
        assert len(strokes) == 302  # the trials and the two of the ring


def test_same_report_same_bytes_whatever_matplotlib_was_told():
    first = rendered("trained")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "text.usetex": True}):
        assert render(full_report()) == first
        assert matplotlib.rcParams["axes.facecolor"] == "red"


def test_plots_take_their_colours_from_the_page():
    text = rendered("trained")
    for plot in re.findall(r'<svg viewBox[^>]*role="img".*?</svg>', text, re.S):
        assert not re.search(r"#[0-9a-f]{6}|font-family", plot)
        assert "var(--" in plot


def _variables(css: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): ?(#[0-9a-f]{6})", css))


def _contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colours #rrggbb."""

    def luminance(code: str) -> float:
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_light_and_dark():
    css = render(Report(title="t")).split("<style>")[1]
    light, dark = css.split("@media (prefers-color-scheme: dark)")[:2]
    dark = dark[: dark.index("}\n}")]
    for theme in (_variables(light), _variables(dark)):
        assert len(theme) >= 5 + len(PALETTE)
        for ground in (theme["page"], theme["panel"]):
            assert _contrast(theme["ink"], ground) >= 7
            assert _contrast(theme["soft"], ground) >= 4.5
            assert all(_contrast(theme[f"s{index}"], ground) >= 3 for index in range(len(PALETTE)))


def test_trackers_keep_apart():
    names = ["still box", "untrained", "trained", "tuned", "truth", *(f"tracker {n}" for n in range(19))]
    looks = styles(names)
    assert len({(look.css, look.dash) for look in looks.values()}) == len(names)
    assert styles(["x", "trained"])["trained"] == looks["trained"]


def test_numbers_of_the_legends():
    text = rendered("trained")
    told = dict(re.findall(r'aria-label="([\w ]+) plot: ([^"]*)"', text))
    thresholds = np.linspace(0, 1, 21)
    still = np.mean((1 - thresholds) ** 9)
    assert told["Success"] == f"trained {np.mean(1 - thresholds):.3f}, still box {still:.3f}"
    assert told["Precision"] == "trained 0.400" and told["Normalised precision"] == "trained 0.400"
    assert told["Expected overlap"] == f"trained {np.mean([1 / 10, 1 / 11, 1 / 12]):.3f}"


def test_best_of_each_column_is_marked():
    text = rendered("trained")
    rows = re.findall(r"<tr><th scope=\"row\"><svg.*?</tr>", text.split("<tbody>")[1].split("</tbody>")[0], re.S)
    best = [re.findall(r'class="best">([\d.]+)', row) for row in rows]
    assert best == [[], ["0.600", "0.90"], []]  # R is best when small; one EAO alone is no winner
    assert "[8.00, 10.25]" in rows[0] and rows[2].count("–") == 3


def test_chosen_epoch_is_the_best_or_the_one_named():
    records = [{"epoch": 1, "score": 0.5}, {"epoch": 2, "score": 0.4}]
    assert "chosen: epoch 1, AUC 0.500" in render(Report(title="t", epochs=records))
    assert "chosen: epoch 2, AUC 0.400" in render(Report(title="t", epochs=records, chosen_epoch=2))


def test_epochs_done_against_a_loop():
    epoch = np.array([1, 1, 1, 2, 2, 4, 4, 4, 4.0])
    slow = []
    for position, number in enumerate(epoch):
        before = sum(other == number for other in epoch[: position + 1])
        slow.append(number - 1 + before / sum(other == number for other in epoch))
    np.testing.assert_allclose(_epochs_done(epoch), slow, rtol=0, atol=1e-12)


def test_terminal_table():
    rows = [
        Row("still box", {"AUC": (0.2, 0.1, 0.3), "R": (9.1, 8, 10.25)}, "never moves"),
        Row("tracké 追", {"AUC": (0.61, NAN, NAN), "failures": (12, NAN, NAN)}),
    ]
    assert terminal_table(rows).split("\n") == [
        "           AUC                   R                   failures",
        "still box  0.200 [0.100, 0.300]  9.10 [8.00, 10.25]   –        never moves",
        "tracké 追  0.610                    –                12",
    ]
    assert terminal_table([]) == ""


SETTINGS = [
    "a: 1\n",
    "",
    "x: '</script><script>'\r\n",
    "<!--<script>",
    "&lt; &amp;amp; {braces} %s",
    "\n\nü: 追\n",
    "\"'\r",
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_come_back(settings):
    text = render(Report(title="t", settings_yaml=settings))
    Page(text)
    if settings:
        assert settings_from_html(text) == settings
    else:
        with pytest.raises(UserError, match="settings"):
            settings_from_html(text)


def test_settings_are_not_taken_from_text_that_only_looks_like_them():
    trap = '<script type="application/x-yaml" id="settings">wrong</script>'
    report = Report(title=trap, provenance={trap: trap}, warnings=[trap], settings_yaml="right: 1\n# " + trap)
    assert settings_from_html(render(report)) == "right: 1\n# " + trap


IMAGE = np.zeros((4, 4, 3), np.uint8)
WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: Row("a", {"AUC": (0.1, 0.2)}), "value, low, high"),  # type: ignore[dict-item]
    (lambda: Row("a", {"AUC": (0.1, 0.2, 0.3)}), "low <= value"),
    (lambda: Row("a", {"AUC": (0.4, 0.2, 0.3)}), "low <= value"),
    (lambda: SequenceRow("s", 3, {}, {"a": [[1.0]]}), "one number a frame"),
    (lambda: Strip("s", [(IMAGE[..., 0], 1, {})]), "uint8 image"),
    (lambda: Strip("s", [(IMAGE.astype(float), 1, {})]), "uint8 image"),
    (lambda: Strip("s", [(IMAGE[:0], 1, {})]), "uint8 image"),
    (lambda: Strip("s", [(IMAGE, 1, {"a": [1, 2, 3]})]), "4 or 8"),
    (lambda: Strip("s", [(IMAGE, 1, {"a": [[1, 2, 3, 4]]})]), "4 or 8"),
    (lambda: Report(title="t", curves={"a": {"success": ([0, 1], [1])}}), "equally many"),
    (lambda: Report(title="t", curves={"a": {"success": ([], [])}}), "equally many"),
    (lambda: Report(title="t", curves={"a": {"success": ([0], [1], [1])}}), "thresholds, values"),  # type: ignore
    (lambda: Report(title="t", curves={"a": {"sucess": ([0], [1])}}), "success, precision"),
    (lambda: Report(title="t", training=[{"epoch": 1, "loss": 1}, {"epoch": 1}]), r"training\[1\].*lacks loss"),
    (lambda: Report(title="t", epochs=[{"epoch": 1}]), "lacks score"),
    (lambda: Report(title="t", trials=[{"number": 1, "value": 2}]), "lacks params"),
    (lambda: Report(title="t", epochs=[{"epoch": 1, "score": 1}], chosen_epoch=2), "chosen_epoch"),
]


@pytest.mark.parametrize(("make", "told"), WRONG)
def test_wrong_shapes_raise(make, told):
    with pytest.raises(UserError, match=told):
        make()


def test_boxes_are_drawn_where_they_are():
    looks = styles(["truth", "trained"])
    frame = np.full((480, 640, 3), 128, np.uint8)  # drawn at half size: pixel p lands on (p + 0.5) / 2 - 0.5
    picture = draw_boxes(frame, {"trained": [100.5, 200.5, 160, 80]}, looks)
    assert picture.shape == (240, 320, 3) and (frame == 128).all()
    near = np.abs(picture.astype(int) - looks["trained"].bgr).max(-1) < 40
    rows, columns = np.nonzero(near)
    assert abs(columns.min() - 50) <= 1 and abs(columns.max() - 130) <= 1
    assert abs(rows.min() - 100) <= 1 and abs(rows.max() - 140) <= 1
    assert (picture[105:136, 55:126] == 128).all() and (picture[:96] == 128).all()
    polygon = draw_boxes(frame, {"trained": [100.5, 200.5, 260.5, 200.5, 260.5, 280.5, 100.5, 280.5]}, looks)
    assert (polygon == picture).all()


def test_truth_shows_corners_only_and_over_the_tracker():
    looks = styles(["truth", "trained"])
    frame = np.full((240, 320, 3), 128, np.uint8)
    picture = draw_boxes(frame, {"truth": [100, 50, 80, 40], "trained": [100, 50, 80, 40]}, looks)
    assert (picture[50, 100:116].min(-1) > 200).all()  # white near the corner
    assert np.abs(picture[50, 140].astype(int) - looks["trained"].bgr).max() < 20  # the tracker between the corners


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 3), (16, 16)])
def test_odd_frames_and_far_boxes(size):
    looks = styles(["trained"])
    for box in ([-1e30, -5, 1e30, 1e30], [0, 0, 0, 0], [3, 3, -2, -2]):
        picture = draw_boxes(np.zeros((*size, 3), np.uint8), {"trained": box}, looks)
        assert picture.shape[0] <= 240 and picture.shape[1] <= 320 and picture.size


def test_strip_holds_its_frames():
    frame = np.full((480, 640, 3), (200, 60, 20), np.uint8)
    text = render(Report(title="t", strips=[Strip("s", [(frame, 7, {"truth": [NAN] * 4}), (frame, 8, {})])]))
    images = Page(text).all("img")
    assert [image["alt"] for image in images] == ["frame 7", "frame 8"]  # a box that is not known is not drawn
    jpeg = base64.b64decode(images[0]["src"].split(",")[1])
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (240, 320, 3)
    assert np.abs(decoded.astype(int) - (200, 60, 20)).max() <= 6


def test_sparkline_has_gaps_and_heights():
    looks = styles(["a", "b"])
    svg = sparkline(SequenceRow("s", 5, {}, {"a": [1, 1, NAN, 0.5, 2], "b": []}), looks)
    paths = re.findall(r'd="([^"]*)"', svg)
    assert paths[1] == "M0.0 0.0h0L25.0 0.0M75.0 12.0h0L100.0 0.0"
    assert paths[2] == ""
    long = sparkline(SequenceRow("s", 10_000, {}, {"a": np.linspace(0, 1, 10_000)}), looks)
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", re.findall(r'd="([^"]*)"', long)[1])]
    assert len(heights) == 100 and heights == sorted(heights, reverse=True)


def test_frames_around_failure():
    overlap = np.ones(100)
    assert frames_around_failure(overlap).tolist() == []
    overlap[10:12], overlap[40:50], overlap[5] = 0, 0, NAN
    assert frames_around_failure(overlap).tolist() == [20, 30, 35, 40, 45, 50, 60]
    overlap[90:] = 0
    overlap[89] = 0
    assert frames_around_failure(overlap, (5, 0, -5, 20)).tolist() == [84, 89, 94]
    assert frames_around_failure([0.0]).tolist() == [0] and frames_around_failure([]).tolist() == []


PROBE = """
const blocked = [];
addEventListener('securitypolicyviolation', event => blocked.push(event.violatedDirective));
addEventListener('load', () => setTimeout(() => {
  const rows = () => [...document.querySelectorAll('.sortable tbody tr')].map(row => row.cells[0].textContent);
  const buttons = document.querySelectorAll('.sortable thead button'), order = [rows()];
  for (const index of [0, 0, 1, 3, 3]) { buttons[index].click(); order.push(rows()); }
  const image = document.querySelector('img'), body = getComputedStyle(document.body);
  const seen = {
    order, blocked, sorted: [...document.querySelectorAll('.sortable th[aria-sort]')].map(head => head.ariaSort),
    loaded: image.complete && image.naturalWidth, fetched: performance.getEntriesByType('resource').map(e => e.name)
      .filter(name => !name.startsWith('data:')),
    wide: document.documentElement.scrollWidth - innerWidth, page: body.backgroundColor,
    text: getComputedStyle(document.querySelector('.plot text')).fill,
  };
  document.documentElement.setAttribute('data-seen', JSON.stringify(seen));
}, 0));
"""


def look(text: str, folder: Path, *, dark: bool = False, width: int = 500) -> dict:
    """Open the page in headless Chromium, from disk, and return what the probe saw there."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("Chromium is not installed: the page is not tried in a browser")
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    probed = text.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    file = folder / "report.html"
    file.write_text(probed.replace("</head>", f"<script>{PROBE}</script></head>", 1), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    root = next(attributes for tag, attributes in _loose(dom) if tag == "html")
    return json.loads(root["data-seen"] or "")


def _loose(dom: str) -> list[tuple[str, dict[str, str | None]]]:
    elements: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: elements.append((tag, dict(attributes)))  # type: ignore
    parser.feed(dom)
    return elements


def test_in_a_browser(tmp_path):
    seen = look(rendered("trained"), tmp_path)
    assert seen["order"] == [
        ["b2", "b10", "a1"],
        ["a1", "b2", "b10"],  # names upwards: 2 before 10
        ["b10", "b2", "a1"],  # and downwards
        ["b10", "b2", "a1"],  # frames 7, 30, 200
        ["b2", "a1", "b10"],  # a score that is not known stays last,
        ["a1", "b2", "b10"],  # in either direction
    ]
    assert seen["sorted"] == ["none", "none", "none", "descending"]
    assert seen["loaded"] and seen["fetched"] == [] and seen["blocked"] == []
    assert seen["wide"] <= 0  # nothing is wider than a narrow window: tables scroll in their own boxes
    assert seen["page"] == "rgb(253, 253, 252)" and seen["text"] == "rgb(89, 98, 107)"


def test_in_a_dark_browser(tmp_path):
    seen = look(rendered(NASTY), tmp_path, dark=True, width=1280)
    assert seen["page"] == "rgb(20, 23, 26)" and seen["text"] == "rgb(161, 169, 177)"
    assert seen["blocked"] == [] and seen["wide"] <= 0
