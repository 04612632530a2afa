"""Accuracy, robustness and expected overlap against slow independent versions and the recorded ones."""

import json

import numpy as np
import pytest

from lib.evaluation import trackers, vot
from lib.evaluation.datasets import load
from lib.evaluation.sequences import Sequence
from lib.files import UserError

N = np.nan


def slow_eao_pysot(runs, low, high):
    """Fragments written out one by one; ``runs`` = [(overlaps, codes, weight)]."""
    longest = max(len(overlaps) for overlaps, _, _ in runs)
    fragments, weights = [], []
    for overlaps, codes, weight in runs:
        n = len(codes)
        clean = np.nan_to_num(overlaps)
        failures = np.flatnonzero(codes == 2)
        points = [0, *(f + 5 for f in failures if f + 5 <= n)]
        for k, point in enumerate(points):
            fragment = np.full(longest, N)
            if k < len(points) - 1:
                span = points[k + 1] - point
                fragment[:] = 0
                fragment[: min(span, n - point)] = clean[point : point + span]
                weights.append(weight * (n - point) / (n - point + 1) if points[k + 1] == n else weight)
            else:
                fragment[: n - point] = clean[point:]
                weights.append(weight)
            fragments.append(fragment)
    curve = np.full(longest, N)
    curve[0] = 1
    for t in range(1, longest):
        alive = [(f[1 : t + 1].mean(), w) for f, w in zip(fragments, weights, strict=True) if not np.isnan(f[t])]
        if alive:
            curve[t] = sum(m * w for m, w in alive) / sum(w for _, w in alive)
    return curve, np.nanmean(curve[low - 1 : high])


def random_runs(rng, lengths, repetitions, failing):
    overlaps, codes = [], []
    for n in np.repeat(lengths, repetitions):
        code, overlap, start = np.full(n, -1), rng.uniform(0, 1, n), 0
        while start < n:
            code[start] = 1
            length = rng.geometric(failing)
            fail = start + length
            if fail >= n:
                break
            code[fail], start = 2, fail + 5
            code[fail + 1 : min(start, n)] = 0
        overlap[code >= 0] = N
        overlaps.append(overlap)
        codes.append(code)
    lengths = np.asarray(lengths)
    return vot.Runs(
        overlaps=np.concatenate(overlaps),
        wide=np.concatenate(overlaps),
        codes=np.concatenate(codes),
        lengths=np.repeat(lengths, repetitions),
        sequence=np.repeat(np.arange(len(lengths)), repetitions),
        frames=lengths,
    )


