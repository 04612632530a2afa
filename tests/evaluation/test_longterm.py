"""Precision, recall and F-score over confidences, against both toolkits' steps written out."""

import numpy as np
import pytest

from lib.evaluation import longterm
from lib.evaluation.sequences import Sequence

N = np.nan


def slow_thresholds(scores, convention):
    """As the toolkits choose them, one by one."""
    if convention == "pysot":
        scores = sorted(s for s in scores if s == s)
        delta = len(scores) // 98
        places = [int(np.floor(x + 0.5)) for x in np.linspace(delta - 1, len(scores) - delta, 98)]
        return [np.inf, *[scores[k] for k in places][::-1], -np.inf]
    scores = sorted((s if s == s else 0 for s in scores), reverse=True)
    delta = len(scores) // 98
    return [np.inf, *[scores[round(x)] for x in np.linspace(delta, len(scores) - delta, 98)], -np.inf]


def slow_scores(runs, convention):
    """``runs`` = [(overlaps with nan, confidences with nan, frames in view)], one a sequence."""
    limits = slow_thresholds([c for _, claims, _ in runs for c in claims], convention)
    best = (-1, 0, 0)
    for limit in limits:
        precisions, recalls = [], []
        for overlaps, claims, in_view in runs:
            claims = [c if c == c else 0 for c in claims]
            overlaps = [o if o == o else 0 for o in overlaps]
            kept = [o for o, c in zip(overlaps, claims, strict=True) if c >= limit]
            if limit == -np.inf and convention == "pysot":
                kept = [o for o, c in zip(overlaps, claims, strict=True) if c > 0]
            precisions.append(sum(kept) / len(kept) if kept else 1)
            recalls.append(sum(kept) / in_view)
        p, r = np.mean(precisions), np.mean(recalls)
        f = 2 * p * r / (p + r) if p + r else 0
        best = max(best, (f, p, r), key=lambda each: each[0])
    return best


def random_case(seed, lengths=(90, 150, 40), repetitions=1):
    rng = np.random.default_rng(seed)
    videos, runs, confidences = [], {}, {}
    for k, n in enumerate(lengths):
        truth = np.concatenate([rng.uniform(20, 60, (n, 2)), rng.uniform(20, 40, (n, 2))], 1)
        truth[rng.uniform(size=n) < 0.2] = N
        truth[0] = [30, 30, 20, 20]
        videos.append(Sequence(f"s{k}", (), truth, (200, 150)))
        runs[f"s{k}"], confidences[f"s{k}"] = [], []
        for _ in range(repetitions):
            track = np.where(np.isnan(truth), 40, truth) + rng.normal(0, 6, (n, 4)) * [1, 1, 0.2, 0.2]
            claims = rng.normal(0.5, 0.5, n).round(2)  # some are equal, some below 0
            track[0], claims[0] = N, N
            runs[f"s{k}"].append(track)
            confidences[f"s{k}"].append(claims)
    return videos, runs, confidences


@pytest.mark.parametrize("convention", ["pysot", "vot"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_same_as_the_toolkits_steps(seed, convention):
    videos, runs, confidences = random_case(seed)
    got = longterm.evaluate(videos, runs, confidences, convention=convention, overlap="exact").scores()
    slow = []
    for video in videos:
        (x, y, w, h), (u, v, a, b) = runs[video.name][0].T, video.truth.T
        both = np.clip(np.minimum(x + w, u + a) - np.maximum(x, u), 0, None)
        both *= np.clip(np.minimum(y + h, v + b) - np.maximum(y, v), 0, None)
        overlaps = both / (w * h + a * b - both)
        slow.append((overlaps.tolist(), confidences[video.name][0].tolist(), int(np.isfinite(u).sum())))
    want = slow_scores(slow, convention)
    for name, value in zip(("f_score", "precision", "recall"), want, strict=True):
        assert got[name] == pytest.approx(value, abs=1e-9)


def test_repetitions_are_averaged():
    videos, runs, confidences = random_case(4, repetitions=2)
    limits = longterm.thresholds(np.concatenate([c for each in confidences.values() for c in each]))
    both = longterm.evaluate(videos, runs, confidences)
    np.testing.assert_array_equal(both.thresholds, limits)
    assert both.precision.shape == both.recall.shape == (3, 100)
    twice = {name: [each[0]] * 2 for name, each in runs.items()}
    claims = {name: [each[0]] * 2 for name, each in confidences.items()}
    once = {name: each[:1] for name, each in runs.items()}, {name: each[:1] for name, each in confidences.items()}
    same = longterm.evaluate(videos, twice, claims).scores()
    assert same["f_score"] == pytest.approx(longterm.evaluate(videos, *once).scores()["f_score"], abs=0.01)


def test_a_tracker_that_knows_when_the_target_is_gone():
    truth = np.array([[10.0, 10, 20, 20]] * 10)
    truth[5:] = N
    video = Sequence("a", (), truth, (100, 100))
    track = np.array([[10.0, 10, 20, 20]] * 10)
    sure = np.where(np.isnan(truth[:, 0]), 0.1, 0.9)
    knows = longterm.evaluate([video], {"a": [track]}, {"a": [sure]}).scores()
    assert (knows["f_score"], knows["precision"], knows["recall"]) == (1, 1, 1)
    never = longterm.evaluate([video], {"a": [track]}, {"a": [np.full(10, 0.9)]}).scores()
    assert never["precision"] == 0.5 and never["recall"] == 1 and never["f_score"] == pytest.approx(2 / 3)
    wrong = longterm.evaluate([video], {"a": [track + 50]}, {"a": [sure]}).scores()
    assert wrong["f_score"] == 0 and wrong["recall"] == 0


def test_scores_of_resamples_and_of_each_sequence():
    videos, runs, confidences = random_case(5)
    got = longterm.evaluate(videos, runs, confidences)
    weights = np.array([[1, 1, 1], [0, 3, 0]])
    many = got.scores(weights)
    assert many["f_score"][0] == pytest.approx(float(got.scores()["f_score"]))
    assert many["f_score"][1] == pytest.approx(got.values()["f_score"][1])
