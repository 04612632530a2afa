"""Evaluation scripts run in this process, in an empty folder."""

from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(in_process, monkeypatch, capsys, tmp_path):
    """Runs a script of the repository in ``tmp_path``: status, out, err."""
    monkeypatch.chdir(tmp_path)

    def run(script, *words):
        status = in_process(ROOT / script, *words)
        return SimpleNamespace(status=status, **capsys.readouterr()._asdict())

    return run
