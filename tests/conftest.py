"""Fixtures shared by all tests."""

import os
import signal
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


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
