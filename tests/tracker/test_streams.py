"""Sources and the saved video: what goes in comes out; what cannot be read says so in a line."""

import json
import os
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.files import UserError
from lib.tracker.streams import VideoFile, _newest, fitted, open_source


def images(count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> list[np.ndarray]:
    width, height = size
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def lossless(path: Path, frames: list[np.ndarray], fps: float = 12.5) -> Path:
    """A video whose pixels survive."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), fps, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def read(source: str | Path) -> list[np.ndarray]:
    return list(open_source(str(source)).frames)


def test_a_video_file_gives_its_frames(tmp_path: Path):
    # FFV1 in OpenCV holds YUV: grey survives exactly
    frames = [np.repeat(image[..., :1], 3, 2) for image in images(7)]
    path = lossless(tmp_path / "käse: 100 % spaß.avi", frames)
    source = open_source(str(path))
    assert (source.count, source.fps, source.live) == (7, 12.5, False)
    seen = list(source.frames)
    assert len(seen) == 7
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(seen, frames, strict=True)) <= 3


def test_the_reference_video_is_decoded_to_the_recorded_bytes(reference: Path):
    recorded = json.loads((reference / "golden" / "trackers.json").read_text())
    sums = recorded["frame_crc32"]
    frames = open_source(str(reference / "videos" / "bag.avi")).frames
    assert [zlib.crc32(frame.tobytes()) for frame, _ in zip(frames, sums, strict=False)] == sums


def test_a_folder_of_frames_goes_by_number_and_keeps_sizes(tmp_path: Path):
    sizes = [(20 + 2 * n, 30) for n in range(12)]
    for number, size in enumerate(sizes):
        cv2.imwrite(str(tmp_path / f"frame {number}.png"), images(1, size)[0])
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n")
    source = open_source(str(tmp_path))
    assert source.count == 12
    assert [(frame.shape[1], frame.shape[0]) for frame in source.frames] == sizes


@pytest.mark.parametrize("kind", ["grey", "16 bit", "alpha"])
def test_images_of_any_kind_become_bgr_bytes(tmp_path: Path, kind: str):
    image = images(1)[0]
    odd = {"grey": image[..., 0], "16 bit": image.astype(np.uint16) * 257, "alpha": np.dstack([image, image[..., 0]])}
    cv2.imwrite(str(tmp_path / "0.png"), odd[kind])
    (frame,) = read(tmp_path / "0.png")
    assert (frame.shape, frame.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(frame, np.repeat(image[..., :1], 3, 2) if kind == "grey" else image)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "does not exist"), ("folder", "holds none"), (b"", "cannot be opened"), (b"text" * 99, "cannot be opened")],
)
def test_what_cannot_be_read_says_so_in_one_line(tmp_path: Path, content: bytes | str | None, says: str):
    path = tmp_path / "video.mp4"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(UserError, match=says) as error:
        read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"), [("77", "camera 77 .*: cameras seen here"), ("http://127.0.0.1:9/none.mp4", "check the address")]
)
def test_what_cannot_be_reached_says_so(name: str, says: str):
    with pytest.raises(UserError, match=says):
        read(name)


def test_a_damaged_image_is_named(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "0.png"), images(1)[0])
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    frames = open_source(str(tmp_path)).frames
    assert next(frames).shape == (48, 64, 3)
    with pytest.raises(UserError, match=r"1\.png"):
        list(frames)


def test_a_cut_video_gives_what_it_has_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = lossless(tmp_path / "v.avi", images(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 5 < len(read(path)) < 15
    assert "promises 20 frames" in capfd.readouterr().err


def test_the_newest_frame_only():
    """Frames that come while one is in use are dropped, never held back."""
    made, go, leave = threading.Event(), threading.Event(), threading.Event()

    def camera():
        yield np.full(1, 0)
        go.wait(5)
        for number in (1, 2, 3):
            yield np.full(1, number)
        made.set()  # comes after the third was offered
        leave.wait(5)

    frames = _newest(camera())
    assert next(frames) == 0
    go.set()
    assert made.wait(5)
    assert next(frames) == 3
    leave.set()
    assert next(frames, None) is None


def test_newest_passes_errors_on():
    def camera():
        raise UserError("no frames")
        yield

    with pytest.raises(UserError, match="no frames"):
        next(_newest(camera()))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a b/c.mkv", "ä.MOV"])
@pytest.mark.parametrize("size", [(64, 48), (17, 33), (16, 16), (1, 1)])
def test_a_saved_video_can_be_read(tmp_path: Path, name: str, size: tuple[int, int]):
    video = VideoFile(tmp_path / name, fps=25)
    frame = np.full((size[1], size[0], 3), (40, 120, 200), np.uint8)
    for _ in range(3):
        video.write(frame)
    assert not (tmp_path / name).exists()  # a reader never sees a part
    video.close()
    seen = read(tmp_path / name)
    assert len(seen) == 3
    assert seen[0].shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    assert np.abs(seen[0].mean((0, 1)) - (40, 120, 200)).max() < 12
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_frames_of_other_sizes_are_fitted_in(tmp_path: Path):
    video = VideoFile(tmp_path / "a.avi")
    for size in ((64, 48), (640, 100), (10, 10)):
        video.write(np.full((size[1], size[0], 3), 250, np.uint8))
    video.close()
    white = [(frame > 128).all(-1) for frame in read(tmp_path / "a.avi")]
    assert white[0].all()
    # 640 x 100 fills the width and a tenth of it in height; 10 x 10 fills the height
    assert white[1].all(1).sum() == pytest.approx(10, abs=2) and white[1].any(0).all()
    assert white[2].all(0).sum() == pytest.approx(48, abs=2) and white[2].any(1).all()


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "ä.MOV"])
def test_what_a_killed_run_left_of_a_video_is_swept(tmp_path: Path, name: str):
    killed, running = VideoFile(tmp_path / name), VideoFile(tmp_path / name)
    for video in (killed, running):
        video.write(np.zeros((48, 64, 3), np.uint8))
    os.utime(killed.beside, (0, 0))
    VideoFile(tmp_path / "another.mp4")
    assert not killed.beside.exists() and running.beside.exists()


@pytest.mark.parametrize("size", [(1, 1), (31, 7), (64, 48), (4000, 3), (100, 48)])
def test_fitted_keeps_the_whole_frame(size: tuple[int, int]):
    frame = np.full((size[1], size[0], 3), 200, np.uint8)
    image = fitted(frame, (64, 48))
    assert image.shape == (48, 64, 3)
    rows, columns = np.nonzero(image[..., 0])
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert width == 64 or height == 48  # touches two sides at least
    scale = min(64 / size[0], 48 / size[1])
    assert (width, height) == pytest.approx((max(1, scale * size[0]), max(1, scale * size[1])), abs=0.51)
    assert abs(columns.min() - (64 - width) / 2) <= 0.5 and abs(rows.min() - (48 - height) / 2) <= 0.5


def test_an_odd_side_repeats_its_last_line():
    frame = images(1, (7, 5))[0]
    image = fitted(frame, (8, 6))
    np.testing.assert_array_equal(image[:5, :7], frame)
    np.testing.assert_array_equal(image[5, :7], frame[4])


def test_nothing_is_left_of_an_abandoned_video(tmp_path: Path):
    video = VideoFile(tmp_path / "a.mp4")
    video.write(images(1)[0])
    video.abandon()
    VideoFile(tmp_path / "b.mp4").close()  # without a frame there is no file
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(UserError, match=r"\.mp4, \.mov, \.mkv, \.avi; got .*a\.gif"):
        VideoFile(tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="another folder"):
        VideoFile(tmp_path / "file" / "a.mp4")
    video = VideoFile(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="cannot be written as 9000 x 20"):
        video.write(np.zeros((20, 9000, 3), np.uint8))
    assert not (tmp_path / "a.mp4").exists()
