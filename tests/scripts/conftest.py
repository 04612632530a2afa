"""Scripts run in this process, in a place where good data of every kind is at hand."""

from pathlib import Path

import pytest

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
def call(in_process, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Place):
    """Runs a script of the repository in ``place``: (status, stdout, stderr), those of libraries included."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(place.here)

    def call(script: str, words: list[object]) -> tuple[int, str, str]:
        path = script if "/" in script or script.startswith("evalution") else f"siamese_tracking/{script}"
        status = in_process(ROOT / path, *words)
        said, complaint = capfd.readouterr()
        return status, as_shown(said), as_shown(complaint)

    return call


def as_shown(text: str) -> str:
    """What a terminal shows: a progress bar is overwritten by what comes after it."""
    return "".join(line.rpartition("\r")[2] for line in text.splitlines(keepends=True))
