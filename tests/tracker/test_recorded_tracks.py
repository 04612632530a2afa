"""Box for box: tracks of the published code on a real video, and our own on a clip that everyone has."""

import importlib.util
import json
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from lib.geometry.crop import Frames
from lib.models.zoo import build
from lib.tracker.family import Family
from lib.tracker.state import join, take
from tests.tracker.clips import render, small_model

RPN = {"ratios": (0.33, 0.5, 1, 2, 3), "scales": (8,)}
TOLERANCE = {"SiamFC": 1e-9, "SiamRPN": 5e-3}  # px, as between two runs of the published code


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recorded:
    """A recorded track: its model with the same weights, its hyper-parameters, its boxes."""

    def __init__(self, folder, name: str) -> None:
        golden = folder / "golden"
        entry = json.loads((golden / "trackers.json").read_text())[name]
        model, _ = name.split("/")
        arch, _, cls_type = model.partition("_")
        self.arch, self.hyper = arch, entry["hp"] or {}
        self.boxes = np.load(golden / "trackers.npz")[f"{name}/boxes_cxcywh"]
        self.model = build(arch, **({"cls_type": cls_type} if cls_type else {})).eval()
        gains = {}
        if entry["weights"] == "preset":
            gains = _load(golden / "presets.py").preset(model, list(self.model.state_dict()), "track")
        _load(golden / "fill.py").fill(self.model, gains)

    def family(self, *, fuse: bool, **options) -> Family:
        anchors = RPN if "RPN" in self.arch else {}
        return Family(self.model.fuse() if fuse else self.model, **anchors, **options)


@cache
def _bag(folder) -> tuple[list[np.ndarray], np.ndarray]:
    """60 frames, and the start box."""
    facts = json.loads((folder / "golden/trackers.json").read_text())
    video = cv2.VideoCapture(str(folder / "videos/bag.avi"), cv2.CAP_FFMPEG)
    frames = [video.read()[1] for _ in range(60)]
    assert [zlib.crc32(frame.tobytes()) for frame in frames] == facts["frame_crc32"]
    return frames, np.array([facts["init"]["cx_cy_w_h"]])


def _track(family: Family, frames, boxes: np.ndarray, hyper: dict, count: int) -> np.ndarray:
    """(count, N, 4) boxes of N slots in the first frames."""
    tracker = family.at(255)
    row = join(*[family.row(hyper)] * len(boxes))
    state = tracker.init(Frames.pack(frames[:1] * len(boxes)), torch.from_numpy(boxes), row)
    track = [state.box.numpy()]
    for frame in frames[1:count]:
        state, _ = tracker.step(state, Frames.pack([frame] * len(boxes)))
        track.append(state.box.numpy())
    return np.stack(track)


# frames compared: all of the recorded ones, or fewer where the same code has been through all with another model
FRAMES = {
    "SiamFCRes22/default": 60,
    "SiamFCRes22/hp": 15,
    "SiamFCRes22W/default": 10,
    "SiamFCIncep22/default": 15,
    "SiamFCNext22/default": 15,
    "SiamRPNRes22_thinner/default": 60,
    "SiamRPNRes22_thinner/hp": 60,
    "SiamRPNRes22_thicker/default": 20,
}


@pytest.mark.parametrize("name", FRAMES)
def test_published_tracks(reference, name):
    """As the published code has it for a few frames, and fused for many more, with either crop engine."""
    frames, start = _bag(reference)
    recorded = Recorded(reference, name)
    tolerance = TOLERANCE["SiamRPN" if "RPN" in name else "SiamFC"]
    plain = _track(recorded.family(fuse=False, engine="cv2"), frames, start, recorded.hyper, 4)
    np.testing.assert_allclose(plain[:, 0], recorded.boxes[:4], atol=tolerance)
    count = FRAMES[name]
    fused = _track(recorded.family(fuse=True, engine="cv2"), frames, start, recorded.hyper, count)
    np.testing.assert_allclose(fused[:, 0], recorded.boxes[:count], atol=tolerance)
    batched = _track(recorded.family(fuse=True, engine="torch"), frames, start, recorded.hyper, 4)
    np.testing.assert_allclose(batched[:, 0], recorded.boxes[:4], atol=tolerance)


def test_published_scale_equivariant_track(reference):
    """It is given RGB: the tracker turns the channels round."""
    frames, start = _bag(reference)
    model = build("SESiamFCResNet22").eval()
    _load(reference / "golden/fill.py").fill(model)
    track = _track(Family(model.fuse(), engine="cv2"), frames, start, {}, 3)
    boxes = np.load(reference / "golden/trackers_se.npz")["SESiamFCResNet22/default/boxes_cxcywh"]
    np.testing.assert_allclose(track[:, 0], boxes[:3], atol=1e-9)


@pytest.mark.parametrize("name", ["SiamFCRes22/default", "SiamRPNRes22_thinner/default"])
def test_published_track_as_one_slot_among_eight(reference, name):
    frames, start = _bag(reference)
    recorded = Recorded(reference, name)
    others = start + np.random.default_rng(0).uniform(-40, 40, (8, 4))
    others[5] = start
    family = recorded.family(fuse=True, engine="cv2", slots_at_once=8)
    track = _track(family, frames, others, recorded.hyper, 5)
    np.testing.assert_allclose(track[:, 5], recorded.boxes[:5], atol=5e-3)
    assert np.abs(track[-1, 4] - track[-1, 5]).max() > 1


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22"])
@pytest.mark.parametrize("engine", ["cv2", "torch"])
def test_own_track(tmp_path, arch, engine, request):
    """A clip and weights that are made here, the boxes that this code gave when it matched the published ones."""
    video = render(tmp_path, "own", frames=8, size=(160, 120), seed=5)
    frames = [cv2.imread(str(path)) for path in video.frames]
    model = small_model(arch)
    family = Family(model, engine=engine, **(RPN if "RPN" in arch else {}))
    track = _track(family, frames, video.start()[None], {}, 8)[:, 0]
    path = request.path.parents[1] / "reference" / "own_tracks.json"
    recorded = json.loads(path.read_text())
    np.testing.assert_allclose(track, recorded[arch], atol=0.05)  # px; convolutions differ between machines


def test_columns_are_taken_and_joined():
    row = Family(small_model()).row({"scale_lr": 0.25})
    both = join(row, Family(small_model()).row({}))
    assert both.scale_lr.tolist() == [0.25, 0.59]
    assert take(both, torch.tensor([1])).scale_lr.tolist() == [0.59]


def test_wild_offsets_stay_finite():
    """Untrained weights on raw pixels give offsets of 1e8: sizes must not overflow."""
    family = Family(small_model("SiamRPNRes22"), **RPN)
    tracker = family.at(255)
    reg = torch.full((1, 20, 17, 17), 1e8, dtype=torch.float64)
    cls = torch.zeros(1, 5, 17, 17, dtype=torch.float64)
    box, penalty, score = tracker._best_proposal(cls, reg, torch.tensor([[40.0, 50.0]]).double(), family.row({}))
    assert box.isfinite().all() and penalty.isfinite().all() and score.isfinite().all()
