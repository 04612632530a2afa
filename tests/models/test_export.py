"""ONNX graphs: every model of the zoo, the same numbers for any number of slots, precisions, files that cannot be."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lib.files import UserError
from lib.models import zoo
from lib.models.export import check, difference, export, images
from lib.models.graphs import GraphModel, files_of, load_graphs, open_model, weight_files
from lib.models.precision import in_half, in_int8
from lib.models.weights import LoadedModel, load_model
from tests.tracker.clips import small_model


def loaded(folder: Path, arch: str, **content) -> LoadedModel:
    """A small model as it comes from a file; its inputs scaled so that nothing grows beyond a half's range."""
    model = small_model(arch)
    with torch.no_grad():
        next(p for p in model.parameters() if p.dim() > 2).mul_(0.1 if "SE" in arch else 0.003)
    torch.save({"arch": arch, "state_dict": model.state_dict(), **content}, folder / "weights.pth")
    return load_model(folder / "weights.pth")


def written(folder: Path, graphs) -> Path:
    for file, content in zip(files_of(folder / "tracker.onnx"), graphs.files(), strict=True):
        file.write_bytes(content)
    return folder / "tracker.onnx"


@pytest.mark.parametrize("arch", zoo.names())
def test_every_model_of_the_zoo(tmp_path: Path, arch: str):
    of = loaded(tmp_path, arch, mapping="hinge", hyper={"lr": 0.5})
    graphs, apart = export(of, search_side=239)
    assert 0 < apart < 1e-4
    other = open_model(written(tmp_path, graphs), arch=arch)
    same = [field.name for field in dataclasses.fields(LoadedModel) if field.name not in ("model", "report", "extra")]
    assert {name: getattr(other, name) for name in same} == {name: getattr(of, name) for name in same}
    assert other.model.color == zoo.color(arch)
    # two slots of two search images each, which were in none of the checks
    z, x = images(2, 127, seed=3), images(4, 247, seed=4)
    with torch.no_grad():
        wanted = of.model.match(of.model.template(z), of.model.search(x))
        found = other.model.match(other.model.template(z), other.model.search(x))
    for one, two in zip(*((p if isinstance(p, tuple) else (p,)) for p in (wanted, found)), strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4 * float(one.abs().max()))
        assert float((one[:2] - one[2:]).abs().max()) > 1e-2 * float(one.abs().max())  # slots are told apart


def test_matching_at_three_sizes(tmp_path: Path):
    """Resized features have sides that depend on the search image's."""
    loaded(tmp_path, "SESiamFCResNet22")
    of, plain = (open_model(tmp_path / "weights.pth", matching=name) for name in ("greedypw", "corr"))
    path = written(tmp_path, export(of)[0])
    z, x = images(1, 127, seed=3), images(3, 279, seed=4)
    with torch.no_grad():
        found, wanted, once = (
            m.match(m.template(z), m.search(x)) for m in (load_graphs(path).model, of.model, plain.model)
        )
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert float((wanted - once).max()) > 0.01 * float(wanted.abs().max())
    with pytest.raises(UserError, match="leave greedypw out"):
        open_model(path, matching="greedypw")


def test_graphs_that_differ_are_refused(tmp_path: Path):
    of = loaded(tmp_path, "SiamFCRes16")
    graphs, _ = export(of, search_side=239)
    with torch.no_grad():
        of.model.backbone.layer2[0].conv1.weight.mul_(1.01)
    with pytest.raises(UserError, match=r"within 0\.0001 of the largest, they are") as error:
        check(of.model, graphs)
    assert "\n" not in str(error.value)


def test_what_onnx_has_not_is_told_in_one_line(tmp_path: Path):
    of = loaded(tmp_path, "SiamFCRes16")
    plain = of.model.fuse()
    of.model.fuse = lambda: plain
    plain.match = lambda kernels, features: torch.special.bessel_j0(features)
    with pytest.raises(UserError, match=r"SiamFCRes16 must be made of what ONNX has, it is not .*bessel_j0") as error:
        export(of)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_packages_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    of = loaded(tmp_path, "SiamFCRes16")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package}, which is not installed: pip install '\.\[onnx\]'"):
        export(of)


