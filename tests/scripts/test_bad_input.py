"""Bad input through the command line: one clear line, a status that is not 0, and nothing half-written.

A line says what must hold, what came and what to do. Each case runs the script in this process, as it would run alone.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.bad_inputs import INF, NAN, ROWS, Place, annotation

TRAINING_MAY_LEAVE = {".lock", "settings.yaml", "state.json", "tracker.json"}  # who runs, with what, how far


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Build = Callable[[Place], list]

ONEKEY, TRAIN, TEST = "onekey.py", "train_siamfc.py", "test_siamfc.py"
EVAL_OTB, EVAL_VOT, VIDEO = "lib/core/eval_otb.py", "lib/core/eval_vot.py", "run_video.py"

CASES: dict[str, tuple[str, Build, str]] = {
    # settings
    "missing settings file": (ONEKEY, lambda p: ["--cfg", "none.yaml"], "none.yaml cannot be read"),
    "settings with !!python": (
        TRAIN,
        lambda p: p.cfg("PRINT_FREQ: 1", "PRINT_FREQ: !!python/object/apply:os.getcwd []"),
        "tiny.yaml, line 4: must be YAML of plain values",
    ),
    "wrong key": (TRAIN, lambda p: p.cfg("WORKERS", "WORKER"), "WORKER is not a setting; did you mean WORKERS?"),
    "wrong type": (ONEKEY, lambda p: p.cfg("LR: 0.001", "LR: fast"), "TRAIN.LR must be a valid number"),
    "wrong arch": (ONEKEY, lambda p: p.cfg("SiamFCRes22", "SiamFCRes23"), "SiamFCRes23"),
    "wrong loss": (ONEKEY, lambda p: [*p.cfg(), "--losses", "hinge,hings", "--output", p.output], "hings"),
    "settings of the other family": ("train_siamrpn.py", lambda p: p.cfg(), "run train_siamfc.py"),
    "unknown test set": (ONEKEY, lambda p: p.cfg("DATA: choose", "DATA: nowhere"), "data set nowhere must lie at"),
    # training data
    "missing annotation": (ONEKEY, lambda p: p.cfg("/crops.json", "/none.json"), "none.json"),
    "empty json": (ONEKEY, lambda p: p.with_annotation(""), "crops.json"),
    "json of nothing": (TRAIN, lambda p: p.with_annotation("{}"), "crops.json"),
    "json of another form": (TRAIN, lambda p: p.with_annotation("[1, 2]"), "crops.json"),
    "NaN boxes": (TRAIN, lambda p: p.with_annotation(annotation([1, 2, NAN, 4])), "4 no area"),
    "negative boxes": (TRAIN, lambda p: p.with_annotation(annotation([9, 9, 4, 4])), "4 no area"),
    "missing pretrained weights": (
        ONEKEY,
        lambda p: p.cfg("WIDTH: 0.125", "WIDTH: 0.125, PRETRAIN: none.pth"),
        "none.pth",
    ),
    "checkpoint of another arch to go on from": (
        TRAIN,
        lambda p: p.cfg("WIDTH: 0.125", f"WIDTH: 0.125, RESUME: '{p.common}/incep.pth'"),
        "SiamFCIncep22",
    ),
    "output folder below a file": (
        ONEKEY,
        lambda p: p.cfg("OUTPUT_DIR: '", f"OUTPUT_DIR: '{p.file('taken', '')}/"),
        "must be writable",
    ),
    # weights
    "missing weights": (TEST, lambda p: p.tested(p.here / "none.pth"), "none.pth"),
    "weights of the other family": (TEST, lambda p: p.tested("rpn"), "run test_siamrpn.py"),
    "weights of another arch": (TEST, lambda p: p.tested("incep", "--arch", "SiamFCRes22"), "SiamFCIncep22"),
    "truncated weights": (TEST, lambda p: p.tested(p.half()), "half.pth must be a whole file"),
    "hostile pickle": (TEST, lambda p: p.tested(p.hostile()), "it asks for print"),
    "hostile old pickle": (TEST, lambda p: p.tested(p.old_pickle()), "old.pth must hold tensors"),
    "zip that climbs": (TEST, lambda p: p.tested(p.climbing_zip()), "climbing.pth"),
    "text as weights": (TEST, lambda p: p.tested(p.file("text.pth", "words")), "text.pth must hold tensors"),
    "empty weights": (TEST, lambda p: p.tested(p.file("empty.pth", "")), "empty.pth"),
    "no checkpoints": (
        "test_epochs.py",
        lambda p: ["--checkpoint_dir", p.here / "none", "--dataset", "choose", "--dataset_root", p.data],
        "checkpoint_e30.pth",
    ),
    # test sets
    "unknown data set": (TEST, lambda p: p.tested("fc", "--dataset", "OTB2015"), "data set OTB2015 must lie at"),
    "empty json of a test set": (TEST, lambda p: p.tested(root=p.test_set(gt_rect=[])), "choose.json"),
    "NaN start": (TEST, lambda p: p.first_box(NAN, 11, 26, 20), "one"),
    "infinite start": (TEST, lambda p: p.first_box(13, 11, INF, 20), "one"),
    "negative start": (TEST, lambda p: p.first_box(13, 11, -26, 20), "one"),
    "zero start": (TEST, lambda p: p.first_box(13, 11, 0, 0), "one"),
    "start outside the frame": (TEST, lambda p: p.first_box(500, 11, 26, 20), "one"),
    "fewer frames than boxes": (
        TEST,
        lambda p: p.tested(root=p.test_set(gt_rect=[[13, 11, 26, 20]] * 5, image_files=None)),
        "3 of 5 images",
    ),
    "truncated jpeg": (TEST, lambda p: p.truncated(1, ".jpg"), "0001.jpg is damaged"),
    "truncated png": (TEST, lambda p: p.truncated(2, ".png"), "0002.png is damaged"),
    "truncated first frame": (TEST, lambda p: p.truncated(0, ".jpg"), "0000.jpg"),
    "wrong hyper-parameter": (
        TEST,
        lambda p: p.tested("fc", "--cfg", p.file("h.yaml", "TEST: {choose: {scale_stp: 1.1}}")),
        "did you mean scale_step",
    ),
    # results
    "result of nothing": (EVAL_OTB, lambda p: p.results(""), "the file is empty"),
    "result with decimal commas": (EVAL_OTB, lambda p: p.results("10,5;20,5;30,5;40,5\n" * 4), "got 8"),
    "result with words": (EVAL_OTB, lambda p: p.results("\n".join(ROWS).replace("20", "left")), "'left' is no number"),
    "result with three columns": (EVAL_OTB, lambda p: p.results("1,2,3\n" * 4), "4 numbers"),
    "NaN result": (EVAL_VOT, lambda p: p.results("1\nnan,nan,nan,nan\n" + "\n".join(ROWS[2:]), "vot"), "s_001.txt"),
    "short result": (EVAL_VOT, lambda p: p.results("1\n" + ROWS[1], "vot"), "2 rows for 4 frames"),
    "wrong code": (EVAL_VOT, lambda p: p.results("\n".join(["1", "7", *ROWS[2:]]), "vot"), "7 is no code"),
    "no such tracker": (EVAL_OTB, lambda p: [*p.results("\n".join(ROWS)), "--tracker_reg", "none*"], "none*"),
    "unknown data set to score": ("evalutionVOT.py", lambda p: ["VOT2099"], "data set VOT2099 must lie at"),
    # videos
    "missing video": (VIDEO, lambda p: p.followed(video="none.mp4"), "none.mp4 does not exist"),
    "codec absent": (VIDEO, lambda p: p.followed(video=p.file("odd.mp4", b"\0\0\0\x18ftypodd " * 9)), "odd.mp4"),
    "camera absent": (VIDEO, lambda p: p.followed(video=77), "camera 77 cannot be opened"),
    "no display": ("run_webcam.py", lambda p: ["--resume", p.common / "fc.pth"], "a window needs a display"),
    "port that is no number": (VIDEO, lambda p: p.followed(video="rtsp://nö host:port/x y"), "check the address"),
    "zero box": (VIDEO, lambda p: p.followed("12,10,0,0"), "2 pixels wide and high at least"),
    "NaN box": (VIDEO, lambda p: p.followed("nan,10,26,20"), "finite numbers"),
    "negative box": (VIDEO, lambda p: p.followed("12,10,-26,20"), "2 pixels wide and high at least"),
    "box outside the frame": (VIDEO, lambda p: p.followed("400,10,26,20"), "must lie in the frame of 120 x 90"),
    "video to write without a codec": (VIDEO, lambda p: p.followed("12,10,26,20", "--save", "out.ogv"), "rename it"),
    "GPU absent": (VIDEO, lambda p: p.followed("12,10,26,20", "--device", "cuda:99"), "cuda:99"),
    # others
    "damaged database of a search": ("tune_tpe.py", lambda p: p.with_database(b"words" * 999), "tune.db"),
    "no run to report": ("report.py", lambda p: [p.here / "none"], "settings.yaml"),
    "missing raw data": ("prepare_data.py", lambda p: ["crops", p.here / "none", "--out", p.here / "o"], "none"),
    "empty raw data": (
        "prepare_data.py",
        lambda p: ["crops", p.here, "--out", p.here / "o"],
        "check folder and --layout",
    ),
}


@pytest.mark.filterwarnings("error::UserWarning")  # would be further lines
@pytest.mark.parametrize("name", CASES)
def test_one_clear_line(call, place: Place, name: str):
    script, build, says = CASES[name]
    words = build(place)
    before = files(place.here)
    status, _, complaint = call(script, words)
    assert status == 2, complaint
    assert complaint.count("\n") == 1, complaint
    assert complaint.startswith(f"{Path(script).name}: "), complaint
    assert says in complaint
    after = files(place.here)
    new = {path for path in after.keys() - before.keys() if Path(path).name not in TRAINING_MAY_LEAVE}
    assert not new and before.items() <= after.items(), new


def one_line(result: tuple[int, str, str], script: str) -> str:
    status, _, complaint = result
    assert status == 2 and complaint.count("\n") == 1 and complaint.startswith(f"{script}: "), complaint
    return complaint


@pytest.mark.parametrize(
    ("code", "says"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "Read-only file system: name another place")]
)
def test_a_disk_that_takes_nothing(call, place: Place, monkeypatch: pytest.MonkeyPatch, code: int, says: str):
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    assert says in one_line(call(TEST, place.tested()), TEST)
    assert not list(place.here.rglob("*.*"))


def test_two_runs_in_one_folder(call, place: Place):
    words = place.cfg()
    place.output.mkdir()
    with open(place.output / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "is in use by process" in one_line(call(TRAIN, words), TRAIN)
    assert [path.name for path in place.output.iterdir()] == [".lock"]


def test_a_database_that_another_program_holds(call, place: Place, monkeypatch: pytest.MonkeyPatch):
    connect = sqlite3.dbapi2.connect  # it would wait for 5 s
    monkeypatch.setattr("sqlite3.dbapi2.connect", lambda *words, **more: connect(*words, **more, timeout=0.05))
    place.output.mkdir()
    with sqlite3.connect(place.output / "tune.db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in one_line(call("tune_tpe.py", place.tuned()), "tune_tpe.py")
        holder.rollback()


def test_a_mistake_in_the_settings_can_be_mended(call, place: Place):
    """The folder does not belong to settings under which nothing was done."""
    one_line(call(TRAIN, place.cfg("WIDTH: 0.125", "WIDTH: 0.125, PRETRAIN: none.pth")), TRAIN)
    status, said, complaint = call(TRAIN, place.cfg())
    assert status == 0, complaint
    assert "trained: 2 epochs" in said


def test_a_cut_checkpoint_gives_way_to_the_one_before(call, place: Place):
    words = place.cfg()
    assert call(TRAIN, words)[0] == 0
    last = place.output / "snapshot" / "checkpoint_e2.pth"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    status, _, complaint = call(TRAIN, words)
    assert status == 0 and complaint.count("\n") == 1, complaint
    assert "checkpoint_e2.pth is damaged: training goes on from the epoch before" in complaint
    assert len(last.read_bytes()) == len(whole)
