"""Overlap of rotated regions: rasterised, as the VOT benchmarks score, and exact; batched, no loop over regions.

Legend: ``...`` any leading axes (slots, frames), ``R`` rows of pixels. A region is (..., 8) polygon x1 y1 .. x4 y4 or
(..., 4) xywh, in pixels; ``size`` is the image's (W, H), or None for an unbounded plane.

Rasterised overlap, the ``pysot`` convention (the published VOT scores): a rectangle is the polygon (x,y) (x+w,y)
(x+w,y+h) (x,y+h); vertices are float32. Each polygon's box is floor of its minima and ceil of its maxima, clipped to
the image. Two boxes that share no area, or whose areas differ by more than 1e10, overlap 0. Vertices are shifted to
the joint box's corner and rounded half away from zero. On each row r of the joint box every edge (i, j = i-1) that is
not horizontal and has min(y) <= r <= max(y) gives a crossing trunc(x_i + (r - y_i)/(y_j - y_i) (x_j - x_i)); crossings
are sorted; of two equal neighbours the first is skipped; pixels between pairs are filled, ends included. Overlap =
pixels in both / pixels in either.

The ``vot`` convention (vot-toolkit 0.9): vertices are rounded half to even before they are shifted, boxes likewise; a
rectangle covers round(x) .. round(x) + round(w) - 1; a horizontal edge on the row gives its first vertex; two equal
neighbours at the end of the row are a pixel; two regions whose joint box has no area overlap 1 (both are empty),
unless only clipping made it so, then 0. In a joint box that begins at a negative column, a rectangle ends at the box's
last column counted from the image's corner; likewise rows (it matters without ``size`` only).
"""

from typing import Literal

import torch
from torch import Tensor

Convention = Literal["pysot", "vot"]
NOWHERE = 2**30  # beyond every crossing
CELLS = 2**15  # cells (regions x rows) at once on a CPU: what stays in its cache


def rasterised_overlap(
    a: Tensor,
    b: Tensor,
    size: tuple[int, int] | Tensor | None = None,
    rows: int | None = None,
    *,
    convention: Convention = "pysot",
) -> Tensor:
    """(...) float64 overlap of regions ``a`` and ``b``, NaN where a coordinate is not finite.

    ``size``: (W, H), or a (..., 2) tensor. ``rows`` is an upper bound of the joint boxes' heights (with ``size``
    the image's height is enough): with it all work is one fixed graph without a read-back, for use inside a tracker's
    step. Without it regions are taken in chunks of like height, which is faster for metrics on a CPU.
    Float64 division and addition must not be fused into one rounding, or crossings on a pixel's edge may move.
    """
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    a, b = a.expand(*shape, a.shape[-1]), b.expand(*shape, b.shape[-1])
    finite = a.isfinite().all(-1) & b.isfinite().all(-1)
    regions = [a, b] if convention == "vot" else [_polygon(a), _polygon(b)]
    regions = [torch.where(finite[..., None], region, 0).float().double() for region in regions]
    boxes = [_box(region, convention) for region in regions]
    clipped = [_clip(box, size) for box in boxes]
    joint = _joint(*clipped)
    corners = [_corners(region, joint, convention) for region in regions]
    extent = joint[..., 2:] - joint[..., :2] + 1  # width and height
    if rows is None:
        both, either = _count_in_chunks(corners, extent, convention)
    else:
        both, either = _count(corners, extent, rows, convention, convex=False)
    overlap = both / either.clamp(min=1)
    if convention == "vot":
        overlap = torch.where(_flat(joint), 0, overlap)
        overlap = torch.where(_flat(_joint(*boxes)), 1, overlap)
    else:
        overlap = torch.where(_apart(*clipped), 0, overlap)
    return torch.where(finite, overlap, torch.nan)


def _polygon(region: Tensor) -> Tensor:
    """(..., 8) corners of a polygon or an xywh rectangle."""
    if region.shape[-1] == 8:
        return region
    x, y, w, h = region.unbind(-1)
    return torch.stack([x, y, x + w, y, x + w, y + h, x, y + h], -1)


def _box(region: Tensor, convention: Convention) -> Tensor:
    """(..., 4) first and last column and row that a region touches: left, top, right, bottom."""
    if region.shape[-1] == 4:
        low = region[..., :2].round()
        return torch.cat([low, low + region[..., 2:].round() - 1], -1)
    points = region.unflatten(-1, (4, 2))
    low, high = points.amin(-2), points.amax(-2)
    return torch.cat([low.round(), high.round()] if convention == "vot" else [low.floor(), high.ceil()], -1)


