"""get_eao.m against the Python score, through Octave where it is installed."""

import shutil
import sys
import types

import numpy as np
import pytest

from lib.core import engines
from lib.evaluation import vot
from lib.evaluation.regions import Runs
from lib.files import UserError


@pytest.fixture
def runs():
    """Runs that fail early, late, too late for a new start, and just before the end."""
    rng = np.random.default_rng(0)
    lengths = np.array([60, 60, 41, 41, 12, 12, 9, 9])
    fails = [[], [10, 30], [35], [36], [7], [8], [1], [3]]
    codes, overlaps = [], []
    for n, failed in zip(lengths, fails, strict=True):
        code, overlap = np.full(n, -1), rng.uniform(0, 1, n)
        code[0] = 1
        for f in failed:
            code[f], code[f + 1 : f + 5] = 2, 0
            code[f + 5 : f + 6] = 1
        overlap[code >= 0] = np.nan
        codes.append(code)
        overlaps.append(overlap)
    every = np.concatenate(overlaps)
    return Runs(every, every, np.concatenate(codes), lengths, np.repeat(np.arange(4), 2), lengths[::2])


@pytest.mark.parametrize("interval", [(5, 40), (1, 60), (50, 90)])
def test_octave(runs, interval):
    if not (shutil.which("octave-cli") or shutil.which("octave")):
        pytest.skip("Octave is not installed (apt-get install octave): get_eao.m was not run")
    want = float(vot.sums(runs, interval).scores()["eao"])
    assert engines.eao_of("octave", runs, interval) == pytest.approx(want, abs=1e-12)


def test_what_is_missing_is_named(runs, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs Octave"):
        engines.eao_of("octave", runs, (5, 40))
    monkeypatch.setitem(sys.modules, "matlab", None)
    with pytest.raises(UserError, match="pip install matlabengine"):
        engines.eao_of("matlab", runs, (5, 40))


def test_matlab_is_called_with_columns(runs, monkeypatch):
    """The calls, on a stand-in of matlabengine."""
    calls = []

    class Session:
        def addpath(self, path, nargout):
            calls.append(path)

        def get_eao(self, *args, nargout):
            calls.append(args)
            return 0.25

        def quit(self):
            calls.append("quit")

    matlab, engine = types.ModuleType("matlab"), types.ModuleType("matlab.engine")
    matlab.double, matlab.engine, engine.start_matlab = list, engine, Session
    monkeypatch.setitem(sys.modules, "matlab", matlab)
    monkeypatch.setitem(sys.modules, "matlab.engine", engine)
    assert engines.eao_of("matlab", runs, (5, 40)) == 0.25
    (folder, (overlaps, codes, lengths, sequence, low, high), last) = calls
    assert folder == str(engines.HERE) and last == "quit" and (low, high) == (5.0, 40.0)
    assert len(overlaps) == len(codes) == runs.lengths.sum() and overlaps[1] == [runs.overlaps[1]]
    assert lengths[:3] == [[60.0], [60.0], [41.0]] and sequence == [[1.0 + k // 2] for k in range(8)]
