"""The training crop: one target in the middle of a square, at the scale at which trackers see their exemplar.

Boxes are zero-based (..., 4) ``cxcywh`` pixels; images (H, W, 3) uint8 BGR.
"""

import cv2
import numpy as np

from lib.files import UserError
from lib.geometry.crop import context_side, subwindow

EXEMPLAR = 127  # px, the side that the context square of a target becomes
JPEG_QUALITY = 90


def mean_colour(image: np.ndarray) -> np.ndarray:
    """(3,) uint8, the frame's mean colour, truncated: what a crop shows outside the image."""
    sums = np.array(cv2.sumElems(image)[:3])  # exact: whole numbers below 2^53
    return (sums / (image.shape[0] * image.shape[1])).astype(np.uint8)


def crop_target(image: np.ndarray, box: np.ndarray, side: int, fill: np.ndarray) -> np.ndarray:
    """Crop the target ``box`` (4,) to (side, side, 3).

    With s_z the context side, rounded as the SiamFC tracker rounds it, the crop shows s_z * side / 127 source pixels
    about the centre, so that side 127 is the exemplar and side 255 the search area of a tracker that starts here.
    """
    x, y, width, height = (float(value) for value in box)
    shown = round(context_side(width, height)) * side / EXEMPLAR
    return subwindow(image, (x, y), shown, side, fill.tolist())


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """The image as the bytes of a JPEG file."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise UserError(f"OpenCV must encode an image of shape {image.shape}, but it failed; reinstall opencv-python")
    return data.tobytes()


def crop_name(frame: int, track: int) -> str:
    """SiamDW's file name of a crop, ``{frame:06d}.{track:02d}.x.jpg``."""
    return f"{frame:06d}.{track:02d}.x.jpg"
