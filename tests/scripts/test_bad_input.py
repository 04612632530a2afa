"""Bad input through the command line: one clear line, a status that is not 0, and nothing half-written.

A line says what must hold, what came and what to do. Each case runs the script in this process, as it would run alone.
"""

import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.scripts.bad_inputs import INF, NAN, ROWS, Place, annotation, make_common

ROOT = Path(__file__).parents[2]
TRAINING_MAY_LEAVE = {".lock", "settings.yaml", "state.json", "tracker.json"}  # who runs, with what, how far


LISTING = {"fewer frames than boxes"}  # what is said of many files stands in a list above the line


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("common") / "Größe & Übung"
    folder.mkdir()
    return make_common(folder)


@pytest.fixture
def place(common: Path, tmp_path: Path) -> Place:
    here = tmp_path / "çà et là"
    here.mkdir()
    return Place(common, here)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Place):
    """Runs a script of the repository in this process: (status, stdout, stderr), those of libraries included."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(place.here)
    on_term, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()

    def run(script: str, words: list[object]) -> tuple[int, str, str]:
        path = script if "/" in script or script.startswith("evalution") else f"siamese_tracking/{script}"
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        status = 0
        try:
            runpy.run_path(str(ROOT / path), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        return status, *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, on_term)
    torch.set_num_threads(threads)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_shown(text: str) -> str:
    """What a terminal shows: a progress bar is overwritten by what comes after it."""
    return "".join(line.rpartition("\r")[2] for line in text.splitlines(keepends=True))


Build = Callable[[Place], list]

ONEKEY, TRAIN, TEST = "onekey.py", "train_siamfc.py", "test_siamfc.py"
EVAL_OTB, EVAL_VOT, VIDEO = "lib/core/eval_otb.py", "lib/core/eval_vot.py", "run_video.py"

CASES: dict[str, tuple[str, Build, str]] = {
    # settings
    "missing settings file": (ONEKEY, lambda p: ["--cfg", "none.yaml"], "none.yaml cannot be read"),
    "settings with !!python": (
        TRAIN,
        lambda p: p.cfg("PRINT_FREQ: 1", "PRINT_FREQ: !!python/object/apply:os.getcwd []"),
        "tiny.yaml, line 4: not YAML of plain values",
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
    "NaN boxes": (TRAIN, lambda p: p.with_annotation(annotation([1, 2, NAN, 4])), "boxes without area"),
    "negative boxes": (TRAIN, lambda p: p.with_annotation(annotation([9, 9, 4, 4])), "boxes without area"),
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
def test_one_clear_line(run, place: Place, name: str):
    script, build, says = CASES[name]
    words = build(place)
    before = files(place.here)
    status, _, complaint = run(script, words)
    complaint = as_shown(complaint)
    assert status == 2, complaint
    *listed, line = complaint.splitlines()
    assert not listed or name in LISTING, complaint
    assert line.startswith(f"{Path(script).name}: "), complaint
    assert says in complaint
    after = files(place.here)
    new = {path for path in after.keys() - before.keys() if Path(path).name not in TRAINING_MAY_LEAVE}
    assert not new and before.items() <= after.items(), new
