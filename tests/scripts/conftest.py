"""Scripts run in this process, in a place where good data of every kind is at hand."""

import runpy
import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.scripts.bad_inputs import Place, make_common

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops, test sets, weights and a clip."""
    folder = tmp_path_factory.mktemp("common") / "Größe & Übung"
    folder.mkdir()
    return make_common(folder)


@pytest.fixture
def place(common: Path, tmp_path: Path) -> Place:
    """A folder of one test's own."""
    here = tmp_path / "çà et là"
    here.mkdir()
    return Place(common, here)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Place):
    """Runs a script of the repository in ``place``: (status, stdout, stderr), those of libraries included."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(place.here)
    on_term, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()

    def call(script: str, words: list[object]) -> tuple[int, str, str]:
        path = script if "/" in script or script.startswith("evalution") else f"siamese_tracking/{script}"
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        status = 0
        try:
            runpy.run_path(str(ROOT / path), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        said, complaint = capfd.readouterr()
        return status, as_shown(said), as_shown(complaint)

    yield call
    signal.signal(signal.SIGTERM, on_term)
    torch.set_num_threads(threads)


def as_shown(text: str) -> str:
    """What a terminal shows: a progress bar is overwritten by what comes after it."""
    return "".join(line.rpartition("\r")[2] for line in text.splitlines(keepends=True))
