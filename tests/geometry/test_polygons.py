"""Overlaps of regions against painting pixel by pixel, against shapely and against the recorded ones."""

import math

import numpy as np
import pytest
import torch
from shapely.geometry import MultiPoint, Polygon

from lib.geometry import polygons
from lib.geometry.boxes import polygon_from_xywh
from lib.geometry.polygons import polygon_overlap, rasterised_overlap


def paint(points, width, height, convention):
    """Set of (x, y) pixels of whole-numbered corners, row by row, crossing by crossing."""
    pixels = set()
    for r in range(height):
        nodes = []
        for i in range(4):
            (xi, yi), (xj, yj) = points[i], points[i - 1]
            if not min(yi, yj) <= r <= max(yi, yj):
                continue
            if yi != yj:
                nodes.append(math.trunc(xi + (r - yi) / (yj - yi) * (xj - xi)))
            elif convention == "vot":
                nodes.append(int(xi))
        nodes.sort()
        k = 0
        while k < len(nodes) - 1:
            if nodes[k] == nodes[k + 1] and (convention == "pysot" or k < len(nodes) - 2):
                k += 1
                continue
            pixels |= {(x, r) for x in range(max(nodes[k], 0), min(nodes[k + 1], width - 1) + 1)}
            k += 2
    return pixels


def away_from_zero(value):
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def bounds(points, low, high):
    xs, ys = zip(*points, strict=True)
    return [low(min(xs)), low(min(ys)), high(max(xs)), high(max(ys))]


def slow_pysot(a, b, size):
    polys = []
    for region in (a, b):
        region = polygon_from_xywh(region) if len(region) == 4 else region
        polys.append(np.asarray(region, np.float32).astype(float).reshape(4, 2).tolist())
    boxes = [bounds(p, math.floor, math.ceil) for p in polys]
    if size:
        boxes = [[min(max(v, 0), size[k % 2] - 1) for k, v in enumerate(box)] for box in boxes]
    (l1, t1, r1, b1), (l2, t2, r2, b2) = boxes
    areas = sorted([(r1 - l1) * (b1 - t1), (r2 - l2) * (b2 - t2)])
    if min(r1, r2) <= max(l1, l2) or min(b1, b2) <= max(t1, t2) or areas[0] < 1e-10 * areas[1]:
        return 0.0
    left, top = min(l1, l2), min(t1, t2)
    width, height = max(r1, r2) - left + 1, max(b1, b2) - top + 1
    sets = [
        paint([(away_from_zero(x - left), away_from_zero(y - top)) for x, y in p], width, height, "pysot")
        for p in polys
    ]
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def slow_vot(a, b, size):
    regions = [np.round(np.asarray(region, np.float32)).astype(int).tolist() for region in (a, b)]
    boxes = []
    for region in regions:
        if len(region) == 4:
            x, y, w, h = region
            boxes.append([x, y, x + w - 1, y + h - 1])
        else:
            boxes.append(bounds(np.reshape(region, (4, 2)).tolist(), int, int))
    joint = [min(boxes[0][0], boxes[1][0]), min(boxes[0][1], boxes[1][1])]
    joint += [max(boxes[0][2], boxes[1][2]), max(boxes[0][3], boxes[1][3])]
    if joint[0] >= joint[2] or joint[1] >= joint[3]:
        return 1.0
    if size:
        joint = [max(0, joint[0]), max(0, joint[1]), min(size[0] - 1, joint[2]), min(size[1] - 1, joint[3])]
    left, top, right, bottom = joint
    if left >= right or top >= bottom:
        return 0.0
    width, height = right - left + 1, bottom - top + 1
    sets = []
    for region in regions:
        if len(region) == 4:
            x, y, w, h = region
            xs = range(max(x - left, 0), min(x + w - 1 - left, right) + 1)
            ys = range(max(y - top, 0), min(y + h - 1 - top, bottom) + 1)
            sets.append({(i, j) for i in xs for j in ys if i < width and j < height})
        else:
            points = [(x - left, y - top) for x, y in np.reshape(region, (4, 2)).tolist()]
            sets.append(paint(points, width, height, "vot"))
    both, either = len(sets[0] & sets[1]), len(sets[0] | sets[1])
    return both / either if either else 0.0


SLOW = {"pysot": slow_pysot, "vot": slow_vot}


def random_polygons(rng, count, spread=12.0, step=0.25):
    """Any four corners: convex, concave, crossing themselves, flat; many on halves of pixels."""
    return np.round(rng.uniform(-4, spread, (count, 8)) / step) * step


@pytest.mark.parametrize("convention", ["pysot", "vot"])
@pytest.mark.parametrize("size", [None, (10, 7), (3, 30)])
@pytest.mark.parametrize("columns", [4, 8])
def test_same_as_painting(convention, size, columns):
    rng = np.random.default_rng([len(convention), columns, *(size or ())])
    truth = random_polygons(rng, 400)
    other = random_polygons(rng, 400)
    if columns == 4:
        other = np.concatenate([other[:, :2], np.abs(other[:, 2:4])], 1)
    got = rasterised_overlap(torch.tensor(other), torch.tensor(truth), size, convention=convention).numpy()
    want = [SLOW[convention](a, b, size) for a, b in zip(other.tolist(), truth.tolist(), strict=True)]
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert len(np.unique(got)) > 20  # the case is not an empty one


