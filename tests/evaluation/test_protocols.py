"""Real time, repetitions and long-term runs, with trackers whose boxes are known beforehand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from lib.evaluation import protocols, realtime
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh, rectangle_from_cxcywh
from lib.tracker.frames import FrameSupply
from lib.tracker.overlap import flags_of
from lib.tracker.slots import Scheduler
from lib.tracker.still import StillState, StillTracker


class Reader(StillTracker):
    """Puts its box where the frame's grey value says: x = grey; the score is the grey value by 100."""

    stochastic = True
    noise = 0

    def step(self, state, frames, truth=None):
        grey = torch.stack([image.double().mean() for image in frames.images()])
        box = state.box.clone()
        box[:, 0] = grey + box[:, 2] / 2 + self.noise * torch.rand(len(grey), dtype=torch.float64)
        return StillState(box, grey / 100), flags_of(box, truth, frames)


def video(folder, count, name="v", step=1, kind="otb"):
    """Frame t is of grey value t, the target's left side is at ``step`` t."""
    (folder / name).mkdir()
    paths = [folder / name / f"{t:03d}.png" for t in range(count)]
    for t, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((40, 120, 3), t, np.uint8))
    truth = np.array([[step * t, 10, 8, 8] for t in range(count)], float)
    return Sequence(name, tuple(paths), truth, (120, 40), {}, kind)


def slots_of(tracker, slots=3):
    return {"trackers": tracker, "scheduler": Scheduler(tracker.at, FrameSupply(), slots=slots)}


def walk(seconds, fps, grace):
    """VOT's toolkit, frame by frame: what is left of the clock after each."""
    interval, left, seen = 1 / fps, 0.0, []
    for t, cost in enumerate(seconds):
        if t and left > interval + 1e-9:
            left -= interval
            continue
        left = 0.0
        seen.append(t)
        if cost > interval:
            if grace > 0:
                grace -= 1
            else:
                left = cost - interval
    return seen


@pytest.mark.parametrize("grace", [0, 1, 3])
def test_frames_seen_as_in_vots_toolkit(grace):
    rng = np.random.default_rng(grace)
    for seconds in (rng.uniform(0, 0.3, 200), np.full(40, 0.15), np.full(40, 0.05), np.full(30, 0.1), np.zeros(5)):
        assert realtime.frames_seen(seconds, grace=grace).tolist() == walk(seconds, 20, grace)
    assert realtime.frames_seen(np.full(9, 4 / 20), grace=0).tolist() == [0, 3, 6]
    with pytest.raises(UserError, match="must be known"):
        realtime.frames_seen([np.nan])


def test_a_fast_tracker_misses_nothing(tmp_path):
    videos = [video(tmp_path, 12), video(tmp_path, 7, "w")]
    for reset in (False, True):
        now = {
            n: rows
            for _, n, rows in realtime.run_real_time(videos, [{}], seconds=0.01, reset=reset, **slots_of(Reader()))
        }
        plain = {n: rows for _, n, rows in protocols.run(videos, [{}], reset=reset, **slots_of(Reader()))}
        for n in (0, 1):
            np.testing.assert_array_equal(now[n], plain[n])


def test_last_box_stands_on_missed_frames(tmp_path):
    videos = [video(tmp_path, 20)]
    ((_, _, rows),) = realtime.run_real_time(
        videos, [{}], seconds={"v": np.full(20, 0.2)}, grace=1, reset=False, **slots_of(Reader())
    )
    seen = walk([0.2] * 20, 20, 1)
    want = [seen[np.searchsorted(seen, t, side="right") - 1] for t in range(20)]
    assert rows[:, 0].tolist() == want and len(set(want)) < 10