def split(runs):
    ends = np.cumsum(runs.lengths)[:-1]
    return list(zip(np.split(runs.overlaps, ends), np.split(runs.codes, ends), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_same_as_fragments_one_by_one(seed):
    rng = np.random.default_rng(seed)
    lengths = [int(n) for n in rng.integers(1, 60, 6)]
    lengths[0] = 60
    runs = random_runs(rng, lengths, 3, failing=[0.02, 0.1, 0.3, 0.9][seed])
    want, eao = slow_eao_pysot([(o, c, 1 / 3) for o, c in split(runs)], 10, 40)
    got = vot.sums(runs, (10, 40))
    np.testing.assert_allclose(got.expected_overlap(), want, atol=1e-12)
    assert vot.sums(runs, (1, 40)).scores()["eao"] == pytest.approx(np.nanmean(want[:40]), abs=1e-12)
    assert got.scores()["eao"] == pytest.approx(eao, abs=1e-12)


def test_accuracy_and_failures_by_hand():
    overlaps = np.full(30, 0.5)
    codes = np.full(30, -1)
    codes[0], codes[15], codes[16:20], codes[20] = 1, 2, 0, 1
    overlaps[codes >= 0] = N
    overlaps[12] = 0.8
    overlaps[25] = 0.9  # within ten frames of the second start
    runs = vot.Runs(overlaps, overlaps, codes, np.array([30]), np.array([0]), np.array([30]))
    scores = vot.sums(runs, (5, 20)).scores()
    assert scores["accuracy"] == pytest.approx((4 * 0.5 + 0.8) / 5)  # frames 10 .. 14
    assert scores["failures"] == 1 and scores["robustness"] == pytest.approx(100 / 30)
    assert scores["failures_weighted"] == 1 and scores["reliability"] == pytest.approx(np.exp(-1))


@pytest.mark.parametrize("late", [False, True])
def test_failure_too_late_for_a_restart(late):
    """Frame 5 of 9: a restart would be at frame 10, past the end; at 8 of 20 there is one."""
    n, f = (9, 5) if late else (20, 8)
    codes = np.full(n, -1)
    codes[0], codes[f] = 1, 2
    codes[f + 1 : f + 5] = 0
    if not late:
        codes[f + 5] = 1
    overlaps = np.where(codes < 0, 1.0, N)
    other = np.where(np.arange(40) > 0, 0.5, N)
    runs = vot.Runs(
        np.concatenate([overlaps, other]),
        np.concatenate([overlaps, other]),
        np.concatenate([codes, np.where(np.arange(40) > 0, -1, 1)]),
        np.array([n, 40]),
        np.array([0, 1]),
        np.array([n, 40]),
    )
    curve = vot.sums(runs, (1, 40)).expected_overlap()
    alone = (f - 1) / 30  # the failed fragment's mean at one-based length 31, if it goes on
    assert curve[30] == pytest.approx(0.5 if late else (0.5 + alone) / 2)


def recorded(reference, run):
    given = np.load(reference / "golden/vot_inputs.npz")
    size = tuple(given["size"].tolist())
    videos = [Sequence(f"seq{k:02d}", (), given[f"gt_seq{k:02d}"], size, {}, "vot") for k in range(6)]
    return videos, {video.name: list(given[f"res_{run}_{video.name}"]) for video in videos}


@pytest.mark.parametrize("run", ["A15", "B1"])
def test_recorded_scores_of_pysot(reference, run):
    videos, rows = recorded(reference, run)
    want = json.loads((reference / "golden/vot_out_pysot.json").read_text())[run]
    for year in ("VOT2016", "VOT2018", "VOT2019"):
        got = vot.evaluate(videos, rows, year)
        assert got.scores()["eao"] == pytest.approx(want[f"eao_{year}"], abs=1e-6)
    curve = np.load(reference / "golden/vot_out_pysot.npz")[f"eao_curve/{run}"]
    np.testing.assert_allclose(got.expected_overlap(), curve, atol=1e-6)
    scores, values = got.scores(), got.values()
    assert scores["accuracy"] == pytest.approx(want["accuracy"], abs=1e-6)
    assert scores["failures"] == pytest.approx(want["lost_number"], abs=1e-9)
    assert scores["robustness"] == pytest.approx(want["robustness_pct"], abs=1e-9)
    np.testing.assert_allclose(values["accuracy"], list(want["per_seq_accuracy"].values()), atol=1e-6)
    np.testing.assert_allclose(values["failures"], [np.mean(f) for f in want["per_seq_failures"].values()])


@pytest.mark.parametrize("run", ["A15", "B1"])
def test_recorded_scores_of_vot_toolkit(reference, run):
    videos, rows = recorded(reference, run)
    want = json.loads((reference / "golden/vot_out_vot.json").read_text())[run]
    for year, name in {"VOT2016": "2015/2016", "VOT2018": "2017/2018", "VOT2019": "2019(46,291)"}.items():
        got = vot.evaluate(videos, rows, year, convention="vot")
        assert got.scores()["eao"] == pytest.approx(want[f"eao_VOT{name}"], abs=1e-6)
    curve = np.load(reference / "golden/vot_out_vot.npz")[f"eao_curve/{run}"]
    np.testing.assert_allclose(got.expected_overlap(), curve, atol=1e-6)
    scores, values = got.scores(), got.values()
    assert scores["accuracy"] == pytest.approx(want["accuracy"], abs=1e-9)
    assert scores["failures_weighted"] == pytest.approx(want["failures_weighted"], abs=1e-9)
    assert scores["reliability"] == pytest.approx(want["ar"][0], abs=1e-9)
    np.testing.assert_allclose(values["accuracy"], [each[0] for each in want["per_seq"].values()], atol=1e-9)
    np.testing.assert_allclose(values["failures"], [each[1] for each in want["per_seq"].values()], atol=1e-9)


@pytest.mark.parametrize(
    ("year", "tracker", "want"),
    [
        ("VOT2018", "DaSiamRPN", {"eao": 0.383, "accuracy": 0.586, "robustness": 0.276}),
        ("VOT2018", "LightTrack", {"eao": 0.418}),
        ("VOT2019", "NanoTrackV3", {"eao": 0.296}),
        ("VOT2018", "HingeFork", {"eao": 0.002, "failures": 2562, "accuracy": 0.135}),
    ],
)
def test_published_scores(reference, year, tracker, want):
    videos = load(year, "none", truth=reference / f"results/{year}.json")
    read = trackers.read_all(reference / "results" / year / tracker, videos, "vot")
    assert not read.problems and len(read.runs) == 60
    scores = vot.evaluate(videos, read.runs, year).scores()
    assert np.isfinite(list(scores.values())).all()
    for name, value in want.items():
        assert scores[name] == pytest.approx(value, abs=0.005 if tracker == "HingeFork" else 0.002)


def test_weights_are_repeated_sequences():
    runs = random_runs(np.random.default_rng(5), [30, 40, 50, 20], 2, 0.05)
    sums = vot.sums(runs, (5, 30))
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 0], [0, 0, 0, 3]])
    got = sums.scores(weights)
    for k, row in enumerate(weights):
        chosen = np.repeat(np.arange(4), row)
        part = vot.Sums(
            *(getattr(sums, n)[chosen] for n in ("overlap", "valid", "failures", "frames", "curve", "alive")),
            sums.first,
            sums.lengths,
        )
        for name, value in part.scores().items():
            assert got[name][k] == pytest.approx(value, abs=1e-12)


