"""Every protocol from a tracker to the files that its toolkit takes, and from those files to scores."""

import argparse
import json
import sys

import cv2
import numpy as np
import pytest
import torch

from lib.core import runs, testing
from lib.core.runs import Plan, plan_of, record
from lib.core.scoring import Stage
from lib.evaluation import boards, protocols, realtime, trackers
from lib.evaluation.sequences import Sequence
from lib.files import UserError
from lib.geometry.boxes import polygon_from_xywh
from lib.models.zoo import build
from lib.tracker.frames import FrameSupply
from lib.tracker.overlap import flags_of
from lib.tracker.slots import Scheduler
from lib.tracker.still import StillState, StillTracker
from tests.core.tiny import write_data


class Reader(StillTracker):
    """Puts its box where the frame's grey value says: x = grey, a little off with ``noise``."""

    noise, steps = 0.0, 0

    def step(self, state, frames, truth=None):
        grey = torch.stack([image.double().mean() for image in frames.images()])
        box = state.box.clone()
        box[:, 0] = grey + box[:, 2] / 2 + self.noise * torch.rand(len(grey), dtype=torch.float64)
        type(self).steps += len(grey)
        return StillState(box, grey / 100), flags_of(box, truth, frames)


def video(folder, name, count, kind="otb", step=1):
    """Frame t is of grey value t; the target's left side is at ``step`` t."""
    (folder / name).mkdir()
    paths = [folder / name / f"{t:03d}.png" for t in range(count)]
    for t, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((40, 120, 3), t, np.uint8))
    truth = np.array([[step * t, 10, 8, 8] for t in range(count)], float)
    return Sequence(name, tuple(paths), truth if kind == "otb" else polygon_from_xywh(truth), (120, 40), {}, kind)


@pytest.fixture
def stage_of(tmp_path):
    def make(kind="otb", slots=4, step=1):
        videos = [video(tmp_path, name, count, kind, step) for name, count in (("a", 14), ("b", 9))]
        return Stage("set", videos, torch.device("cpu"), slots=slots)

    return make


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


LAYOUTS = [
    ("one_pass", "otb", "{s}.txt", []),
    ("one_pass", "vot", "unsupervised/{s}/{s}_001.txt", []),
    ("reset", "vot", "baseline/{s}/{s}_001.txt", []),
    ("real_time", "otb", "realtime/{s}.txt", ["realtime/{s}_time.txt"]),
    ("real_time", "vot", "realtime/{s}/{s}_001.txt", ["realtime/{s}/{s}_time.txt"]),
    ("long_term", "otb", "longterm/{s}/{s}_001.txt", ["longterm/{s}/{s}_001_confidence.value"]),
    ("got10k", "otb", "{s}/{s}_001.txt", ["{s}/{s}_time.txt"]),
]


@pytest.mark.parametrize(("protocol", "kind", "run", "beside"), LAYOUTS)
def test_layouts_of_the_toolkits_are_written_and_scored(tmp_path, stage_of, protocol, kind, run, beside):
    stage, plan, folder = stage_of(kind), Plan(protocol, kind), tmp_path / "result/T"
    record(stage, Reader(), {}, folder, plan, quiet=True)
    assert files(folder) == sorted(each.format(s=s) for s in "ab" for each in (run, *beside))
    text = (folder / run.format(s="a")).read_text().splitlines()
    assert len(text) == 14
    first = "1" if kind == "vot" or protocol == "long_term" else "1.0,11.0,8.0,8.0"
    # VOT's files count from 0 here, the others from 1; a start from a polygon is a pixel wider
    assert text[0] == first and text[5] == ("5.0,9.5,9.0,9.0" if kind == "vot" else "6.0,11.0,8.0,8.0")
    board = boards.board_of(
        "set", stage.videos, [folder], experiment=plan.experiment, interval=(2, 9) if kind == "vot" else None
    )
    best = {"auc": 20 / 21, "f_score": 0.952, "eao": 0.8, "accuracy": 0.8}  # of 100 pixels 80; the start has no score
    assert board.entries[0].scores[board.headline] == pytest.approx(best[board.headline], abs=0.02)
    assert board.problems == []
    assert runs.table_of(stage, folder, plan)
    before = {name: (folder / name).stat().st_mtime_ns for name in files(folder)}
    (folder / run.format(s="b")).unlink()
    Reader.steps = 0
    record(stage, Reader(), {}, folder, plan, quiet=True)  # what is there stays, measured times too
    after = {name: (folder / name).stat().st_mtime_ns for name in files(folder)}
    kept = [
        name
        for name in before
        if name.startswith("a") or "/a" in name or (protocol == "real_time" and "time.txt" in name)
    ]
    assert before.keys() == after.keys() and all(before[name] == after[name] for name in kept) and Reader.steps == 8


