"""A kill in every stage and three other faults: the whole of it is ``python -m benchmarks.faults``."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_killed_run_goes_on(tmp_path: Path):
    """In a process of its own: one that has threads cannot be forked."""
    figures = tmp_path / "faults.json"
    command = [sys.executable, "-m", "benchmarks.faults", "--kills", "6", "--json", str(figures)]
    command += [word for name in ("checkpoint cut", "two runs", "report") for word in ("--only", name)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(figures.read_text())
    assert sum(told["kills"].values()) == told["gone_on"] == 6 and told["kills"]["prepare"] == 1
    assert set(told["others"]) == {"disk full in report", "checkpoint cut", "two runs in one folder"}
    assert not [each for each in told["others"].values() if "failed" in each]
    assert "training goes on from the epoch before" in told["others"]["checkpoint cut"]["line"]
    assert told["others"]["two runs in one folder"]["status"] == 2
