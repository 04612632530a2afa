"""One rendered sequence: who is in it, how they move, and the pixels of each frame.

Coordinates are zero-based pixels, a pixel's centre on the integer. ``T`` frames, ``P`` outline points. A *cut-out* has
local coordinates with its extent centred on the origin; a *track* carries it to the screen:
screen = centre + R(angle) diag(stretch) local.

Pixels are computed with integer arithmetic throughout (maps in 1/32 px, blending in uint16), so that every processor
renders the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

WIDTH, HEIGHT = 320, 240  # px, a frame
SUBPIXELS = 32  # cv2.remap's fixed-point maps hold 1/32 px


@dataclass(frozen=True)
class CutOut:
    """A piece of a photograph with an irregular outline and soft edges."""

    bgra: np.ndarray  # (h, w, 4) uint8, colour premultiplied with alpha; the middle pixel is the local origin
    outline: np.ndarray  # (P, 2) float64, local pixels
    half: np.ndarray  # (2,) half extent of the outline, local pixels


@dataclass(frozen=True)
class Track:
    """Where a cut-out is in each frame."""

    centre: np.ndarray  # (T, 2) px
    stretch: np.ndarray  # (T, 2) local px -> screen px along the cut-out's own axes
    angle: np.ndarray  # (T,) radians, clockwise on the screen
    bend: np.ndarray  # (T, 2) how far the inside is pushed, in half extents; the extent itself stays

    def matrix(self, t: int) -> np.ndarray:
        """(2, 2) local -> screen in frame ``t``."""
        c, s = np.cos(self.angle[t]), np.sin(self.angle[t])
        return np.array([[c, -s], [s, c]]) * self.stretch[t]


@dataclass(frozen=True)
class Actor:
    """A cut-out and its track."""

    shape: CutOut
    track: Track

    def polygon(self, t: int) -> np.ndarray:
        """(8,) corners of the extent's rotated rectangle, from the top left clockwise in local coordinates."""
        corners = self.shape.half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return (corners @ self.track.matrix(t).T + self.track.centre[t]).ravel()

    def box(self, t: int) -> np.ndarray:
        """(4,) xywh, the tight axis-aligned box of the (bent) outline."""
        points = self.shape.outline
        for _ in range(
            8
        ):  # a point q shows the pixel q + push(q): invert by fixed-point iteration, push is a contraction
            points = self.shape.outline - push(points, self.shape.half, self.track.bend[t])
        screen = points @ self.track.matrix(t).T + self.track.centre[t]
        low, high = screen.min(0), screen.max(0)
        return np.concatenate([low, high - low])


@dataclass(frozen=True)
class Scene:
    """A background that pans, actors in drawing order (the first is farthest), and light."""

    background: np.ndarray  # (h, w, 3) uint8 BGR photograph
    camera: np.ndarray  # (T, 2, 3) affine: screen pixel -> background pixel
    actors: tuple[Actor, ...]
    target: int  # index into actors
    rival: int  # index of the nearest look-alike
    gain: np.ndarray  # (T, 3) light a channel
    shadow: np.ndarray  # (T, W) light a column
    noise: np.ndarray  # (2 H, 2 W, 3) int16 sensor noise, read at a different corner in each frame
    corner: np.ndarray  # (T, 2) that corner, (y, x)

    def __len__(self) -> int:
        return len(self.gain)

    def frames(self) -> Iterator[np.ndarray]:
        """The (H, W, 3) uint8 BGR frames in order."""
        for t in range(len(self)):
            yield self.frame(t)

    def frame(self, t: int) -> np.ndarray:
        """Frame ``t``."""
        x, y = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
        at = [row[0] * x + row[1] * y + row[2] for row in self.camera[t]]
        frame = look_up(self.background, at[0], at[1], cv2.BORDER_REFLECT_101)
        for actor in self.actors:
            _draw(frame, actor, t)
        frame = cv2.LUT(frame, _light(self.gain[t]))
        shade = np.rint(self.shadow[t] * 256).astype(np.uint16)[:, None]
        lit = (frame * shade >> 8).astype(np.int16)
        top, left = self.corner[t]
        return np.clip(lit + self.noise[top : top + HEIGHT, left : left + WIDTH], 0, 255).astype(np.uint8)


def push(local: np.ndarray, half: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Displacement (..., 2) of the inside of an extent: a bump, ``bend * half`` in the middle and 0 on its edges."""
    inside = np.clip(1 - (local / half) ** 2, 0, None)
    return inside.prod(-1, keepdims=True) * bend * half


def _draw(frame: np.ndarray, actor: Actor, t: int) -> None:
    """Blend one actor into ``frame``; a fast one is smeared over half of the way to its next place."""
    centre = actor.track.centre
    step = centre[min(t + 1, len(centre) - 1)] - centre[max(t - 1, 0)]
    step = step / 4  # central difference over two frames; the shutter is open for half a frame
    parts = 3 if np.abs(step).max() > 1.5 else 1
    corners = actor.polygon(t).reshape(4, 2)
    margin = np.abs(step) / 2 + 3
    low = np.maximum(np.floor(corners.min(0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0) + margin) + 1, (WIDTH, HEIGHT)).astype(int)
    if (low >= high).any():
        return
    inverse = np.linalg.inv(actor.track.matrix(t))
    grid = np.stack(np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])), -1)
    layer = np.zeros((*grid.shape[:2], 4), np.uint16)
    for part in range(parts):
        shift = step * (part / max(parts - 1, 1) - 0.5) if parts > 1 else 0 * step
        local = (grid - (centre[t] + shift)) @ inverse.T
        local += push(local, actor.shape.half, actor.track.bend[t])
        height, width = actor.shape.bgra.shape[:2]
        layer += look_up(actor.shape.bgra, local[..., 0] + width // 2, local[..., 1] + height // 2, cv2.BORDER_CONSTANT)
    layer //= parts
    window = frame[low[1] : high[1], low[0] : high[0]]
    window[:] = layer[..., :3] + (window * (255 - layer[..., 3:]) + 127) // 255


def look_up(image: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> np.ndarray:
    """Bilinear look-up of ``image`` at (x, y), rounded to 1/32 px."""
    x, y = np.broadcast_arrays(x, y)
    fixed = np.stack([np.rint(x * SUBPIXELS), np.rint(y * SUBPIXELS)], -1).astype(np.int32)
    whole = np.ascontiguousarray(np.clip(fixed >> 5, -30000, 30000).astype(np.int16))
    part = ((fixed[..., 1] & 31) * SUBPIXELS + (fixed[..., 0] & 31)).astype(np.uint16)
    return cv2.remap(image, whole, part, cv2.INTER_LINEAR, borderMode=border, borderValue=(0, 0, 0, 0))


def _light(gain: np.ndarray) -> np.ndarray:
    """(256, 1, 3) look-up table: each channel times its gain, bright values rolled off as a camera does."""
    value = np.arange(256)[:, None] * gain
    rolled = np.where(value > 200, 200 + (value - 200) * 0.5, value)
    return np.clip(np.rint(rolled), 0, 255).astype(np.uint8)[:, None]
