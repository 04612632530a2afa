"""The page itself: sections in the order in which people look, each left out where it has no data."""

import base64
import hashlib
import re
from html import escape, unescape

from lib.evaluation.report import sections
from lib.evaluation.report.content import Report, tracker_names
from lib.evaluation.report.style import CSS, SORT, styles
from lib.files import UserError

_SETTINGS = re.compile(r'<script type="application/x-yaml" id="settings">(.*?)</script>', re.S)


def render(report: Report) -> str:
    """The whole page: one HTML text that needs no network and no other file. The same report gives the same text."""
    looks = styles(tracker_names(report))
    parts = [
        ("result", "Result", sections.result(report, looks)),
        ("film", "Film strips", sections.film(report, looks)),
        ("curves", "Overlap and precision", sections.curves(report, looks)),
        ("sequences", "Sequence by sequence", sections.sequences(report, looks)),
        ("training", "Training", sections.training(report)),
        ("tuning", "Tuning", sections.tuning(report)),
        ("origin", "How it was made", sections.origin(report)),
    ]
    present = [part for part in parts if part[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in present)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>\n'
        for name, title, content in present
    )
    return _PAGE.format(
        policy=_policy(),
        title=escape(report.title),
        css=CSS,
        created=f'<p class="soft">{escape(report.created)}</p>' if report.created else "",
        links=f'<nav aria-label="sections"><ul>{links}</ul></nav>' if len(present) > 1 else "",
        warnings="".join(f'<p class="warning">{escape(warning)}</p>' for warning in report.warnings),
        body=body,
        settings=_settings_block(report.settings_yaml),
        script=SORT,
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><h1>{title}</h1>{created}{links}{warnings}</header>
<main id="main">
{body}</main>
{settings}<script>{script}</script>
</body>
</html>
"""


def _policy() -> str:
    """The browser is told to fetch nothing, and to run the one script that belongs here."""
    digest = base64.b64encode(hashlib.sha256(SORT.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _settings_block(settings: str) -> str:
    """The settings as they are in their file, escaped so that no text in them can end the block early."""
    if not settings:
        return ""
    text = escape(settings, quote=False).replace("\r", "&#13;")
    return f'<script type="application/x-yaml" id="settings">{text}</script>\n'


def settings_from_html(text: str) -> str:
    """The settings file that a page made by :func:`render` carries."""
    found = _SETTINGS.search(text)
    if found is None:
        raise UserError(
            "a report must carry its settings, none are in this text: give a report page made with settings"
        )
    return unescape(found[1])
