"""Draw a scene at random: cut-outs of one photograph, their tracks over another, camera and light."""

from collections.abc import Sequence

import cv2
import numpy as np

from lib.data.demo.scene import HEIGHT, WIDTH, Actor, CutOut, Scene, Track, look_up
from lib.geometry.boxes import iou_xywh

SIZE = (40.0, 62.0)  # px, geometric mean side of the target on the screen before it changes scale
OUTLINE_POINTS = 72
# As in the real benchmarks a sequence is hard in some ways, not in all: two of these at full strength, the others mild.
CHALLENGES = ("speed", "scale", "turn", "bend", "light", "look-alikes", "occlusion")
MILD = 0.4


def cast(rng: np.random.Generator, photographs: Sequence[np.ndarray], length: int, *, toned: bool) -> Scene:
    """A scene of ``length`` frames: the target and its look-alikes are cut out of one photograph, all else of another.

    ``toned`` re-colours the photographs at random, which makes more of the few that there are for training.
    """
    of, over = rng.choice(len(photographs), 2, replace=False)
    full = rng.choice(len(CHALLENGES), 2, replace=False)
    strength = {name: 1.0 if n in full else MILD for n, name in enumerate(CHALLENGES)}
    subject, background = _vary(rng, photographs[of], toned), _vary(rng, photographs[over], toned)
    size = rng.uniform(*SIZE)
    outline = _outline(rng, size)
    target = Actor(_cut(rng, subject, outline, against=background), _roam(rng, length, strength))

    pan = np.stack([_wave(rng, length, amplitude, (50, 110)) for amplitude in (60, 35)], -1)
    pan += np.cumsum(rng.uniform(-1, 1, (length, 2)), 0)  # a hand-held camera
    meet = _spread(rng, round(3 * strength["look-alikes"]), length)
    rivals = [_rival(rng, target, _cut(rng, subject, outline), size, t, _roam(rng, length, strength)) for t in meet]
    still = [_fixed(rng, _cut(rng, subject, outline), pan, rng.uniform((20, 20), (WIDTH - 20, HEIGHT - 20)), 0)]
    hide = _spread(rng, round(2 * strength["occlusion"]), length)
    fronts = [post for t in hide for post in _occluder(rng, background, target, size, pan, t)]
    return Scene(
        background=background,
        camera=_camera(rng, background, pan),
        actors=(*still, *rivals, target, *fronts),
        target=len(still) + len(rivals),
        rival=len(still),
        gain=_gain(rng, length, strength["light"]),
        shadow=_shadow(rng, pan, strength["light"]),
        noise=np.rint(rng.normal(0, 3, (2 * HEIGHT, 2 * WIDTH, 3))).astype(np.int16),
        corner=rng.integers(0, (HEIGHT, WIDTH), (length, 2)),
    )


def _spread(rng: np.random.Generator, count: int, length: int) -> list[int]:
    """``count`` frames, one in each of as many equal parts of the sequence."""
    return [int((k + rng.uniform(0.1, 0.9)) * length / count) for k in range(count)]


def _vary(rng: np.random.Generator, photograph: np.ndarray, toned: bool) -> np.ndarray:
    """The photograph flipped or not; toned: channels swapped and bent by gammas, or turned to its negative."""
    image: np.ndarray = photograph[:, ::-1] if rng.random() < 0.5 else photograph
    if toned:
        image = image[..., rng.permutation(3)]
        gammas = np.exp(rng.uniform(-0.6, 0.6, 3))
        ramp = np.linspace(0, 1, 256) if rng.random() < 0.75 else np.linspace(1, 0, 256)
        curve = np.rint(255 * ramp[:, None, None] ** gammas).astype(np.uint8)
        image = np.asarray(cv2.LUT(np.ascontiguousarray(image), curve))
    return np.ascontiguousarray(image)


def _wave(rng: np.random.Generator, length: int, amplitude: float, periods: tuple[float, float]) -> np.ndarray:
    """(T,) smooth and bounded by ``amplitude``: two sines, the second weaker and faster."""
    t = np.arange(length)
    period, phase = rng.uniform(*periods), rng.uniform(0, 2 * np.pi, 2)
    wave = np.sin(2 * np.pi * t / period + phase[0]) + 0.35 * np.sin(2 * np.pi * t / (0.43 * period) + phase[1])
    return amplitude * wave / 1.35


