"""Spellings of data sets and of sequences."""

import re
from collections.abc import Iterable
from functools import lru_cache

from lib.evaluation.facts import FROM_ZERO, LASOT_TEST, OTB50, OTB2013, OTB_FRAMES

# data sets that are part of another: name -> (larger set, its members)
SUBSETS: dict[str, tuple[str, list[str]]] = {
    "OTB2013": ("OTB2015", OTB2013.split()),
    "OTB50": ("OTB2015", OTB50.split()),
}
# data sets of which only some sequences are for testing
TESTS = {"LaSOT": LASOT_TEST}
# data sets that lie within the folder of another, which tells them apart itself
_WITHIN = {
    "UAV20L": "UAV123",
    "NFS240": "NFS",
    "GOT-10k_Val": "GOT-10k",
    "GOT-10k_Test": "GOT-10k",
    "GOT-10k_Train": "GOT-10k",
}

# the name that this project uses of a data set -> its other names
_NAMES = {
    "OTB2013": "CVPR13 CVPR2013 OTB51",
    "OTB50": "TB50",
    "OTB2015": "OTB100 TB100",
    "TColor-128": "TColor128 TC128 Temple-color-128 TempleColor128 TempleColor",
    "UAV123": "",
    "UAV20L": "",
    "NFS": "NFS30 NfS",
    "NFS240": "",
    "LaSOT": "LaSOTBenchmark LaSOT_Test",
    "GOT-10k": "",
    "GOT-10k_Val": "",
    "GOT-10k_Test": "",
    "GOT-10k_Train": "",
    "TrackingNet": "TrackingNet_Test",
    **{f"VOT{year}": f"VOT-ST{year}" for year in range(2013, 2020)},
    "VOT2018-LT": "VOT-LT2018 VOTLT2018 VOT2018LT",
    "VOT2019-LT": "VOT-LT2019 VOTLT2019 VOT2019LT",
}


def letters(name: str) -> str:
    """A name without case and punctuation: what two spellings of one data set share."""
    return re.sub(r"[^0-9a-z]", "", name.casefold())


_CANONICAL = {letters(other): own for own, others in _NAMES.items() for other in (own, *others.split())}

# annotated targets that are not in the benchmark's list: Human4's first person
LEFT_OUT = {"human4_1"}

# spellings that no rule covers: Human4's target is the second of its video, and most results leave that out
_SPELLINGS = {"human4_2": "human4", "skating_2_1": "skating2_1", "skating_2_2": "skating2_2"}


def canonical(name: str) -> str:
    """The name that this project uses of a data set: CVPR13 gives OTB2013, got10k gives GOT-10k."""
    return _CANONICAL.get(letters(name), name)


def spellings(name: str) -> list[str]:
    """Names under which a data set may lie on disk, likeliest first; a larger set that contains it last."""
    own = canonical(name)
    same = [name, own, *_NAMES.get(own, "").split()]
    larger = _WITHIN.get(own) or SUBSETS.get(own, ("", []))[0]
    return list(dict.fromkeys(same + (spellings(larger) if larger else [])))


def is_otb(name: str) -> bool:
    """Whether a data set's sequences are OTB's, some of which are scored in part: OTB2013, and what else begins so."""
    return letters(canonical(name)).startswith("otb")


def is_vot(name: str) -> bool:
    """Whether a data set is scored with restarts after failures: VOT2013 to VOT2019, and what else begins so."""
    return name.upper().startswith("VOT") and not is_long_term(name)


def is_got10k(name: str) -> bool:
    """GOT-10k or one of its splits."""
    return letters(canonical(name)).startswith("got10k")


def is_long_term(name: str) -> bool:
    """Whether targets leave the view for long, so that a tracker has to tell when it sees them: VOT2018-LT."""
    return canonical(name).upper().startswith("VOT") and letters(canonical(name)).endswith("lt")


def origin(name: str) -> int:
    """What the files of a one-pass data set call the first pixel; see ``facts.py``."""
    return 0 if letters(canonical(name)).startswith(FROM_ZERO) else 1


@lru_cache(maxsize=100_000)
def key(name: str) -> str:
    """The spelling that all spellings of one sequence share: Jogging.1, Jogging-1 and jogging_1 give jogging_1."""
    plain = re.sub(r"[\s._-]+", "_", name.strip().casefold()).strip("_")
    return _SPELLINGS.get(plain, plain)


def _bare(name: str) -> str:
    """A key without separators, and without the data set's name that some toolkits put first."""
    return re.sub(r"^(uav|nfs|otb|tpl|lasot)_", "", key(name)).replace("_", "")


def scored_part(name: str, rows: int) -> slice:
    """The rows that an OTB sequence is scored on, of a list of ``rows`` that begins at its video's first image."""
    first, count = OTB_FRAMES.get(key(name), (1, rows))
    return slice(first - 1, first - 1 + count) if rows >= first - 1 + count else slice(None)


def match(wanted: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Pairs each wanted name with the available one that means it; what has none is left out.

    An exact name wins over one of the same :func:`key`, and that over one equal without any separator (``Jogging1``) or
    without the data set's name before it (``uav_bike1``), which counts only where it is the only one.
    """
    names = list(available)
    exact = set(names)
    by_key: dict[str, str] = {}
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(key(name), name)
        by_letters.setdefault(_bare(name), []).append(name)
    found: dict[str, str] = {}
    for name in wanted:
        alike = by_letters.get(_bare(name), [])
        if name in exact:
            found[name] = name
        elif key(name) in by_key:
            found[name] = by_key[key(name)]
        elif len(alike) == 1:
            found[name] = alike[0]
    return found
