"""The scheduler: a track does not depend on what else is being tracked, and nothing is lost on the way."""

import numpy as np
import pytest
import torch

from lib.evaluation import protocols
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.crop import Frames
from lib.models.zoo import build
from lib.tracker.family import Family
from lib.tracker.frames import FrameSupply, read_image
from lib.tracker.live import _SharedFrame
from lib.tracker.slots import CHUNK, Scheduler
from lib.tracker.state import join, over_columns, slots_in_cache
from lib.tracker.still import StillTracker
from tests.tracker.clips import render, small_model


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    sizes = [(96, 72), (120, 80), (64, 64), (101, 77), (160, 90)]
    return [
        render(folder, f"clip{n}", frames=frames, size=sizes[n], seed=n) for n, frames in enumerate((5, 1, 6, 3, 4))
    ]


def _run(family, videos, trials, *, slots, reset=False):
    scheduler = Scheduler(family.at, FrameSupply(), slots=slots)
    return {
        (trial, videos[number].name): rows
        for trial, number, rows in protocols.run(videos, trials, trackers=family, scheduler=scheduler, reset=reset)
    }


@pytest.mark.parametrize("engine", ["cv2", "torch"])
def test_alone_or_among_sixteen_slots(videos, engine):
    family = Family(small_model(), engine=engine, slots_at_once=16)
    trials = [{}, {"scale_step": 1.2, "scale_lr": 0.7}, {"w_influence": 0.2}, {"scale_penalty": 0.99}]
    together = _run(family, videos, trials, slots=16)
    assert len(together) == len(videos) * len(trials)
    for video in (videos[0], videos[4]):
        alone = _run(family, [video], trials[1:2], slots=1)[0, video.name]
        np.testing.assert_allclose(together[1, video.name], alone, atol=1e-3)
    assert np.abs(together[0, "clip2"] - together[1, "clip2"]).max() > 0.1  # the columns are not mixed up


@pytest.mark.parametrize(("arch", "ratios"), [("SiamFCRes22", None), ("SiamRPNRes22", (0.33, 0.5, 1, 2, 3))])
def test_a_step_in_parts_is_the_step(videos, arch, ratios):
    """Whatever part of the slots goes through the step at a time: every column, of frames of many sizes or of one."""
    model = small_model(arch)
    images = [read_image(video.frames[0]) for video in videos]
    boxes = torch.from_numpy(np.stack([video.start(0) for video in videos]))
    shared = _SharedFrame.of(torch.from_numpy(images[4]), len(images))
    for frames in (Frames.pack(images), shared):
        states = []
        for at_once in (1, 2, 5):
            family = Family(model, ratios=ratios, slots_at_once=at_once)
            tracker = family.at(255)
            state = tracker.init(frames, boxes, join(*[family.row({})] * len(images)))
            states.append(tracker.step(state, frames)[0])
        for other in states[1:]:
            over_columns(lambda a, b: torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3), states[0], other)


def test_how_many_slots_a_step_takes():
    """About as many as were measured to be fast: few at full width, more of thin models, whole batches elsewhere."""
    wide, thin = (build("SiamFCRes22", width=width) for width in (1, 0.125))
    assert 3 <= slots_in_cache(wide, 255, 3) <= 6
    assert slots_in_cache(wide, 255, 1) == pytest.approx(3 * slots_in_cache(wide, 255, 3), abs=2)
    assert slots_in_cache(thin, 255, 3) == pytest.approx(8 * slots_in_cache(wide, 255, 3), abs=8)
    assert slots_in_cache(wide, 5000, 3) == 1 and slots_in_cache(wide.to("meta"), 255, 3) is None
    assert 10 <= Family(thin).at(255).slots_at_once <= 20


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_every_video_comes_back_whole(videos, slots):
    rows = _run(StillTracker(), videos, [{}, {}], slots=slots)
    assert len(rows) == 2 * len(videos)
    for video in videos:
        np.testing.assert_array_equal(rows[0, video.name], np.repeat(video.truth[:1], len(video), 0))


def test_a_slot_is_refilled_at_once(videos):
    """Slots x steps is the work of the videos, not the longest video times the number of rounds."""
    seen = []

    class Counting(StillTracker):
        def step(self, state, frames, truth=None):
            seen.append(len(frames))
            return super().step(state, frames, truth)

    _run(Counting(), videos, [{}], slots=2)
    assert sum(seen) == sum(len(video) - 1 for video in videos)
    assert len(seen) <= sum(seen) / 2 + CHUNK + max(map(len, videos)) - min(map(len, videos))


def test_progress_counts_every_frame_once(videos):
    heard = []
    scheduler = Scheduler(StillTracker().at, FrameSupply(), slots=2, on_frames=heard.append)
    done = list(protocols.run(videos, [{}, {}], trackers=StillTracker(), scheduler=scheduler, reset=False))
    assert sum(heard) == sum(len(rows) for _, _, rows in done) and len(heard) > len(done)


