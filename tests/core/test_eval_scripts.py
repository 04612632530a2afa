"""The evaluation scripts as they are called: both published forms, json and csv out, clear errors."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def read_csv(path):
    return {row["tracker"]: row for row in csv.DictReader(path.read_text().splitlines())}


def test_running_the_file_itself():
    """Its folder comes first on the path then, so no module in it may hide a standard one."""
    words = [sys.executable, "lib/core/eval_vot.py", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "--truth" in done.stdout, done.stderr


def write_results(folder, dataset, count=3, frames=30):
    """A data set of ``count`` sequences and two trackers in SiamDW's layouts."""
    vot = dataset.startswith("VOT")
    truth = {}
    for k in range(count):
        boxes = [[10 + f + k, 20, 30, 40] for f in range(frames)]
        truth[f"s{k}"] = {"gt_rect": boxes, "width": 200, "height": 100}
        for tracker, shift in (("SiamFC_a", 1), ("SiamFC_b", 6), ("Other", 3)):
            rows = [f"{x + shift},{y},{w},{h}" for x, y, w, h in boxes]
            rows = ["1", *rows[1:]] if vot else rows
            place = f"baseline/s{k}/s{k}_001.txt" if vot else f"s{k}.txt"
            path = folder / "result" / dataset / tracker / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(rows) + "\n")
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "dataset").mkdir()


def test_positional_form_of_otb(call, tmp_path):
    write_results(tmp_path, "OTBx")
    done = call("lib/core/eval_otb.py", "OTBx", "./result", "SiamFC*", 0, 1, "--truth", "truth.json")
    assert done.status == 0, done.err
    assert "SiamFC_a" in done.out and "SiamFC_b" not in done.out and "Other" not in done.out
    assert done.err == ""


def test_named_form_of_otb_and_json(call, tmp_path):
    write_results(tmp_path, "OTBx")
    words = ["--dataset", "OTBx", "--dataset_root", tmp_path / "dataset", "--result_path", tmp_path / "result"]
    words += ["--tracker_reg", "SiamFC*", "--start", 1, "--end", 9, "--truth", tmp_path / "truth.json"]
    done = call("lib/core/eval_otb.py", *words, "--json", tmp_path / "out/o.json", "--csv", tmp_path / "o.csv")
    assert done.status == 0, done.err
    scores = json.loads((tmp_path / "out/o.json").read_text())
    assert list(scores) == ["SiamFC_b"]
    # a box 6 px beside one of 30 px: overlap 24/36, so 14 of 21 thresholds
    assert scores["SiamFC_b"]["auc"] == pytest.approx(14 / 21) and scores["SiamFC_b"]["precision"] == 1
    assert scores["SiamFC_b"]["norm_precision"] == 1
    assert list(read_csv(tmp_path / "o.csv")) == ["SiamFC_b"]


def test_vot(call, tmp_path):
    write_results(tmp_path, "VOTx")
    words = ["VOTx", "./result", "--truth", "truth.json", "--json", "v.json"]
    done = call("lib/core/eval_vot.py", *words)
    assert done.status == 0, done.err
    assert "EAO" in done.out and "failures per 100 frames" in done.out
    scores = json.loads((tmp_path / "v.json").read_text())
    assert list(scores) == ["SiamFC_a", "Other", "SiamFC_b"]
    assert scores["SiamFC_a"]["robustness"] == scores["SiamFC_a"]["failures"] == 0
    assert 0.9 < scores["SiamFC_a"]["accuracy"] < 0.96 and 0.9 < scores["SiamFC_a"]["eao"] < 0.96
    exact = call("lib/core/eval_vot.py", *words, "--exact", "--convention", "vot")
    assert exact.status == 0, exact.err
    assert json.loads((tmp_path / "v.json").read_text())["SiamFC_a"]["accuracy"] == pytest.approx(29 / 31)


def test_evalution_vot(call, tmp_path):
    write_results(tmp_path, "VOT2016")
    shutil.move(tmp_path / "truth.json", tmp_path / "dataset/VOT2016.json")
    done = call("evalutionVOT.py", "VOT2016", "--truth", "dataset/VOT2016.json")
    assert done.status == 0, done.err
    for word in ("precision", "overlap", "centre error", "A ", "R weighted", "EAO", "failures", "SiamFC_a", "Other"):
        assert word in done.out
    rows = read_csv(tmp_path / "result/VOT2016.csv")
    assert float(rows["SiamFC_b"]["centre_error"]) == float(rows["SiamFC_b"]["centre_error_mean"]) == 6
    assert float(rows["SiamFC_b"]["distance_precision"]) == 1 and float(rows["Other"]["failures"]) == 0


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (
            "lib/core/eval_otb.py",
            ["OTB2013", "./result", "SiamFC*", "0", "1"],
            "eval_otb.py: data set OTB2013 must lie at",
        ),
        (
            "lib/core/eval_vot.py",
            ["VOTx", "./none", "--truth", "truth.json"],
            "eval_vot.py: trackers' results must lie in",
        ),
        ("evalutionVOT.py", ["VOTx", "./result", "*", "first"], "evalutionVOT.py: start must be a number, got 'first'"),
    ],
)
def test_one_clear_line(call, tmp_path, script, words, message):
    write_results(tmp_path, "VOTx")
    done = call(script, *words)
    assert done.status == 2 and done.out == ""
    assert done.err.startswith(message) and done.err.count("\n") == 1


@pytest.mark.parametrize("script", ["lib/core/eval_otb.py", "lib/core/eval_vot.py", "evalutionVOT.py"])
def test_scripts_are_short(script):
    assert len((ROOT / script).read_text().splitlines()) <= 80
