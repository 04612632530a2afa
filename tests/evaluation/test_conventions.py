"""One-pass scores under each convention, against the toolkits' steps written out sequence by sequence."""

import numpy as np
import pytest
import torch

from lib.evaluation import conventions, otb, trackers
from lib.evaluation.archives import unpacked
from lib.evaluation.bins import below
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.polygons import rasterised_overlap

N = np.nan
FROM_ONE = np.array([1, 1, 0, 0])
OVERLAPS, DISTANCES, RATIOS = np.arange(0, 1.05, 0.05), np.arange(51), np.arange(51) / 100


def case(seed=0, lengths=(40, 25, 60)):
    """Sequences with odd frames, and a track of each; boxes are one-based, as in files."""
    rng = np.random.default_rng(seed)
    videos, tracks = [], {}
    for k, n in enumerate(lengths):
        truth = np.concatenate([rng.uniform(-15, 60, (n, 2)), rng.uniform(5, 30, (n, 2))], 1).round(1)
        track = truth + rng.normal(0, 6, (n, 4)) * [1, 1, 0.3, 0.3]
        truth[5] = [10, 10, 0, 12]
        truth[7] = [-20, 5, 10, 10]  # its centre is left of the image
        truth[8] = N
        track[3], track[4] = N, [10, 10, -3, 5]
        track[0] += 5
        tags = {"absent": (rng.uniform(size=n) < 0.2).astype(float), "cover": rng.integers(0, 9, n).astype(float)}
        tags["absent"][0], tags["cover"][0] = 0, 8
        videos.append(Sequence(f"s{k}", (), truth - FROM_ONE, (70, 50), tags))
        tracks[f"s{k}"] = track - FROM_ONE
    return videos, tracks


def files(video, tracks):
    """Truth and track as they stand in files."""
    return video.truth + FROM_ONE, tracks[video.name] + FROM_ONE


