"""The whole job: it runs, it may be killed anywhere, and it refuses what it cannot do."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib.core.checkpoint import load_checkpoint
from lib.core.config import load_train
from lib.core.lock import same_run
from lib.core.onekey import Job
from lib.evaluation.report import settings_from_html
from lib.files import UserError
from lib.models.backends import Running
from tests.core.tiny import write_data, write_settings

SCRIPT = Path(__file__).parents[2] / "siamese_tracking" / "onekey.py"

# Runs the job in a process that kills itself at the n-th call of a function: nothing is cleaned up.
KILLER = """
import importlib, os, runpy, signal, sys
module, holder, name, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
holder = getattr(importlib.import_module(module), holder)
original, calls = getattr(holder, name), []
def counted(*args, **kwargs):
    calls.append(1)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
setattr(holder, name, counted)
sys.argv = sys.argv[5:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _run(cfg: Path, *, die_in: tuple[str, str, str, int] | None = None) -> subprocess.CompletedProcess:
    job = [str(SCRIPT), "--cfg", str(cfg), "--quiet"]
    command = [sys.executable, *(["-c", KILLER, *map(str, die_in)] if die_in else []), *job]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _table(run: subprocess.CompletedProcess) -> str:
    assert run.returncode == 0, run.stderr
    return run.stdout.split("\n\n")[-2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("whole")
    return folder, _run(write_settings(folder, data))


def test_everything_is_there(whole):
    folder, run = whole
    table = _table(run)
    names = [line.split("  ")[0] for line in table.strip().splitlines()[-4:]]
    assert names == ["still box", "untrained", "trained", "tuned"]
    output = folder / "output"
    page = (output / "report.html").read_text()
    assert "SiamFCRes22" in settings_from_html(page) and page.count("<svg") >= 4 and "data:image/jpeg" in page
    assert json.loads((output / "state.json").read_text())["stage"] == "done"
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["seed"] == "0" and {"commit", "python", "torch", "numpy"} <= facts.keys()
    assert (facts["crops"], facts["pairs an epoch"]) == ("8", "6")
    assert facts["data, FINAL"] == "report: 2 sequences, 8 frames" and facts["data, TEST"] == facts["data, TUNE"]
    assert (output / "tuned.yaml").is_file() and list((output / "tensorboard").iterdir())
    rows = [json.loads(line) for line in (output / "train.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["step"]) for row in rows] == [(e, s) for e in (1, 2) for s in (1, 2, 3)]


def test_killed_in_training_and_in_tuning_gives_the_same_table(whole, data, tmp_path):
    folder, run = whole
    cfg = write_settings(tmp_path, data)
    points = [
        ("lib.core.train", "TrainingLog", "step", 5),  # in the second epoch
        ("lib.core.tune", "Search", "run", 1),  # as tuning begins
        ("optuna.study", "Study", "add_trial", 4),  # in the study, one trial of the second batch told
    ]
    for point in points:
        assert _run(cfg, die_in=point).returncode == -signal.SIGKILL
    again = _run(cfg)
    assert _table(again) == _table(run)
    for epoch in (1, 2):
        ours, theirs = (
            load_checkpoint(root / "output/snapshot" / f"checkpoint_e{epoch}.pth") for root in (tmp_path, folder)
        )
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        assert all(torch.equal(ours["state_dict"][k], theirs["state_dict"][k]) for k in ours["state_dict"])
        for one, other in zip(ours["optimizer"]["state"].values(), theirs["optimizer"]["state"].values(), strict=True):
            assert torch.equal(one["momentum_buffer"], other["momentum_buffer"])
    assert (tmp_path / "output/tuned.yaml").read_text() == (folder / "output/tuned.yaml").read_text()


def test_two_test_sets_of_one_name_are_refused(whole, tmp_path):
    (tmp_path / "val").mkdir()
    told = {"TEST.DATA": str(tmp_path / "val"), "FINAL.DATA": "val", "DATASET_ROOT": str(tmp_path / "root")}
    with pytest.raises(UserError, match="one set or differ in name"):
        Job(load_train(whole[0] / "tiny.yaml", told), tmp_path, torch.device("cpu"), quiet=True).look_ahead()


def test_what_is_tracked_already_needs_no_model(whole, monkeypatch):
    folder, _ = whole
    job = Job(load_train(folder / "tiny.yaml"), folder / "output", torch.device("cpu"), quiet=True)
    monkeypatch.setattr(Job, "family", lambda *_: pytest.fail("a model was built"))
    job.test_epochs()
    job.final(job.report().epoch, {"scale_step": 1.1})


def test_a_finished_run_only_prints_again(whole):
    folder, run = whole
    before = {path: path.stat().st_mtime_ns for path in (folder / "output/snapshot").iterdir()}
    again = _run(folder / "tiny.yaml")
    assert _table(again) == _table(run)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "output/snapshot").iterdir()}


def test_other_settings_are_refused(whole):
    folder, _ = whole
    cfg = folder / "other.yaml"
    cfg.write_text((folder / "tiny.yaml").read_text().replace("LR: 0.001,", "LR: 0.002,"))
    run = _run(cfg)
    assert run.returncode == 2 and "other settings (SIAMFC.TRAIN.LR)" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_epochs_are_tested_at_once_with_the_same_results(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    folder, _ = whole
    settings = load_train(folder / "tiny.yaml")
    several = settings.model_copy(update={"TEST": settings.TEST.model_copy(update={"THREADS": 16})})
    scores = Job(several, tmp_path, torch.device("cpu"), quiet=False).test_epochs()
    assert "== test, epochs 2, data choose, processes 2" in capsys.readouterr().out
    expected = Job(settings, folder / "output", torch.device("cpu"), quiet=True).test_epochs()
    assert {epoch: each.mean for epoch, each in scores.items()} == {n: each.mean for n, each in expected.items()}
    texts = sorted((folder / "output/result/choose-first3").glob("*_e?/*.txt"))
    assert len(texts) == 4
    assert all(text.read_bytes() == (tmp_path / text.relative_to(folder / "output")).read_bytes() for text in texts)
    assert (tmp_path / "result/choose-first3/SiamFCRes22_e2").is_dir()


def test_epochs_tested_at_once_run_as_the_settings_say(whole, tmp_path, monkeypatch):
    settings = load_train(whole[0] / "tiny.yaml", {"TEST.PRECISION": "bf16", "TEST.BACKEND": "compiled"})
    job = Job(settings, tmp_path, torch.device("cpu"), quiet=True)
    tasks: list = []
    monkeypatch.setattr("lib.core.onekey.run_all", lambda run, given, *where, **how: tasks.extend(given))
    job.track_at_once({1: tmp_path / "e1"}, [torch.device("cpu")] * 2)
    assert [(task.subject.precision, task.subject.backend) for task in tasks] == [("bf16", "compiled")]


def test_a_run_may_go_on_with_more_processes(data, tmp_path):
    settings = load_train(write_settings(tmp_path, data))
    same_run(settings, tmp_path)
    (tmp_path / "train.jsonl").touch()
    same_run(settings.model_copy(update={"TEST": settings.TEST.model_copy(update={"THREADS": 2})}), tmp_path)
    with pytest.raises(UserError, match=r"SIAMFC\.TEST\.MAX_FRAMES"):
        same_run(settings.model_copy(update={"TEST": settings.TEST.model_copy(update={"MAX_FRAMES": 2})}), tmp_path)


def test_siamrpn_runs_too(data, tmp_path):
    run = _run(write_settings(tmp_path, data, family="SIAMRPN", model="SiamRPNRes22"))
    assert re.search(r"trained +0\.\d{3}", _table(run))


def test_settings_come_back_from_the_report_and_from_a_checkpoint(whole, tmp_path):
    folder, _ = whole
    for n, source in enumerate(("report.html", "snapshot/checkpoint_e2.pth")):
        cfg = tmp_path / f"{n}.yaml"
        command = [sys.executable, str(SCRIPT), "--from", str(folder / "output" / source), "--cfg", str(cfg)]
        assert subprocess.run(command, capture_output=True).returncode == 0
        assert load_train(cfg) == load_train(folder / "tiny.yaml")
        assert subprocess.run(command, capture_output=True).returncode == 2  # it is there now


def test_precision_and_backend_of_all_tracking(data, tmp_path):
    path = write_settings(tmp_path, data)
    plain = path.read_text()

    def job(**told):
        text = ", ".join(f"{key}: {value}" for key, value in told.items())
        path.write_text(plain.replace("TEST: {", f"TEST: {{{text}, "))
        return Job(load_train(path), tmp_path, torch.device("cpu"), quiet=True)

    model = job(BACKEND="onnxruntime").family(None).model
    assert isinstance(model, Running) and model.backend == "onnxruntime"
    half = job(PRECISION="bf16").family(None).model
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert not isinstance(half, Running)
    assert next(half.parameters()).dtype == (torch.bfloat16 if supported else torch.float32)
    with pytest.raises(UserError, match="fp16 is for GPUs"):
        job(PRECISION="fp16").look_ahead()
