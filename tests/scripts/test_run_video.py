"""run_video.py and run_webcam.py without a display: what they write, and one line for bad input."""

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lib.geometry.boxes import cxcywh_from_xywh
from lib.tracker.streams import open_source
from tests.scripts.live import ROOT, TARGET, checkpoint, clip, frame, start
from tests.tracker.test_recorded_tracks import Recorded

BOX = ",".join(map(str, TARGET))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "checkpoint_e1.pth")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("video") / "clip.avi", 8)


@pytest.fixture
def run(in_process, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weights: Path):
    """Runs a script in this process: (status, stdout, stderr)."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    def run(*words: object, script: str = "run_video.py", resume: object = weights) -> tuple[int, str, str]:
        given = ["--resume", resume] if resume else []
        status = in_process(ROOT / "siamese_tracking" / script, *given, *words)
        return status, *capsys.readouterr()

    return run


def rows(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", ndmin=2)


BOX_FORMS = [[BOX], [f"[{BOX}]"], ["[100,", "120,", "50,", "40]"], ["100", "120", "50", "40"], ["[100, 120, 50, 40]"]]


@pytest.mark.parametrize("words", BOX_FORMS, ids=" ".join)
def test_video_and_boxes_are_written(run, video: Path, tmp_path: Path, words: list[str]):
    out, text = tmp_path / "out.mp4", tmp_path / "out.txt"
    status, said, complaint = run("--video", video, "--init_bbox", *words, "--save", out, "--boxes", text)
    assert (status, complaint) == (0, "")
    assert said.startswith("8 frames in ") and said.rstrip().endswith(f"written: {text}, {out}")
    boxes = rows(text)
    assert boxes.shape == (8, 4) and boxes[0].tolist() == list(TARGET)
    saved = list(open_source(str(out)).frames)
    assert len(saved) == 8
    # something was drawn around the start
    change = cv2.absdiff(saved[0], frame(0)).max(-1) > 60
    assert change[115:170, 95:160].sum() > 100 > change[:80].sum()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.txt"]


def test_several_targets_in_one_batch(run, video: Path, tmp_path: Path):
    status, _, _ = run(
        "--video",
        video,
        "--init_bbox",
        BOX,
        "--target",
        "9,9,30,30",
        "--target",
        "[200, 9, 30, 30]",
        "--boxes",
        tmp_path / "b.txt",
    )
    assert status == 0
    starts = [rows(tmp_path / f"b_{number}.txt")[0].tolist() for number in (1, 2, 3)]
    assert starts == [list(TARGET), [9, 9, 30, 30], [200, 9, 30, 30]]


def test_a_folder_of_frames_of_any_size_and_kind(run, tmp_path: Path):
    folder = tmp_path / "my frames ü"
    folder.mkdir()
    for number, image in enumerate(
        (frame(0), frame(1)[:200], frame(2)[..., 0], frame(3)[:, :300].astype(np.uint16) * 257)
    ):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    out = tmp_path / "o ü.avi"
    status, said, _ = run("--video", folder, "--init_bbox", BOX, "--save", out)
    assert status == 0 and said.startswith("4 frames")
    assert {image.shape for image in open_source(str(out)).frames} == {(240, 320, 3)}


def test_one_image_and_nothing_written(run, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "one.png"), frame(0)[:16, :16])
    status, said, _ = run("--video", tmp_path / "one.png", "--init_bbox", "4,4,6,6")
    assert status == 0 and "1 frames" in said and "nothing (--save" in said
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["scale_lr=0", "w_influence=0.1"],
        [str(ROOT / "experiments/test/OTB/SiamFCRes22.yaml"), "OTB2015"],
    ],
)
def test_hyper_parameters_matter(run, video: Path, tmp_path: Path, words: list[str]):
    for name, hyper in (("a", []), ("b", ["--hyper", *words])):
        assert run("--video", video, "--init_bbox", BOX, "--boxes", tmp_path / name, *hyper)[0] == 0
    assert np.abs(rows(tmp_path / "a") - rows(tmp_path / "b")).max() > 0.01


def test_the_threshold_counts_the_lost(run, video: Path):
    for threshold, lost in (("1.1", 8), ("-1", 0)):
        _, said, _ = run("--video", video, "--init_bbox", BOX, "--threshold", threshold)
        assert f"(lost): {lost} frames" in said


def test_the_published_track_from_the_command_line(run, reference: Path, tmp_path: Path):
    """Weights as released, hyper-parameters and start box as text, a folder of frames: the recorded boxes come out."""
    recorded = Recorded(reference, "SiamRPNRes22_thinner/hp")
    torch.save({f"module.{key}": value for key, value in recorded.model.state_dict().items()}, tmp_path / "rpn.model")
    video = open_source(str(reference / "videos" / "bag.avi"))
    (tmp_path / "img").mkdir()
    for number, image in zip(range(8), video.frames, strict=False):
        cv2.imwrite(str(tmp_path / "img" / f"{number}.png"), image)
    centre, size = recorded.boxes[0, :2], recorded.boxes[0, 2:]
    box = ",".join(map(repr, [*(centre - size / 2).tolist(), *size.tolist()]))
    hyper = [f"{name}={value}" for name, value in recorded.hyper.items()]
    words = ["--arch", "SiamRPNRes22", "--video", tmp_path / "img", "--init_bbox", box, "--hyper", *hyper]
    assert run(*words, "--boxes", tmp_path / "b.txt", resume=tmp_path / "rpn.model")[0] == 0
    boxes = cxcywh_from_xywh(rows(tmp_path / "b.txt"))
    np.testing.assert_allclose(boxes, recorded.boxes[:8], atol=5e-3)
    assert np.abs(boxes[-1] - boxes[0]).max() > 1


BAD = [
    (["--init_bbox", "1,2,3"], "a box must be four numbers"),
    (["--init_bbox", "a,b,c,d"], "a box must be four numbers"),
    (["--init_bbox", "nan,2,30,30"], "finite"),
    (["--init_bbox", "900,2,30,30"], "must lie in the frame of 320 x 240"),
    (["--init_bbox", "9,9,1,1"], "2 pixels wide and high at least"),
    (["--init_bbox", "9,9,30,30", "--target", "9,9,900,30"], "must not be larger than the frame"),
    ([], "--init_bbox x,y,width,height"),
    (["--init_bbox", BOX, "--show"], "a window needs a display"),
    (["--init_bbox", BOX, "--save", "out.gif"], ".mp4, .mov, .mkv, .avi"),
    (["--init_bbox", BOX, "--boxes", "."], "it is a folder"),
    (["--init_bbox", BOX, "--hyper", "scale_step=x"], "name=number"),
    (["--init_bbox", BOX, "--hyper", "scale_step=9"], "1..1.2"),
    (["--init_bbox", BOX, "--hyper", "lr=.3"], "rename"),
    (["--init_bbox", BOX, "--hyper", "none.yaml"], "none.yaml"),
    (["--init_bbox", BOX, "--hyper", str(ROOT / "experiments/test/OTB/SiamFCRes22.yaml")], "OTB2013, OTB2015"),
    (["--init_bbox", BOX, "--device", "cuda:9"], "the device cuda:9 must be here"),
    (["--init_bbox", BOX, "--device", "abacus"], "the device abacus must be here"),
    (["--init_bbox", BOX, "--arch", "SiamRPNRes22"], "SiamFCRes22"),
    (["--init_bbox", BOX, "--video", "none.mp4"], "none.mp4 does not exist"),
    (["--init_bbox", BOX, "--video", "88"], "camera 88 cannot be opened"),
    (["--init_bbox", BOX, "--resume", "none.pth"], "none.pth"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[f"{says[:20]}" for _, says in BAD])
def test_bad_input_is_one_line(run, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, says: str):
    monkeypatch.chdir(tmp_path)
    status, said, complaint = run("--video", video, *words)
    assert (status, said) == (2, "")
    assert complaint.startswith("run_video.py: ") and complaint.count("\n") == 1 and says in complaint
    assert list(tmp_path.iterdir()) == []


def test_the_video_itself_is_not_overwritten(run, video: Path):
    before = video.read_bytes()
    status, _, complaint = run("--video", video, "--init_bbox", BOX, "--save", video)
    assert status == 2 and "it is the video that is read" in complaint
    assert video.read_bytes() == before


def test_webcam_needs_a_display(run, video: Path):
    status, _, complaint = run("--camera", video, script="run_webcam.py")
    assert status == 2 and complaint.count("\n") == 1 and "a window needs a display" in complaint


def test_an_unreadable_video_and_a_dead_display_are_one_line(weights: Path, tmp_path: Path):
    """In processes of their own: FFmpeg's and Qt's own complaints would be lines of the process."""
    (tmp_path / "v.mp4").write_bytes(b"text" * 99)
    words = ["--resume", weights, "--video", tmp_path / "v.mp4"]
    damaged = start("run_video.py", *words, "--init_bbox", BOX, "--boxes", tmp_path / "b.txt")
    dead = start("run_video.py", *words, display=":6553")
    for process, says in ((damaged, "cannot be opened as a video"), (dead, "the display cannot be opened: give the")):
        said, complaint = process.communicate(timeout=120)
        assert (process.returncode, said, complaint.count("\n")) == (2, "", 1), complaint
        assert says in complaint


def test_what_was_written_until_a_signal_is_kept(weights: Path, tmp_path: Path):
    long = clip(tmp_path / "long.avi", 3000)
    words = ["--resume", weights, "--video", long, "--init_bbox", BOX]
    running = {}
    for stop in (signal.SIGINT, signal.SIGTERM):
        folder = tmp_path / stop.name
        running[stop] = start("run_video.py", *words, "--save", folder / "out.mp4", "--boxes", folder / "out.txt")
    for stop, process in running.items():
        folder = tmp_path / stop.name
        deadline = time.monotonic() + 120
        while not list(folder.glob(".out*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(stop)
    for stop, process in running.items():
        folder = tmp_path / stop.name
        said, complaint = process.communicate(timeout=120)
        assert process.returncode == 130, complaint
        assert "to Ctrl-C" in said
        frames, lines = len(list(open_source(str(folder / "out.mp4")).frames)), len(rows(folder / "out.txt"))
        assert 1 <= frames <= lines <= frames + 1 < 3000
        assert sorted(path.name for path in folder.iterdir()) == ["out.mp4", "out.txt"]