@pytest.mark.parametrize("convention", ["pysot", "vot"])
def test_fixed_rows_chunks_and_order_do_not_matter(convention, monkeypatch):
    rng = np.random.default_rng(3)
    a, b = (torch.tensor(random_polygons(rng, 60, spread=40)).reshape(3, 20, 8) for _ in range(2))
    sizes = torch.tensor(rng.integers(5, 40, (3, 20, 2)))
    chunks = rasterised_overlap(a, b, sizes, convention=convention)
    assert chunks.shape == (3, 20) and chunks.dtype == torch.float64
    np.testing.assert_array_equal(rasterised_overlap(a, b, sizes, rows=40, convention=convention), chunks)
    monkeypatch.setattr(polygons, "CELLS", 7)  # single regions, some higher than a chunk
    np.testing.assert_array_equal(rasterised_overlap(a, b, sizes, convention=convention), chunks)
    one = rasterised_overlap(a[1, 2], b[1, 2], tuple(sizes[1, 2].tolist()), convention=convention)
    assert one.shape == () and one == chunks[1, 2]


def test_missing_region_is_nan_and_others_are_kept():
    a = torch.tensor([[1.0, np.nan, np.nan, np.nan], [0, 0, 4, 4], [0, 0, np.inf, 4], [0, 0, 0, 0]])
    b = torch.tensor([0.0, 0, 4, 0, 4, 4, 0, 4])
    for overlap in (rasterised_overlap(a, b, (9, 9)), rasterised_overlap(a, b, (9, 9), 9), polygon_overlap(a, b)):
        assert overlap.isnan().tolist() == [True, False, True, False]
        assert overlap[1] == 1 and overlap[3] == 0
    assert rasterised_overlap(a[:0], b).shape == (0,)


def test_empty_regions():
    point = torch.zeros(1, 4, dtype=torch.float64)
    assert rasterised_overlap(point, point).item() == 0
    assert rasterised_overlap(point, point, convention="vot").item() == 1
    outside = torch.tensor([[-9.0, -9, 5, 5]])
    assert rasterised_overlap(outside, outside, (20, 20)).item() == 0
    assert rasterised_overlap(outside, outside, (20, 20), convention="vot").item() == 0


def rotated(rng, count):
    """(count, 8) rotated rectangles, either way round."""
    angle, size = rng.uniform(0, 2 * np.pi, count), rng.uniform(1, 60, (count, 2))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * size[:, None]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    corners = corners @ turn + rng.uniform(0, 40, (count, 1, 2))
    corners[::2] = corners[::2, ::-1]
    return corners.reshape(count, 8)


def shapely_overlap(a, b):
    p, q = Polygon(a.reshape(4, 2)), Polygon(b.reshape(4, 2))
    return p.intersection(q).area / p.union(q).area


def test_exact_overlap_same_as_shapely():
    rng = np.random.default_rng(4)
    a, b = rotated(rng, 300), rotated(rng, 300)
    b[100:150] = a[100:150]  # the same
    b[150:200] = a[150:200] + 1e-9  # nearly the same
    b[200:250] = (
        a[200:250].reshape(-1, 4, 2) * 0.5 + a[200:250].reshape(-1, 4, 2).mean(1, keepdims=True) * 0.5
    ).reshape(-1, 8)  # inside
    b[250:] += 500  # apart
    got = polygon_overlap(torch.tensor(a), torch.tensor(b)).numpy()
    np.testing.assert_allclose(got, [shapely_overlap(*pair) for pair in zip(a, b, strict=True)], atol=1e-8)
    np.testing.assert_allclose(got[200:250], 0.25, atol=1e-9)
    assert (got[250:] == 0).all()


def test_exact_overlap_of_general_convex_quadrilaterals():
    rng = np.random.default_rng(5)
    quads = []
    while len(quads) < 120:
        hull = np.array(MultiPoint(np.round(rng.uniform(0, 12, (4, 2)))).convex_hull.boundary.coords)
        if len(hull) == 5:
            quads.append(hull[:4].ravel())
    a, b = np.array(quads[:60]), np.array(quads[60:])  # whole numbers: many touching and collinear edges
    got = polygon_overlap(torch.tensor(a), torch.tensor(b)).numpy()
    np.testing.assert_allclose(got, [shapely_overlap(*pair) for pair in zip(a, b, strict=True)], atol=1e-9)


def test_exact_overlap_of_rectangles_touching_and_flat():
    a = torch.tensor([0.0, 0, 10, 10])
    b = torch.tensor([[10.0, 0, 10, 10], [5, 0, 10, 10], [0, 0, 10, 10], [0, 5, 10, 0], [3, 3, 0, 0]])
    got = polygon_overlap(a, b)
    np.testing.assert_allclose(got, [0, 1 / 3, 1, 0, 0], atol=1e-12)
    assert polygon_overlap(b[4], b[4]) == 0


@pytest.mark.parametrize("run", ["A15", "B1"])
@pytest.mark.parametrize("sequence", range(6))
def test_recorded_overlaps(reference, run, sequence):
    given = np.load(reference / "golden/vot_inputs.npz")
    truth = torch.tensor(given[f"gt_seq{sequence:02d}"])
    track = torch.tensor(given[f"res_{run}_seq{sequence:02d}"][0])
    width, height = given["size"].tolist()

    def check(got, file, name):
        want = np.load(reference / f"golden/vot_out_{file}.npz")[f"{name}/{run}/seq{sequence:02d}"]
        np.testing.assert_allclose(got, want, atol=1e-7)

    check(rasterised_overlap(track, truth), "pysot", "ov_nobound")
    check(rasterised_overlap(track, truth, (width, height)), "pysot", "ov_bound_wh1")
    check(rasterised_overlap(track, truth, (width + 1, height + 1)), "pysot", "ov_bound_wh")
    check(polygon_overlap(track, truth), "siamdw", "iou")
    vot = rasterised_overlap(track, truth, convention="vot").nan_to_num(0)
    check(vot, "vot", "ov_nobound")
    vot = rasterised_overlap(track, truth, (width, height), convention="vot").nan_to_num(0)
    check(vot, "vot", "ov_bounded")
