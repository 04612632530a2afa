"""Scoring speed beside plain per-sequence NumPy, in one run, on the same numbers, with the same scores.

python -m benchmarks.evaluate [--sequences 100] [--frames 590] [--trackers 10] [--json OUT]
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from shapely.geometry import Polygon

from benchmarks import figures
from benchmarks.baseline import evaluation as plain
from lib.core.device import prepare_process
from lib.evaluation import otb, statistics, trackers, vot
from lib.evaluation.datasets import load
from lib.evaluation.regions import Runs
from lib.files import run_script
from lib.geometry.polygons import polygon_overlap, rasterised_overlap

RUNS, REPETITIONS = 60, 15  # of a VOT challenge
INTERVAL = (100, 356)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds, the least of the repeats, and what came out."""
    least, result = np.inf, None
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - began)
    return float(least), result


def write_one_pass(folder: Path, sequences: int, frames: int, count: int) -> None:
    """Text files of a truth and of trackers that wander off it; of 2 or 4 decimals, or all digits, as is usual."""
    rng = np.random.default_rng(0)
    for s in range(sequences):
        place = 200 + np.cumsum(rng.normal(0, 2, (frames, 2)), 0)
        truth = np.concatenate([place, rng.uniform(30, 90, (1, 2)).repeat(frames, 0)], 1).round(2)
        for k in range(-1, count):
            boxes = truth if k < 0 else truth + rng.normal(0, 2 + 2 * k, truth.shape) * [1, 1, 0.2, 0.2]
            form = ("{:.4f}", "{:.2f}", "{!r}")[k % 3]
            path = folder / ("truth" if k < 0 else f"set/tracker{k}") / f"seq{s:03d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(",".join(map(form.format, row)) + "\n" for row in boxes.tolist()))


def score_one_pass(folder: Path) -> list[dict[str, float]]:
    """Ours, from the files to the numbers."""
    videos = load("set", truth=folder / "truth")
    found = [otb.evaluate(videos, trackers.read_all(each, videos, "otb").runs) for each in trackers.find(folder, "set")]
    return [{name: float(value) for name, value in curves.scores().items()} for curves in found]


def plain_one_pass(folder: Path) -> list[dict[str, float]]:
    truth = {path.stem: path for path in sorted((folder / "truth").iterdir())}
    return [plain.one_pass(truth, each) for each in sorted((folder / "set").iterdir())]


def make_runs(sequences: int, repetitions: int) -> Runs:
    """Overlaps of runs that fail now and then."""
    rng = np.random.default_rng(1)
    frames = rng.integers(80, 600, sequences)
    frames[0] = 1500
    overlaps, codes = [], []
    for n in np.repeat(frames, repetitions):
        code, overlap = np.full(n, -1), rng.uniform(0.2, 1, n)
        code[0] = 1
        at = int(rng.geometric(0.01))
        while at < n:
            code[at : at + 6] = [2, 0, 0, 0, 0, 1][: n - at]
            at += 5 + int(rng.geometric(0.01))
        overlap[code >= 0] = np.nan
        overlaps.append(overlap)
        codes.append(code)
    every = np.concatenate(overlaps)
    sequence = np.repeat(np.arange(sequences), repetitions)
    return Runs(every, every, np.concatenate(codes), np.repeat(frames, repetitions), sequence, frames)


def split(runs: Runs) -> list[tuple[np.ndarray, np.ndarray, int]]:
    ends = np.cumsum(runs.lengths)[:-1]
    parts = zip(np.split(runs.overlaps, ends), np.split(runs.codes, ends), runs.sequence, strict=True)
    return [(overlaps, codes, int(runs.repetitions[sequence])) for overlaps, codes, sequence in parts]


