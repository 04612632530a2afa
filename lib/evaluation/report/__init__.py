"""The report: one self-contained HTML page from plain values, and the same final table for a terminal.

``render(Report(...)) -> str`` is pure: the same values give the same bytes. Nothing is fetched when the page is opened.
"""

from lib.evaluation.report.content import Report, Row, Score, SequenceRow, Strip
from lib.evaluation.report.frames import frames_around_failure
from lib.evaluation.report.page import render, settings_from_html
from lib.evaluation.report.tables import terminal_table

__all__ = [
    "Report",
    "Row",
    "Score",
    "SequenceRow",
    "Strip",
    "frames_around_failure",
    "render",
    "settings_from_html",
    "terminal_table",
]
