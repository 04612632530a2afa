"""The loops of run_video and run_webcam without a screen: what they write, and how they end."""

from pathlib import Path

import numpy as np
import pytest

from lib.files import UserError
from lib.tracker.player import check_writable, follow_camera, follow_video, write_boxes
from lib.tracker.streams import Source, VideoFile, open_source


class Drifter:
    """A tracker of targets that move by (1, 2) a frame; their score falls by a tenth."""

    def __init__(self):
        self.starts = []

    def init(self, frame, xywh):
        self.starts.append(np.array(xywh, np.float64))
        self.boxes, self.score = np.array(xywh, np.float64), 1.0

    def update(self, frame):
        self.boxes, self.score = np.add(self.boxes, (1, 2, 0, 0)), self.score - 0.1
        return self.boxes, self.score if self.boxes.ndim == 1 else np.full(len(self.boxes), self.score)


class FakeWindow:
    """Presses keys in turn; selects what it is told."""

    def __init__(self, keys: str = "", box=None):
        self.keys, self.box, self.shown, self.help = list(keys), box, [], []

    def show(self, frame, text="", wait_ms=1):
        self.shown.append(frame)
        self.help.append(text)
        key = self.keys.pop(0) if self.keys else " "
        return key.strip()

    def select(self, frame):
        return self.box


def source(count: int, fails: BaseException | None = None, live: bool = True) -> Source:
    """Grey frames; after them the error."""

    def frames():
        for number in range(count):
            yield np.full((48, 64, 3), number, np.uint8)
        if fails:
            raise fails

    return Source("grey", frames(), count, fps=1000.0, live=live)


def test_a_row_for_every_frame_the_start_first():
    track = follow_video(Drifter(), source(5), [(1, 2, 10, 10), (20, 9, 10, 10)], quiet=True)
    assert track.ended == "the end"
    assert (track.boxes.shape, track.scores.shape) == ((5, 2, 4), (5, 2))
    np.testing.assert_array_equal(track.boxes[:, 0, :2], [(1 + t, 2 + 2 * t) for t in range(5)])
    np.testing.assert_allclose(track.scores[:, 1], 1 - 0.1 * np.arange(5))


def test_one_frame_is_a_video():
    assert follow_video(Drifter(), source(1), [(1, 2, 10, 10)], quiet=True).boxes.tolist() == [[[1, 2, 10, 10]]]


def test_what_was_saved_until_q_is_kept(tmp_path: Path):
    window, save = FakeWindow("   q"), VideoFile(tmp_path / "a.avi")
    track = follow_video(Drifter(), source(9), [(1, 2, 10, 10)], window=window, save=save, quiet=True)
    assert (track.ended, len(track.boxes), len(window.shown)) == ("q", 4, 4)
    assert len(list(open_source(str(tmp_path / "a.avi")).frames)) == 4


def test_what_was_saved_until_ctrl_c_is_kept(tmp_path: Path):
    save = VideoFile(tmp_path / "a.avi")
    track = follow_video(Drifter(), source(4, KeyboardInterrupt()), [(1, 2, 10, 10)], save=save, quiet=True)
    assert (track.ended, len(track.boxes)) == ("Ctrl-C", 4)
    assert len(list(open_source(str(tmp_path / "a.avi")).frames)) == 4


def test_an_error_leaves_nothing_half_written(tmp_path: Path):
    save = VideoFile(tmp_path / "a.avi")
    with pytest.raises(UserError, match="broken"):
        follow_video(Drifter(), source(4, UserError("broken")), [(1, 2, 10, 10)], save=save, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_selected_target():
    tracker = Drifter()
    track = follow_video(tracker, source(3), None, window=FakeWindow(box=(5, 6, 7, 8)), quiet=True)
    assert tracker.starts[0].tolist() == [[5, 6, 7, 8]] and len(track.boxes) == 3
    with pytest.raises(UserError, match="selected"):
        follow_video(Drifter(), source(3), None, window=FakeWindow(), quiet=True)


def test_lost_targets_are_drawn_as_lost():
    window = FakeWindow()
    follow_video(Drifter(), source(9), [(1, 2, 10, 10)], window=window, threshold=0.75, quiet=True)
    grey = [(view == 160).all(-1).any() for view in window.shown]
    assert grey == [False, False, False] + [True] * 6


@pytest.mark.parametrize("live", [True, False])
def test_camera_keys(live: bool):
    tracker, window = Drifter(), FakeWindow("  s  r q", box=(5, 6, 20, 20))
    follow_camera(tracker, source(20, live=live), window)
    assert len(tracker.starts) == 2  # select, reselect
    assert len(window.shown) == 8  # until q
    plain = [(view == view[0, 0]).all() for view in window.shown]
    assert plain == [True] * 3 + [False] * 5
    assert window.help[0] == "s select   q quit" and window.help[-1].startswith("r reselect   q quit")


def test_camera_ends_with_the_selection_or_the_stream():
    follow_camera(Drifter(), source(20), FakeWindow(" s"))  # quits while selecting
    window = FakeWindow()
    follow_camera(Drifter(), source(3), window)
    assert len(window.shown) == 3


def test_box_files(tmp_path: Path):
    boxes = np.arange(24, dtype=np.float64).reshape(3, 2, 4) / 7
    (one,) = write_boxes(tmp_path / "out.txt", boxes[:, :1])
    assert one.name == "out.txt"
    np.testing.assert_allclose(np.loadtxt(one, delimiter=","), boxes[:, 0], atol=5e-5)
    several = write_boxes(tmp_path / "out.txt", boxes)
    assert [path.name for path in several] == ["out_1.txt", "out_2.txt"]
    np.testing.assert_allclose(np.loadtxt(several[1], delimiter=","), boxes[:, 1], atol=5e-5)


def test_places_that_cannot_be_written_are_known_before(tmp_path: Path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"")
    check_writable(tmp_path / "new" / "out.txt", str(video))
    for path, why in ((tmp_path, "folder"), (video / "out.txt", "xist|irectory"), (video, "video that is read")):
        with pytest.raises(UserError, match=why):
            check_writable(path, str(video))
