"""Tracking from Python: the boxes of the benchmarks, alone or together, on any frame; bad input said clearly."""

import re
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lib.core.checkpoint import save_checkpoint
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import xywh_from_cxcywh
from lib.tracker.family import Family
from lib.tracker.frames import FrameSupply, read_image
from lib.tracker.live import LiveTracker, load
from lib.tracker.slots import Scheduler, Segment
from tests.tracker.clips import render, small_model

RATIOS = (0.33, 0.5, 1, 2, 3)


def family(arch: str, **options) -> Family:
    """With random weights; those of SiamRPN's head small, so that exp() of its offsets stays finite."""
    model = small_model(arch)
    if arch.startswith("SiamRPN"):
        with torch.no_grad():
            for weight in model.connect_model.parameters():
                weight.mul_(1e-3)
        options["ratios"] = RATIOS
    return Family(model, **options)


@pytest.fixture(scope="module", params=["SiamFCRes22", "SiamRPNRes22"])
def trackers(request: pytest.FixtureRequest) -> Family:
    return family(request.param)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    return render(tmp_path_factory.mktemp("clip"), "clip", frames=6, size=(160, 120), seed=0)


@pytest.fixture(scope="module")
def frames(video: Sequence) -> list[np.ndarray]:
    return [read_image(path) for path in video.frames]


def follow(tracker: LiveTracker, frames: list[np.ndarray], start) -> tuple[np.ndarray, np.ndarray]:
    tracker.init(frames[0], start)
    boxes, scores = zip(*(tracker.update(frame) for frame in frames[1:]), strict=True)
    return np.array(boxes), np.array(scores)


def test_boxes_are_those_of_the_benchmarks(trackers: Family, video: Sequence, frames: list[np.ndarray]):
    hyper = {"w_influence": 0.2} if trackers.params_type.__name__ == "SiamFCParams" else {"lr": 0.6, "small_sz": 271}
    boxes, scores = follow(LiveTracker(trackers, hyper), frames, video.truth[0])
    segment = Segment(
        key=0,
        frames=video.frames,
        start=0,
        box=video.start(),
        params=trackers.row(hyper),
        instance=trackers.side(hyper, video.start(), (160, 120)),
    )
    (track,) = Scheduler(trackers.at, FrameSupply(), slots=1).run([segment])
    np.testing.assert_allclose(boxes, xywh_from_cxcywh(track.boxes[1:]), atol=1e-9)
    np.testing.assert_allclose(scores, track.scores[1:], atol=1e-9)
    assert np.abs(boxes - video.truth[0]).max() > 0.5  # something moved at all


@pytest.mark.parametrize("engine", ["cv2", "torch"])
@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22"])
def test_targets_together_or_alone(arch: str, engine: str, frames: list[np.ndarray]):
    trackers = family(arch, engine=engine)
    # the second is small: SiamRPN searches it in images of another side
    hyper = {"small_sz": 255, "big_sz": 287} if trackers.is_rpn else {}
    starts = np.array([(12, 10, 26, 20), (70, 50, 8, 9), (100, 60, 50, 55)], np.float64)
    boxes, scores = follow(LiveTracker(trackers, hyper), frames[:3], starts)
    assert (boxes.shape, scores.shape) == ((2, 3, 4), (2, 3))
    for number, start in enumerate(starts):
        alone, score = follow(LiveTracker(trackers, hyper), frames[:3], start)
        np.testing.assert_allclose(boxes[:, number], alone, atol=1e-3)
        np.testing.assert_allclose(scores[:, number], score, atol=1e-5)


