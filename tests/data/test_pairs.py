"""Pairs of an epoch: who is drawn, how often, how far apart, and that they come again."""

from pathlib import Path

import numpy as np
import pytest

from lib.data.index import CropSet, Index
from lib.data.pairs import sample_pairs
from lib.files import UserError


def make_index(shape: list[list[list[int]]], reach: list[int]) -> Index:
    """``shape``: sets of videos of numbers of crops of their tracks."""
    videos = [video for part in shape for video in part]
    tracks = [crops for video in videos for crops in video]
    return Index(
        sets=tuple(CropSet(name=f"s{i}", path=Path(), annotation=Path(), reach=r) for i, r in enumerate(reach)),
        videos=tuple(map(str, range(len(videos)))),
        tracks=tuple(map(str, range(len(tracks)))),
        frame=np.arange(sum(tracks)) * 10,
        size=np.ones((sum(tracks), 2)),
        set_start=np.cumsum([0, *map(len, shape)]),
        video_start=np.cumsum([0, *map(len, videos)]),
        track_start=np.cumsum([0, *tracks]),
        degenerate=0,
        missing=0,
    )


SMALL = make_index([[[5], [1, 7, 2], [30]], [[1], [1], [1], [1]]], [3, 100])


def test_pairs_are_of_one_track_within_reach():
    pairs = sample_pairs(SMALL, (3000, 400), seed=1, epoch=1)
    assert pairs.shape == (3400, 2) and pairs.dtype == np.int64
    track = SMALL.track_of(pairs)
    np.testing.assert_array_equal(track[:, 0], track[:, 1])
    step = pairs[:, 1] - pairs[:, 0]
    assert set(step.tolist()) == set(range(-3, 4))  # itself and both directions, up to the reach
    assert set(pairs.ravel().tolist()) == set(range(len(SMALL)))
    assert (SMALL.set_of(pairs[:, 0]) == 1).sum() == 400
    single = np.isin(track[:, 0], [1, 5, 6, 7, 8])
    assert single.sum() > 400 and (step[single] == 0).all()


def test_videos_take_turns():
    pairs = sample_pairs(SMALL, (100, 9), seed=0, epoch=0)
    often = np.bincount(SMALL.video_of(pairs[:, 0]), minlength=7)
    assert sorted(often[:3]) == [33, 33, 34] and sorted(often[3:]) == [2, 2, 2, 3]


def test_tracks_and_frames_are_fair():
    pairs = sample_pairs(SMALL, (30000, 1), seed=2, epoch=0)
    pairs = pairs[SMALL.set_of(pairs[:, 0]) == 0]
    video = SMALL.video_of(pairs[:, 0])
    tracks = np.bincount(SMALL.track_of(pairs[video == 1, 0]))[1:4] / 10000
    np.testing.assert_allclose(tracks, 1 / 3, atol=0.03)
    templates = np.bincount(pairs[video == 2, 0])[15:45] / 10000
    np.testing.assert_allclose(templates, 1 / 30, atol=0.01)
    step = (pairs[:, 1] - pairs[:, 0])[(video == 2) & (pairs[:, 0] >= 18) & (pairs[:, 0] < 42)]
    np.testing.assert_allclose(np.bincount(step + 3) / len(step), 1 / 7, atol=0.03)


def test_an_epoch_comes_again_and_the_next_one_differs():
    same = [sample_pairs(SMALL, (50, 20), seed=3, epoch=4) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    for other in (dict(seed=3, epoch=5), dict(seed=4, epoch=4), dict(seed=4, epoch=3)):
        assert (sample_pairs(SMALL, (50, 20), **other) != same[0]).any()


def test_sets_do_not_depend_on_each_other_and_are_mixed():
    both, alone = (sample_pairs(SMALL, counts, seed=0, epoch=1) for counts in ((60, 40), (60, 0)))
    of_first = SMALL.set_of(both[:, 0]) == 0
    assert sorted(both[of_first].tolist()) == sorted(alone.tolist())
    assert of_first[:60].sum() < 50  # not one set after the other


def test_reach_zero_pairs_a_frame_with_itself():
    still = make_index([[[9]]], [0])
    pairs = sample_pairs(still, (20,), seed=0, epoch=0)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


@pytest.mark.parametrize("counts", [(5,), (5, -1), (0, 0)])
def test_counts_must_fit(counts):
    with pytest.raises(UserError, match="s0, s1"):
        sample_pairs(SMALL, counts, seed=0, epoch=0)


def test_negatives_are_of_other_videos_and_take_nothing_away():
    plain = sample_pairs(SMALL, (2000, 400), seed=1, epoch=1)
    pairs = sample_pairs(SMALL, (2000, 400), seed=1, epoch=1, negative=0.4)
    np.testing.assert_array_equal(pairs[:, 0], plain[:, 0])
    changed = pairs[:, 1] != plain[:, 1]
    other = SMALL.video_of(pairs[:, 0]) != SMALL.video_of(pairs[:, 1])
    np.testing.assert_array_equal(changed, other)
    # a round gives a pair its own video's crop in so many of the cases
    share = np.bincount(SMALL.video_of(plain[:, 0])) / len(plain)
    assert other.mean() == pytest.approx(0.4 * (1 - (share**2).sum()), abs=0.03)