@pytest.mark.parametrize("kind", ["otb", "vot"])
def test_real_time_from_given_seconds(tmp_path, stage_of, kind):
    stage, folder = stage_of(kind, step=2), tmp_path / "result"
    times = tmp_path / "times"
    times.mkdir()
    seconds = {"a": np.tile([0.02, 0.3], 7), "b": np.full(9, 0.17)}
    for name, values in seconds.items():
        (times / f"{name.upper()}_time.txt").write_text("".join(f"{value},{value}\n" for value in values))
    plan = Plan("real_time", kind, None, str(times), 25)
    record(stage, Reader(), {}, folder, plan, quiet=True)
    scheduler = Scheduler(Reader().at, FrameSupply(), slots=2)
    options = {"trackers": Reader(), "scheduler": scheduler, "reset": kind == "vot"}
    want = {n: rows for _, n, rows in realtime.run_real_time(stage.videos, [{}], seconds=seconds, fps=25, **options)}
    found = trackers.read_all(folder, stage.videos, kind, experiment="realtime")
    for number, name in enumerate("ab"):
        np.testing.assert_array_equal(found.runs[name][0], want[number])
    assert "of the frames are looked at" in runs.table_of(stage, folder, plan)
    (times / "A_time.txt").write_text("0.1\n")
    with pytest.raises(UserError, match=r"A_time\.txt must have 14 rows, one a frame, got 1"):
        runs.check_seconds(plan, stage, folder)
    (times / "A_time.txt").unlink()
    with pytest.raises(UserError, match="there is none of a"):
        runs.check_seconds(plan, stage, folder)
    with pytest.raises(UserError, match="must be another folder than that of the results"):
        runs.check_seconds(plan, stage, tmp_path / "times/sub")


def test_three_runs_where_they_differ(tmp_path, stage_of, capsys):
    stage, noisy = stage_of(), Reader()
    noisy.noise = 1.0
    record(stage, noisy, {}, tmp_path / "noisy", Plan("got10k", "otb", 3), quiet=True)
    assert [name for name in files(tmp_path / "noisy") if name.startswith("a")] == [
        *(f"a/a_00{k}.txt" for k in (1, 2, 3)),
        "a/a_time.txt",
    ]
    assert np.loadtxt(tmp_path / "noisy/a/a_time.txt", delimiter=",").shape == (14, 3)
    read = trackers.read_all(tmp_path / "noisy", stage.videos, "otb")
    assert [len(read.runs[name]) for name in "ab"] == [3, 3] and read.identical == 1
    assert capsys.readouterr().err == ""
    record(stage, Reader(), {}, tmp_path / "same", Plan("got10k", "otb", 3), quiet=True)
    assert capsys.readouterr().err == "two runs on b are identical: each video is run once\n"
    record(stage, Reader(), {}, tmp_path / "told", Plan("got10k", "otb"))
    assert "the tracker gives the same boxes each time: one run of each video, not 3" in capsys.readouterr().err
    for name in ("same", "told"):
        assert files(tmp_path / name) == [f"{s}/{s}_{what}.txt" for s in "ab" for what in ("001", "time")]


def test_repetitions_of_the_reset_protocol(tmp_path, stage_of):
    stage, noisy = stage_of("vot"), Reader()
    noisy.noise = 1.0
    plan = Plan("reset", "vot", 2)
    record(stage, noisy, {}, tmp_path / "r", plan, quiet=True)
    assert [name for name in files(tmp_path / "r") if "/a/" in name] == [f"baseline/a/a_00{k}.txt" for k in (1, 2)]
    assert "EAO" in runs.table_of(stage, tmp_path / "r", plan)