def test_numpy_in_and_out(trackers: Family, frames: list[np.ndarray]):
    tracker = LiveTracker(trackers)
    before = frames[1].copy()
    tracker.init(frames[0], (12, 10, 26, 20))
    box, score = tracker.update(frames[1])
    assert (box.shape, box.dtype, type(score)) == ((4,), np.float64, float) and 0 <= score <= 1
    np.testing.assert_array_equal(frames[1], before)

    # a view that is turned around, a read-only array, a start again: no trace of what was before
    tracker.init(np.ascontiguousarray(frames[0][..., ::-1])[..., ::-1], [12, 10, 26, 20])
    locked = frames[1].copy()
    locked.setflags(write=False)
    again, _ = tracker.update(locked)
    np.testing.assert_array_equal(again, box)
    tracker.init(frames[0], np.array([[12, 10, 26, 20]]))
    boxes, scores = tracker.update(frames[1])
    assert (boxes.shape, scores.shape) == ((1, 4), (1,))
    np.testing.assert_allclose(boxes[0], box, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "start"),
    [
        ((16, 16), (4, 4, 6, 6)),
        ((16, 16), (0, 0, 16, 16)),
        ((4000, 3000), (3900, 2900, 90, 90)),
        ((160, 120), (0, 0, 160, 120)),
        ((160, 120), (-20, -20, 30, 30)),
        ((9, 160), (1, 80, 5, 60)),
        ((1, 160), (0, 80, 2, 60)),
    ],
)
def test_frames_and_targets_of_any_size(trackers: Family, size: tuple[int, int], start: tuple[int, ...]):
    width, height = size
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    boxes, scores = follow(LiveTracker(trackers), [frame] * 3, start)
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    assert (centre >= 0).all() and (centre <= size).all()
    assert (boxes[:, 2:] >= np.minimum(10, size)).all() and (boxes[:, 2:] <= size).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_frames_of_changing_size(trackers: Family, frames: list[np.ndarray]):
    cut = [frames[0], frames[1][:80, :90], frames[2][:30], frames[3]]
    boxes, _ = follow(LiveTracker(trackers), cut, (12, 10, 26, 20))
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    assert (centre <= [frame.shape[1::-1] for frame in cut[1:]]).all()


BAD_STARTS = [
    ((1, 2, 3), "4 numbers"),
    ("1,2,3,4", "4 numbers"),
    ([], "4 numbers"),
    (np.empty((0, 4)), "4 numbers"),
    ([(1, 2, 3, 4), (1, 2)], "4 numbers"),
    ((np.nan, 2, 9, 9), "finite"),
    ((1, 2, np.inf, 9), "finite"),
    ((1, 2, 0, 9), "2 pixels wide and high"),
    ((1, 2, 9, -9), "2 pixels wide and high"),
    ((1, 2, 9, 1.9), "2 pixels wide and high"),
    ((160, 20, 9, 9), "lie in the frame of 160 x 120"),
    ((20, -9, 9, 9), "lie in the frame of 160 x 120"),
    ((0, 0, 162, 120), "not be larger than the frame of 160 x 120"),
    ([(10, 10, 20, 20), (20, -9, 9, 9)], "20,-9,9,9"),
]


@pytest.mark.parametrize(("start", "says"), BAD_STARTS, ids=lambda value: str(value) if isinstance(value, str) else "")
def test_starts_that_cannot_be(trackers: Family, frames: list[np.ndarray], start, says: str):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        LiveTracker(trackers).init(frames[0], start)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("frame", [np.zeros((9, 9)), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9, 3), np.uint8)])
def test_frames_that_cannot_be(trackers: Family, frames: list[np.ndarray], frame: np.ndarray):
    tracker = LiveTracker(trackers)
    with pytest.raises(UserError, match="call init"):
        tracker.update(frames[0])
    tracker.init(frames[0], (12, 10, 26, 20))
    with pytest.raises(UserError, match="uint8 BGR"):
        tracker.update(frame)


def test_broken_weights_are_told(frames: list[np.ndarray]):
    trackers = family("SiamRPNRes22")
    with torch.no_grad():
        trackers.model.connect_model.adjust.bias.fill_(np.nan)
    tracker = LiveTracker(trackers)
    tracker.init(frames[0], (12, 10, 26, 20))
    with pytest.raises(UserError, match="finite boxes"):
        tracker.update(frames[1])


