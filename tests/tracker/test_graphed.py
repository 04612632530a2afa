"""A step that is replayed on memory of its own gives what the step itself gives. Replaying is here to run it again."""

import numpy as np
import pytest
import torch

from lib.geometry.crop import Frames
from lib.models.backends import running
from lib.tracker import graphed
from lib.tracker.family import Family
from lib.tracker.graphed import Graphed
from lib.tracker.state import join
from tests.tracker.clips import small_model

LONG = graphed.STEADY + 6  # frames
RATIOS = (0.33, 0.5, 1, 2, 3)


def again(run, device):
    """As a graph does it: the same operations on the same memory, results where they were the first time."""
    found = run()

    def replay():
        for name, column in run().items():
            found[name].copy_(column)

    return replay, found


def family_of(arch):
    return Family(small_model(arch).fuse(), ratios=RATIOS if "RPN" in arch else None, engine="torch")


def videos(slots, frames, side=90):
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (slots, side + frames, side + frames, 3), dtype=np.uint8)
    return [Frames.pack([np.ascontiguousarray(g[t : t + side, t : t + side]) for g in ground]) for t in range(frames)]


def follow(tracker, family, frames, hyper=()):
    slots = len(frames[0])
    rows = join(*[family.row(dict(hyper))] * slots)
    state = tracker.init(frames[0], torch.tensor([[45.0, 45, 20, 24]] * slots), rows)
    return [state := tracker.step(state, frame)[0] for frame in frames[1:]]


@pytest.mark.parametrize("arch", ["SiamFCRes22", "SiamRPNRes22"])
def test_it_tracks_as_the_step_does(arch):
    family = family_of(arch)
    tracker, frames = family.at(239), videos(2, LONG)
    wanted = follow(tracker, family, frames)
    tracker.move = Graphed(tracker.move, lambda: getattr(tracker, "zoom", None), again)
    for _ in range(2):  # the second time other templates lie in the same memory
        found = follow(tracker, family, frames)
        for one, two in zip(found, wanted, strict=True):  # none was written over by a later step
            assert torch.equal(one.box, two.box) and torch.equal(one.score, two.score)
        frames = videos(2, LONG)[::-1]
        wanted = follow(family_of(arch).at(239), family, frames)
    assert len(tracker.move.graphs) == 1


def test_each_shape_has_its_own_and_so_has_a_wider_pyramid():
    family = family_of("SiamFCRes22")
    tracker = family.at(239)
    tracker.move = Graphed(tracker.move, lambda: tracker.zoom, again)
    for slots, side, step in ((1, 90, 1.03), (2, 90, 1.03), (1, 95, 1.03), (1, 90, 1.1)):
        hyper, frames = {"scale_step": step}, videos(slots, LONG, side)
        found = follow(tracker, family, frames, hyper)[-1]
        assert torch.equal(found.box, follow(family_of("SiamFCRes22").at(239), family, frames, hyper)[-1].box)
    assert len(tracker.move.graphs) == 4


def test_what_cannot_be_captured_gives_way(capsys):
    def refusing(run, device):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    family, frames = family_of("SiamRPNRes22"), videos(1, LONG)
    tracker = family.at(239)
    wanted = follow(tracker, family, frames)[-1]
    tracker.move = Graphed(tracker.move, lambda: None, refusing)
    assert torch.equal(follow(tracker, family, frames)[-1].box, wanted.box)
    said = capsys.readouterr().err
    assert said == "cudagraph gives way to eager for slots: 1: operation not permitted when stream is capturing\n"


def test_few_steps_of_a_size_are_not_worth_a_graph_and_old_ones_go(monkeypatch):
    monkeypatch.setattr(graphed, "GRAPHS", 1)
    family, made = family_of("SiamRPNRes22"), []
    tracker = family.at(239)
    tracker.move = Graphed(tracker.move, lambda: None, lambda *given: made.append(1) or again(*given))
    for _ in range(3):
        follow(tracker, family, videos(1, 1 + graphed.STEADY))
        follow(tracker, family, videos(2, 2))
    assert not made
    for slots, count in ((1, 1), (2, 2), (2, 2), (1, 3)):
        follow(tracker, family, videos(slots, LONG))
        assert (len(made), len(tracker.move.graphs)) == (count, 1)


def test_on_a_cpu_it_says_so(capsys):
    model = small_model().fuse()
    assert running(model, "cudagraph") is model
    assert capsys.readouterr().err == "cudagraph gives way to eager: it runs on GPUs, not on cpu\n"
    assert not isinstance(Family(model).at(239).move, Graphed)
    model.whole_step = True  # as on a GPU
    assert isinstance(Family(model).at(239).move, Graphed)
