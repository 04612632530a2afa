"""Where frames come from and where they go: video files, folders of frames, cameras and streams; a video file out.

A frame is (H, W, 3) uint8 BGR. The frames of one source need not have one size.
"""

import os
import queue
import re
import shutil
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lib.files import UserError, part_of, sweep
from lib.tracker.frames import read_image

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}  # those that every OpenCV can write
FPS = 25.0  # where a source does not say how fast it is


@dataclass(frozen=True, eq=False)
class Source:
    """An open source; its frames can be had once. Close ``frames`` to free the file or the camera."""

    name: str
    frames: Generator[np.ndarray, None, None]
    count: int | None = None  # frames that it promises, where it says so
    fps: float = FPS
    live: bool = False  # a camera or a stream: it goes on whether or not one looks


def open_source(name: str, *, newest: bool = False) -> Source:
    """Open a video file, an image, a folder of images (in the order of their numbers), a camera's index or an URL.

    ``newest``: of a camera or a stream, frames that come while the last one is in use are dropped, so that a slow
    tracker does not fall behind.
    """
    path = Path(name)
    if path.is_dir():
        images = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGES), key=_by_number)
        if not images:
            raise UserError(f"a folder of frames must hold images, {name} holds none: give the folder they lie in")
        return Source(name, _ahead(map(read_image, images)), len(images))
    if path.is_file() and path.suffix.lower() in IMAGES:
        return Source(name, _ahead(map(read_image, [path])), 1)
    if path.is_file():
        capture = _capture(
            str(path.absolute()),
            name,
            "another program must be able to play it; if one does, convert it to H.264 in MP4",
        )
    elif name.isdecimal():
        present = ", ".join(p.name.removeprefix("video") for p in sorted(Path("/dev").glob("video*"))) or "none"
        capture = _capture(
            int(name), f"camera {name}", f"cameras seen here: {present}; give the index of one, an URL or a video file"
        )
    elif "://" in name:
        capture = _capture(name, name, "check the address, and that the stream runs")
    else:
        raise UserError(
            f"a video must be a file, a folder of frames, a camera's index or an URL; {name} does not exist: correct it"
        )
    live = not path.is_file()
    count = 0 if live else capture.get(cv2.CAP_PROP_FRAME_COUNT)
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames = _captured(capture, name, int(count) if 0 < count < 1e9 else None)
    return Source(
        name,
        _newest(frames) if live and newest else _ahead(frames),
        int(count) if 0 < count < 1e9 else None,
        fps if 1 <= fps <= 240 else FPS,
        live,
    )


class VideoFile:
    """A video of its first frame's size: written beside ``path`` and moved there by :meth:`close`."""

    def __init__(self, path: str | Path, fps: float = FPS) -> None:
        self.path, self.fps = Path(path), fps
        if self.path.suffix.lower() not in CODECS:
            raise UserError(f"a video must be saved as {', '.join(CODECS)}; got {path}: rename it")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder") from None
        sweep(self.path.parent, deep=False)
        beside = part_of(self.path.absolute())  # absolute: FFmpeg would read a:b.mp4 as an address
        self.beside = beside.with_name(beside.name + self.path.suffix)
        self.size = (0, 0)
        self.writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Add a frame; one of another size is fitted in."""
        if self.writer is None:
            height, width = frame.shape[:2]
            self.size = (width + width % 2, height + height % 2)  # codecs want even sides
            code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            _quiet()
            self.writer = cv2.VideoWriter(str(self.beside), code, self.fps, self.size)
            if not self.writer.isOpened():
                self.abandon()
                reason = "the folder must be writable, and OpenCV must have the codec for this size"
                raise UserError(f"{self.path} cannot be written as {width} x {height} video: {reason}")
        self.writer.write(fitted(frame, self.size))

    def close(self) -> None:
        """Finish the file and move it to its place; without a frame there is no file."""
        if self.writer is None:
            return
        self.writer.release()
        self.writer = None
        if not cv2.VideoCapture(str(self.beside), cv2.CAP_FFMPEG).read()[0]:  # OpenCV does not say when a disk is full
            self.abandon()
            raise UserError(f"{self.path} could not be finished: free space on the disk ({_free(self.path.parent)})")
        os.replace(self.beside, self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self.writer is not None:
            self.writer.release()
            self.writer = None
        self.beside.unlink(missing_ok=True)


def fitted(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The whole frame in an image of ``size`` (width, height): an odd side gains a pixel, other sizes are scaled."""
    height, width = frame.shape[:2]
    border = cv2.BORDER_REPLICATE
    if (width + width % 2, height + height % 2) != size:
        scale = min(size[0] / width, size[1] / height)
        width, height = max(1, round(scale * width)), max(1, round(scale * height))
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        border = cv2.BORDER_CONSTANT
    right, below = size[0] - width, size[1] - height
    if not right and not below:
        return frame
    return cv2.copyMakeBorder(frame, below // 2, below - below // 2, right // 2, right - right // 2, border)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _quiet() -> None:
    """What goes wrong is said once, by us; FFmpeg reads the variable when it is first used."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _capture(address: str | int, name: str, cure: str) -> cv2.VideoCapture:
    _quiet()
    capture = cv2.VideoCapture(address, cv2.CAP_ANY if isinstance(address, int) else cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise UserError(f"{name} cannot be opened as a video: {cure}")
    return capture


def _captured(capture: cv2.VideoCapture, name: str, promised: int | None) -> Iterator[np.ndarray]:
    number = 0
    try:
        while True:
            there, frame = capture.read()
            if not there:
                break
            number += 1
            yield frame
    finally:
        capture.release()
    if not number:
        raise UserError(
            f"a video must hold frames, of {name} none can be read: it is empty, damaged or of a codec unknown"
        )
    if promised and number < 0.95 * promised - 1:  # the promise of a file is an estimate
        print(f"{name} promises {promised} frames, {number} could be read: it is cut or damaged", file=sys.stderr)


def _ahead(frames: Iterator[np.ndarray]) -> Generator[np.ndarray, None, None]:
    """The same frames, each being read while the one before it is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = reader.submit(next, frames, None)
            yield frame


def _newest(frames: Iterator[np.ndarray]) -> Generator[np.ndarray, None, None]:
    """Always the newest frame: those that came while the last one was in use are dropped."""
    slot: queue.Queue[np.ndarray | UserError | None] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def offer(item: np.ndarray | UserError | None) -> None:
        with suppress(queue.Empty):
            slot.get_nowait()
        slot.put(item)

    def read() -> None:
        try:
            for frame in frames:
                if stop.is_set():
                    return
                offer(frame)
        except UserError as error:
            offer(error)
            return
        offer(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (frame := slot.get()) is not None:
            if isinstance(frame, UserError):
                raise frame
            yield frame
    finally:
        stop.set()
        reader.join(timeout=2)


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB free"