def test_one_slot_keeps_times(tmp_path, stage_of):
    record(stage_of(slots=1), Reader(), {}, tmp_path / "r", Plan("one_pass", "otb"), quiet=True)
    assert files(tmp_path / "r") == ["a.txt", "a_time.txt", "b.txt", "b_time.txt"]


def test_timing_begins_each_run_anew(tmp_path, stage_of):
    """A template that is kept would make the second start free."""
    starts = []

    class Counts(Reader):
        def init(self, frames, boxes, params, kernels=None):
            starts.append(kernels)
            return super().init(frames, boxes, params, kernels)

    tracker = Counts()
    scheduler = Scheduler(tracker.at, FrameSupply(), slots=4)
    videos = stage_of().videos[:1]
    found = list(realtime.one_by_one(videos, {}, repetitions=2, trackers=tracker, scheduler=scheduler))
    assert starts == [None, None] and [each[0] for each in found] == [0, 1]
    ((_, _, rows),) = protocols.run(videos, [{}], trackers=tracker, scheduler=scheduler, reset=False)
    np.testing.assert_array_equal(found[1][2], rows)


def options(**more):
    told = {"dataset": "OTB2015", "protocol": "auto", "repetitions": None, "seconds": None, "fps": 20.0}
    return argparse.Namespace(**told | more)


@pytest.mark.parametrize(
    ("dataset", "kind", "protocol"),
    [
        ("OTB2015", "otb", "one_pass"),
        ("LaSOT", "otb", "one_pass"),
        ("VOT2018", "vot", "reset"),
        ("VOT-LT2019", "otb", "long_term"),
        ("GOT-10k_Val", "otb", "got10k"),
        ("got10k", "otb", "got10k"),
    ],
)
def test_the_data_sets_own_protocol(dataset, kind, protocol):
    assert plan_of(options(dataset=dataset), kind).protocol == protocol


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"protocol": "reset"}, "otb", "--protocol must be one of one_pass, real_time, long_term, got10k for OTB2015"),
        ({"protocol": "got10k"}, "vot", "--protocol must be one of one_pass, reset, real_time"),
        ({"repetitions": 3}, "otb", "one_pass is run once"),
        ({"seconds": "0.1"}, "otb", "are of --protocol real_time"),
        ({"protocol": "real_time", "seconds": "nowhere"}, "otb", "must be a number or a folder"),
        ({"protocol": "real_time", "seconds": "-1"}, "otb", "must not be negative"),
        ({"protocol": "real_time", "fps": 0.0}, "otb", "--fps must be above 0"),
    ],
)
def test_options_that_make_no_sense(more, kind, message):
    with pytest.raises(UserError, match=message):
        plan_of(options(**more), kind)


def test_truth_that_is_held_back(tmp_path, stage_of):
    stage = stage_of()
    for each in stage.videos:
        each.truth[1:] = np.nan
    plan = Plan("one_pass", "otb")
    record(stage, Reader(), {}, tmp_path / "r", plan, quiet=True)
    assert "no score, only first boxes are given" in runs.table_of(stage, tmp_path / "r", plan)


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    write_data(tmp_path / "dataset")
    torch.manual_seed(3)
    torch.save({"state_dict": build("SiamFCRes22", width=0.125).state_dict()}, tmp_path / "fc.pth")
    monkeypatch.chdir(tmp_path)

    def call(*more):
        monkeypatch.setattr(sys, "argv", ["test_siamfc.py", "--resume", "fc.pth", "--dataset", "report", *more])
        return testing.command("SiamFC", "", dataset="OTB2013")

    table = call("--protocol", "real_time", "--seconds", "0.12", "--device", "cpu")
    assert "real time at 20 frames a second: 100 % of the frames" in table and "AUC" in table
    assert table.endswith("results: result/report/SiamFCRes22/realtime")
    home = tmp_path / "result/report/SiamFCRes22/realtime"
    assert json.loads((home / "tracker.json").read_text())["hyper"] == {"fps": 20.0, "seconds": 0.12}
    call("--protocol", "real_time", "--seconds", "0.2", "--fps", "30", "--device", "cpu")
    assert "are replaced" in capsys.readouterr().out and len(files(home)) == 3
    assert "F " in call("--protocol", "long_term", "--device", "cpu") and len(files(home)) == 3
