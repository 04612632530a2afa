"""Scores as toolkits compute them, in plain NumPy: by sequence, by threshold, by fragment."""

from pathlib import Path

import numpy as np

OVERLAPS, DISTANCES, RATIOS = np.arange(0, 1.05, 0.05), np.arange(51), np.arange(51) / 100


def read(path: Path) -> np.ndarray:
    """(T, 4) numbers of a text file."""
    return np.loadtxt(path, delimiter=",")


def one_pass(truth: dict[str, Path], tracker: Path) -> dict[str, float]:
    """AUC, precision and normalised precision of a tracker's text files."""
    curves: list[list[list[float]]] = []
    for name, path in truth.items():
        a, b = read(path), read(tracker / f"{name}.txt")
        left, top = np.maximum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])
        right = np.minimum(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2])
        bottom = np.minimum(a[:, 1] + a[:, 3], b[:, 1] + b[:, 3])
        both = np.maximum(0, right - left) * np.maximum(0, bottom - top)
        overlap = both / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - both)
        offset = a[:, :2] + (a[:, 2:] - 1) / 2 - b[:, :2] - (b[:, 2:] - 1) / 2
        distance, ratio = (np.sqrt((each**2).sum(1)) for each in (offset, offset / a[:, 2:]))
        curves.append(
            [
                [float((overlap > t).sum() / len(a)) for t in OVERLAPS],
                [float((distance <= t).sum() / len(a)) for t in DISTANCES],
                [float((ratio <= t).sum() / len(a)) for t in RATIOS],
            ]
        )
    return {
        "auc": float(np.mean([np.mean(curve[0]) for curve in curves])),
        "precision": float(np.mean([curve[1][20] for curve in curves])),
        "norm_precision": float(np.mean([curve[2][20] for curve in curves])),
    }


def expected_overlap(runs: list[tuple[np.ndarray, np.ndarray, int]], low: int, high: int) -> float:
    """EAO of (overlaps, codes, repetitions of its sequence) of each run, from fragments that are written out."""
    longest = max(len(overlaps) for overlaps, _, _ in runs)
    fragments, weights = [], []
    for overlaps, codes, repetitions in runs:
        n = len(overlaps)
        points = [0, *(int(f) + 5 for f in np.flatnonzero(codes == 2) if f + 5 <= n)]
        for k, point in enumerate(points):
            last = k == len(points) - 1
            part = np.nan_to_num(overlaps[point:] if last else overlaps[point : points[k + 1] + 1])
            fragment = np.full(longest, np.nan if last else 0.0)
            fragment[: len(part)] = part
            fragments.append(fragment)
            span = n - point if last else points[k + 1] - point + 1
            weights.append(len(part) / max(span, 1) / repetitions)
    table, weight = np.array(fragments), np.array(weights)
    curve = np.ones(longest)
    for t in range(1, longest):
        there = ~np.isnan(table[:, t])
        if there.any():
            mean = table[there, 1 : t + 1].sum(1) / t
            curve[t] = (mean * weight[there]).sum() / weight[there].sum()
    return float(curve[low - 1 : high].mean())


def bootstrap(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(2, trackers) ends of the 95 % interval of the mean of values (trackers, sequences), draw by draw."""
    means = []
    for counts in draws.astype(int):
        chosen = np.repeat(np.arange(values.shape[1]), counts)
        means.append(values[:, chosen].mean(1))
    return np.quantile(np.array(means), [0.025, 0.975], axis=0)