@pytest.mark.parametrize("arch", ["SiamFCRes16", "SiamRPNRes16", "SESiamRPNRes22DW"])
def test_precisions(tmp_path: Path, arch: str):
    of = loaded(tmp_path, arch)
    graphs, _ = export(of, search_side=239)
    half = in_half(graphs)
    whole = in_int8(graphs, images(4, 127, seed=5), images(4, 239, seed=6))
    model = graphs.model()
    lost = {g.facts["precision"]: difference(model, g.model(), g.facts, 3, 2, 239) for g in (half, whole)}
    assert 1e-5 < lost["fp16"] < 0.02 and 1e-3 < lost["int8"] < 0.3, lost
    weights = onnx.load_model_from_string(half.search).graph.initializer
    assert {tensor.data_type for tensor in weights if len(tensor.dims) == 4} == {onnx.TensorProto.FLOAT16}
    # scores and offsets come straight from float32; convolutions before them are of integers
    search = onnx.load_model_from_string(whole.search)
    makers = {output: node for node in search.graph.node for output in node.output}
    assert all(makers[output.name].op_type != "DequantizeLinear" for output in search.graph.output)
    before = [node for node in search.graph.node if node.op_type == "Conv"]
    inside = [node for node in before if makers[node.input[0]].op_type == "DequantizeLinear"]
    behind = {"SiamFCRes16": 0, "SiamRPNRes16": 1, "SESiamRPNRes22DW": 4}[arch]
    assert len(before) - len(inside) == behind
    weights = {tensor.name: tensor for tensor in search.graph.initializer}
    scales = [weights[makers[node.input[1]].input[1]].dims for node in inside]
    assert all(len(dims) == 1 and dims[0] >= 8 for dims in scales)  # one for each output channel


def test_int8_needs_crops(tmp_path: Path):
    graphs, _ = export(loaded(tmp_path, "SiamFCRes16"), search_side=239)
    with pytest.raises(UserError, match="give --crops FOLDER"):
        in_int8(graphs, torch.empty(0, 3, 127, 127), torch.empty(0, 3, 239, 239))


def test_names_of_files():
    expected = (Path("a/b.c.template.onnx"), Path("a/b.c.search.onnx"))
    for name in ("a/b.c.onnx", "a/b.c.search.onnx", "a/b.c.template.onnx", "a/b.c"):
        assert tuple(files_of(name)) == expected
    assert weight_files("a/b.c.onnx") == list(expected)
    assert weight_files("a/b.pth") == [Path("a/b.pth")]


def test_files_that_cannot_be(tmp_path: Path):
    of = loaded(tmp_path, "SiamFCRes16")
    graphs, _ = export(of, search_side=239)
    path = written(tmp_path, graphs)
    _, search = files_of(path)

    def refused(says: str, **told) -> None:
        with pytest.raises(UserError, match=says) as error:
            open_model(path, **told)
        assert "\n" not in str(error.value)

    refused("is SiamFCRes16, not SiamFCRes22", arch="SiamFCRes22")
    whole = search.read_bytes()
    search.write_bytes(dataclasses.replace(graphs, template=graphs.search).files()[1])
    refused("must be of one export")
    search.write_bytes(whole[: len(whole) // 2])
    refused("must be a whole ONNX graph")
    search.write_bytes(graphs.search)
    refused("metadata lack arch")
    search.unlink()
    refused("tracker.search.onnx does not: make it")


def test_templates_of_another_side(tmp_path: Path):
    of = loaded(tmp_path, "SiamFCRes22")
    model = load_graphs(written(tmp_path, export(of, template_side=135, search_side=263)[0])).model
    assert isinstance(model, GraphModel) and model.fuse() is model
    assert model.template(images(1, 135))[0].shape[-1] == 6
    with pytest.raises(UserError, match=r"of side 135, the hyper-parameters ask for 127: .* --template_side 127"):
        model.template(images(1, 127))
