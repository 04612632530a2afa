"""The windows of run_video.py and run_webcam.py on a virtual screen: a hand draws a box, an eye looks at the result.

Needs Xvfb, xdotool and import (Debian: apt-get install xvfb xdotool imagemagick).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.tracker.drawing import COLOURS
from tests.scripts.live import SIZE, TARGET, checkpoint, clip, start

MISSING = [tool for tool in ("Xvfb", "xdotool", "import") if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
TIMEOUT = 180  # seconds for a window to come, or a picture to change, on a machine that is busy too


class Screen:
    """A virtual screen with a mouse and a keyboard."""

    def __init__(self, display: str, folder: Path) -> None:
        self.display, self.folder = display, folder

    def do(self, *command: object) -> str:
        environment = {**os.environ, "DISPLAY": self.display}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=30)
        return done.stdout

    def window(self, title: str, process: subprocess.Popen[str]) -> str:
        """Wait for a window and give it the keyboard, as a window manager would."""

        def look() -> list[str]:
            assert process.poll() is None, process.communicate()
            return self.do("xdotool", "search", "--name", title).split()

        found = until(look)
        self.do("xdotool", "windowfocus", found[-1])
        return found[-1]

    def key(self, name: str) -> None:
        self.do("xdotool", "key", name)

    def drag(self, window: str, x: int, y: int, w: int, h: int) -> None:
        self.do("xdotool", "mousemove", "--window", window, x, y, "mousedown", 1)
        self.do("xdotool", "mousemove", "--window", window, x + w // 2, y + h // 2)
        self.do("xdotool", "mousemove", "--window", window, x + w, y + h, "mouseup", 1)

    def picture(self) -> np.ndarray:
        """What the window shows: it lies in the screen's upper left corner."""
        path = self.folder / "screen.png"
        self.do("import", "-window", "root", path)
        return cv2.imread(str(path))[: SIZE[1], : SIZE[0]]


def until(look: Callable, seconds: float = TIMEOUT):
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)
    return answer


def shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return int((picture == colour).all(-1).sum()) > 40


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    ours, theirs = os.pipe()
    command = ["Xvfb", "-displayfd", str(theirs), "-noreset", "-screen", "0", "640x480x24"]
    server = subprocess.Popen(command, pass_fds=[theirs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    with os.fdopen(ours) as number:
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def screen(display: str, tmp_path: Path) -> Screen:
    return Screen(display, tmp_path)


@pytest.fixture
def launch(display: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts scripts on the screen; none outlives its test."""
    started = []

    def launch(script: str, *words: object) -> subprocess.Popen[str]:
        started.append(start(script, *words, display=display))
        return started[-1]

    yield launch
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "checkpoint_e1.pth")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("video") / "clip.avi", 2000)


def test_run_video_with_the_mouse(screen: Screen, launch, weights: Path, video: Path, tmp_path: Path):
    out = tmp_path / "out.txt"
    process = launch("run_video.py", "--resume", weights, "--video", video, "--show", "--boxes", out)
    window = screen.window("clip.avi", process)

    def helps() -> bool:
        assert process.poll() is None, process.communicate()
        return shows(screen.picture(), (255, 255, 255))

    until(helps)
    screen.key("Return")  # nothing is drawn yet: nothing happens
    screen.drag(window, *TARGET)
    until(lambda: shows(screen.picture(), COLOURS[0]))
    screen.key("Return")
    until(lambda: not shows(screen.picture(), (255, 255, 255)))
    assert shows(screen.picture(), COLOURS[0])
    screen.key("q")
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert "to q" in said
    boxes = np.loadtxt(out, delimiter=",", ndmin=2)
    assert 1 < len(boxes) < 2000
    np.testing.assert_allclose(boxes[0], TARGET, atol=1)


def test_run_webcam_select_reselect_quit(screen: Screen, launch, weights: Path, video: Path):
    process = launch("run_webcam.py", "--resume", weights, "--camera", video)
    window = screen.window("camera ", process)
    assert not shows(screen.picture(), COLOURS[0])
    for key in ("s", "r"):
        screen.key(key)
        time.sleep(0.5)
        screen.drag(window, *TARGET)
        until(lambda: shows(screen.picture(), COLOURS[0]))
        screen.key("space")
        time.sleep(0.5)
        assert shows(screen.picture(), COLOURS[0])
    screen.key("Escape")
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (0, "")
