"""Batches: what is in them, and that any step can be made again, alone or in parts."""

import json

import cv2
import numpy as np
import pytest
import torch

from lib.data.augment import Augmentation
from lib.data.batches import Batch, batches, steps_of
from lib.data.index import CropSet, build_index
from lib.data.pairs import sample_pairs
from lib.data.pixels import Pixels
from lib.data.targets import AnchorRule, centre_label
from lib.files import UserError
from lib.geometry.anchors import training_anchors

TEMPLATE, SEARCH, STRIDE, N = 31, 63, 8, 5
ANCHORS = training_anchors((1, 2), (5, 7), N, SEARCH)
LIVELY = Augmentation(shift=6, scale=0.1, flip=0.5, blur=0.3, rotation=0.3)
STILL = Augmentation(shift=0, scale=0, color=0)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Two sets of crops of sides 71 and 80; the middle of crop k is painted (20 k, 250 - 20 k, 0)."""
    folder, sets, k = tmp_path_factory.mktemp("crops"), [], 0
    for name, side in (("a", 71), ("b", 80)):
        (folder / name / "v").mkdir(parents=True)
        for frame in range(6):
            image = np.full((side, side, 3), 128, np.uint8)
            image[side // 2 - 8 : side // 2 + 9, side // 2 - 8 : side // 2 + 9] = (20 * k, 250 - 20 * k, 0)
            cv2.imwrite(str(folder / name / "v" / f"{frame:06d}.00.x.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
            k += 1
        (folder / f"{name}.json").write_text(json.dumps({"v": {"00": {str(f): [40 + f, 60] for f in range(6)}}}))
        sets.append(CropSet(name=name, path=folder / name, annotation=folder / f"{name}.json"))
    return build_index(sets)


@pytest.fixture
def pixels(index):
    pixels = Pixels(index, workers=1)
    yield pixels
    pixels.close()


@pytest.fixture
def pairs(index):
    return sample_pairs(index, (8, 7), seed=0, epoch=1)


def make(pixels, pairs, family="siamrpn", augmentation=LIVELY, **options) -> list[Batch]:
    sizes = dict(template_size=TEMPLATE, search_size=SEARCH, stride=STRIDE)
    anchors = ANCHORS if family == "siamrpn" else None
    keys = dict(seed=1, epoch=2, batch=4) | options
    return list(batches(pixels, pairs, augmentation=augmentation, family=family, anchors=anchors, **sizes, **keys))


def assert_same(one: Batch, other: Batch) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.equal(a, b))


def test_each_pair_comes_once_and_shows_its_targets(pixels, pairs):
    done = make(pixels, pairs, "siamfc", STILL)
    assert [len(batch.z) for batch in done] == [4, 4, 4, 3]
    z, x = torch.cat([b.z for b in done]), torch.cat([b.x for b in done])
    assert (
        z.shape == (15, 3, TEMPLATE, TEMPLATE)
        and x.shape == (15, 3, SEARCH, SEARCH)
        and z.dtype == x.dtype == torch.float32
    )
    for images, column in ((z, 0), (x, 1)):
        middle = images[:, :, images.shape[2] // 2, images.shape[2] // 2]
        k = torch.from_numpy(pairs[:, column]).float()
        expected = torch.stack([20 * k, 250 - 20 * k, torch.zeros_like(k)], 1)
        assert (middle - expected).abs().max() < 5  # JPEG


def test_labels_follow_what_was_done_to_the_search_image(pixels, pairs):
    """The patch's centre of mass is where the label's middle and the anchors' deltas say."""
    lively = Augmentation(shift=1, search_shift=16, scale=0.1, flip=0.5, color=0)
    rule = AnchorRule(positive_iou=0.4, negative_iou=0.3, positives=4, total=9)
    anchors, cells = torch.from_numpy(ANCHORS), torch.arange(SEARCH, dtype=torch.float64)
    for batch in make(pixels, pairs, augmentation=lively, rule=rule):
        patch = (batch.x[:, 2] < 64).double()
        mass = patch.sum((1, 2))
        centre = torch.stack([(patch.sum(1) * cells).sum(1) / mass, (patch.sum(2) * cells).sum(1) / mass], 1) + 0.5
        off = [torch.tensor([x, y]) for x in (-0.8, 0, 0.8) for y in (-0.8, 0, 0.8)]  # near the edge of a cell
        loose = torch.stack([centre_label(centre + shift, N, SEARCH) for shift in off])
        assert (batch.block_label[None] == loose).all((2, 3)).any(0).all()
        pointed = batch.delta[:, :2] * anchors[2:] + anchors[:2]
        assert (pointed - centre[:, :, None, None, None]).abs().max() < 0.8
        positive = (batch.label == 1).sum((1, 2, 3))
        assert ((positive > 0) & (positive <= 4)).all() and ((batch.label >= 0).sum((1, 2, 3)) == 9).all()
        torch.testing.assert_close(batch.weight.sum((1, 2, 3)), torch.ones(len(batch.z)))
    shapes = [tuple(t.shape[1:]) for t in batch[2:]]
    assert shapes == [(4, N, N), (4, 4, N, N), (4, N, N), (N, N)]