def make_regions(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotated truth (n, 8) and boxes (n, 4) that overlap it."""
    rng = np.random.default_rng(2)
    centre, size, angle = rng.uniform(150, 350, (count, 2)), rng.uniform(30, 120, (count, 2)), rng.uniform(0, 3, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * size[:, None]
    truth = (corners @ turn + centre[:, None]).reshape(count, 8)
    boxes = np.concatenate([centre - size / 2 + rng.normal(0, 8, (count, 2)), size], 1)
    return torch.from_numpy(truth), torch.from_numpy(boxes)


def shapely_overlaps(truth: torch.Tensor, boxes: torch.Tensor) -> np.ndarray:
    found = []
    for region, (x, y, w, h) in zip(truth.numpy().reshape(-1, 4, 2), boxes.numpy(), strict=True):
        a, b = Polygon(region), Polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
        found.append(a.intersection(b).area / a.union(b).area)
    return np.array(found)


def line(what: str, ours: float, peer: float | None = None, difference: float | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "ours_s": ours,
        "peer_s": peer,
        "ratio": peer / ours if peer else None,
        "difference": difference,
    }


def measure(o: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of the table."""
    lines = []
    with TemporaryDirectory() as name:
        write_one_pass(Path(name), o.sequences, o.frames, o.trackers)
        ours, scores = timed(lambda: score_one_pass(Path(name)), o.repeats)
        peer, wanted = timed(lambda: plain_one_pass(Path(name)), 1)
    difference = max(abs(score[key] - want[key]) for score, want in zip(scores, wanted, strict=True) for key in want)
    size = f"{o.sequences} sequences x {o.frames} frames x {o.trackers} trackers"
    lines.append(line(f"one pass, {size}, text files to scores", ours, peer, difference))
    runs = make_runs(o.runs, REPETITIONS)
    ours, eao = timed(lambda: float(vot.sums(runs, INTERVAL).scores()["eao"]), o.repeats)
    peer, want = timed(lambda: plain.expected_overlap(split(runs), *INTERVAL), 1)
    lines.append(line(f"EAO, {o.runs} sequences x {REPETITIONS} runs, from overlaps", ours, peer, abs(eao - want)))
    truth, boxes = make_regions(o.regions)
    raster, _ = timed(lambda: rasterised_overlap(boxes, truth, (500, 500)), o.repeats)
    lines.append(line(f"rasterised overlaps of {o.regions} polygons", raster))
    ours, exact = timed(lambda: polygon_overlap(boxes, truth).numpy(), o.repeats)
    peer, want = timed(lambda: shapely_overlaps(truth, boxes), 1)
    lines.append(
        line(f"exact overlaps of {o.regions} polygons (peer: shapely)", ours, peer, np.abs(exact - want).max())
    )
    values = np.random.default_rng(3).beta(4, 2, (o.trackers, o.sequences))

    def intervals() -> np.ndarray:
        statistics.draws.cache_clear()
        return np.array(statistics.interval(values))

    ours, found = timed(intervals, o.repeats)
    peer, want = timed(lambda: plain.bootstrap(values, statistics.draws(o.sequences)), 1)
    what = f"intervals of {o.trackers} trackers x {o.sequences} sequences, {statistics.RESAMPLES} resamples"
    lines.append(line(what, ours, peer, np.abs(found - want).max()))
    return lines


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--frames", type=int, default=590)
    parser.add_argument("--trackers", type=int, default=10)
    parser.add_argument("--runs", type=int, default=RUNS, help="sequences of the reset protocol")
    parser.add_argument("--regions", type=int, default=20_000, help="polygons to overlap")
    parser.add_argument("--repeats", type=int, default=3, help="of ours; its least time counts, the peer runs once")
    parser.add_argument("--json", help="write the figures here")
    o = parser.parse_args()
    prepare_process()
    torch.set_num_threads(1)
    lines = measure(o)
    about = figures.machine("evaluate") | {"load": os.getloadavg()[0], "numpy": np.__version__}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    width = max(len(each["what"]) for each in lines)
    print(f"{'':{width}}  {'ours, s':>8}  {'peer, s':>8}  {'ratio':>7}  difference")
    for each in lines:
        cells = (cell(each["ours_s"], "8.3f"), cell(each["peer_s"], "8.3f"), cell(each["ratio"], "7.1f"))
        print(
            f"{each['what']:{width}}  "
            + "  ".join(f"{text:>8}" for text in cells)
            + f"  {cell(each['difference'], '.1g')}"
        )
    figures.write(o.json, about, lines=lines)


if __name__ == "__main__":
    run_script(main)
