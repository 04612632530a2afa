"""The crop: recorded windows, and the batched engine against OpenCV byte for byte."""

import zlib

import cv2
import numpy as np
import pytest
import torch

from lib.geometry import crop
from lib.geometry.crop import Frames


def _image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _check(patches: torch.Tensor, stride: int, recorded: dict, name: str) -> None:
    array = patches.numpy()
    np.testing.assert_array_equal(array[..., ::stride, ::stride], recorded[name].astype(np.uint8))
    assert array.sum() == recorded[f"{name}_sum"]


@pytest.mark.parametrize("engine", ["cv2", "torch"])
def test_recorded_crops(reference, engine):
    recorded = np.load(reference / "golden/crops.npz")
    ok, frame = cv2.VideoCapture(str(reference / "videos/bag.avi"), cv2.CAP_FFMPEG).read()
    assert ok and zlib.crc32(frame.tobytes()) == recorded["frame0_crc32"]
    frames = Frames.pack([frame])
    fill = frames.mean_colour()
    np.testing.assert_array_equal(fill[0].numpy(), np.floor(recorded["avg_chans"]))
    windows, pyramids = crop.ENGINES[engine]
    for i, (cx, cy, out, side) in enumerate(recorded["crop_cases_cx_cy_model_orig"]):
        if f"crop{i}" not in recorded:
            continue
        window = windows(frames, torch.tensor([[cx, cy]]), torch.tensor([side]), int(out), fill)[0]
        _check(window, 2, recorded, f"crop{i}")
    for i, (cx, cy, s_x, step, out) in enumerate(recorded["pyr_cases_cx_cy_sx_step_out"]):
        if f"pyr{i}" not in recorded:
            continue
        sides = torch.tensor([s_x * step**k for k in (-1, 0, 1)], dtype=torch.float64)[None]
        _check(pyramids(frames, torch.tensor([[cx, cy]]), sides, int(out), fill, zoom=2.0), 3, recorded, f"pyr{i}")


def test_round_half_away(reference):
    recorded = np.load(reference / "golden/crops.npz")
    got = crop.round_half_away(torch.from_numpy(recorded["python2round_in"]))
    np.testing.assert_array_equal(got.numpy(), recorded["python2round_out"])


# targets small and large, off every edge and corner, wholly outside, one pixel, whole numbers and halves
CASES = [(40.0, 30.0, 21), (0.0, 0.0, 50), (79.5, 59.5, 33), (-60.0, 20.0, 40), (40.2, 200.0, 31), (3.3, 4.7, 1)]
CASES += [(40.5, 30.5, 301), (40.5, 30.5, 77.6)]


@pytest.mark.parametrize("out", [1, 2, 127, 31])
def test_batched_windows_have_the_same_bytes(out):
    images = [_image(60, 80, k) if k % 2 else _image(45, 97, k) for k in range(len(CASES))]
    frames = Frames.pack(images)
    centre = torch.tensor([case[:2] for case in CASES], dtype=torch.float64)
    side = torch.tensor([case[2] for case in CASES], dtype=torch.float64)
    fill = frames.mean_colour()
    exact = crop.subwindows_cv2(frames, centre, side, out, fill)
    assert torch.equal(crop.subwindows_torch(frames, centre, side, out, fill), exact)


@pytest.mark.parametrize("step", [1.0, 1.0375, 1.2])
def test_batched_pyramids_have_the_same_bytes(step):
    images = [_image(60, 80, k) if k % 2 else _image(45, 97, k) for k in range(len(CASES))]
    frames = Frames.pack(images)
    centre = torch.tensor([case[:2] for case in CASES], dtype=torch.float64)
    sides = torch.tensor([max(case[2], 12) * 1.37 for case in CASES])[:, None] * step ** torch.tensor([-1.0, 0.0, 1.0])
    fill = frames.mean_colour()
    exact = crop.pyramids_cv2(frames, centre, sides.double(), 63, fill)
    assert torch.equal(crop.pyramids_torch(frames, centre, sides.double(), 63, fill, zoom=1.7), exact)


def test_window_shows_the_fill_outside():
    frames = Frames.pack([_image(20, 20)])
    window = crop.subwindows_cv2(
        frames, torch.tensor([[-100.0, 5.0]]).double(), torch.tensor([9.0]), 9, torch.tensor([[1, 2, 3]]).byte()
    )
    assert torch.equal(window[0].flatten(1), torch.tensor([1, 2, 3]).byte()[:, None].expand(3, 81))


def test_a_huge_window_has_the_same_bytes(monkeypatch):
    image, fill = _image(90, 120), (7, 8, 9)
    gathered = crop.subwindow(image, (40.3, 50.7), 1301.4, 127, fill)
    monkeypatch.setattr(crop, "GATHERED", 1000)
    np.testing.assert_array_equal(gathered, crop.subwindow(image, (40.3, 50.7), 1301.4, 127, fill))


def test_frames_of_a_wrong_kind_are_refused():
    with pytest.raises(ValueError, match="uint8 BGR"):
        Frames.pack([np.zeros((4, 4), np.uint8)])
    with pytest.raises(ValueError, match="at least 1 pixel"):
        crop.subwindow(_image(4, 4), (1, 1), 0, 5, (0, 0, 0))
