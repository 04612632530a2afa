"""Spellings of sequences and data sets."""

import json

import pytest

from lib.evaluation.facts import LASOT_TEST, OTB50, OTB2013, OTB_FRAMES, UAV_PARTS
from lib.evaluation.names import canonical, is_long_term, is_vot, key, match, scored_part, spellings


@pytest.mark.parametrize("name", ["Jogging.1", "Jogging-1", "jogging_1", "jogging-1", "JOGGING 1"])
def test_spellings_of_one_target(name):
    assert key(name) == "jogging_1"
    assert match([name], ["Jogging.2", "jogging-1", "Jog"]) == {name: "jogging-1"}


def test_human4_is_its_second_target():
    assert key("Human4") == key("human4_2") == key("Human4-2") == "human4"
    assert key("Human4.1") != key("Human4")


def test_nearest_spelling_wins():
    assert match(["car1_1", "car11"], ["car11", "car1-1"]) == {"car1_1": "car1-1", "car11": "car11"}
    assert match(["Skating2.1"], ["skating21", "Skating2-2"]) == {"Skating2.1": "skating21"}
    assert match(["a_b"], ["ab", "AB"]) == {}  # two candidates without a separator: neither
    assert match(["Deer"], []) == {}


def test_otb2013_has_51_targets_all_in_otb2015(reference):
    names = OTB2013.split()
    assert len(names) == len(set(map(key, names))) == 51
    larger = json.loads((reference / "results/OTB2015.json").read_text())
    assert set(map(key, names)) <= set(map(key, larger))


def test_scored_parts_agree_with_the_published_list(reference):
    for name, entry in json.loads((reference / "results/OTB2015.json").read_text()).items():
        first, count = OTB_FRAMES.get(key(name), (1, len(entry["gt_rect"])))
        assert len(entry["gt_rect"]) == count
        assert int(entry["image_files"][0].split(".")[0]) == first


def test_scored_part():
    assert scored_part("Tiger1", 354) == slice(5, 354)
    assert scored_part("tiger1", 349) == slice(None)
    assert scored_part("David", 770) == slice(299, 770)
    assert scored_part("Football1", 81) == slice(0, 74)
    assert list(range(9))[scored_part("Deer", 9)] == list(range(9))


def test_names_of_data_sets():
    assert canonical("cvpr13") == "OTB2013" and canonical("OTB100") == "OTB2015" and canonical("mine") == "mine"
    assert spellings("OTB2013")[0] == "OTB2013" and "OTB100" in spellings("OTB2013")
    assert spellings("VOT2018") == ["VOT2018", "VOT-ST2018"] and spellings("mine") == ["mine"]
    assert canonical("got10k") == canonical("GOT-10K") == "GOT-10k" and canonical("VOT-LT2018") == "VOT2018-LT"
    assert canonical("TC128") == canonical("Temple-color-128") == "TColor-128" and canonical("nfs30") == "NFS"
    assert spellings("UAV20L")[-1] == "UAV123" and spellings("GOT-10k_Test")[-1] == "GOT-10k"
    assert is_vot("VOT2016") and not is_vot("VOT-LT2019") and is_long_term("vot2019-lt") and not is_long_term("VOT2019")


def test_lists_of_members():
    assert len(set(map(key, OTB50.split()))) == 50
    assert len(set(LASOT_TEST)) == 280 and "airplane-15" in LASOT_TEST and "zebra-17" in LASOT_TEST
    assert len(UAV_PARTS) == 51 and UAV_PARTS["car1_2"] == (751, 1627)


def test_members_are_in_the_larger_sets(reference):
    larger = json.loads((reference / "results/OTB2015.json").read_text())
    assert set(map(key, OTB50.split())) <= set(map(key, larger))


def test_names_with_the_data_set_before_them():
    found = match(["bike1", "uav1_1", "Gymnastics"], ["uav_bike1", "uav_uav1_1", "nfs_Gymnastics", "uav1_2"])
    assert found == {"bike1": "uav_bike1", "uav1_1": "uav_uav1_1", "Gymnastics": "nfs_Gymnastics"}
    assert match(["uav_car1"], ["car1", "car2"]) == {"uav_car1": "car1"}
