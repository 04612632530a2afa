"""Crops, annotation, counts; killed runs and changed settings."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from lib.data.index import CropSet, build_index
from lib.data.prepare import write
from lib.data.prepare.check import contact_sheet
from lib.data.prepare.crops import crop_target, encode_jpeg, mean_colour
from lib.data.prepare.layouts import find_clips
from lib.data.prepare.rules import Rules
from lib.data.prepare.write import Setting, prepare
from lib.files import UserError
from tests.data.prepare import trees

SETTING = Setting(side=100)


@pytest.fixture
def raw(tmp_path):
    """Two sequences, of which one has bad boxes, a damaged and a missing image."""
    home = tmp_path / "raw"
    trees.put_frames(home / "good", [f"{n:04d}.png" for n in range(3)])
    trees.put(home / "good" / "groundtruth.txt", "10,8,20,16\n11,8,20,16\n12,8,20,16\n")
    trees.put_frames(home / "odd", [f"{n:04d}.png" for n in range(5)])
    trees.put(home / "odd" / "0002.png", b"no picture")
    rows = ["10,8,20,16", "nan,nan,nan,nan", "10,8,20,16", "10,8,2,2", "200,8,20,16", "10,8,20,16"]
    trees.put(home / "odd" / "groundtruth.txt", "\n".join(rows))
    return home


def run(raw, out, setting=SETTING, workers=1):
    return prepare(find_clips(raw), out, setting, workers=workers, quiet=True)


def annotation(out):
    return json.loads(out.with_name(out.name + ".json").read_text())


def files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.jpg")}


def test_crops_annotation_and_counts(raw, tmp_path):
    out = tmp_path / "out"
    summary = run(raw, out)
    assert annotation(out) == {
        "good": {"00": {f"{n:06d}": [10.0 + n, 8.0, 30.0 + n, 24.0] for n in range(3)}},
        "odd": {"00": {"000000": [10.0, 8.0, 30.0, 24.0]}},
    }
    assert sorted(files(out)) == [*(f"good/{n:06d}.00.x.jpg" for n in range(3)), "odd/000000.00.x.jpg"]
    assert (summary.clips, summary.tracks, summary.crops) == (2, 2, 4)
    assert summary.left_out == Counter({"no box": 1, "image missing or damaged": 2, "tiny": 1, "outside": 1})
    assert "left out: tiny" in summary.table()


def test_a_crop_is_the_rule_applied_to_its_frame(raw, tmp_path):
    run(raw, tmp_path / "out")
    image = cv2.imread(str(raw / "good" / "0001.png"))
    crop = crop_target(image, np.array([21.0, 16.0, 20, 16]), 100, mean_colour(image))
    assert (tmp_path / "out" / "good" / "000001.00.x.jpg").read_bytes() == encode_jpeg(crop, SETTING.quality)


def test_processes_change_nothing(raw, tmp_path):
    run(raw, tmp_path / "one")
    run(raw, tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize("cut", [0, 10])
def test_killed_after_one_clip_goes_on_there(raw, tmp_path, monkeypatch, cut):
    """``cut``: so many bytes of the journal's last line were written when the kill came."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(raw, whole)
    run(raw, out)
    journal = out / write.JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    journal.write_text("".join(lines[:2]) + lines[2][:cut])
    (out / "odd" / "000000.00.x.jpg").write_bytes(b"half a")
    out.with_name("out.json").unlink()
    cropped = []
    crop_clip = write.crop_clip
    monkeypatch.setattr(write, "crop_clip", lambda name, *rest: cropped.append(name) or crop_clip(name, *rest))
    summary = run(raw, out)
    assert cropped == ["odd"]
    assert annotation(out) == annotation(whole)
    assert files(out) == files(whole)
    assert summary.crops == 4 and summary.left_out["tiny"] == 1


def test_later_clips_are_added(raw, tmp_path):
    run(raw, tmp_path / "out")
    trees.put_frames(raw / "late", ["1.png"])
    trees.put(raw / "late" / "groundtruth.txt", "10,8,20,16")
    assert run(raw, tmp_path / "out").crops == 5
    assert list(annotation(tmp_path / "out")) == ["good", "late", "odd"]


def test_another_setting_needs_another_folder(raw, tmp_path):
    run(raw, tmp_path / "out")
    with pytest.raises(UserError, match="side 100"):
        run(raw, tmp_path / "out", Setting(side=127))


def test_every_takes_each_nth_frame(raw, tmp_path):
    run(raw, tmp_path / "out", Setting(side=100, every=2))
    assert list(annotation(tmp_path / "out")["good"]["00"]) == ["000000", "000002"]


def test_rules_are_those_given(raw, tmp_path):
    lax = Rules(min_side=1, max_ratio=8, min_visible=0.4, max_fill=0.75)
    assert run(raw, tmp_path / "out", Setting(side=100, rules=lax)).crops == 5


def test_a_clip_that_cannot_be_read_is_named_and_the_rest_is_done(raw, tmp_path):
    trees.put(raw / "odd" / "groundtruth.txt", "10,8,twenty,16")
    summary = run(raw, tmp_path / "out")
    assert summary.crops == 3
    assert len(summary.problems) == 1 and "line 1" in summary.problems[0]
    assert summary.left_out == Counter({"clip that cannot be read": 1})


def test_nothing_found_and_silly_settings(raw, tmp_path):
    with pytest.raises(UserError, match="at least one clip"):
        prepare({}, tmp_path / "out", SETTING)
    with pytest.raises(UserError, match="side must be"):
        run(raw, tmp_path / "out", Setting(side=3))


def test_training_reads_what_was_written(raw, tmp_path):
    run(raw, tmp_path / "out")
    index = build_index([CropSet(name="own", path=tmp_path / "out", annotation=tmp_path / "out.json")])
    assert len(index) == 4 and index.missing == index.degenerate == 0
    assert all(index.path(n).is_file() for n in range(4))


COUNTS = {"coco": 2, "vid": 3, "det": 2, "youtubebb": 3, "got10k": 4, "lasot": 1}


@pytest.mark.parametrize("layout", list(COUNTS))
def test_official_layouts_end_to_end(tmp_path, layout):
    root = getattr(trees, layout)(tmp_path / "raw")
    summary = run(root, tmp_path / "out")
    assert summary.crops == COUNTS[layout]
    index = build_index([CropSet(name=layout, path=tmp_path / "out", annotation=tmp_path / "out.json")])
    assert len(index) == summary.crops and index.missing == 0


def test_contact_sheet_shows_the_box(tmp_path):
    """A white target on black: the drawn rectangle frames it."""
    image = np.zeros((200, 200, 3), np.uint8)
    image[80:120, 60:140] = 255
    trees.put(tmp_path / "raw" / "1.png", cv2.imencode(".png", image)[1].tobytes())
    trees.put(tmp_path / "raw" / "groundtruth.txt", "60,80,80,40")
    run(tmp_path / "raw", tmp_path / "out")
    sheet = cv2.imread(str(contact_sheet(tmp_path / "out", 5))).astype(int)
    green = (sheet[..., 1] > sheet[..., 2] + 80) & (sheet[..., 1] > sheet[..., 0] + 80)
    white = (sheet[:200, :200] > 200).all(-1)
    for axis in (0, 1):
        lit, drawn = np.flatnonzero(white.any(axis)), np.flatnonzero(green[:200, :200].any(axis))
        assert abs(lit[0] - drawn[0]) <= 4 and abs(lit[-1] - drawn[-1]) <= 4
