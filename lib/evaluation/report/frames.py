"""Film strips and sparklines: pictures of what the trackers did, frame by frame."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.evaluation.report.content import SequenceRow, Strip
from lib.evaluation.report.style import Style

FIT = (320, 240)  # a frame of a strip is resized to fit this (width, height)
QUALITY = 80
_RIM = (26, 23, 20)
_SHIFT = 4  # fractional bits of drawn coordinates
_SPARK = (100, 24)


def frames_around_failure(
    overlap: ArrayLike, offsets: Sequence[int] = (-20, -10, -5, 0, 5, 10, 20)
) -> NDArray[np.intp]:
    """Frames to show of a tracker's worst failure, for a film strip.

    overlap: (T,) in 0..1, NaN where nothing is scored. The failure is the first frame of the longest run of zeros; the
    result holds the frames at the offsets from it that exist, rising. It is empty where the overlap is never zero.
    """
    lost = np.concatenate([[False], np.asarray(overlap, np.float64) <= 0, [False]])
    first, last = np.flatnonzero(np.diff(lost.astype(int)) == 1), np.flatnonzero(np.diff(lost.astype(int)) == -1)
    if not first.size:
        return first
    frames = np.sort(first[(last - first).argmax()] + np.array(offsets))
    return frames[(frames >= 0) & (frames < len(lost) - 2)]


def strip(film: Strip, styles: Mapping[str, Style]) -> str:
    """One film strip: its title, then its frames in a row that scrolls."""
    pictures = []
    for image, number, boxes in film.frames:
        seen = {label: box for label, box in boxes.items() if np.isfinite(box).all()}
        picture = draw_boxes(image, seen, styles)
        height, width = picture.shape[:2]
        told = f"frame {number}" + (f" with boxes: {', '.join(seen)}" if seen else "")
        pictures.append(
            f'<figure><img src="{data_uri(picture)}" width="{width}" height="{height}" alt="{escape(told)}">'
            f"<figcaption>frame {number}</figcaption></figure>"
        )
    title, row = escape(film.title), "".join(pictures)
    return (
        f'<div class="strip"><h3>{title}</h3>'
        f'<div class="film" tabindex="0" role="region" aria-label="frames of {title}">{row}</div></div>'
    )


def swatch(style: Style) -> str:
    """How a label's box looks, for a legend."""
    shape = "M3 6V3H7M13 3H17V6M17 10V13H13M7 13H3V10" if style.truth else "M3 3H17V13H3Z"
    return (
        f'<svg class="swatch" viewBox="0 0 20 16" aria-hidden="true"><path d="{shape}" stroke="var(--rim)" '
        f'stroke-width="4"/><path d="{shape}" stroke="{style.code}" stroke-width="2"/></svg>'
    )


def draw_boxes(image: np.ndarray, boxes: Mapping[str, ArrayLike], styles: Mapping[str, Style]) -> np.ndarray:
    """The frame (H, W, 3) resized to fit ``FIT``; each box (xywh or polygon) as a coloured line over a dark rim.

    The truth is drawn last, and only its corners, so that a tracker that hits it exactly can be seen too.
    """
    height, width = image.shape[:2]
    scale = min(FIT[0] / width, FIT[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for label in sorted(boxes, key=lambda label: styles[label].truth):
        corners = (_corners(boxes[label]) + 0.5) * (size[0] / width, size[1] / height) - 0.5
        lines = _corner_marks(corners) if styles[label].truth else corners[None]
        fixed = list(np.round(np.clip(lines, -1e4, 1e4) * 2**_SHIFT).astype(np.int32))
        for colour, thickness in ((_RIM, 4), (styles[label].bgr, 2)):
            cv2.polylines(picture, fixed, not styles[label].truth, colour, thickness, cv2.LINE_AA, _SHIFT)
    return picture


def _corners(box: ArrayLike) -> np.ndarray:
    """xywh or polygon -> (4, 2) corners in turn."""
    numbers = np.asarray(box, np.float64)
    if numbers.size == 8:
        return numbers.reshape(4, 2)
    x, y, w, h = numbers
    return np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])


def _corner_marks(corners: np.ndarray) -> np.ndarray:
    """(4, 2) corners -> (4, 3, 2) lines that reach a quarter along both edges of each corner."""
    before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
    return np.stack([0.75 * corners + 0.25 * before, corners, 0.75 * corners + 0.25 * after], axis=1)


def data_uri(picture: np.ndarray) -> str:
    """(H, W, 3) uint8 BGR -> a JPEG as a data URI."""
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def sparkline(sequence: SequenceRow, styles: Mapping[str, Style]) -> str:
    """Overlap over time, one line a tracker, 0 at the foot and 1 at the top; binned to at most 100 points."""
    width, height = _SPARK
    lines = []
    for name, overlap in sequence.overlaps.items():
        d = _spark_path(np.asarray(overlap, np.float64))
        lines.append(f'<path d="{d}" stroke="{styles[name].css}"/>')
    told = f"overlap over time on {sequence.name}: {', '.join(sequence.overlaps)}"
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}"><path d="M0 {height}H{width}" stroke="var(--line)"/>{"".join(lines)}</svg>'
    )


def _spark_path(overlap: np.ndarray) -> str:
    """(T,) overlaps 0..1, NaN where there is none -> path data with gaps."""
    width, height = _SPARK
    parts = np.array_split(overlap, max(1, min(width, len(overlap))))
    known = [part[np.isfinite(part)] for part in parts]
    y = [height * (1 - min(max(part.mean(), 0), 1)) if part.size else None for part in known]
    x = np.linspace(0, width, len(y)) if len(y) > 1 else np.array([width / 2])
    words, pen = [], "M"
    for left, top in zip(x, y, strict=True):
        if top is not None:
            words.append(f"{pen}{left:.1f} {top:.1f}" + ("h0" if pen == "M" else ""))
        pen = "M" if top is None else "L"
    return "".join(words)
