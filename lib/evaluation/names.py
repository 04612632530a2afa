"""Names of data sets and sequences, and the sequences that need care: facts, each with its source.

Sources: the OTB benchmark (Wu, Lim, Yang, CVPR 2013 and PAMI 2015): its list of sequences and the start and end frames
of its ``configSeqs.m``; result files published by other trackers for the spellings.
"""

import re
from collections.abc import Iterable

# the 51 targets (50 videos, Jogging twice) of CVPR 2013, a subset of the 100 of PAMI 2015
OTB2013 = (
    "Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll Dudek "
    "FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman Jogging.1 "
    "Jogging.2 Jumping Lemming Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer1 Singer2 Skating1 "
    "Skiing Soccer Subway Suv Sylvester Tiger1 Tiger2 Trellis Walking Walking2 Woman"
)

# data sets that are part of another: name -> (larger set, its members)
SUBSETS: dict[str, tuple[str, list[str]]] = {"OTB2013": ("OTB2015", OTB2013.split())}

# names of the same data set, in capitals -> the name that this project uses
ALIASES = {
    "OTB2013": "OTB2013",
    "OTB2015": "OTB2015",
    "CVPR13": "OTB2013",
    "CVPR2013": "OTB2013",
    "OTB51": "OTB2013",
    "OTB100": "OTB2015",
    "TB100": "OTB2015",
}

# One-based first scored image and the number of scored ones, where they are not all images from the first on. Tiger1 is
# annotated from image 1 on, but the published lists start at image 6, where its target is fully in view.
OTB_FRAMES = {
    "david": (300, 471),
    "football1": (1, 74),
    "freeman3": (1, 460),
    "freeman4": (1, 283),
    "diving": (1, 215),
    "blurcar1": (247, 742),
    "blurcar3": (3, 357),
    "blurcar4": (18, 380),
    "tiger1": (6, 349),
}

# annotated targets that are not in the benchmark's list: Human4's first person
LEFT_OUT = {"human4_1"}

# spellings that no rule covers: Human4's target is the second of its video, and most results leave that out
_SPELLINGS = {"human4_2": "human4", "skating_2_1": "skating2_1", "skating_2_2": "skating2_2"}


def canonical(name: str) -> str:
    """The name that this project uses of a data set: CVPR13 gives OTB2013."""
    return ALIASES.get(name.upper(), name)


def spellings(name: str) -> list[str]:
    """Names under which a data set may lie on disk, likeliest first; a larger set that contains it last."""
    own = canonical(name)
    same = [name, own, *(alias for alias, target in ALIASES.items() if target == own)]
    return list(dict.fromkeys(same + (spellings(SUBSETS[own][0]) if own in SUBSETS else [])))


def key(name: str) -> str:
    """The spelling that all spellings of one sequence share: Jogging.1, Jogging-1 and jogging_1 give jogging_1."""
    plain = re.sub(r"[\s._-]+", "_", name.strip().casefold()).strip("_")
    return _SPELLINGS.get(plain, plain)


def scored_part(name: str, rows: int) -> slice:
    """The rows that an OTB sequence is scored on, of a list of ``rows`` that begins at its video's first image."""
    first, count = OTB_FRAMES.get(key(name), (1, rows))
    return slice(first - 1, first - 1 + count) if rows >= first - 1 + count else slice(None)


def match(wanted: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Pairs each wanted name with the available one that means it; what has none is left out.

    An exact name wins over one of the same :func:`key`, and that over one equal without any separator (``Jogging1``),
    which counts only where it is the only one.
    """
    names = list(available)
    exact = set(names)
    by_key: dict[str, str] = {}
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(key(name), name)
        by_letters.setdefault(key(name).replace("_", ""), []).append(name)
    found: dict[str, str] = {}
    for name in wanted:
        letters = by_letters.get(key(name).replace("_", ""), [])
        if name in exact:
            found[name] = name
        elif key(name) in by_key:
            found[name] = by_key[key(name)]
        elif len(letters) == 1:
            found[name] = letters[0]
    return found
