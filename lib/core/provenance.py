"""Where a number comes from: seed, versions, commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lib.core.settings import TrainSettings

PACKAGES = ("torch", "numpy", "opencv-python", "opencv-python-headless", "optuna")


def git_commit() -> str:
    """Commit of this checkout, with ``+`` where files differ from it; ``unknown`` outside a repository."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no").strip()
        return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def provenance(settings: TrainSettings) -> dict[str, str]:
    """Names and values for the checkpoint and the report."""
    found = {"seed": str(settings.SEED), "commit": git_commit(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
