"""Whose results a folder holds: whatever changes them makes another folder, or has them tracked anew."""

import re
import sys
from pathlib import Path

import pytest
import torch

from lib.core import testing, tuning
from lib.evaluation import datasets
from lib.files import UserError
from lib.models.zoo import build
from tests.core.tiny import write_data
from tests.tracker.clips import render


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """test_siamfc.py, or tuning, in a folder of its own: what it returns and what it prints."""
    write_data(tmp_path / "dataset")
    for arch in ("SiamFCRes22", "SESiamFCResNet22"):
        torch.manual_seed(3)
        torch.save({"state_dict": build(arch, width=0.125).state_dict()}, tmp_path / f"{arch}.pth")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, resume: str = "SiamFCRes22.pth", tune: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["script.py", "--device", "cpu", "--resume", resume, *words])
        said = tuning.command("TPE", "") if tune else testing.command("SiamFC", "", dataset="report")
        return said + capsys.readouterr().out

    return run


def set_of(folder: Path, seed: int) -> None:
    """A data set of one sequence, as anyone's own."""
    video = render(folder, "clip", frames=4, size=(120, 90), seed=seed)
    rows = [",".join(map(str, row)) for row in video.truth.tolist()]
    (folder / "clip/groundtruth_rect.txt").write_text("\n".join(rows) + "\n")


def boxes(folder: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(folder).rglob("*.txt")}


def test_another_matching_is_another_tracker(call):
    se = {"resume": "SESiamFCResNet22.pth"}
    call(**se)
    greedy = call("--matching", "greedypw", **se)
    assert "results: result/report/SESiamFCResNet22-greedypw" in greedy
    assert boxes("result/report/SESiamFCResNet22-greedypw") != boxes("result/report/SESiamFCResNet22")
    assert "SESiamFCResNet22-greedypw-bf16" in call("--matching", "greedypw", "--precision", "bf16", **se)


def test_another_matching_is_another_study(call):
    words = ("--dataset", "report", "--trials", "1", "--max_frames", "2", "--quiet")
    call(*words, resume="SESiamFCResNet22.pth", tune=True)
    said = call(*words, "--matching", "greedypw", "--precision", "bf16", resume="SESiamFCResNet22.pth", tune=True)
    assert re.search(r"use it: .* --matching greedypw --precision bf16$", said, re.M)
    assert "output/tune/SESiamFCResNet22_report-first2-greedypw-bf16_tpe/tuned.yaml" in said


def test_two_data_sets_of_one_name_are_two(call):
    """In two folders, and below two roots."""
    for folder, seed in (("a", 1), ("b", 2)):
        set_of(Path(folder) / "val", seed)
    for first, second in (
        (("--dataset", "a/val"), ("--dataset", "b/val")),
        (("--dataset", "val", "--dataset_root", "a"), ("--dataset", "val", "--dataset_root", "b")),
    ):
        call(*first)
        before = boxes("result/val")
        assert "are replaced" in call(*second)
        assert boxes("result/val").keys() == before.keys() and boxes("result/val") != before
        assert "are replaced" not in call(*second)
    assert "are replaced" not in call("--dataset", "b/val")  # which is that of the root b
    assert "are replaced" not in call("--dataset", str(Path("b/val").absolute()))


def test_the_place_of_a_data_set(tmp_path, monkeypatch):
    """That from which it is read."""
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("root/OTB-2015", "own", "root/both", "both"):
        Path(folder).mkdir()
    Path("root/listed.json").write_text("{}")
    for name, want in (
        ("OTB2015", "root/OTB2015"),
        ("listed", "root/listed"),
        ("both", "root/both"),
        ("own", "own"),
        ("none", "root/none"),
    ):
        assert datasets.place(name, "root") == tmp_path / want, name


def test_times_are_what_their_files_say(call):
    words = ("--protocol", "real_time", "--seconds", "times")
    Path("times").mkdir()

    def write(seconds: float) -> None:
        for name in ("report0", "report1"):
            (Path("times") / f"{name}_time.txt").write_text(f"{seconds}\n" * 4)

    write(0.01)
    call(*words)
    Path("times").rename("moved")
    assert "are replaced" not in call(*words[:3], "moved")
    Path("moved").rename("times")
    write(0.3)
    assert "are replaced" in call(*words)


def test_times_below_the_results_are_refused(call):
    """Texts in there give way to those of other weights."""
    call("--name", "T")
    times = Path("result/report/T/mytimes")
    times.mkdir()
    for name in ("report0", "report1"):
        (times / f"{name}_time.txt").write_text("0.1\n" * 4)
    with pytest.raises(UserError, match="must be another folder than that of the results"):
        call("--name", "T", "--protocol", "real_time", "--seconds", str(times))
    assert len(list(times.iterdir())) == 2
