"""The demo data: same bytes, exact boxes, layouts that the readers take, and no photograph in two splits."""

import json

import cv2
import numpy as np
import pytest

from lib.data.demo import make_demo
from lib.data.demo.cast import cast, coverage
from lib.data.demo.photographs import SPLITS, read_photographs
from lib.data.demo.scene import HEIGHT, WIDTH, Actor, CutOut, Scene, Track, push
from lib.data.index import CropSet, build_index
from lib.evaluation.datasets import load
from lib.files import UserError
from lib.geometry.boxes import cxcywh_from_xywh, iou_xywh

COUNTS = {"train": (2, 4), "val": (1, 3), "test": (2, 4)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert make_demo(folder, counts=COUNTS, workers=1, quiet=True)
    return folder


@pytest.fixture(scope="module")
def scenes():
    photographs = read_photographs("test")
    return [cast(np.random.default_rng(seed), photographs, 60, toned=False) for seed in range(4)]


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_other_seed_others(demo, tmp_path):
    make_demo(tmp_path / "again", counts=COUNTS, workers=1, quiet=True)
    make_demo(tmp_path / "other", seed=1, counts=COUNTS, workers=1, quiet=True)
    first, again, other = (files(folder) for folder in (demo, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert [name for name in first if name in other and first[name] == other[name]] == ["VOTdemo/list.txt"]


def test_bytes_do_not_depend_on_how_many_sequences_are_asked_for(demo, tmp_path):
    make_demo(tmp_path, counts={"test": (1, 4)}, workers=1, quiet=True)
    assert files(tmp_path / "VOTdemo" / "test01") == files(demo / "VOTdemo" / "test01")


def test_complete_data_are_left_alone_and_incomplete_are_not(demo, tmp_path):
    counts = {"val": (1, 2)}
    assert make_demo(tmp_path, counts=counts, workers=1, quiet=True)
    whole = files(tmp_path)
    assert not make_demo(tmp_path, counts=counts, workers=1, quiet=True)
    (tmp_path / "demo.json").unlink()  # what a kill before the end leaves behind
    (tmp_path / "demo-val" / "val01" / "img" / "0002.jpg").unlink()
    (tmp_path / ".demo.part").mkdir()
    assert make_demo(tmp_path, counts=counts, workers=1, quiet=True)
    assert files(tmp_path) == whole
    assert make_demo(tmp_path, seed=1, counts=counts, workers=1, quiet=True)


def test_nothing_else_in_the_folder_is_touched(tmp_path):
    (tmp_path / "OTB2015").mkdir()
    (tmp_path / "OTB2015" / "note").write_text("mine")
    make_demo(tmp_path, counts={"val": (1, 1)}, workers=1, quiet=True)
    assert (tmp_path / "OTB2015" / "note").read_text() == "mine"


def test_no_photograph_is_in_two_splits():
    names = [name for split in SPLITS.values() for name in split]
    assert len(names) == len(set(names))
    assert not any("motorcycle_right" in name for name in names)  # the same scene as motorcycle_left


def test_a_missing_photograph_is_named(monkeypatch):
    read_photographs.cache_clear()
    monkeypatch.setitem(SPLITS, "val", ("absent.png",))
    with pytest.raises(UserError, match=r"absent\.png"):
        read_photographs("val")


def test_otb_and_vot_layouts_agree(demo):
    otb, vot = load("demo-test", demo), load("VOTdemo", demo)
    assert [s.name for s in otb] == [s.name for s in vot] == ["test01", "test02"]
    listing = json.loads((demo / "demo-test.json").read_text())
    for one, other in zip(otb, vot, strict=True):
        assert one.truth.shape == (4, 4) and other.truth.shape == (4, 8)
        assert one.image_size() == (WIDTH, HEIGHT)
        assert [a.read_bytes() for a in one.frames] == [b.read_bytes() for b in other.frames]
        assert np.allclose(np.array(listing[one.name]["gt_rect"])[:, :2] - 1, one.truth[:, :2])
        corners = other.truth.reshape(-1, 4, 2)
        # the outline touches all sides of its rectangle, so its box lies inside the rectangle's
        assert (one.truth[:, :2] >= corners.min(1) - 0.02).all()
        assert (one.truth[:, :2] + one.truth[:, 2:] <= corners.max(1) + 0.02).all()


def test_plain_folders_say_the_same_as_the_json(demo, tmp_path):
    (tmp_path / "plain").symlink_to(demo / "demo-val")
    (folder,), (listed,) = load("plain", tmp_path), load("demo-val", demo)
    assert np.allclose(folder.truth, listed.truth) and len(folder.frames) == len(listed.frames)


def test_crops_are_what_training_reads(demo):
    index = build_index([CropSet(name="demo", path=demo / "demo-train", annotation=demo / "demo-train.json")])
    assert len(index) >= 2 * 4  # the target of each frame, and most of the rivals
    assert index.missing == index.degenerate == 0
    crop = cv2.imread(str(index.path(0)))
    assert crop.shape == (287, 287, 3)


def rectangle_scene(angle: float, bend: float) -> tuple[Scene, Actor]:
    """A white oval on black, without camera, light or noise."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    outline = np.stack([30 * np.cos(turn), 18 * np.sin(turn)], -1)
    mask = coverage(outline, np.array([33, 21]))
    shape = CutOut(np.repeat(mask[..., None], 4, -1), outline, np.array([30.0, 18.0]))
    track = Track(np.array([[150.25, 120.5]]), np.array([[1.5, 1.2]]), np.array([angle]), np.array([[bend, -bend]]))
    actor = Actor(shape, track)
    scene = Scene(
        background=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        camera=np.array([[[1.0, 0, 0], [0, 1, 0]]]),
        actors=(actor,),
        target=0,
        rival=0,
        gain=np.ones((1, 3)),
        shadow=np.ones((1, WIDTH)),
        noise=np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.int16),
        corner=np.zeros((1, 2), int),
    )
    return scene, actor


@pytest.mark.parametrize("angle", [0, 0.4, -1.2, np.pi / 2])
@pytest.mark.parametrize("bend", [0, 0.1, -0.1])
def test_box_is_where_the_pixels_are(angle, bend):
    scene, actor = rectangle_scene(angle, bend)
    (frame,) = scene.frames()
    rows, columns = (np.flatnonzero((frame[..., 0] > 127).any(axis)) for axis in (1, 0))
    x, y, w, h = actor.box(0)
    drawn = columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5
    assert (x, y, x + w, y + h) == pytest.approx(drawn, abs=0.8)


def test_polygon_is_the_turned_extent():
    _, actor = rectangle_scene(0.4, 0)
    corners = actor.polygon(0).reshape(4, 2)
    assert corners.mean(0) == pytest.approx([150.25, 120.5])
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    assert sides == pytest.approx([90, 43.2, 90, 43.2])
    first = corners[1] - corners[0]
    assert np.arctan2(first[1], first[0]) == pytest.approx(0.4)


def test_bending_keeps_the_edges():
    half = np.array([20.0, 10.0])
    edge = np.array([[20.0, 3], [-20, 0], [5, 10], [0, -10], [25, 0]])
    assert np.abs(push(edge, half, np.array([0.1, 0.1]))).max() == 0
    assert push(np.zeros((1, 2)), half, np.array([0.1, -0.2])).tolist() == [[2, -2]]


def test_the_target_moves_and_is_seen(scenes):
    """A still box fails, the target stays in view, and the first frame shows all of it."""
    for scene in scenes:
        target = scene.actors[scene.target]
        boxes = np.stack([target.box(t) for t in range(len(scene))])
        still = iou_xywh(np.repeat(boxes[:1], len(boxes), 0), boxes)
        assert still.mean() < 0.3
        centres = cxcywh_from_xywh(boxes)[:, :2]
        assert (centres > 0).all() and (centres < [WIDTH, HEIGHT]).all()
        steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
        assert 1.5 < steps.mean() < 10 and steps.max() < 20
        for post in scene.actors[scene.target + 1 :]:
            assert iou_xywh(post.box(0), boxes[0]) == 0


def test_look_alikes_come_near_the_target(scenes):
    for scene in scenes:
        target = scene.actors[scene.target].track.centre
        for rival in scene.actors[scene.rival : scene.target]:
            gap = np.linalg.norm(rival.track.centre - target, axis=1)
            size = np.sqrt(np.prod(scene.actors[scene.target].box(0)[2:]))
            assert gap.min() < 1.6 * size
