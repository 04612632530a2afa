"""Frames ahead of their use."""

from pathlib import Path

from lib.tracker.frames import WAITING, FrameSupply, read_image
from tests.tracker.clips import render


def test_frames_that_nobody_comes_for_are_let_go(tmp_path: Path):
    paths = list(render(tmp_path, "clip", frames=12, size=(120, 90), seed=0).frames)
    supply = FrameSupply(workers=1)
    for first in range(len(paths) - 1):
        supply.prefetch(paths[first : first + 2])
    assert set(supply.ahead) == set(paths[-2 * WAITING :])
    images = supply.frames([paths[0], paths[-1]]).images()  # one let go and one waiting: both come
    assert set(supply.ahead) == set(paths[-2 * WAITING : -1])
    for image, path in zip(images, (paths[0], paths[-1]), strict=True):
        assert (image.numpy() == read_image(path)).all()
    supply.close()