def _outline(rng: np.random.Generator, size: float) -> np.ndarray:
    """(P, 2) outline, extent centred on 0, of a given geometric mean side: a wavy blob or a polygon, wide or tall."""
    angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    if rng.random() < 0.6:
        waves = np.arange(2, 6)[:, None]
        depth, phase = rng.uniform(0, 0.22, (4, 1)) / waves**0.5, rng.uniform(0, 2 * np.pi, (4, 1))
        radius = 1 + (depth * np.cos(waves * angle + phase)).sum(0)
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    else:
        corners = int(rng.integers(4, 8))
        turn = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) / corners
        vertices = rng.uniform(0.8, 1.2, (corners, 1)) * np.stack([np.cos(turn), np.sin(turn)], -1)
        place = np.arange(OUTLINE_POINTS) * corners / OUTLINE_POINTS
        first, part = place.astype(int), (place % 1)[:, None]
        points = (1 - part) * vertices[first] + part * vertices[(first + 1) % corners]
    points = points * np.exp(rng.uniform(-0.3, 0.3) * np.array([1, -1]))
    low, high = points.min(0), points.max(0)
    return (points - (low + high) / 2) * size / np.sqrt(np.prod(high - low))


def _cut(
    rng: np.random.Generator,
    image: np.ndarray,
    outline: np.ndarray,
    *,
    zoom: float | None = None,
    against: np.ndarray | None = None,
) -> CutOut:
    """Cut ``outline`` out of a well textured place of ``image``, magnified ``zoom`` times; one that stands out
    ``against`` another image in nearly all of its pixels, if there is one."""
    half = np.ptp(outline, axis=0) / 2
    zoom = rng.uniform(0.75, 1.3) if zoom is None else zoom
    reach = np.ceil(half).astype(int) + 3
    need = reach / zoom + 1
    room = np.array(image.shape[1::-1]) - 1 - need
    centres = rng.uniform(np.minimum(need, room), np.maximum(need, room), (12, 2))
    patches = [_patch(image, centre, reach, zoom) for centre in centres]
    if against is None:
        patches = patches[: int(rng.integers(3, 12))]  # the fewer to choose from, the plainer
    worth = [patch.astype(np.float64).std((0, 1)).sum() for patch in patches]
    if against is not None:
        far = [np.abs(patch - against.mean((0, 1))).sum(-1) for patch in patches]
        worth = [texture * np.quantile(distance, 0.2) for texture, distance in zip(worth, far, strict=True)]
    patch = patches[int(np.argmax(worth))]
    alpha = np.asarray(cv2.GaussianBlur(coverage(outline, reach), (3, 3), 0))[..., None]
    colour = (patch.astype(np.uint16) * alpha + 127) // 255
    return CutOut(np.concatenate([colour.astype(np.uint8), alpha], -1), outline, half)


