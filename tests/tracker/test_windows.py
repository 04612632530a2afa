"""A window without a screen: keys, selection and zoom; the test plays the part of OpenCV."""

import subprocess

import cv2
import numpy as np
import pytest

from lib.tracker import windows
from lib.tracker.windows import Window, display_problem


class Screen:
    """Stands in for OpenCV's windows: each wait for a key plays the next act, a key or mouse events."""

    def __init__(self, acts):
        self.acts, self.shown, self.visible, self.mouse = list(acts), [], 1.0, lambda *_: None

    def wait(self, ms):
        act = self.acts.pop(0)
        if act == "close":
            self.visible = 0.0
        elif isinstance(act, tuple):
            for event in act:
                self.mouse(*event, 0, None)
        return ord(act) if isinstance(act, str) and len(act) == 1 else -1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch):
    def screen(*acts) -> Screen:
        made = Screen(acts)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda title, width, height: setattr(made, "size", (width, height)))
        monkeypatch.setattr(cv2, "destroyWindow", lambda title: setattr(made, "visible", 0.0))
        monkeypatch.setattr(cv2, "imshow", lambda title, image: made.shown.append(image))
        monkeypatch.setattr(cv2, "waitKey", made.wait)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: made.visible)
        monkeypatch.setattr(cv2, "setMouseCallback", lambda title, call: setattr(made, "mouse", call))
        return made

    return screen


def frame(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def dragged(x0: int, y0: int, x1: int, y1: int) -> tuple:
    return (cv2.EVENT_LBUTTONDOWN, x0, y0), (cv2.EVENT_MOUSEMOVE, x0, y1), (cv2.EVENT_LBUTTONUP, x1, y1)


@pytest.mark.parametrize(("act", "key"), [("S", "s"), ("q", "q"), ("\x1b", "q"), ("close", "q"), ("none", "")])
def test_keys(screen, act: str, key: str):
    screen(act)
    assert Window("w").show(frame(320, 240)) == key


@pytest.mark.parametrize(
    ("size", "view", "window"),
    [
        ((16, 16), 15, (240, 240)),
        ((320, 240), 1, (320, 240)),
        ((4000, 3000), 1, (960, 720)),
        ((100, 300), 3, (240, 720)),
    ],
)
def test_small_frames_are_enlarged_and_large_windows_bounded(screen, size, view: int, window):
    made = screen("x")
    Window("w").show(frame(*size))
    assert made.shown[0].shape == (view * size[1], view * size[0], 3)
    assert made.size == pytest.approx(window, abs=1)


def test_a_box_is_dragged_in_any_direction_and_confirmed(screen):
    for start, end in (((40, 30), (140, 90)), ((140, 90), (40, 30))):
        made = screen("none", dragged(*start, *end), "\r")
        assert Window("w").select(frame(320, 240)) == (40, 30, 100, 60)
        assert not made.acts


def test_a_click_is_no_box_and_edges_hold(screen):
    screen("none", "\r", dragged(40, 30, 41, 80), " ", dragged(300, -50, 900, 60), " ")
    assert Window("w").select(frame(320, 240)) == (300, 0, 20, 60)


def test_selection_in_an_enlarged_frame(screen):
    screen("none", dragged(30, 45, 150, 240), "\n")  # shown 15 times as large
    assert Window("w").select(frame(16, 16)) == (2, 3, 8, 13)


@pytest.mark.parametrize("act", ["q", "\x1b", "close"])
def test_selection_can_be_left(screen, act: str):
    screen("none", dragged(40, 30, 140, 90), act)
    assert Window("w").select(frame(320, 240)) is None


def test_leaving_closes_the_window(screen):
    made = screen("x", "x")
    with Window("w") as window:
        window.show(frame(320, 240))
    assert made.visible == 0.0


def test_why_there_is_no_window(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(windows.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert "DISPLAY is not set" in str(display_problem())
    monkeypatch.setenv("DISPLAY", ":6553")
    tried = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(windows.subprocess, "run", lambda *_, **__: tried)
    assert display_problem() is None
    tried.returncode = -6
    assert "cannot be opened" in str(display_problem())
    monkeypatch.setattr(windows.cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    assert "headless" in str(display_problem())
