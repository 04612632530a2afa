"""Reading weights: every form of file, what they are of, and what is refused."""

import json
import os
import pickle

import numpy as np
import pytest
import torch

from lib.files import UserError
from lib.models import zoo
from lib.models.weights import fill, load_model, load_weights, read

WIDTH = 0.25


def small(arch: str = "SiamFCRes22", width: float = WIDTH, **options) -> torch.nn.Module:
    return zoo.build(arch, width=width, **options).eval()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_every_form_of_file_gives_the_same_tensors(tmp_path, legacy, prefix, wrapper):
    model = small()
    state = {prefix + key: value for key, value in model.state_dict().items()}
    content = {wrapper: state, "epoch": 3, "arch": "SiamFCRes22"} if wrapper else state
    path = tmp_path / "weights.model"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    state, extra = read(path)
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    assert extra == ({"epoch": 3, "arch": "SiamFCRes22"} if wrapper else {})
    assert load_weights(path).arch == "SiamFCRes22"


@pytest.mark.parametrize("width", [0.1, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamFCRes22W", "SiamFCIncep22", "SiamFCDense"])
def test_architecture_and_width_come_from_the_shapes(tmp_path, arch, width):
    model = small(arch, width)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    loaded = load_weights(tmp_path / "a.pth")
    assert loaded.arch == arch and loaded.cls_type is None and loaded.anchors is None
    shapes = {key: value.shape for key, value in zoo.build(arch, width=loaded.width).state_dict().items()}
    assert shapes == {key: value.shape for key, value in model.state_dict().items()}


@pytest.mark.parametrize("cls_type", ["thinner", "thicker"])
@pytest.mark.parametrize("arch", ["SiamRPNRes22", "SiamRPNAlexDW"])
@pytest.mark.parametrize(("ratios", "scales"), [((1,), (8,)), ((0.5, 1, 2), (8, 16))])
def test_class_type_and_anchors_come_from_the_shapes(tmp_path, arch, cls_type, ratios, scales):
    model = small(arch, cls_type=cls_type, ratios=ratios, scales=scales)
    path = tmp_path / "a.pth"
    torch.save(model.state_dict(), path)
    loaded = load_weights(path)
    anchors = len(ratios) * len(scales)
    assert (loaded.arch, loaded.cls_type, loaded.anchors) == (arch, cls_type, anchors)
    with pytest.raises(UserError, match=f"has {anchors} anchors in a cell"):
        load_model(path)
    assert load_model(path, ratios=ratios, scales=scales).ratios == ratios
    torch.save({"state_dict": model.state_dict(), "model": {"width": WIDTH, "ratios": ratios, "scales": scales}}, path)
    full = load_model(path, arch=arch, cls_type=cls_type, anchors=anchors)
    assert (full.ratios, full.scales, full.width) == (ratios, scales, WIDTH)


def test_a_flag_that_contradicts_the_file_is_an_error(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(small("SiamRPNRes22").state_dict(), path)
    for said in ({"arch": "SiamFCRes22"}, {"cls_type": "thicker"}, {"anchors": 3}):
        with pytest.raises(UserError, match=f"is .*, not {next(iter(said.values()))}"):
            load_model(path, **said)
    loaded = load_model(path, arch="SiamRPNRes22", cls_type="thinner", anchors=5)
    assert loaded.ratios == (0.33, 0.5, 1, 2, 3) and loaded.scales == (8,) and loaded.mapping == "sigmoid"


def test_our_checkpoints_say_how_logits_become_scores(tmp_path):
    content = {"state_dict": small().state_dict(), "mapping": "hinge", "epoch": 7}
    torch.save(content, tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth")
    assert loaded.mapping == "hinge" and loaded.extra["epoch"] == 7


def test_counters_of_older_files_may_be_missing_and_strangers_are_reported(tmp_path):
    state = {key: value for key, value in small().state_dict().items() if "num_batches" not in key}
    torch.save(state | {"criterion.weight": torch.ones(2)}, tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth")
    assert loaded.report.unused == ["criterion.weight"]
    assert str(loaded.report).endswith("unused: criterion.*") and "missing: " in str(loaded.report)
    assert all("num_batches" in key for key in loaded.report.missing)


def test_weights_that_lack_a_layer_are_refused_by_its_name(tmp_path):
    state = {key: value for key, value in small("SiamRPNRes22").state_dict().items() if ".search_cls." not in key}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"must hold all weights of SiamRPNRes22|lacks connect_model"):
        load_model(tmp_path / "a.pth")


def test_shapes_of_no_width_are_refused(tmp_path):
    state = small().state_dict()
    state["features.features.layer1.0.conv2.weight"] = torch.zeros(17, 16, 3, 3)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match="SiamFCRes22 at some width"):
        load_model(tmp_path / "a.pth")


class Hostile:
    def __reduce__(self):
        return os.system, ("echo this must never run > hostile_was_here",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_in_one_line(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": small().state_dict(), "x": Hostile()}, "a.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        UserError, match=r"a\.pth must hold tensors and plain values alone, it asks for \w+\.system"
    ) as e:
        load_weights("a.pth")
    assert "\n" not in str(e.value)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError, match=r"b\.pth must"):
        load_weights("b.pth")
    assert not (tmp_path / "hostile_was_here").exists()


def test_whole_models_and_numpy_objects_are_refused(tmp_path):
    torch.save(small(), tmp_path / "a.pth")
    torch.save({"state_dict": small().state_dict(), "best": np.float64(0.5)}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match="must hold tensors and plain values alone"):
            load_weights(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut off"])
def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pth must") as e:
        load_weights(tmp_path / "a.pth")
    assert "\n" not in str(e.value)


def test_what_is_not_there_or_not_ours_is_named(tmp_path):
    with pytest.raises(UserError, match="does not: check the path"):
        load_weights(tmp_path / "none.pth")
    with pytest.raises(UserError, match="is a folder"):
        load_weights(tmp_path)
    torch.save({"some.layer.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"none has names like some\.layer\.weight"):
        load_weights(tmp_path / "a.pth")
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="must hold a state_dict"):
        load_weights(tmp_path / "a.pth")


def test_fill_takes_what_fits_and_reports_the_rest():
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    name = "features.features.conv1.weight"
    other = "features.features.bn1.weight"
    report = fill(model, {name: torch.ones(16, 3, 7, 7), other: torch.ones(3), "x": torch.ones(1)})
    assert report.loaded == [name] and report.unused == [other, "x"]
    assert bool((model.state_dict()[name] == 1).all())
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in report.missing)
    assert len(report.missing) == len(before) - 1


def test_released_files_load_as_what_they_are(tmp_path, reference):
    # the released checkpoints' own names and shapes, filled with zeros
    recorded = json.loads((reference / "golden/state_dict_keys.json").read_text())
    for name in ("SiamFCRes22W", "SiamFCNext22", "SiamRPNRes22_thinner"):
        shapes = {f"module.{key}": torch.zeros(()).expand(shape) for key, shape in recorded[name]}
        torch.save({"state_dict": shapes, "arch": "anything", "epoch": 50}, tmp_path / "released.pth")
        loaded = load_weights(tmp_path / "released.pth")
        arch, _, cls_type = name.partition("_")
        assert (loaded.arch, loaded.cls_type, loaded.width) == (arch, cls_type or None, 1.0)
        assert loaded.anchors == (5 if cls_type else None)
