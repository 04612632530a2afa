"""Readers of test sets, on small trees of each layout and on the real ones."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from lib.evaluation import names
from lib.evaluation.datasets import load
from lib.evaluation.facts import OTB2013, OTB_ATTRIBUTES
from lib.evaluation.sequences import Sequence, kind
from lib.files import UserError


def put_images(folder, count, first=1, suffix=".jpg", shape=(6, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(first, first + count):
        cv2.imwrite(str(folder / f"{k:04d}{suffix}"), np.zeros((*shape, 3), np.uint8))


def otb_entry(count, name, first=1):
    boxes = [[10 + k, 20, 5, 6] for k in range(count)]
    files = [f"{first + k:04d}.jpg" for k in range(count)]
    return {"name": name, "image_files": files, "init_rect": boxes[0], "gt_rect": boxes}


def test_annotation_json(tmp_path):
    data = {"deer": otb_entry(3, "Deer"), "jogging_1": otb_entry(2, "Jogging"), "plain": otb_entry(1, "plain")}
    (tmp_path / "Mine.json").write_text(json.dumps(data))
    put_images(tmp_path / "Mine/Deer/img", 3)
    put_images(tmp_path / "Mine/jogging/img", 4)
    put_images(tmp_path / "Mine/plain", 1)
    deer, jogging, plain = load("Mine", tmp_path)
    assert kind([deer, jogging, plain]) == "otb"
    assert [path.name for path in deer.frames] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    np.testing.assert_array_equal(deer.truth, [[9, 19, 5, 6], [10, 19, 5, 6], [11, 19, 5, 6]])  # zero-based
    np.testing.assert_array_equal(deer.start(), [11.5, 22, 5, 6])
    assert deer.image_size() == (8, 6) and len(jogging) == len(jogging.frames) == 2 and len(plain.frames) == 1
    short = load("mine", tmp_path, max_frames=2)
    assert [len(s) for s in short] == [len(s.frames) for s in short] == [2, 2, 1]


def test_missing_images_are_listed(tmp_path, capsys):
    (tmp_path / "Mine.json").write_text(json.dumps({"a": otb_entry(3, "a"), "b": otb_entry(2, "b")}))
    put_images(tmp_path / "Mine/a/img", 2)
    with pytest.raises(UserError, match=r"Mine must lie complete.*2 sequences.*a: 2 of 3 images.*b: 0 of 2 images"):
        load("Mine", tmp_path)
    assert capsys.readouterr().err == ""
    assert len(load("Mine", tmp_path, truth=tmp_path / "Mine.json")[0].frames) == 0
    with pytest.raises(UserError, match="1 sequences"):
        load("Mine", tmp_path, max_frames=2)  # b alone


def test_plain_folders(tmp_path):
    for name, text in {
        "Comma": "1,2,3,4\n2,2,3,4\n",
        "Tab": "1\t2\t3\t4\r\n2\t2\t3\t4\r\n",
        "Space": "1 2 3 4\n2 2 3 4",
    }.items():
        put_images(tmp_path / "Set" / name / "img", 3)
        (tmp_path / "Set" / name / "groundtruth_rect.txt").write_text(text)
    put_images(tmp_path / "Set/Jogging/img", 2)
    for k in (1, 2):
        (tmp_path / f"Set/Jogging/groundtruth_rect.{k}.txt").write_text(f"{k} 1 5 5\n{k} 1 5 5\n")
    put_images(tmp_path / "Set/Human4/img", 1)
    for k in (1, 2):
        (tmp_path / f"Set/Human4/groundtruth_rect.{k}.txt").write_text(f"{k} 1 5 5\n")
    (tmp_path / "Set/notes").mkdir()
    found = {s.name: s for s in load("Set", tmp_path)}
    assert sorted(found) == ["Comma", "Human4", "Jogging.1", "Jogging.2", "Space", "Tab"]
    assert found["Human4"].truth[0, 0] == 1 and found["Jogging.2"].truth[0, 0] == 1  # second targets, zero-based
    for name in ("Comma", "Tab", "Space"):
        np.testing.assert_array_equal(found[name].truth, [[0, 1, 3, 4], [1, 1, 3, 4]])
        assert len(found[name].frames) == 2


def test_case_does_not_matter(tmp_path):
    put_images(tmp_path / "otb-2015/deer/IMG", 2, suffix=".JPG")
    (tmp_path / "otb-2015/deer/GroundTruth_rect.TXT").write_text("1,2,3,4\n" * 2)
    put_images(tmp_path / "vot_2017/Bag/Color", 2)
    (tmp_path / "vot_2017/Bag/groundTruth.txt").write_text("1,1,9,5\n" * 2)
    (tmp_path / "vot_2017/List.txt").write_text("bag\r\n")
    (deer,), (bag,) = load("OTB2015", tmp_path), load("VOT2017", tmp_path)
    assert len(deer.frames) == len(bag.frames) == 2 and (deer.kind, bag.kind, bag.name) == ("otb", "vot", "Bag")


def test_sequences_scored_in_part(tmp_path):
    put_images(tmp_path / "OTB2015/David/img", 770, shape=(1, 1))
    (tmp_path / "OTB2015/David/groundtruth_rect.txt").write_text("1,1,5,5\n" * 471)
    put_images(tmp_path / "OTB2015/Tiger1/img", 354, shape=(1, 1))
    (tmp_path / "OTB2015/Tiger1/groundtruth_rect.txt").write_text("".join(f"{k},1,5,5\n" for k in range(1, 355)))
    david, tiger = load("OTB2015", tmp_path)
    assert david.frames[0].name == "0300.jpg" and len(david.frames) == len(david) == 471
    assert tiger.frames[0].name == "0006.jpg" and tiger.truth[0, 0] == 5 and len(tiger) == 349


def test_vot_folders(tmp_path):
    put_images(tmp_path / "VOT2017/bag/color", 2)
    (tmp_path / "VOT2017/bag/groundtruth.txt").write_text("1,1,9,1,9,5,1,5\n" * 2)
    (tmp_path / "VOT2017/bag/occlusion.tag").write_text("0\n1\n")
    put_images(tmp_path / "VOT2017/ants", 2)
    (tmp_path / "VOT2017/ants/groundtruth.txt").write_text("1,1,9,5\n" * 2)
    bag, ants = sorted(load("VOT2017", tmp_path), key=lambda s: -s.truth.shape[1])
    assert kind([bag, ants]) == "vot"
    np.testing.assert_array_equal(bag.truth[0], [1, 1, 9, 1, 9, 5, 1, 5])
    np.testing.assert_array_equal(bag.start(), [5, 3, 9, 5])  # a rotated start is one pixel larger
    np.testing.assert_array_equal(ants.truth[0], [1, 1, 9, 5])  # as in the file
    assert bag.tags["occlusion"].tolist() == [0, 1] and len(bag.frames) == len(ants.frames) == 2
    (tmp_path / "VOT2017/list.txt").write_text("bag\n")
    assert [s.name for s in load("VOT2017", tmp_path)] == ["bag"]
    (tmp_path / "VOT2017/list.txt").write_text("bag\ngone\n")
    with pytest.raises(UserError, match="1 sequences lack files"):
        load("VOT2017", tmp_path)


def test_annotation_alone(tmp_path):
    data = {
        "a": {"gt_rect": [[0, 0, 4, 0, 4, 4, 0, 4], [1, 1, 2, 2]], "width": 30, "height": 20, "blur": [0, 1]},
        "b": {"gt_rect": [[1, 2, 3, 4]], "width": 30, "height": 20},
    }
    (tmp_path / "truth.json").write_text(json.dumps(data))
    a, b = load("VOT2018", tmp_path, truth=tmp_path / "truth.json")
    np.testing.assert_array_equal(a.truth[1], [1, 1, 3, 1, 3, 3, 1, 3])  # rows of both kinds are polygons
    assert a.size == (30, 20) and a.frames == () and a.tags["blur"].tolist() == [0, 1]
    np.testing.assert_array_equal(b.truth, [[1, 2, 3, 4]])
    (tmp_path / "texts/absent").mkdir(parents=True)
    (tmp_path / "texts/bus-1.txt").write_text("1,1,5,5\n0,0,0,0\n")
    (tmp_path / "texts/absent/bus-1.txt").write_text("0\n1\n")
    (bus,) = load("Any", tmp_path, truth=tmp_path / "texts")
    assert bus.tags["absent"].tolist() == [0, 1] and bus.truth[0].tolist() == [0, 0, 5, 5]


def test_subset_of_a_larger_set(tmp_path, capsys):
    names = OTB2013.split()
    (tmp_path / "OTB100.json").write_text(json.dumps({name: otb_entry(1, name) for name in [*names, "Extra"]}))
    for name in names:
        put_images(tmp_path / "OTB100" / name, 1, shape=(1, 1))
    assert [s.name for s in load("OTB2013", tmp_path)] == names  # Extra's images are not missed
    (tmp_path / "OTB100.json").write_text(json.dumps({name: otb_entry(1, name) for name in [*names[1:], "Extra"]}))
    with pytest.raises(UserError, match=r"51 sequences, 1 are missing, add them: Basketball$"):
        load("OTB2013", tmp_path)
    (tmp_path / "OTB100.json").write_text(json.dumps({name: otb_entry(1, name) for name in names[1:3]}))
    assert len(load("OTB2013", tmp_path)) == 2  # nothing but members: a choice
    assert "not on disk: Basketball, Car4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a json file"),
        ("[]", "must map each sequence"),
        ('{"a": {"gt_rect": []}}', "must map each sequence"),
        ('{"a": {"gt_rect": [[1, 2, 3]]}}', "a: gt_rect must be rows of 4 or 8"),
        ('{"a": {"gt_rect": [[1, 2, 3, "x"]]}}', "a: gt_rect must be rows of 4 or 8"),
        ('{"a": {"gt_rect": [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8]]}}', "all alike"),
    ],
)
def test_bad_json_is_named(tmp_path, text, message):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UserError, match=message):
        load("Mine", tmp_path, truth=tmp_path / "t.json")


def test_unknown_data_set_and_empty_kind(tmp_path):
    (tmp_path / "VOT2016").mkdir()
    with pytest.raises(UserError, match=r"OTB2013 must lie at.*holds: VOT2016"):
        load("OTB2013", tmp_path)
    with pytest.raises(UserError, match="at least one sequence"):
        load("VOT2016", tmp_path)
    with pytest.raises(UserError, match="one protocol"):
        kind([])
    with pytest.raises(UserError, match="max_frames"):
        load("VOT2016", tmp_path, max_frames=0)


def test_start_needs_an_annotation():
    sequence = Sequence("x", (), np.array([[np.nan] * 4]))
    with pytest.raises(UserError, match="sequence x: a tracker starts on a box of finite numbers"):
        sequence.start()
    assert sequence.image_size() is None


def test_real_sets(reference):
    otb = load("OTB-mini", reference / "dataset")
    assert len(otb) == 9 and kind(otb) == "otb" and all(len(s.frames) == len(s) for s in otb)
    plain = {len(s): s for s in load("OTB-MINI", reference / "dataset", truth=None)}
    assert set(plain) == {len(s) for s in otb}
    bag, book = load("VOT-mini", reference / "dataset", max_frames=30)
    assert kind([bag, book]) == "vot" and len(bag) == len(book.frames) == 30 and bag.image_size() == (480, 360)
    assert len(load("OTB2013", "none", truth=reference / "results/OTB2015.json")) == 51
    assert {s.truth.shape[1] for s in load("VOT2018", "none", truth=reference / "results/VOT2018.json")} == {4, 8}


def test_attributes_of_otb_are_known(tmp_path):
    rows = [[1, 2, 30, 40]] * 3
    titles = {"Jogging-2": {}, "Biker": {"attr": ["mine"]}, "carDark": {}, "Clip": {}}
    (tmp_path / "otb.json").write_text(json.dumps({title: {"gt_rect": rows} | more for title, more in titles.items()}))
    found = {s.name: s.tags for s in load("OTB2015", truth=tmp_path / "otb.json")}
    assert found["Jogging-2"]["attributes"].tolist() == ["OPR", "OCC", "DEF"]
    assert found["Biker"]["attributes"].tolist() == ["mine"] and found["carDark"]["attributes"].tolist() == ["IV", "BC"]
    assert "attributes" not in found["Clip"]
    assert "attributes" not in load("mine", truth=tmp_path / "otb.json")[0].tags


def test_as_many_sequences_have_an_attribute_as_plots_say():
    """The numbers in the titles of published plots, of OTB2015 and OTB2013."""
    counts = Counter(attribute for own in OTB_ATTRIBUTES.values() for attribute in own)
    want = {"IV": 38, "OPR": 63, "SV": 64, "OCC": 49, "DEF": 44, "MB": 29, "FM": 39, "IPR": 51, "OV": 14, "BC": 31}
    assert counts == want | {"LR": 9}
    older = Counter(a for name in OTB2013.split() for a in OTB_ATTRIBUTES[names.key(name)])
    want = {"IV": 25, "OPR": 39, "SV": 28, "OCC": 29, "DEF": 19, "MB": 12, "FM": 17, "IPR": 31, "OV": 6, "BC": 21}
    assert older == want | {"LR": 4}


def vot_without_images(folder):
    for name in ("ants1", "mine"):
        (folder / name).mkdir(parents=True)
        (folder / name / "groundtruth.txt").write_text("1,1,9,1,9,5,1,5\n" * 3)
    (folder / "list.txt").write_text("ants1\nmine\n")


@pytest.mark.parametrize("truth", ["VOT2018", "."])
def test_truth_may_be_the_data_set_without_images_or_what_holds_it(tmp_path, truth):
    vot_without_images(tmp_path / "VOT2018")
    ants, mine = load("VOT2018", truth=tmp_path / truth)
    assert (ants.name, mine.name, ants.kind, len(ants)) == ("ants1", "mine", "vot", 3)
    assert ants.size == (1024, 1024) and mine.size is None  # VOT's images have known sizes


def test_images_are_not_needed_to_score(tmp_path, capsys):
    vot_without_images(tmp_path / "VOT2018")
    assert len(load("VOT2018", tmp_path, images_needed=False)) == 2 and capsys.readouterr().err == ""
    with pytest.raises(UserError, match="2 sequences lack files"):
        load("VOT2018", tmp_path)
    (tmp_path / "VOT2018/mine/groundtruth.txt").unlink()
    with pytest.raises(UserError, match=r"1 sequences lack files \(mine: no text of boxes"):
        load("VOT2018", tmp_path, images_needed=False)


def test_truth_may_be_a_folder_of_annotations(tmp_path):
    (tmp_path / "OTB100.json").write_text(json.dumps({"Couple": otb_entry(3, "Couple")}))
    (tmp_path / "LaSOT.json").write_text(json.dumps({"bear-2": otb_entry(3, "bear-2")}))
    assert [s.name for s in load("OTB2015", truth=tmp_path)] == ["Couple"]
    assert [s.name for s in load("LaSOT", truth=tmp_path)] == ["bear-2"]