def _clip(box: Tensor, size: tuple[int, int] | Tensor | None) -> Tensor:
    if size is None:
        return box
    width, height = size.unbind(-1) if isinstance(size, Tensor) else size
    sides = [
        torch.minimum(side, last - 1) if isinstance(last, Tensor) else side.clamp(max=last - 1)
        for side, last in zip(box.unbind(-1), (width, height, width, height), strict=True)
    ]
    return torch.stack(sides, -1).clamp(min=0)


def _joint(a: Tensor, b: Tensor) -> Tensor:
    """The box around two boxes."""
    return torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)


def _flat(box: Tensor) -> Tensor:
    return (box[..., 2:] <= box[..., :2]).any(-1)


def _corners(region: Tensor, joint: Tensor, convention: Convention) -> Tensor:
    """Whole-numbered places relative to ``joint``: a polygon's corners (..., 4, 2), a rectangle's sides (..., 4)."""
    origin = joint[..., :2]
    if region.shape[-1] == 4:
        first, last = _box(region, convention).split(2, -1)
        return torch.cat([first - origin, torch.minimum(last - origin, joint[..., 2:])], -1)
    points = region.unflatten(-1, (4, 2))
    if convention == "vot":
        return points.round() - origin[..., None, :]
    points = (points - origin[..., None, :]).float().double()
    return torch.where(points < 0, (points - 0.5).ceil(), (points + 0.5).floor())


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Whether two boxes share no area, or one is too thin beside the other to be scored."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).amin(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b)]
    least, most = torch.minimum(*areas), torch.maximum(*areas)
    return (shared <= 0) | (least < 1e-10 * most)


def _count_in_chunks(corners: list[Tensor], extent: Tensor, convention: Convention) -> tuple[Tensor, Tensor]:
    """:func:`_count` of regions ordered by height, so that few rows of a chunk are empty."""
    shape = extent.shape[:-1]
    corners = [c.flatten(0, len(shape) - 1) if shape else c[None] for c in corners]
    extent = extent.reshape(-1, 2)
    heights, order = extent[:, 1].sort()
    both, either = torch.empty_like(heights), torch.empty_like(heights)
    start = 0
    while start < len(order):
        # the chunk's last region is its highest: as many as fit when all are as high as that
        room = torch.arange(1, len(order) - start + 1)[: max(1, CELLS)] * heights[start : start + CELLS]
        stop = start + max(1, int((room <= CELLS).sum()))
        chosen = order[start:stop]
        rows = max(1, int(heights[stop - 1]))
        both[chosen], either[chosen] = _count(
            [c[chosen] for c in corners], extent[chosen], rows, convention, convex=True
        )
        start = stop
    return both.reshape(shape), either.reshape(shape)


def _count(
    corners: list[Tensor], extent: Tensor, rows: int, convention: Convention, convex: bool
) -> tuple[Tensor, Tensor]:
    """(...) pixels in both regions and in either. ``convex`` may look whether any row has two spans, a read-back."""
    row = torch.arange(rows, dtype=torch.float64, device=extent.device)
    last = extent.int() - 1
    spans = [_spans(c, row, last, convention, convex) for c in corners]
    pairs = [(torch.maximum(a[0], b[0]), torch.minimum(a[1], b[1])) for a in spans[0] for b in spans[1]]
    both, area, other = (_pixels(runs) for runs in (pairs, *spans))
    return both, area + other - both


