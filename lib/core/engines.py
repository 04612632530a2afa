"""The expected average overlap by ``get_eao.m``, in MATLAB as the published scripts did it, or in Octave."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lib.evaluation.regions import Runs
from lib.files import UserError

ENGINES = ("python", "matlab", "octave")
HERE = Path(__file__).parent
OCTAVE = """runs = load('runs.txt');
frames = load('frames.txt');
interval = load('interval.txt');
printf('%.17g\\n', get_eao(frames(:, 1), frames(:, 2), runs(:, 1), runs(:, 2), interval(1), interval(2)));
"""


def eao_of(engine: str, runs: Runs, interval: tuple[int, int]) -> float:
    """Expected average overlap of a tracker's runs over one-based lengths ``interval``."""
    return {"matlab": _matlab, "octave": _octave}[engine](runs, interval)


def _matlab(runs: Runs, interval: tuple[int, int]) -> float:
    try:
        import matlab
        import matlab.engine
    except ImportError as error:
        raise UserError(
            "--engine matlab needs MATLAB and its Python package: pip install matlabengine of MATLAB's own version, or "
            "leave --engine out: Python's score is the same"
        ) from error
    session = matlab.engine.start_matlab()
    try:
        session.addpath(str(HERE), nargout=0)
        columns = (runs.overlaps, runs.codes, runs.lengths, runs.sequence + 1)
        vectors = [matlab.double([[float(value)] for value in column]) for column in columns]
        return float(session.get_eao(*vectors, *map(float, interval), nargout=1))
    finally:
        session.quit()


def _octave(runs: Runs, interval: tuple[int, int]) -> float:
    octave = shutil.which("octave-cli") or shutil.which("octave")
    if octave is None:
        raise UserError("--engine octave needs Octave: install it, or leave --engine out: Python's score is the same")
    with TemporaryDirectory(prefix="eao-") as folder:
        np.savetxt(Path(folder) / "frames.txt", np.stack([runs.overlaps, runs.codes], 1), "%.17g")
        np.savetxt(Path(folder) / "runs.txt", np.stack([runs.lengths, runs.sequence + 1], 1), "%d")
        np.savetxt(Path(folder) / "interval.txt", np.array(interval), "%d")
        (Path(folder) / "main.m").write_text(OCTAVE)
        words = [octave, "--no-init-file", "--quiet", "--path", str(HERE), "main.m"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    try:
        return float(done.stdout)
    except ValueError as error:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"Octave must print a score, it said: {said[-1] if said else 'nothing'}") from error
