"""Fixtures shared by all tests."""

import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests run in as many processes as there are cores
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job; scripts that are tested inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of recorded outputs and real sequences, ``$TRACKING_REFERENCE``; without it the test is skipped."""
    folder = os.environ.get("TRACKING_REFERENCE")
    if not folder:
        pytest.skip("TRACKING_REFERENCE is not set: it names the folder of recorded outputs and real sequences")
    path = Path(folder)
    # a folder that is promised but absent must not pass as a skip
    assert (path / "golden").is_dir(), f"TRACKING_REFERENCE must hold golden/, got {path}"
    return path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Runs a script, by path and words, in this process and as its own in every other way; gives its exit status."""
    on_term, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()

    def run(script: str | Path, *words: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1 if end.code else 0
        return 0

    yield run
    signal.signal(signal.SIGTERM, on_term)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
