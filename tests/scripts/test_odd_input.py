"""Input that is odd but good: it is taken, and gives what it would give in its plain form."""

import json

import cv2
import numpy as np
import pytest
import torch

from tests.scripts.bad_inputs import PIXELS, ROWS, Place

TEST, EVAL_OTB, EVAL_VOT = "test_siamfc.py", "lib/core/eval_otb.py", "lib/core/eval_vot.py"


def rows(place: Place) -> np.ndarray:
    found = next((place.here / "result").rglob("one.txt"))
    return np.loadtxt(found, delimiter=",", ndmin=2)


@pytest.mark.parametrize("kind", PIXELS)
def test_grey_alpha_and_16_bit_frames_are_tracked_as_their_colours(call, place: Place, kind: str):
    root = place.test_set()
    boxes = []
    for change in (lambda image: image, PIXELS[kind]):
        for path in sorted((root / "choose/one/img").iterdir()):
            image = cv2.imread(str(path))
            plain = np.repeat(image[..., :1], 3, 2) if kind == "grey" else image
            cv2.imwrite(str(path), change(plain))
        status, _, complaint = call(TEST, place.tested(root=root, name=f"t{len(boxes)}"))
        assert status == 0, complaint
        boxes.append(np.loadtxt(place.here / f"result/choose/t{len(boxes)}/one.txt", delimiter=","))
    np.testing.assert_array_equal(*boxes)


@pytest.mark.parametrize("start", [[1, 1, 120, 90], [1, 1, 1, 1], [-20, -10, 40, 40]], ids=str)
def test_a_target_as_large_as_the_frame_or_a_pixel_or_half_outside(call, place: Place, start: list[float]):
    root = place.test_set(gt_rect=[start] * 3)
    status, _, complaint = call(TEST, place.tested(root=root))
    assert status == 0, complaint
    assert rows(place).shape == (3, 4) and np.isfinite(rows(place)).all()


@pytest.mark.parametrize("size", [(16, 16), (4000, 3000)], ids=str)
def test_tiny_and_huge_frames(call, place: Place, size: tuple[int, int]):
    width, height = size
    box = [width // 4 + 1, height // 4 + 1, width // 2, height // 2]
    root = place.test_set(frames=2, kind=".jpg", gt_rect=[box] * 2)
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for path in (root / "choose/one/img").iterdir():
        cv2.imwrite(str(path), cv2.resize(noise, size))
    status, _, complaint = call(TEST, place.tested(root=root))
    assert status == 0, complaint
    centre = rows(place)[:, :2] + rows(place)[:, 2:] / 2
    assert rows(place).shape == (2, 4) and (centre > 0).all() and (centre < size).all()


def test_a_sequence_of_one_frame(call, place: Place):
    root = place.test_set(frames=1)
    status, said, complaint = call(TEST, place.tested(root=root))
    assert status == 0 and "AUC" in said, complaint
    assert rows(place).tolist() == [[13, 11, 26, 20]]


def test_more_slots_than_sequences(call, place: Place):
    few, many = (place.tested("fc", slots=slots, name=f"s{slots}") for slots in (1, 500))
    for words in (few, many):
        status, _, complaint = call(TEST, words)
        assert status == 0, complaint
    for name in ("choose0", "choose1"):
        texts = [(place.here / f"result/choose/s{slots}/{name}.txt") for slots in (1, 500)]
        a, b = (np.loadtxt(text, delimiter=",") for text in texts)
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("text", ["\r\n".join([*ROWS, ""]), "\ufeff" + "\n".join(ROWS), "\n\n".join(ROWS)], ids=repr)
def test_windows_ends_a_byte_order_mark_and_empty_lines(call, place: Place, text: str):
    status, _, complaint = call(EVAL_OTB, place.results(text))
    assert (status, complaint) == (0, "")
    assert json.loads((place.here / "scores.json").read_text())["mine"]["precision"] == 1


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("otb", "\n".join(ROWS[:3]), "3 rows for 4 frames, the missing ones count as lost"),
        ("otb", "\n".join([*ROWS, ROWS[0]]), "5 rows for 4 frames, the last ones are dropped"),
        ("otb", "\n".join([*ROWS[:3], "nan,nan,nan,nan"]), "1 of 4 rows are not finite, they count as lost"),
        ("vot", "\n".join(["1", *ROWS[1:], ROWS[0]]), "5 rows for 4 frames, the last ones are dropped"),
    ],
)
def test_what_can_be_scored_is_scored_and_one_line_says_how(call, place: Place, kind: str, text: str, says: str):
    status, said, complaint = call(EVAL_OTB if kind == "otb" else EVAL_VOT, place.results(text, kind))
    assert status == 0 and "mine" in said
    assert complaint.count("\n") == 1 and says in complaint and str(place.here) in complaint
    score = json.loads((place.here / "scores.json").read_text())["mine"]
    lost = kind == "otb" and "lost" in says
    assert kind == "vot" or score["precision"] == (0.75 if lost else 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_gpus_that_are_absent_are_named_and_the_cpu_goes_on(call, place: Place):
    cfg = place.cfg("DEVICE: cpu", "DEVICE: auto")
    status, said, complaint = call("train_siamfc.py", [*cfg, "--gpus", "0,1"])
    assert status == 0 and "trained: 2 epochs" in said
    assert complaint == "note: GPU 0, 1 is not here; going on with the CPU\n"
