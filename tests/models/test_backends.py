"""What runs a network: each gives the eager model's answers, or gives way to it and says why."""

import time

import pytest
import torch

from lib.files import UserError
from lib.models import backends
from lib.models.backends import BUILDERS, fastest, milliseconds, running
from tests.tracker.clips import small_model


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def fused(arch: str):
    model = small_model(arch)
    next(p for p in model.parameters() if p.dim() > 2).mul_(0.003)  # answers of order one
    return model.fuse()


def inputs(model, slots: int, searches: int):
    z, x = torch.rand(slots, 3, 127, 127) * 255, torch.rand(slots * searches, 3, 239, 239) * 255
    return model.template(z), x


def parts(prediction):
    return prediction if isinstance(prediction, tuple) else (prediction,)


def assert_same(found, wanted):
    for one, two in zip(parts(found), parts(wanted), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4 * float(two.abs().max()))


@pytest.mark.parametrize(("arch", "searches"), [("SiamFCRes22", 3), ("SiamRPNRes22", 1)])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_graphs_answer_as_the_model_does(capsys, backend: str, arch: str, searches: int):
    """For one slot, then for more, of which the graph was not made."""
    pytest.importorskip(backend)
    model = fused(arch)
    other = running(model, backend)
    for slots in (1, 3):
        kernels, x = inputs(other, slots, searches)
        assert_same(other.match(kernels, other.search(x)), model.match(kernels, model.search(x)))
    assert capsys.readouterr().err == ""
    assert other.runs and other.color == "bgr" and next(other.parameters()) is next(model.parameters())


class Plain:
    """A model of one operation, and no backbone."""

    backbone = None

    def search(self, x):
        return x.relu() + 1

    def match(self, kernels, features):
        return features * kernels[0]


def test_a_compiled_program_answers_as_the_model_does(monkeypatch):
    """Without the seconds that a compiler takes: what is called with what."""
    called = []

    def compile_(function, **options):
        called.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    run = backends.compiled(Plain(), (torch.ones(1),), torch.zeros(2))
    assert run((torch.full((1,), 2.0),), torch.full((2,), 3.0)).tolist() == [8, 8] and called == [
        {"fullgraph": True, "options": {"freezing": True}}
    ]


def broken(*_):
    raise RuntimeError("no compiler\nat line 7 of a long story")


def test_what_cannot_be_built_gives_way_and_says_why(capsys, monkeypatch):
    monkeypatch.setitem(BUILDERS, "compiled", broken)
    model = fused("SiamRPNRes22")
    other = running(model, "compiled")
    kernels, x = inputs(other, 1, 1)
    for _ in range(2):
        assert_same(other.match(kernels, other.search(x)), model.match(kernels, model.search(x)))
    assert capsys.readouterr().err == "compiled gives way to eager: no compiler\n"


def test_what_fails_later_gives_way_then(capsys, monkeypatch):
    """As a program may that is for the first shape alone."""

    def one_slot_alone(model, kernels, x):
        run = backends.eager(model, kernels, x)
        return lambda kernels, x: run(kernels, x) if len(x) == 1 else broken()

    monkeypatch.setitem(BUILDERS, "compiled", one_slot_alone)
    model = fused("SiamRPNRes22")
    other = running(model, "compiled")
    for slots in (1, 2, 1):
        kernels, x = inputs(other, slots, 1)
        assert_same(other.match(kernels, other.search(x)), model.match(kernels, model.search(x)))
    assert capsys.readouterr().err == "compiled gives way to eager on images (2, 3, 239, 239): no compiler\n"


def test_the_fastest_is_taken_of_those_that_agree(capsys):
    def slow(model, kernels, x):
        return lambda kernels, x: time.sleep(0.02) or model.match(kernels, model.search(x))

    def off(model, kernels, x):
        return lambda kernels, x: model.match(kernels, model.search(x)) * 1.001

    def none(model, kernels, x):
        return lambda kernels, x: model.match(kernels, model.search(x)) * float("nan")

    def other_shape(model, kernels, x):
        return lambda kernels, x: model.match(kernels, model.search(x))[:1]

    chosen = []

    def quick(model, kernels, x):
        return lambda kernels, x: chosen.append(1) or model.match(kernels, model.search(x)) * (1 + 1e-6)

    ways = {"slow": slow, "off": off, "none": none, "shape": other_shape, "broken": broken, "quick": quick}
    run = fastest(Plain(), ways, (torch.ones(1),), torch.rand(4))
    chosen.clear()
    run((torch.ones(1),), torch.rand(4))
    assert chosen == [1]
    header, *rows, last = capsys.readouterr().err.splitlines()
    assert header.split()[:2] == ["backend", "ms"] and last == "quick runs search and match, of images (4,)"
    assert len({row.index(row.split()[1]) + len(row.split()[1]) for row in (header, *rows)}) == 1  # a column
    told = {row.split()[0]: row for row in rows}
    assert "left out: its answers are 1.0e-03 of the largest off, 0.0001 is allowed" in told["off"]
    assert "left out: its answers are inf" in told["none"] and "left out: its answers are inf" in told["shape"]
    assert told["broken"].endswith("left out: no compiler") and float(told["slow"].split()[1]) >= 20


def test_auto_goes_through_all(capsys, monkeypatch):
    for name in list(BUILDERS)[1:]:
        monkeypatch.setitem(BUILDERS, name, broken)
    model = fused("SiamFCRes22")
    other = running(model, "auto")
    kernels, x = inputs(other, 2, 3)
    assert_same(other.match(kernels, other.search(x)), model.match(kernels, model.search(x)))
    said = capsys.readouterr().err
    assert [line.split()[0] for line in said.splitlines()[1:]] == [*BUILDERS, "eager"]


def test_shapes_that_are_rare_are_not_compiled(monkeypatch):
    monkeypatch.setattr(backends, "OFTEN", 2)
    monkeypatch.setattr(backends, "COMPILED", 2)
    run = backends.for_frequent(torch.Size([4]), lambda kernels, x: "compiled", lambda kernels, x: "eager")

    def called(slots, times):
        return [run((), torch.empty(slots)) for _ in range(times)]

    assert called(2, 1) == ["eager"]
    assert called(4, 2) == ["compiled"] * 2
    assert called(3, 4) == ["eager", "eager", "compiled", "compiled"]
    assert called(2, 4) == ["eager"] * 4  # as many are compiled already
    assert called(3, 1) + called(4, 1) == ["compiled"] * 2


def test_times_are_medians_in_turns():
    order = []
    runs = {name: lambda kernels, x, name=name: order.append(name) for name in "ab"}
    took = milliseconds(runs, (), torch.zeros(1))
    assert order == ["a", "b"] * (backends.WARM + backends.REPEATS) and set(took) == set("ab")


def test_what_cannot_be_asked_for():
    model = fused("SiamRPNRes22")
    assert running(model, "eager") is model
    with pytest.raises(
        UserError, match="must be one of eager, compiled, onnxruntime, openvino, cudagraph, auto, got tensorrt"
    ):
        running(model, "tensorrt")
    with pytest.raises(UserError, match="exported graphs are run by onnxruntime"):
        running(torch.nn.Linear(1, 1), "compiled")


def test_onnxruntime_is_not_for_halves(capsys):
    other = running(fused("SiamRPNRes22").to(torch.bfloat16), "onnxruntime")
    z, x = torch.rand(1, 3, 127, 127).bfloat16(), torch.rand(1, 3, 239, 239).bfloat16()
    other.match(other.template(z), other.search(x))
    assert capsys.readouterr().err == "onnxruntime gives way to eager: it computes in fp32 alone here\n"