def test_reset_starts_again_five_frames_after_a_failure(tmp_path):
    video = render(tmp_path, "jump", frames=30, size=(160, 120), seed=1, hide=range(12, 30))
    rows = _run(StillTracker(), [video], [{}], slots=4, reset=True)[0, "jump"]
    truth = video.truth
    fails = [t for t in range(30) if rows[t, 0] == 2 and np.isnan(rows[t, 1])]
    starts = [t for t in range(30) if rows[t, 0] == 1 and np.isnan(rows[t, 1])]
    # independently: walk through the frames one by one
    expected_fails, expected_starts, start = [], [0], 0
    for t in range(1, 30):
        if t < start:
            continue
        if t == start:
            expected_starts.append(t)
        elif _disjoint(truth[start], truth[t]):
            expected_fails.append(t)
            start = t + 5
    assert fails == expected_fails and starts == expected_starts and fails
    for fail in fails:
        skipped = rows[fail + 1 : min(fail + 5, 30)]
        assert (skipped[:, 0] == 0).all() and np.isnan(skipped[:, 1:]).all()


def test_a_failure_without_room_for_a_restart(tmp_path):
    video = render(tmp_path, "late", frames=20, size=(160, 120), seed=1, hide=range(17, 20))
    rows = _run(StillTracker(), [video], [{}], slots=4, reset=True)[0, "late"]
    codes = [int(row[0]) for row in rows[-3:]]
    assert codes == [2, 0, 0] and np.isnan(rows[-3:, 1:]).all()


def test_reset_in_slots_equals_one_by_one(tmp_path):
    videos = [
        render(tmp_path, f"v{n}", frames=14, size=(150 + 10 * n, 110), seed=n, hide=range(3 + n, 9)) for n in range(3)
    ]
    family = Family(small_model())
    together = _run(family, videos, [{}], slots=3, reset=True)
    for video in videos:
        alone = _run(family, [video], [{}], slots=1, reset=True)[0, video.name]
        np.testing.assert_allclose(together[0, video.name], alone, atol=1e-3)
    assert any((rows[:, 0] == 2).any() for rows in together.values())


def test_memory_for_frames_is_bounded(videos):
    supply = FrameSupply(budget_bytes=30_000)
    for path in videos[0].frames * 2:
        supply.prefetch([path])
        frames = supply.frames([path])
        assert supply.held_bytes <= max(30_000, frames.pixels.numel())
    assert torch.equal(supply.frames([videos[0].frames[0]]).pixels, FrameSupply().frames([videos[0].frames[0]]).pixels)


def _disjoint(a, b) -> bool:
    return bool((np.maximum(a[:2], b[:2]) >= np.minimum(a[:2] + a[2:], b[:2] + b[2:])).any())


def test_a_frame_that_vanished_is_named(tmp_path):
    video = render(tmp_path, "gone", frames=8, size=(96, 72), seed=0)
    video.frames[5].unlink()
    with pytest.raises(ValueError, match=r"0005\.png does not exist"):
        _run(StillTracker(), [Sequence(name="gone", frames=video.frames, truth=video.truth)], [{}], slots=1)


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16 arithmetic")
@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22", "SiamRPNRes22DW"])
def test_half_precision_follows_closely(videos, arch):
    """Boxes of a step differ by little, and answers are not rounded to the three digits of bfloat16."""
    ratios = (0.33, 0.5, 1, 2, 3) if "RPN" in arch else None
    frames = Frames.pack([read_image(video.frames[0]) for video in videos])
    boxes = torch.from_numpy(np.stack([video.start(0) for video in videos]))
    states = []
    for precision in ("fp32", "bf16"):
        family = Family(small_model(arch).fuse(), ratios=ratios, precision=precision)
        state = family.at(255).init(frames, boxes, join(*[family.row({})] * len(videos)))
        states.append(family.at(255).step(state, frames)[0])
    half = family.model
    assert next(half.parameters()).dtype == torch.bfloat16
    z, x = (torch.randint(0, 256, (1, 3, side, side)).to(torch.bfloat16) for side in (127, 255))
    with torch.inference_mode():
        answer = half(z, x)
    answer = answer if ratios is None else answer[0]
    assert answer.dtype == torch.float32
    assert (answer != answer.bfloat16()).double().mean() > 0.9
    assert answer.unique().numel() > 0.9 * answer.numel()
    assert (states[0].box - states[1].box).abs().max() < 8
    assert states[1].box.dtype == torch.float64 and states[1].score.isfinite().all()


@pytest.mark.parametrize(("precision", "said"), [("fp16", "fp16 is for GPUs"), ("int4", "one of fp32, bf16, fp16")])
def test_a_precision_that_cannot_be(precision, said):
    with pytest.raises(UserError, match=said):
        Family(small_model(), precision=precision)
