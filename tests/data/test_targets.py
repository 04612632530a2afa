"""Labels and anchor targets against recorded arrays and loops; what the nearest cell mends."""

import numpy as np
import pytest
import torch

from lib.data.targets import AnchorRule, anchor_delta, anchor_label, anchor_targets, centre_label, keep_some
from lib.geometry.anchors import training_anchors

RULE = AnchorRule()
ANCHORS = torch.from_numpy(training_anchors((0.33, 0.5, 1, 2, 3), (8,), 17, 255))


def cxcywh(xyxy) -> torch.Tensor:
    xyxy = torch.as_tensor(xyxy, dtype=torch.float64).reshape(-1, 4)
    return torch.cat([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], 1)


def test_recorded_anchor_targets(reference):
    golden = np.load(reference / "golden" / "targets.npz")
    boxes = cxcywh(golden["target_boxes_x1y1x2y2"][:4])
    label, delta = anchor_label(ANCHORS, boxes, RULE), anchor_delta(ANCHORS, boxes)
    for i in range(4):
        np.testing.assert_array_equal(label[i], golden[f"target{i}_cls_full"])
        np.testing.assert_allclose(delta[i], golden[f"target{i}_delta"], rtol=0, atol=4e-7)  # recorded in float32
    recorded = np.stack([golden[f"target{i}_cls"] for i in range(4)])
    weights = np.stack([golden[f"target{i}_weight"] for i in range(4)])
    # keys that prefer what was drawn there give the same sample: at most 16 positives, 64 in all, the same weights
    ours = anchor_targets(ANCHORS, boxes, torch.from_numpy((recorded >= 0) * 0.5), RULE)
    np.testing.assert_array_equal(ours.label, recorded)
    np.testing.assert_allclose(ours.weight, weights, rtol=1e-6)
    assert ours.delta.dtype == ours.weight.dtype == ours.label.dtype == torch.float32


def test_recorded_training_batch(reference):
    golden = np.load(reference / "golden" / "labels_batch4.npz")
    positive = golden["rpn_cls"] == 1
    for sample in range(4):
        cells = np.argwhere(positive[sample])
        if len(cells):  # the box that a positive's delta points at gives the same labels
            a, y, x = cells[0]
            d, (ax, ay, aw, ah) = golden["rpn_reg"][sample, :, a, y, x].astype(float), ANCHORS[:, a, y, x].numpy()
            box = torch.tensor([[ax + d[0] * aw, ay + d[1] * ah, aw * np.exp(d[2]), ah * np.exp(d[3])]])
            keys = torch.from_numpy((golden["rpn_cls"][sample : sample + 1] >= 0) * 0.5)
            ours = anchor_targets(ANCHORS, box, keys, RULE)
            np.testing.assert_array_equal(ours.label[0], golden["rpn_cls"][sample])
            np.testing.assert_allclose(ours.delta[0], golden["rpn_reg"][sample], rtol=0, atol=2e-6)
            np.testing.assert_allclose(ours.weight[0], golden["rpn_regw"][sample], rtol=1e-6)
    assert positive.any((1, 2, 3)).sum() >= 3


def slow_label(box, high, low) -> np.ndarray:
    label = np.empty((5, 17, 17))
    for a in range(5):
        for y in range(17):
            for x in range(17):
                cx, cy, w, h = ANCHORS[:, a, y, x].tolist()
                across = min(cx + w / 2, box[0] + box[2] / 2) - max(cx - w / 2, box[0] - box[2] / 2)
                down = min(cy + h / 2, box[1] + box[3] / 2) - max(cy - h / 2, box[1] - box[3] / 2)
                both = max(across, 0) * max(down, 0)
                iou = both / (w * h + box[2] * box[3] - both)
                label[a, y, x] = 1 if iou > high else 0 if iou < low else -1
    return label


@pytest.mark.parametrize("box", [(127, 127, 64, 64), (20.3, 240, 30, 90), (127, 127, 1, 1), (-40, 127, 20, 20)])
def test_labels_equal_a_loop(box):
    rule = AnchorRule(positive_iou=0.5, negative_iou=0.2)
    label = anchor_label(ANCHORS, torch.tensor([box], dtype=torch.float64), rule)
    np.testing.assert_array_equal(label[0], slow_label(box, 0.5, 0.2))