def test_missing_truth_is_not_scored_and_no_size_is_unbounded():
    truth = np.array([[0, 0, 10, 10]] * 14 + [[N] * 4], float)
    video = Sequence("a", (), truth, None, {}, "vot")
    rows = np.array([[1, N, N, N]] + [[-5, -5, 10, 10]] * 14)
    got = vot.collect([video], {"a": rows})
    assert np.isnan(got.overlaps[[0, 14]]).all() and np.isfinite(got.overlaps[1:14]).all()
    exact = vot.collect([video], {"a": rows}, overlap="exact")
    np.testing.assert_allclose(exact.overlaps[1:14], 25 / 175)


def test_intervals_of_lengths(reference):
    assert vot.interval("vot2016", [5]) == (108, 371)
    for year, (low, high) in {"VOT2018": (100, 356), "VOT2019": (46, 291)}.items():
        lengths = [len(s) for s in load(year, "none", truth=reference / f"results/{year}.json")]
        got = vot.interval("other", lengths)
        assert abs(got[0] - low) <= 3 and abs(got[1] - high) <= 3
    assert vot.interval("other", [50]) == (50, 50)
    assert vot.interval("other", [50] * 9) == (50, 50)
    low, high = vot.interval("other", [100, 110, 120, 400])
    assert low <= 100 and 120 <= high <= 200


def test_wrong_results_are_named():
    video = Sequence("bag", (), np.ones((5, 4)), (9, 9), {}, "vot")
    with pytest.raises(UserError, match="bag: a result must have 5 rows, got 4"):
        vot.collect([video], {"bag": np.ones((4, 4))})
    with pytest.raises(UserError, match="bag: at least one result"):
        vot.collect([video], {"bag": []})
