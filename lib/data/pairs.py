"""The pairs (template crop, search crop) of an epoch, a function of the seed and the epoch alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lib.data.index import Index
from lib.files import UserError

Ints = NDArray[np.int64]


def sample_pairs(index: Index, counts: Sequence[int], *, seed: int, epoch: int, negative: float = 0.0) -> Ints:
    """(P, 2) crop numbers, template and search, shuffled; ``counts`` pairs of each set, P their sum.

    A pair: a video (every video of the set once, in random order, before any comes again), any of its tracks, any frame
    as template, any frame at most ``reach`` positions before or after it in the track as search frame, itself included:
    one-frame tracks pair with themselves. A set's pairs do not depend on the other sets.

    With probability ``negative`` a pair takes part in a round in which each gives its search crop to the next: pairs
    whose crops are then of two videos show that the target is absent (Zhu et al. 2018, section 3.2).
    """
    if len(counts) != len(index.sets) or min(counts) < 0 or sum(counts) == 0:
        names = ", ".join(part.name for part in index.sets)
        raise UserError(
            f"an epoch needs a number of pairs for each of {names}; got {list(counts)}: check PAIRS and USE"
        )
    parts = [
        _pairs_of_set(index, s, count, np.random.default_rng([seed, epoch, 1 + s])) for s, count in enumerate(counts)
    ]
    rng = np.random.default_rng([seed, epoch])
    pairs = rng.permutation(np.concatenate(parts))
    chosen = np.flatnonzero(rng.random(len(pairs)) < negative)
    template, given = index.video_of(pairs[chosen, 0]), np.roll(pairs[chosen, 1], 1)
    other = index.video_of(given) != template
    pairs[chosen[other], 1] = given[other]
    return pairs


def _pairs_of_set(index: Index, number: int, count: int, rng: np.random.Generator) -> Ints:
    first, last = index.set_start[number : number + 2]
    rounds = -(-count // (last - first))
    videos = rng.permuted(np.tile(np.arange(first, last), (rounds, 1)), axis=1).ravel()[:count]
    tracks = rng.integers(index.video_start[videos], index.video_start[videos + 1])
    start, end = index.track_start[tracks], index.track_start[tracks + 1]
    template = rng.integers(start, end)
    reach = index.sets[number].reach
    search = rng.integers(np.maximum(template - reach, start), np.minimum(template + reach, end - 1) + 1)
    return np.stack([template, search], 1)