def _pixels(runs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(...) pixels in the runs (first, last) of all rows."""
    return torch.stack([(last - first + 1).clamp(min=0).sum(-1) for first, last in runs]).sum(0).double()


def _spans(
    corners: Tensor, row: Tensor, last: Tensor, convention: Convention, convex: bool
) -> list[tuple[Tensor, Tensor]]:
    """First and last pixel, each (..., R), of the one or two runs that fill each row; last < first if empty."""
    width, height = (side[..., None] for side in last.unbind(-1))
    inside = row <= height
    if corners.dim() == last.dim():  # a rectangle
        left, top, right, bottom = (side[..., None] for side in corners.unbind(-1))
        filled = inside & (top <= row) & (row <= bottom)
        runs = [(filled, left.int(), right.int())]
    else:
        runs = _runs(_crossings(corners, row, convention), convention, convex)
    return [
        (low.clamp(min=0), torch.where(filled & inside, torch.minimum(high, width), -1)) for filled, low, high in runs
    ]


def _crossings(corners: Tensor, row: Tensor, convention: Convention) -> list[Tensor]:
    """Four (..., R) sorted columns where edges cross each row, :data:`NOWHERE` where fewer do."""
    x, y = corners.unbind(-1)
    columns = []
    for i in range(4):
        xi, yi, xj, yj = (side[..., None] for side in (x[..., i], y[..., i], x[..., i - 1], y[..., i - 1]))
        rise = torch.where(yi == yj, 1, yj - yi)
        column = (xi + (row - yi) / rise * (xj - xi)).int()
        crossed = (torch.minimum(yi, yj) <= row) & (row <= torch.maximum(yi, yj))
        if convention == "pysot":
            crossed = crossed & (yi != yj)
        columns.append(torch.where(crossed, column, NOWHERE))
    for i, j in ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)):  # a sorting network
        low, high = torch.minimum(columns[i], columns[j]), torch.maximum(columns[i], columns[j])
        columns[i], columns[j] = low, high
    return columns


def _runs(x: list[Tensor], convention: Convention, convex: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Runs (filled, first, last) between sorted crossings: pairs, of two equal neighbours the first skipped."""
    there = [column < NOWHERE for column in x[1:]]
    pair = [(x[i] != x[i + 1]) & there[i] for i in range(3)]
    if convention == "vot":  # an equal pair is kept when nothing follows it
        ends = [~there[1], ~there[2], torch.ones_like(there[2])]
        pair = [p | (t & e) for p, t, e in zip(pair, there, ends, strict=True)]
    first = pair[0]
    second = pair[1] & ~first
    third = pair[2] & ~second
    low = torch.where(first, x[0], torch.where(second, x[1], x[2]))
    high = torch.where(first, x[1], torch.where(second, x[2], x[3]))
    run = (first | second | third, low, high)
    two = first & third
    if convex and not bool(two.any()):
        return [run]
    return [run, (two, torch.maximum(x[2], x[1] + 1), x[3])]


def polygon_overlap(a: Tensor, b: Tensor) -> Tensor:
    """(...) float64 exact intersection over union of convex regions; 0 where the union has no area, NaN if not finite.

    The length of the common run L(y) of the two regions is linear in y between neighbouring heights of corners and of
    crossings of their edges, so the common area is the sum of L at the middle of each stretch times its height.
    """
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    pa, pb = (_polygon(region).double().expand(*shape, 8).unflatten(-1, (4, 2)) for region in (a, b))
    heights = torch.cat([pa[..., 1], pb[..., 1], _crossing_heights(pa, pb)], -1).sort(-1).values
    middle = (heights[..., 1:] + heights[..., :-1]) / 2
    (left_a, right_a), (left_b, right_b) = _extent_at(pa, middle), _extent_at(pb, middle)
    run = (torch.minimum(right_a, right_b) - torch.maximum(left_a, left_b)).clamp(min=0)
    both = (run * heights.diff(dim=-1)).nan_to_num(0).sum(-1)
    either = _area(pa) + _area(pb) - both
    finite = pa.isfinite().flatten(-2).all(-1) & pb.isfinite().flatten(-2).all(-1)
    overlap = torch.where(either > 0, both / torch.where(either > 0, either, 1), 0).clamp(max=1)
    return torch.where(finite, overlap, torch.nan)


def _area(points: Tensor) -> Tensor:
    """(...) area of polygons (..., 4, 2), about the first corner to keep the digits."""
    x, y = (points - points[..., :1, :]).unbind(-1)
    return (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1).abs() / 2


def _crossing_heights(a: Tensor, b: Tensor) -> Tensor:
    """(..., 16) y where the line of an edge of ``a`` meets that of an edge of ``b``, kept between the edge's ends."""
    start, along = a[..., :, None, :], (a.roll(-1, -2) - a)[..., :, None, :]
    other, across = b[..., None, :, :], (b.roll(-1, -2) - b)[..., None, :, :]
    bend = _cross(along, across)
    share = (_cross(other - start, across) / torch.where(bend == 0, 1, bend)).clamp(0, 1)
    return (start[..., 1] + share * along[..., 1]).flatten(-2)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _extent_at(points: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
    """Leftmost and rightmost x, each (..., K), of polygons (..., 4, 2) at heights (..., K); inf, -inf beside them."""
    (xi, yi), (xj, yj) = (p[..., None, :, :].unbind(-1) for p in (points, points.roll(-1, -2)))
    y = height[..., None]
    rise = torch.where(yi == yj, 1, yj - yi)
    x = xi + (y - yi) / rise * (xj - xi)
    crossed = (torch.minimum(yi, yj) <= y) & (y <= torch.maximum(yi, yj)) & (yi != yj)
    return torch.where(crossed, x, torch.inf).amin(-1), torch.where(crossed, x, -torch.inf).amax(-1)
