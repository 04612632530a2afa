"""One-pass scores against the recorded ones and against counting frame by frame."""

import numpy as np
import pytest

from lib.evaluation import otb
from lib.evaluation.sequences import Sequence
from lib.files import UserError


def slow_curves(boxes, truth):
    """Frame by frame and threshold by threshold."""
    rows = []
    for (x, y, w, h), (X, Y, W, H) in zip(boxes, truth, strict=True):
        dx = max(0, min(x + w, X + W) - max(x, X))
        dy = max(0, min(y + h, Y + H) - max(y, Y))
        both = dx * dy
        either = w * h + W * H - both
        cx, cy = x + w / 2 - X - W / 2, y + h / 2 - Y - H / 2
        rows.append((both / either if either else 0, (cx**2 + cy**2) ** 0.5, ((cx / W) ** 2 + (cy / H) ** 2) ** 0.5))
    return (
        [sum(row[0] > t * 0.05 for row in rows) / len(rows) for t in range(21)],
        [sum(row[1] <= t for row in rows) / len(rows) for t in range(51)],
        [sum(row[2] <= t / 100 for row in rows) / len(rows) for t in range(51)],
    )


def random_tracks(rng, frames):
    truth = np.concatenate([rng.uniform(0, 200, (frames, 2)), rng.uniform(10, 80, (frames, 2))], 1)
    return truth, truth + rng.normal(0, 12, truth.shape) * [1, 1, 0.3, 0.3]


@pytest.mark.parametrize("toolkit", ["siamdw", "pysot"])
def test_recorded_scores(reference, toolkit):
    given = np.load(reference / "golden/otb_inputs.npz")
    want = np.load(reference / f"golden/otb_out_{toolkit}.npz")
    truth = np.concatenate([given[f"gt{q}"] for q in range(10)])
    boxes = np.stack([np.concatenate([given[f"pred{k}_{q}"] for q in range(10)]) for k in range(2)])
    got = otb.curves(boxes, truth, [len(given[f"gt{q}"]) for q in range(10)])
    np.testing.assert_allclose(got.success, want["success"], atol=1e-6)
    np.testing.assert_allclose(got.precision, want["precision"], atol=1e-6)
    scores = got.scores()
    np.testing.assert_allclose(scores["auc"], want["auc"], atol=1e-6)
    np.testing.assert_allclose(scores["precision"], want["prec20"], atol=1e-6)
    if toolkit == "pysot":
        np.testing.assert_allclose(got.norm_precision, want["norm_precision"], atol=1e-6)
        np.testing.assert_allclose(scores["norm_precision"], want["nprec20"], atol=1e-6)


def test_recorded_scores_under_the_convention_of_pysot(reference):
    given = np.load(reference / "golden/otb_inputs.npz")
    want = np.load(reference / "golden/otb_out_pysot.npz")
    truth = np.concatenate([given[f"gt{q}"] for q in range(10)])
    boxes = np.stack([np.concatenate([given[f"pred{k}_{q}"] for q in range(10)]) for k in range(2)])
    lengths = [len(given[f"gt{q}"]) for q in range(10)]
    got = otb.curves(boxes - [1, 1, 0, 0], truth - [1, 1, 0, 0], lengths, "pysot")  # it counts pixels from 1
    for name in ("success", "precision", "norm_precision"):
        np.testing.assert_allclose(getattr(got, name), want[name], atol=1e-6)


def test_same_as_counting():
    rng = np.random.default_rng(0)
    pairs = [random_tracks(rng, frames) for frames in (1, 7, 40)]
    got = otb.curves(np.concatenate([p[1] for p in pairs]), np.concatenate([p[0] for p in pairs]), [1, 7, 40])
    for q, (truth, boxes) in enumerate(pairs):
        success, precision, norm_precision = slow_curves(boxes, truth)
        np.testing.assert_allclose(got.success[q], success, atol=1e-12)
        np.testing.assert_allclose(got.precision[q], precision, atol=1e-12)
        np.testing.assert_allclose(got.norm_precision[q], norm_precision, atol=1e-12)


def test_leading_axes_are_independent():
    rng = np.random.default_rng(1)
    truth, boxes = random_tracks(rng, 30)
    other = boxes + 5
    both = otb.curves(np.stack([[boxes, other], [other, boxes]]), truth, [10, 20])
    alone = otb.curves(other, truth, [10, 20])
    assert both.success.shape == (2, 2, 2, 21)
    np.testing.assert_array_equal(both.success[0, 1], alone.success)
    np.testing.assert_array_equal(both.precision[1, 0], alone.precision)


def test_perfect_track_scores_twenty_of_twenty_one():
    truth, _ = random_tracks(np.random.default_rng(2), 9)
    scores = otb.curves(truth, truth, [9]).scores()
    assert scores["auc"] == pytest.approx(20 / 21)
    assert scores["precision"] == scores["norm_precision"] == scores["norm_precision_auc"] == 1


def test_missing_truth_is_left_out_and_missing_box_counts():
    truth = np.array([[0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10], [0, 0, 0, 0]], float)
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 5], [np.nan] * 4, [0, 0, 0, 0]], float)
    got = otb.curves(boxes, truth, [3, 1])
    np.testing.assert_allclose(got.success[0, :-1], 0.5)
    np.testing.assert_allclose(got.precision[0], 0.5)
    np.testing.assert_allclose(got.success[1], 0)
    np.testing.assert_allclose(got.norm_precision[1], 1)  # no size, but no distance either


def test_sequence_without_annotation_does_not_count_in_the_mean():
    truth = np.array([[0, 0, 10, 10], [np.nan] * 4])
    scores = otb.curves(np.array([[0.0, 0, 10, 10]] * 2), truth, [1, 1]).scores()
    assert scores["auc"] == pytest.approx(20 / 21)


def test_wrong_number_of_rows_is_named():
    sequence = Sequence("Deer", (), np.ones((5, 4)))
    with pytest.raises(UserError, match=r"Deer.*5 rows.*4, 4"):
        otb.evaluate([sequence], {"Deer": np.ones((4, 4))})