def test_keeping_some_is_fair_and_full():
    boxes = cxcywh([[80, 80, 170, 170], [95, 95, 159, 159], [120, 120, 134, 133]])
    full = anchor_label(ANCHORS, boxes, AnchorRule(positive_iou=0.4))
    assert ((full == 1).sum((1, 2, 3)) > 16).tolist() == [True, True, False]
    generator = torch.Generator().manual_seed(1)
    drawn = torch.stack([keep_some(full, torch.rand(full.shape, generator=generator), RULE) for _ in range(400)])
    positives, negatives = (drawn == 1).sum((2, 3, 4)), (drawn == 0).sum((2, 3, 4))
    assert (positives == (full == 1).sum((1, 2, 3)).clamp(max=16)).all() and (positives + negatives == 64).all()
    assert ((drawn == full) | (drawn == -1)).all()
    for value in (1, 0):  # every member of a class is kept equally often
        often = (drawn[:, 0] == value).float().mean(0)[full[0] == value]
        share = (drawn[0, 0] == value).sum() / len(often)
        assert (often - share).abs().max() < 6 * (share * (1 - share) / 400) ** 0.5


def test_keeping_some_of_few():
    label = torch.tensor([[1, 1, -1], [0, 0, 0], [-1, -1, -1]])[:, :, None, None]
    keys = torch.tensor([[0.1, 0.2, 0.9], [0.3, 0.1, 0.2], [0.5, 0.5, 0.5]])[:, :, None, None]
    small = keep_some(label, keys, AnchorRule(positives=1, total=2))[:, :, 0, 0]
    assert small.tolist() == [[-1, 1, -1], [0, -1, 0], [-1, -1, -1]]
    assert keep_some(label, keys, RULE).equal(label.float())  # more room than members
    assert keep_some(label, torch.zeros(3, 3, 1, 1), RULE).equal(label.float())  # a key of exactly 0 counts


def test_nothing_is_read_back_to_the_host():
    keys = torch.zeros(2, 5, 17, 17, device="meta")
    boxes = torch.ones(2, 4, device="meta")
    assert anchor_targets(ANCHORS.to("meta"), boxes, keys, RULE).delta.shape == (2, 4, 5, 17, 17)
    assert centre_label(boxes[:, :2], 17, 255).shape == (2, 17, 17)


@pytest.mark.parametrize("n,instance,stride,radius", [(17, 255, 8, 2), (19, 271, 8, 2), (5, 64, 4, 0), (1, 8, 8, 1)])
def test_centre_label_equals_a_loop(n, instance, stride, radius):
    centres = torch.rand(40, 2, dtype=torch.float64) * instance * 1.2 - 0.1 * instance
    label = centre_label(centres, n, instance, stride=stride, radius=radius)
    for sample, (x, y) in enumerate(centres.tolist()):
        grid = [(k - n // 2) * stride + instance / 2 for k in range(-50, n + 50)]
        column = min(range(len(grid)), key=lambda k: abs(grid[k] - x)) - 50
        row = min(range(len(grid)), key=lambda k: abs(grid[k] - y)) - 50
        expected = [[float(abs(i - row) + abs(j - column) <= radius) for j in range(n)] for i in range(n)]
        assert label[sample].tolist() == expected


def test_centre_label_takes_the_nearest_cell_where_the_published_one_took_the_floor(reference):
    """Published: cell = n // 2 + floor(round(-shift) / 8), of the shift that was asked for, up to a cell away."""
    golden = np.load(reference / "golden" / "targets.npz")
    shifts, recorded = golden["fc_label_shifts"], golden["fc_labels"]
    ours = centre_label(torch.from_numpy(127.5 - shifts), 17, 255).numpy()
    floored, nearest = np.floor(np.round(-shifts) / 8), np.floor(-shifts / 8 + 0.5)
    agree = (floored == nearest).all(1)
    assert 2 <= agree.sum() < len(shifts)
    np.testing.assert_array_equal(ours[agree], recorded[agree])
    for label, old, move in zip(ours[~agree], recorded[~agree], (nearest - floored)[~agree].astype(int), strict=True):
        assert (label != old).any()
        np.testing.assert_array_equal(label, np.roll(old, move[::-1], (0, 1)))  # the same diamond, a cell on
    still = centre_label(torch.tensor([[127.5 - 0.6, 127.5 + 0.6]]), 17, 255)  # moved by less than a tenth of a cell
    assert still.equal(centre_label(torch.tensor([[127.5, 127.5]]), 17, 255))
