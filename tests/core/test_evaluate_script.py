"""evaluate.py as it is called."""

import csv
import io
import json
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def evaluate(call):
    return partial(call, "siamese_tracking/evaluate.py")


def rows(boxes):
    return "".join(",".join(map(str, box)) + "\n" for box in boxes)


def put(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def boxes(shift=0, count=20):
    return [(10 + k + shift, 20, 30, 40) for k in range(count)]


def one_pass(folder, dataset, names=("a-1", "b-2", "c-3"), shifts=(("good", 1), ("poor", 6))):
    put(folder, {f"truth/{name}.txt": rows(boxes()) for name in names})
    for tracker, shift in shifts:
        put(folder, {f"{dataset}/{tracker}/{name}.txt": rows(boxes(shift + k)) for k, name in enumerate(names)})


def test_otb_from_texts(evaluate, tmp_path):
    one_pass(tmp_path, "Mine")
    done = evaluate(tmp_path, "--dataset", "Mine", "--truth", "truth", "--json", "out/s.json", "--csv", "--latex")
    assert done.status == 0 and done.err == ""
    assert done.out.startswith("Mine, 3 sequences, one-pass, convention otb (default)\n") and "SR.75" in done.out
    scores = json.loads((tmp_path / "out/s.json").read_text())
    assert list(scores) == ["good", "poor"]
    # a box d px beside one of 30 px: overlap (30 - d) / (30 + d)
    assert scores["good"]["ao"] == pytest.approx(np.mean([(30 - d) / (30 + d) for d in (1, 2, 3)]))
    assert scores["good"]["precision"] == 1 and len(scores["good"]["intervals"]["auc"]) == 2
    assert set(scores["poor"]["sequences"]) == {"a-1", "b-2", "c-3"} and 0 < scores["poor"]["p"] <= 1
    table = list(csv.DictReader(io.StringIO((tmp_path / "out/s.csv").read_text())))
    assert float(table[1]["ao"]) == pytest.approx(scores["poor"]["ao"], rel=1e-5)
    assert (tmp_path / "out/s.tex").read_text().startswith("\\begin{tabular}")
    chosen = evaluate(".", "--dataset", "Mine", "--truth", "truth", "--trackers", "po*,x", "--latex")
    assert "good" not in chosen.out and "\\toprule" in chosen.out and chosen.status == 0


def test_archive_of_lasot(evaluate, tmp_path):
    one_pass(tmp_path, "LaSOT", names=("airplane-1", "zebra-17"))
    put(tmp_path, {"truth/absent/zebra-17.txt": "1\n" * 10 + "0\n" * 10})
    with tarfile.open(tmp_path / "all.tar.xz", "w:xz") as tar:
        tar.add(tmp_path / "LaSOT", "LaSOT")
        tar.add(tmp_path / "truth", "truth")
    done = evaluate("all.tar.xz", "--dataset", "LaSOT", "--truth", "all.tar.xz/truth", "--json", "s.json")
    assert done.status == 0 and "2 of 280 sequences, one-pass, convention lasot (default)" in done.out
    good = json.loads((tmp_path / "s.json").read_text())["good"]
    assert good["sequences"]["zebra-17"]["precision"] == 0.5 and good["sequences"]["airplane-1"]["precision"] == 1


@pytest.mark.parametrize(
    ("convention", "ao"),
    [(None, [1 - 2 / 31, 1 - 4 / 32]), ("got10k", [1 - 2 / 31, 1 - 4 / 32]), ("otb", [1 - 2 / 31, 1 - 4 / 32])],
)
def test_got10k_tree(evaluate, tmp_path, convention, ao):
    for k, name in enumerate(("GOT-10k_Val_000001", "GOT-10k_Val_000002")):
        put(tmp_path, {f"data/GOT-10k/val/{name}/groundtruth.txt": rows(boxes(count=3))})
        put(tmp_path, {f"data/GOT-10k/val/{name}/{n:08d}.jpg": "" for n in (1, 2, 3)})
        put(tmp_path, {f"data/GOT-10k/val/{name}/meta_info.ini": "[METAINFO]\nresolution: (640, 480)\n"})
        put(tmp_path, {f"r/GOT-10k/T/{name}/{name}_00{run}.txt": rows(boxes(1 + k, 3)) for run in (1, 2, 3)})
    put(tmp_path, {"data/GOT-10k/val/list.txt": "GOT-10k_Val_000001\nGOT-10k_Val_000002\n"})
    words = ["--convention", convention] if convention else []
    done = evaluate("r", "--dataset", "GOT-10k", "--dataset_root", "data", "--json", "s.json", *words)
    assert done.status == 0 and "3 identical runs, one is enough" in done.out
    assert f"convention {convention or 'got10k (default)'}" in done.out
    assert json.loads((tmp_path / "s.json").read_text())["T"]["ao"] == pytest.approx(np.mean(ao))


def reset(folder, tracker="T"):
    truth = {}
    for k in range(3):
        truth[f"s{k}"] = {"gt_rect": boxes(count=40), "width": 200, "height": 100, "occlusion": [0, 1] * 20}
        put(folder, {f"VOT2018/{tracker}/baseline/s{k}/s{k}_001.txt": "1\n" + rows(boxes(1, 40)[1:])})
    (folder / "truth.json").write_text(json.dumps(truth))


def test_vot(evaluate, tmp_path):
    reset(tmp_path)
    words = [".", "--dataset", "VOT2018", "--truth", "truth.json", "--json", "s.json"]
    done = evaluate(*words, "--interval", "5:30", "--attributes", "--exact")
    assert done.status == 0 and "3 of 60 sequences, reset, convention pysot (default)" in done.out
    assert "eao by attribute" in done.out and "occlusion" in done.out
    scores = json.loads((tmp_path / "s.json").read_text())["T"]
    assert scores["eao"] == pytest.approx(29 / 31) and scores["reliability"] == 1
    assert evaluate(*words, "--interval", "density", "--convention", "vot").status == 0


def test_vot_without_restarts(evaluate, tmp_path):
    reset(tmp_path)
    (tmp_path / "VOT2018/T/baseline").rename(tmp_path / "VOT2018/T/unsupervised")
    done = evaluate(".", "--dataset", "VOT2018", "--truth", "truth.json", "--experiment", "unsupervised")
    assert done.status == 0 and "sequences, without restarts, convention pysot (default)\n" in done.out
    assert "average overlap without restarts" in done.out and "reset" not in done.out


def test_a_bad_file_is_named_and_the_rest_scored(evaluate, tmp_path):
    one_pass(tmp_path, "Mine")
    (tmp_path / "Mine/poor/b-2.txt").write_text("1,2,3,4\n1,2,three,4\n")
    done = evaluate(".", "--dataset", "Mine", "--truth", "truth")
    assert done.status == 0 and "b-2.txt, line 2" in done.err and "'three' is no number" in done.err
    assert "2 of 3 sequences" in done.out and "good" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "VOT2018", "--truth", "truth.json", "--convention", "otb"], "--convention must be pysot or vot"),
        (
            ["--dataset", "VOT2018", "--truth", "truth.json", "--interval", "9:5"],
            "--interval must be density or LOW:HIGH",
        ),
        (["--dataset", "VOT2018", "--truth", "truth.json", "--trackers", "X*"], "trackers' results must lie in"),
        (["--dataset", "OTB2015"], "data set OTB2015 must lie at"),
        (["--dataset", "VOT2018", "--truth", "none.json"], "none.json must be a readable file"),
    ],
)
def test_one_clear_line(evaluate, tmp_path, words, message):
    reset(tmp_path)
    done = evaluate(".", *words)
    assert done.status == 2 and done.out == ""
    assert done.err.startswith(f"evaluate.py: {message}") and done.err.count("\n") == 1
