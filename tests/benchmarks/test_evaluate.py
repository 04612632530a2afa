"""The peers of the evaluation benchmark give the same scores, on small sizes."""

import json
import sys

from benchmarks import evaluate


def test_same_scores_as_the_peers(tmp_path, monkeypatch, capsys):
    words = [
        "--sequences",
        "3",
        "--frames",
        "25",
        "--trackers",
        "3",
        "--runs",
        "3",
        "--regions",
        "40",
        "--repeats",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words, "--json", str(tmp_path / "e.json")])
    evaluate.main()
    lines = json.loads((tmp_path / "e.json").read_text())["lines"]
    assert len(lines) == 5 and len(capsys.readouterr().out.splitlines()) == 7
    assert [each["difference"] is not None for each in lines] == [True, True, False, True, True]
    assert all((each["difference"] or 0) < 1e-9 for each in lines)