def coverage(outline: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(2 reach + 1) pixels round the origin, uint8: the share of each that is inside the outline, of 255."""
    fine = 8  # drawn so many times larger, because the filled polygon has its border line on top
    width, height = (2 * reach + 1).tolist()
    mask = np.zeros((fine * height, fine * width), np.uint8)
    cv2.fillPoly(mask, [np.rint((outline + reach + 0.5) * fine - 0.5).astype(np.int32)], 255)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA))


def _patch(image: np.ndarray, centre: np.ndarray, reach: np.ndarray, zoom: float) -> np.ndarray:
    """The (2 reach + 1) pixels round ``centre``, magnified."""
    x = centre[0] + np.arange(-reach[0], reach[0] + 1) / zoom
    y = centre[1] + np.arange(-reach[1], reach[1] + 1)[:, None] / zoom
    return look_up(image, x, y, cv2.BORDER_REFLECT_101)


def _roam(rng: np.random.Generator, length: int, strength: dict[str, float]) -> Track:
    """Through the whole frame, about 3 px a frame (6 at full speed), growing, shrinking, turning and bending."""
    middle, slow = np.array([WIDTH, HEIGHT]) / 2, 2 - strength["speed"]
    centre = middle + np.stack([_wave(rng, length, a, (60 * slow, 100 * slow)) for a in (95, 65)], -1)
    scale = np.exp(_wave(rng, length, 0.3 * strength["scale"], (60, 120)))
    stretch = np.exp(_wave(rng, length, 0.1 * strength["scale"], (30, 60)))
    angle = _wave(rng, length, 0.5 * strength["turn"], (50, 100))
    bend = np.stack([_wave(rng, length, 0.12 * strength["bend"], (20, 50)) for _ in range(2)], -1)
    return Track(centre, np.stack([scale * stretch, scale / stretch], -1), angle, bend)


def _rival(rng: np.random.Generator, target: Actor, shape: CutOut, size: float, when: int, own: Track) -> Actor:
    """A look-alike that wanders on its own and passes close by the target in frame ``when``."""
    away = rng.uniform(0, 2 * np.pi)
    near = target.track.centre[when] + rng.uniform(0.8, 1.2) * size * np.array([np.cos(away), np.sin(away)])
    moved = own.centre - own.centre[when] + near
    return Actor(shape, Track(moved, own.stretch, own.angle, own.bend))


def _fixed(rng: np.random.Generator, shape: CutOut, pan: np.ndarray, at: np.ndarray, when: int) -> Actor:
    """Something that stands in the world: it is at ``at`` in frame ``when`` and moves with the camera alone."""
    length = len(pan)
    angle = np.full(length, rng.uniform(-0.5, 0.5))
    return Actor(shape, Track(at + pan - pan[when], np.ones((length, 2)), angle, np.zeros((length, 2))))


def _occluder(
    rng: np.random.Generator, image: np.ndarray, target: Actor, size: float, pan: np.ndarray, when: int
) -> list[Actor]:
    """A post cut out of the background's photograph, that hides a part of the target about frame ``when`` (or none)."""
    half = size * np.array([rng.uniform(0.12, 0.22), rng.uniform(1.0, 1.6)])
    post = _cut(rng, image, half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]), zoom=1.0)
    at = target.track.centre[when] + rng.uniform(-0.3, 0.3, 2) * size
    for later in range(when, len(pan)):
        actor = _fixed(rng, post, pan, at + target.track.centre[later] - target.track.centre[when], later)
        if iou_xywh(actor.box(0), target.box(0)) == 0:
            return [actor]
    return []  # the first frame must show the target


def _camera(rng: np.random.Generator, image: np.ndarray, pan: np.ndarray) -> np.ndarray:
    """(T, 2, 3) screen -> background; the world moves by ``pan`` on the screen."""
    zoom = rng.uniform(0.8, 1.1)
    middle = np.array(image.shape[1::-1]) / 2 + rng.uniform(-40, 40, 2)
    offset = middle - zoom * (np.array([WIDTH, HEIGHT]) / 2 + pan)
    linear = np.broadcast_to(np.eye(2) * zoom, (len(pan), 2, 2))
    return np.concatenate([linear, offset[..., None]], -1)


def _gain(rng: np.random.Generator, length: int, strength: float) -> np.ndarray:
    """(T, 3) light: at full strength brightness between .74 and 1.35, colour within 8 %."""
    bright = _wave(rng, length, 0.3 * strength, (40, 90))
    tint = np.stack([_wave(rng, length, 0.08 * strength, (40, 90)) for _ in range(3)], -1)
    return np.exp(bright[:, None] + tint)


def _shadow(rng: np.random.Generator, pan: np.ndarray, strength: float) -> np.ndarray:
    """(T, W) a soft upright shadow that stands in the world."""
    x = np.arange(WIDTH) - pan[:, :1] - rng.uniform(0.2, 0.8) * WIDTH
    edge = np.clip(1.5 - np.abs(x) / rng.uniform(25, 45), 0, 1)
    return 1 - strength * rng.uniform(0.25, 0.5) * edge