def iou(a, b, eps=0.0):
    both = np.maximum(np.minimum(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0)
    both = both * np.maximum(np.minimum(a[:, 1] + a[:, 3], b[:, 1] + b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return both / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - both + eps)


def centre(boxes):
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


@np.errstate(invalid="ignore", divide="ignore")
def slow_pysot(truth, track, absent):
    n = len(truth)
    truth, track = truth[absent == 0], track[absent == 0]
    overlap = np.full(len(truth), -1.0)
    sized = (truth[:, 2:] > 0).sum(1) == 2
    overlap[sized] = np.clip(iou(truth[sized], track[sized]), 0, 1)
    curves = [[(overlap > t).sum() / n for t in OVERLAPS]]
    sizes = truth[:, 2:] + 1e-16
    for a, b, thresholds in (
        (centre(truth), centre(track), DISTANCES),
        (centre(truth) / sizes, centre(track) / sizes, RATIOS),
    ):
        distance = np.full(len(truth), -1.0)
        placed = (a > 0).sum(1) == 2
        distance[placed] = np.sqrt(((a[placed] - b[placed]) ** 2).sum(1))
        curves.append([(distance <= t).sum() / n for t in thresholds])
    return curves


@np.errstate(invalid="ignore", divide="ignore")
def slow_lasot(truth, track, absent):
    n = np.isfinite(truth).all(1).sum()  # LaSOT itself has no frame without numbers
    track = track.copy()
    for t in range(1, len(track)):
        if np.isnan(track[t]).any() or (track[t, 2:] <= 0).any():
            track[t] = track[t - 1]
    track[0] = truth[0]
    kept = (absent == 0) & np.isfinite(truth).all(1)
    truth, track = truth[kept], track[kept]
    overlap = np.minimum(iou(truth, track), 1)
    distance = np.sqrt(((centre(truth) - centre(track)) ** 2).sum(1))
    ratio = np.sqrt((((centre(truth) - centre(track)) / truth[:, 2:]) ** 2).sum(1))
    return [
        [(overlap > t).sum() / n for t in OVERLAPS],
        [(distance <= t).sum() / n for t in DISTANCES],
        [(ratio <= t).sum() / n for t in RATIOS],
    ]


@pytest.mark.parametrize("convention", ["pysot", "lasot"])
@pytest.mark.parametrize("seed", range(3))
def test_curves_of_pysot_and_lasot(convention, seed):
    videos, tracks = case(seed)
    got = otb.evaluate(videos, tracks, convention)
    for q, video in enumerate(videos):
        slow = {"pysot": slow_pysot, "lasot": slow_lasot}[convention]
        success, precision, ratio = slow(*files(video, tracks), video.tags["absent"])
        np.testing.assert_allclose(got.success[q], success, atol=1e-12)
        np.testing.assert_allclose(got.precision[q], precision, atol=1e-12)
        np.testing.assert_allclose(got.norm_precision[q], ratio, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_got10k(seed):
    """ExperimentOTB's curves; ExperimentGOT10k's average overlap and success rates, with three runs."""
    videos, tracks = case(seed)
    runs = {name: [track, track + 1, track - 2] for name, track in tracks.items()}
    got = otb.evaluate(videos, runs, "got10k")
    pooled = []
    for q, video in enumerate(videos):
        known = np.isfinite(video.truth).all(1)
        curves, own = [], []
        for run in runs[video.name]:
            truth, track = files(video, {video.name: run})
            fair = track.copy()
            fair[0] = truth[0]
            overlap = np.clip(iou(fair[known], truth[known], np.finfo(float).eps), 0, 1)
            distance = np.sqrt(((centre(fair[known]) - centre(truth[known])) ** 2).sum(1))
            curves.append(
                [[(overlap > t).mean() for t in np.linspace(0, 1, 21)], [(distance <= t).mean() for t in DISTANCES]]
            )
            cut = []
            for boxes in (track[1:], truth[1:]):
                x, y = np.clip(boxes[:, 0], 0, 70), np.clip(boxes[:, 1], 0, 50)
                cut.append(np.stack([x, y, np.clip(boxes[:, 2], 0, 70 - x), np.clip(boxes[:, 3], 0, 50 - y)], 1))
            overlap = np.clip(iou(*cut, np.finfo(float).eps), 0, 1)
            own.append(np.nan_to_num(overlap)[(video.tags["cover"][1:] > 0) & known[1:]])
        np.testing.assert_allclose(got.success[q], np.mean([c[0] for c in curves], 0), atol=1e-12)
        np.testing.assert_allclose(got.precision[q], np.mean([c[1] for c in curves], 0), atol=1e-12)
        assert got.values()["ao"][q] == pytest.approx(np.concatenate(own).mean(), abs=1e-12)
        pooled += own
    every, scores = np.concatenate(pooled), got.scores()
    assert scores["ao"] == pytest.approx(every.mean(), abs=1e-12)
    assert scores["sr50"] == pytest.approx((every > 0.5).mean(), abs=1e-12)
    assert scores["sr75"] == pytest.approx((every > 0.75).mean(), abs=1e-12)


def test_vot_toolkit_on_one_pass():
    """Rasterised overlap, the first frame left out, sequences weighted by their length."""
    videos, tracks = case()
    for video in videos:
        video.tags["absent"][:] = 0
    total = weight = 0
    for video in videos:
        truth, track = (torch.from_numpy(each) for each in files(video, tracks))
        overlap = rasterised_overlap(track, truth, video.size, convention="vot").nan_to_num()
        total += len(truth) * overlap[1:].mean()
        weight += len(truth)
    assert otb.evaluate(videos, tracks, "vot").scores()["ao"] == pytest.approx(float(total / weight), abs=1e-12)


def test_otb_takes_everything_as_given():
    videos, tracks = case()
    got = otb.evaluate(videos, tracks)
    for q, video in enumerate(videos):
        truth, track = files(video, tracks)
        known = np.isfinite(truth).all(1)
        overlap = np.where(video.tags["absent"] > 0, -1, np.nan_to_num(iou(track, truth), nan=-1))[known]
        np.testing.assert_allclose(got.success[q], [(overlap > t).mean() for t in OVERLAPS], atol=1e-12)
        assert got.values()["ao"][q] == pytest.approx(np.maximum(overlap, 0).mean(), abs=1e-12)
    means = got.values()
    for name in otb.SCORES:
        assert got.scores()[name] == pytest.approx(means[name].mean(), abs=1e-12)


def test_repetitions_are_averaged():
    videos, tracks = case()
    other = {name: track + 3 for name, track in tracks.items()}
    both = otb.evaluate(videos, {name: [tracks[name], other[name]] for name in tracks})
    one, two = otb.evaluate(videos, tracks), otb.evaluate(videos, other)
    np.testing.assert_allclose(both.success, (one.success + two.success) / 2)
    for name in otb.SCORES:
        assert both.scores()[name] == pytest.approx((one.scores()[name] + two.scores()[name]) / 2)


def test_marks_must_fit_the_frames():
    videos, tracks = case()
    videos[1].tags["absent"] = np.zeros(3)
    with pytest.raises(UserError, match="s1: absent must be marked for each of 25 frames, got 3"):
        otb.evaluate(videos, tracks)


@pytest.mark.parametrize(
    ("dataset", "kind", "protocol", "default"),
    [
        ("OTB2015", "otb", "one-pass", "otb"),
        ("lasot", "otb", "one-pass", "lasot"),
        ("got10k_val", "otb", "one-pass", "got10k"),
        ("mine", "otb", "one-pass", "otb"),
        ("VOT2018", "vot", "reset", "pysot"),
        ("VOT-LT2019", "otb", "long-term", "pysot"),
    ],
)
def test_defaults(dataset, kind, protocol, default):
    assert conventions.protocol(dataset, kind) == protocol
    assert conventions.default(dataset, protocol) == conventions.chosen(None, dataset, protocol) == default
    assert conventions.chosen("vot", dataset, protocol) == "vot"


def test_a_convention_that_makes_no_sense_is_refused():
    with pytest.raises(
        UserError, match="--convention must be pysot or vot for VOT2018, which is scored reset; got otb"
    ):
        conventions.chosen("otb", "VOT2018", "reset")


def test_thresholds_to_the_last_bit():
    """Values on, just below and just above every threshold, as a binary search finds them."""
    for thresholds, per_unit in ((OVERLAPS, 20), (DISTANCES.astype(float), 1), (RATIOS, 100)):
        near = np.concatenate([thresholds, np.nextafter(thresholds, -1), np.nextafter(thresholds, 1e9)])
        values = np.concatenate([near, np.random.default_rng(0).uniform(-1, 60, 1000), [np.inf, -1, 1e300]])
        np.testing.assert_array_equal(below(values, thresholds, per_unit), np.searchsorted(thresholds, values))


def test_published_scores_of_lasot(reference):
    archive = reference / "results/LaSOT.tar.xz"
    with unpacked(archive) as folder:
        videos = load("LaSOT", "none", truth=folder / "LaSOT_anno")
        read = trackers.read_all(folder / "LaSOT/ATOM", videos, "otb")
    assert len(videos) == len(read.runs) == 280 and not read.problems
    scores = otb.evaluate(videos, read.runs, conventions.default("LaSOT", "one-pass")).scores()
    assert scores["auc"] == pytest.approx(0.514, abs=0.002) and scores["precision"] == pytest.approx(0.505, abs=0.002)