@pytest.mark.parametrize(
    ("hyper", "says"),
    [({"scale_step": 1.3}, "scale_step must be in 1..1.2"), ({"w_influence": -0.1}, "0..1"), ({"lr": 0.3}, "lr")],
)
def test_hyper_parameters_out_of_range(hyper: dict[str, float], says: str):
    with pytest.raises(UserError, match=says):
        LiveTracker(family("SiamFCRes22"), hyper)


# ---- from files


def ours(path: Path, arch: str = "SiamFCRes22", **content) -> Path:
    """A checkpoint as training writes it."""
    weights = family(arch).model.state_dict()
    save_checkpoint(path, {"epoch": 1, "arch": arch, "state_dict": weights, "mapping": "sigmoid", **content})
    return path


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22"])
def test_weights_from_a_file(tmp_path: Path, frames: list[np.ndarray], arch: str):
    expected, scores = follow(LiveTracker(family(arch)), frames[:3], (12, 10, 26, 20))
    path = ours(tmp_path / "checkpoint_e1.pth", arch)
    published = tmp_path / "published.model"
    torch.save({f"module.{key}": value for key, value in family(arch).model.state_dict().items()}, published)
    for tracker in (load(path, fuse=False), load(str(path), arch=arch), load(published)):
        boxes, again = follow(tracker, frames[:3], (12, 10, 26, 20))
        np.testing.assert_allclose(boxes, expected, atol=0.05)
        np.testing.assert_allclose(again, scores, atol=1e-3)


def test_the_mapping_of_scores_is_the_checkpoints(tmp_path: Path):
    assert load(ours(tmp_path / "a.pth", mapping="hinge")).family.options["mapping"] == "hinge"


def test_fused_and_unfused_differ_in_speed_alone(tmp_path: Path):
    path = ours(tmp_path / "a.pth")
    fused, plain = load(path).family.model, load(path, fuse=False).family.model
    assert sum(p.numel() for p in fused.parameters()) < sum(p.numel() for p in plain.parameters())


def test_files_that_cannot_be(tmp_path: Path):
    path = ours(tmp_path / "a.pth")
    for given, options, says in (
        (tmp_path / "none.pth", {}, "none.pth"),
        (path, {"arch": "SiamRPNRes22"}, "SiamFCRes22"),
        (path, {"device": "cuda:77"}, "the device cuda:77 must be here"),
        (path, {"hyper": {"lr": 0.1}}, "rename"),
    ):
        with pytest.raises(UserError, match=says) as error:
            load(given, **options)
        assert "\n" not in str(error.value)


def test_hyper_parameters_that_lie_with_the_weights(tmp_path: Path):
    path = ours(tmp_path / "a.pth", hyper={"scale_lr": 0.2})
    assert load(path, device="cpu").hyper == {"scale_lr": 0.2}
    assert load(path, device="cpu", hyper={}).hyper == {}


def test_readmes_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = [
        block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "lib.tracker.live" in block
    ]
    weights, video = (re.search(rf'"([\w/.]+\.{end})"', example)[1] for end in ("pth", "(?:mp4|avi)"))
    for name in (weights, video):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    ours(tmp_path / weights)
    writer = cv2.VideoWriter(str(tmp_path / video), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    for _ in range(3):
        writer.write(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8))
    writer.release()
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path("example.py")
    assert left["box"].shape == (4,) and 0 <= left["score"] <= 1


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22"])
def test_another_backend_gives_the_same_boxes(tmp_path: Path, video: Sequence, frames: list[np.ndarray], arch: str):
    pytest.importorskip("onnxruntime")
    weights = tmp_path / "weights.pth"
    model = family(arch).model
    torch.save({"arch": arch, "state_dict": model.state_dict()}, weights)
    (eager, scores), (other, others) = (
        follow(load(weights, backend=backend, device="cpu"), frames, video.truth[0])
        for backend in ("eager", "onnxruntime")
    )
    np.testing.assert_allclose(other, eager, atol=5e-3)
    np.testing.assert_allclose(others, scores, atol=1e-4)