def walk_with_restarts(count, step, cost):
    """Codes of a tracker that sees some frames: fails where its box and the target, both 8 px wide, share no area."""
    rows, start = [0] * count, 0
    while start < count:
        seen = [start + t for t in walk([cost] * (count - start), 20, 3)]
        rows[start], x, fail = 1, start * step, None
        for t in range(start + 1, count):
            x = t if t in seen else x
            rows[t] = -1
            if abs(x - step * t) >= 8:
                fail = t
                break
        if fail is None:
            break
        rows[fail] = 2
        rows[fail + 1 : fail + 5] = [0] * len(rows[fail + 1 : fail + 5])
        start = fail + 5
    return rows


@pytest.mark.parametrize(("step", "cost"), [(1, 0.9), (2, 0.3), (2, 0.01), (3, 0.6)])
def test_held_boxes_fail_and_start_again(tmp_path, step, cost):
    videos = [video(tmp_path, 50, "a", step, "vot"), video(tmp_path, 31, "b", step, "vot")]
    got = {n: r for _, n, r in realtime.run_real_time(videos, [{}], seconds=cost, reset=True, **slots_of(Reader(), 2))}
    failures = 0
    for n, count in enumerate((50, 31)):
        codes = np.where(np.isnan(got[n][:, 1]), got[n][:, 0], -1).astype(int).tolist()
        assert codes == walk_with_restarts(count, step, cost)
        failures += codes.count(2)
    assert failures > 0


def test_seconds_must_fit(tmp_path):
    with pytest.raises(UserError, match="v: seconds must be given for each of 5 frames, got 4"):
        list(
            realtime.run_real_time(
                [video(tmp_path, 5)], [{}], seconds={"v": [0.1] * 4}, reset=False, **slots_of(Reader())
            )
        )


def test_measured_seconds(tmp_path):
    videos = [video(tmp_path, 6), video(tmp_path, 9, "w")]
    seconds = realtime.measured_seconds(videos, {}, **slots_of(Reader()))
    assert [len(seconds[v.name]) for v in videos] == [6, 9]
    assert all((each > 0).all() and (each < 5).all() for each in seconds.values())


def test_one_pass_over_polygons(tmp_path):
    rotated = video(tmp_path, 5)
    rotated = replace(rotated, truth=polygon_from_xywh(rotated.truth), kind="vot")
    start = rectangle_from_cxcywh(rotated.start())
    for _, _, rows in protocols.run([rotated], [{}], reset=False, **slots_of(Reader())):
        np.testing.assert_allclose(rows[0], start)
    for _, _, rows in realtime.run_real_time([rotated], [{}], seconds=0.0, reset=False, **slots_of(Reader())):
        np.testing.assert_allclose(rows[0], start)
    assert len(realtime.measured_seconds([rotated], {}, **slots_of(Reader()))["v"]) == 5


def test_long_term_keeps_confidences(tmp_path):
    videos = [video(tmp_path, 6), video(tmp_path, 9, "w")]
    got = {n: (rows, scores) for _, n, rows, scores in protocols.long_term(videos, [{}], **slots_of(Reader()))}
    for n, count in ((0, 6), (1, 9)):
        assert got[n][0][:, 0].tolist() == list(range(count))
        np.testing.assert_allclose(got[n][1][1:], np.arange(1, count) / 100)


def test_repetitions(tmp_path, capsys):
    videos = [video(tmp_path, 6), video(tmp_path, 4, "w")]

    def runs(tracker):
        return list(protocols.repeated(videos, {}, repetitions=3, reset=False, **slots_of(tracker)))

    assert len(runs(StillTracker())) == 2 and capsys.readouterr().err == ""  # deterministic by its own account
    assert len(runs(Reader())) == 2
    assert capsys.readouterr().err == "two runs on w are identical: each video is run once\n"
    noisy = Reader()
    noisy.noise = 1
    got = runs(noisy)
    assert sorted((repetition, number) for repetition, number, _ in got) == [(r, n) for r in range(3) for n in range(2)]
    first, second = (rows for repetition, number, rows in got if number == 0 and repetition < 2)
    assert not np.array_equal(first, second)
