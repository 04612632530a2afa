"""Image files, read one way everywhere: a file that was cut short is no image."""

from pathlib import Path

import cv2
import numpy as np


def read_image(path: str | Path) -> np.ndarray | None:
    """(H, W, 3) uint8 BGR of a file, be it grey, 16 bit or with alpha; None if it is missing, damaged or no image."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    if not is_whole(data):
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def is_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG ends as it must; of other formats whether there is anything.

    The decoder paints the missing end of a JPEG grey and calls it done. An end-of-image marker after the last start of
    a scan tells; one before it is a thumbnail's. Within a scan neither can occur, as there each FF is followed by 00.
    """
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data
    return bool(data)