def test_sizes_in_the_targets_are_those_of_the_crops(pixels, pairs):
    batch = make(pixels, pairs, augmentation=STILL, batch=15)[0]
    size = torch.exp(batch.delta[:, 2:, 0, 0, 0]) * torch.from_numpy(ANCHORS[2:, 0, 0, 0])
    np.testing.assert_allclose(size, pixels.index.size[pairs[:, 1]], rtol=1e-5)


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_any_step_can_be_made_again_alone(pixels, pairs, family):
    whole = make(pixels, pairs, family)
    fresh = Pixels(pixels.index, budget=0, workers=2)  # streamed, nothing decoded yet
    late = make(fresh, pairs, family, start_step=2)
    assert len(late) == 2 and make(fresh, pairs, family, start_step=4) == []
    for one, other in zip(whole[2:], late, strict=True):
        assert_same(one, other)
    fresh.close()


def test_processes_share_what_one_would_make(pixels, pairs):
    whole = make(pixels, pairs)
    parts = [make(pixels, pairs, part=(rank, 3)) for rank in range(3)]
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        assert all(len(s.z) for s in shares)
        for column, tensor in enumerate(batch):
            torch.testing.assert_close(torch.cat([s[column] for s in shares]), tensor, rtol=0, atol=1e-3)


def test_seed_epoch_and_step_each_change_the_draws(pixels):
    same = np.zeros((8, 2), np.int64)
    first, second = make(pixels, same)
    assert not torch.equal(first.x, second.x)
    for other in (dict(seed=9), dict(epoch=9)):
        assert not torch.equal(make(pixels, same, **other)[0].x, first.x)
    assert not torch.equal(first.x[0], first.x[1]) and not torch.equal(first.label, second.label)


def test_both_images_of_a_pair_are_flipped_or_none(pixels):
    """A picture that is dark on one side is dark on the same side in template and search."""
    ids = np.zeros((64, 2), np.int64)
    lively = Augmentation(shift=0, scale=0, color=0, flip=0.5)
    state = pixels.fetch(np.array([0]))
    assert len(state[1]) == 1
    pixels._buffers[71][0, :, :, :35] = 0
    batch = make(pixels, ids, "siamfc", lively, batch=64)[0]
    dark_left = [images[:, 0, 12:-12, : images.shape[3] // 2].mean((1, 2)) < 50 for images in (batch.z, batch.x)]
    assert torch.equal(*dark_left) and 15 < dark_left[0].sum() < 49


def test_a_broken_crop_is_replaced_with_its_box(index, tmp_path):
    annotation = {"v": {"00": {"0": [40, 60], "1": [80, 20]}}}
    (tmp_path / "v").mkdir()
    for frame, data in ((0, b""), (1, index.path(3).read_bytes())):
        (tmp_path / "v" / f"{frame:06d}.00.x.jpg").write_bytes(data)
    (tmp_path / "s.json").write_text(json.dumps(annotation))
    pixels = Pixels(build_index([CropSet(name="s", path=tmp_path, annotation=tmp_path / "s.json")]))
    batch = make(pixels, np.zeros((1, 2), np.int64), augmentation=STILL)[0]
    size = torch.exp(batch.delta[0, 2:, 0, 0, 0]) * torch.from_numpy(ANCHORS[2:, 0, 0, 0])
    np.testing.assert_allclose(size, pixels.index.size[1], rtol=1e-5)
    assert pixels.unreadable == 1


def test_the_last_batch_may_be_smaller_but_no_process_goes_without(pixels, pairs):
    assert [steps_of(p, 4) for p in (1, 3, 4, 5, 8, 9)] == [1, 1, 1, 2, 2, 3]
    assert [steps_of(p, 4, 2) for p in (1, 2, 4, 5, 6)] == [0, 1, 1, 1, 2]
    with pytest.raises(UserError, match="3 processes; got 2"):
        make(pixels, pairs[:2], part=(0, 3))


def test_contradictions_are_named(pixels, pairs):
    with pytest.raises(ValueError, match="family siamrpn"):
        next(batches(pixels, pairs, batch=4, augmentation=STILL, family="siamrpn", seed=0, epoch=0))
    with pytest.raises(ValueError, match="17 x 17"):
        next(batches(pixels, pairs, batch=4, augmentation=STILL, family="siamrpn", anchors=ANCHORS, seed=0, epoch=0))


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_nothing_is_read_back_from_the_device(pixels, pairs, family):
    """On the meta device any read-back (item, a boolean index, nonzero) fails."""
    batch = make(pixels, pairs, family, device="meta")[0]
    assert batch.x.is_meta and batch.label.is_meta and batch.x.shape == (4, 3, SEARCH, SEARCH)


def test_where_the_target_is_absent_nothing_is_positive(pixels):
    pairs = np.array([[0, 1], [2, 7], [8, 3], [9, 10]])  # crops 0 .. 5 and 6 .. 11 are of two videos
    (batch,) = make(pixels, pairs, augmentation=STILL)
    assert batch.block_label is not None and batch.weight is not None
    present = [1, 0, 0, 1]
    np.testing.assert_array_equal((batch.label == 1).flatten(1).any(1), present)
    np.testing.assert_array_equal((batch.block_label == 1).flatten(1).any(1), present)
    np.testing.assert_array_equal(batch.weight.flatten(1).sum(1) > 0, present)
    assert ((batch.label == 0).flatten(1).sum(1) > 0).all()  # and there is still something to learn from
