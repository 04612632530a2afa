"""export.py, and its graphs where weights are named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.core.checkpoint import save_checkpoint
from tests.scripts.bad_inputs import Place
from tests.tracker.clips import small_model

BOX = ["--init_bbox", "12,10,26,20"]


def weights(place: Place, arch: str) -> Path:
    """Weights in whose layers nothing grows beyond a half's range."""
    model = small_model(arch)
    with torch.no_grad():
        next(p for p in model.parameters() if p.dim() > 2).mul_(0.1 if "SE" in arch else 0.003)
    save_checkpoint(place.here / "w.pth", {"arch": arch, "state_dict": model.state_dict(), "mapping": "sigmoid"})
    return place.here / "w.pth"


def boxes(call, place: Place, resume: Path, *words: object) -> np.ndarray:
    text = place.here / "boxes.txt"
    given = ["--resume", resume, "--video", place.common / "clip.avi", *BOX, "--boxes", text, *words]
    status, _, complaint = call("run_video.py", given)
    assert status == 0, complaint
    return np.loadtxt(text, delimiter=",")


@pytest.mark.parametrize(
    ("arch", "hyper"),
    [("SiamFCRes22", "w_influence=0.1"), ("SiamRPNRes16", "small_sz=271"), ("SESiamFCResNet22", "scale_lr=0.3")],
)
def test_run_video_gives_the_same_boxes(call, place: Place, arch: str, hyper: str):
    status, said, complaint = call("export.py", ["--resume", weights(place, arch), "--arch", arch])
    assert (status, complaint) == (0, ""), complaint
    assert re.search(rf"^{arch}: float32 graphs are within \d\.\de-0\d of PyTorch's", said)
    assert {path.name for path in place.here.iterdir()} == {"w.pth", "w.template.onnx", "w.search.onnx"}
    found = boxes(call, place, place.here / "w.onnx", "--hyper", hyper)
    wanted = boxes(call, place, place.here / "w.pth", "--hyper", hyper)
    np.testing.assert_allclose(found, wanted, atol=0.011)  # they are written with two digits
    assert np.abs(wanted - wanted[0]).max() > 1


def test_the_scores_of_a_precision_stand_beside_pytorchs(call, place: Place):
    given = ["--resume", weights(place, "SiamFCRes16"), "--out", place.here / "graphs" / "one", "--precision", "int8"]
    given += ["--crops", place.data / "crops", "--count", 2]
    status, said, complaint = call("export.py", [*given, "--dataset", "choose", "--dataset_root", place.data])
    assert (status, complaint) == (0, ""), complaint
    assert re.search(r"int8: within \d\.\de-0[0-3] of float32's", said)
    assert re.search(r"\nPyTorch fp32 +0\.\d{3}.*\nONNX int8 +0\.\d{3}", said)
    again = ["--resume", place.here / "graphs" / "one.onnx", "--dataset", "choose", "--dataset_root", place.data]
    status, table, complaint = call("test_siamfc.py", [*again, "--result_path", place.here / "result"])
    assert status == 0, complaint
    score = re.search(r"ONNX int8 +(0\.\d{3})", said)
    assert score and re.search(rf"SiamFCRes16 +{score[1]}", table)
    status, table, _ = call("test_siamfc.py", [*again, "--result_path", place.here / "result"])
    assert status == 0 and "replaced" not in table  # results of these very graphs are there


def test_refused_in_one_line(call, place: Place):
    fc = place.common / "fc.pth"
    for words, says in (
        (["--resume", place.here / "none.pth"], "none.pth does not"),
        ([], "give --resume FILE"),
        (["--resume", fc, "--arch", "SiamFCRes16"], "is SiamFCRes22, not SiamFCRes16"),
        (["--resume", fc, "--precision", "int8"], "give --crops FOLDER"),
        (["--resume", fc, "--precision", "int8", "--crops", place.here], "no image does"),
        (["--resume", fc, "--precision", "fp16", "--out", "x"], "overflow"),  # random weights on raw pixels
        (["--resume", fc, "--out", "x", "--template_side", "90", "--search_side", "80"], "SiamFCRes22 must"),
    ):
        status, _, complaint = call("export.py", words)
        assert status == 2 and says in complaint and len(complaint.strip().splitlines()) == 1, complaint
    assert not list(place.here.glob("*.onnx"))
