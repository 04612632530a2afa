"""What a viewer sees: boxes with their scores, lost targets marked as such, a line of help."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

# BGR; told apart by the colour-blind too (Okabe & Ito)
COLOURS = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (178, 114, 0), (0, 94, 213), (167, 121, 204))
LOST = (160, 160, 160)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_targets(frame: np.ndarray, boxes: ArrayLike, scores: ArrayLike, threshold: float) -> np.ndarray:
    """A copy of ``frame`` with boxes (n, 4) xywh and scores (n,); below ``threshold``, or NaN, a target counts as lost.

    A lost target has a grey box of dashes and says so; of several, each has its colour and its number.
    """
    image = frame.copy()
    thick = max(1, round(min(image.shape[:2]) / 240))
    rows = zip(np.atleast_2d(boxes).tolist(), np.atleast_1d(scores).tolist(), strict=True)
    several = len(np.atleast_1d(scores)) > 1
    for number, ((x, y, w, h), score) in enumerate(rows):
        lost = not score >= threshold
        colour = LOST if lost else COLOURS[number % len(COLOURS)]
        corners = round(x), round(y), round(x + w), round(y + h)
        if lost:
            _dashed(image, corners, colour, thick)
        else:
            cv2.rectangle(image, corners[:2], corners[2:], colour, thick)
        label = f"{number + 1}: {score:.2f}" if several else f"{score:.2f}"
        _text(image, f"{label} lost" if lost else label, corners[0], corners[1], colour)
    return image


def draw_selection(frame: np.ndarray, xywh: tuple[int, int, int, int]) -> np.ndarray:
    """A copy of ``frame`` with a box that is being drawn, once it has an area."""
    image = frame.copy()
    x, y, w, h = xywh
    if not w or not h:
        return image
    thick = max(1, round(min(image.shape[:2]) / 240))
    for width, colour in ((3 * thick, (255, 255, 255)), (thick, COLOURS[0])):
        cv2.rectangle(image, (x, y), (x + w, y + h), colour, width)
    return image


def caption(frame: np.ndarray, text: str) -> np.ndarray:
    """A copy of ``frame`` with a line of text along its lower edge."""
    image = frame.copy()
    _text(image, text, 0, image.shape[0], (255, 255, 255))
    return image


def _text(image: np.ndarray, text: str, x: int, bottom: int, colour: tuple[int, int, int]) -> None:
    """Dark letters on a plate of ``colour`` with its lower left corner at (x, bottom), moved into the image.

    Letters grow with the image, and shrink to fit its width; where they could not be read there are none.
    """
    height, width = image.shape[:2]
    scale = max(0.45, min(height, width) / 900)
    (w, h), base = cv2.getTextSize(text, FONT, scale, max(1, round(scale)))
    if w + base > width:
        scale *= width / (w + base)
        (w, h), base = cv2.getTextSize(text, FONT, scale, max(1, round(scale)))
    if scale < 0.3:
        return
    x = min(max(x, 0), max(width - w - base, 0))
    bottom = min(max(bottom, h + base), height)
    cv2.rectangle(image, (x, bottom - h - base), (x + w + base, bottom), colour, cv2.FILLED)
    place = (x + base // 2, bottom - base)
    cv2.putText(image, text, place, FONT, scale, (0, 0, 0), max(1, round(scale)), cv2.LINE_AA)


def _dashed(image: np.ndarray, corners: tuple[int, ...], colour: tuple[int, int, int], thick: int) -> None:
    """A rectangle of dashes, dark between them so that it shows on any ground."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.rectangle(mask, corners[:2], corners[2:], 255, thick)
    y, x = np.nonzero(mask)
    dash = (x + y) // (5 * thick) % 2 == 0
    image[y, x] = np.where(dash[:, None], colour, 40)
