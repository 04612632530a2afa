"""A window of OpenCV's: frames, keys, and a box drawn with the mouse."""

import math
import os
import re
import subprocess
import sys
from typing import Self

import cv2
import numpy as np

from lib.tracker.drawing import caption, draw_selection

Box = tuple[int, int, int, int]

VIEW = (1280, 720)  # the window opens no larger than this; its user may enlarge it
LEAST_SIDE = 240  # smaller frames are enlarged to this shorter side, so that text is legible
LEAST_DRAG = 2  # pixels; less is a click
ESCAPE, NO_KEY, CONFIRM = 27, 255, ("\n", "\r", " ")
PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1)"


def display_problem() -> str | None:
    """Why no window can be opened here, or None.

    Qt ends the whole process when it cannot reach a display, so that another process tries first.
    """
    gui = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if gui and gui[1] == "NONE":
        return "OpenCV is built without windows (opencv-python-headless)"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display (DISPLAY is not set)"
    try:
        tried = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=30)
    except subprocess.TimeoutExpired:
        return "the display does not answer"
    return "the display cannot be opened" if tried.returncode else None


class Window:
    """Shows frames of any sizes; says which key was pressed and whether its user closed it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.open = self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.open and not self.closed:
            cv2.destroyWindow(self.title)
            cv2.waitKey(1)

    def show(self, frame: np.ndarray, text: str = "", wait_ms: int = 1) -> str:
        """Show a frame with a line of text; the key pressed meanwhile, "" for none, "q" also for Escape and closing."""
        zoom = _zoom(frame)
        view = frame if zoom == 1 else cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
        if not self.open:
            cv2.namedWindow(self.title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            shrink = min(1.0, VIEW[0] / view.shape[1], VIEW[1] / view.shape[0])
            cv2.resizeWindow(self.title, round(shrink * view.shape[1]), round(shrink * view.shape[0]))
            self.open = True
        cv2.imshow(self.title, caption(view, text) if text else view)
        key = cv2.waitKey(max(1, wait_ms)) & 0xFF
        # events are handled now: a window that was closed would be opened anew by the next imshow
        self.closed = cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1
        if self.closed or key == ESCAPE:
            return "q"
        return "" if key == NO_KEY else chr(key).lower()

    def select(self, frame: np.ndarray) -> Box | None:
        """A box, xywh, that the user drags and confirms with Enter or Space; None when he quits instead."""
        drag = _Drag(frame.shape[1], frame.shape[0], _zoom(frame))
        key = self.show(frame)
        cv2.setMouseCallback(self.title, drag.event)
        while key != "q":
            if key in CONFIRM and min(drag.box[2:]) >= LEAST_DRAG:
                break
            key = self.show(draw_selection(frame, drag.box), "drag a box, then press Enter; q quits", wait_ms=20)
        if not self.closed:
            cv2.setMouseCallback(self.title, lambda *_: None)
        return None if key == "q" else drag.box


class _Drag:
    """The box between the places where the left button went down and where it was let go."""

    def __init__(self, width: int, height: int, zoom: int) -> None:
        self.limits, self.zoom = (width, height), zoom
        self.start = self.end = (0, 0)
        self.down = False

    def event(self, event: int, x: int, y: int, flags: int, data: object) -> None:
        """OpenCV's mouse callback; ``x``, ``y`` in what is shown."""
        width, height = self.limits
        place = min(max(round(x / self.zoom), 0), width), min(max(round(y / self.zoom), 0), height)
        if event == cv2.EVENT_LBUTTONDOWN:
            self.start, self.down = place, True
        if self.down:
            self.end = place
        if event == cv2.EVENT_LBUTTONUP:
            self.down = False

    @property
    def box(self) -> Box:
        (x0, x1), (y0, y1) = map(sorted, zip(self.start, self.end, strict=True))
        return x0, y0, x1 - x0, y1 - y0


def _zoom(frame: np.ndarray) -> int:
    """How many times a small frame is enlarged."""
    return max(1, math.ceil(LEAST_SIDE / min(frame.shape[:2])))
