"""Where the toolkits differ, and the one switch for it: ``--convention``.

The default is the convention of the data set's own toolkit, or that of the published numbers: ``lasot`` for LaSOT,
``got10k`` for GOT-10k, ``pysot`` for VOT (with restarts, and long-term), ``otb`` for everything else.

One pass, no restarts:

=======  ===================  ==================  =======================  ===============  ==========================
name     first frame's box    box without area    frame without truth      target absent    average overlap, SR
=======  ===================  ==================  =======================  ===============  ==========================
otb      as given             as given            left out                 fails            mean of sequences
lasot    is the truth         is the one before   left out                 fails            mean of sequences
pysot    as given             as given            success fails,           fails            mean of sequences
                                                  precision passes
got10k   is the truth (left   as given            left out                 as any other     all frames alike; only
         out of SR and AO)                                                 (left out of     visible ones, boxes cut at
                                                                           SR and AO)       the image's border
vot      left out             as given            fails                    fails            rasterised overlap, mean
                                                                                            weighted by length
=======  ===================  ==================  =======================  ===============  ==========================

"Fails" is to count in the length of the sequence and to pass no threshold. Under ``vot`` success and precision are
those of ``otb``: its toolkit has only the average overlap. ``pysot`` lets precision pass where the centre of the truth
is at a coordinate of 0 or less. The speed of ``got10k`` is the mean of each frame's rate, else frames by seconds.

With restarts after failures: ``pysot`` or ``vot``, see ``vot.py``. Long-term: likewise, see ``longterm.py``.
"""

from dataclasses import dataclass
from typing import Literal

from lib.evaluation import names
from lib.files import UserError

Protocol = Literal["one-pass", "reset", "long-term"]
Average = Literal["sequences", "frames", "lengths"]

CHOICES = ("otb", "got10k", "pysot", "vot", "lasot")


@dataclass(frozen=True)
class OnePass:
    """What a convention does with the frames that toolkits treat unlike one another; see the table above."""

    first_is_truth: bool = False
    repeat_invalid: bool = False  # a box without area, or none, is the one before
    truth_needed: bool = True  # frames without truth are left out
    absent_fails: bool = True
    lenient: bool = False  # pysot's: precision passes where there is no truth to compare with
    average: Average = "sequences"
    rate_by_frame: bool = False  # speed is the mean of each frame's rate


ONE_PASS = {
    "otb": OnePass(),
    "lasot": OnePass(first_is_truth=True, repeat_invalid=True),
    "pysot": OnePass(truth_needed=False, lenient=True),
    "got10k": OnePass(first_is_truth=True, absent_fails=False, average="frames", rate_by_frame=True),
    "vot": OnePass(average="lengths"),
}
KNOWN: dict[Protocol, tuple[str, ...]] = {
    "one-pass": tuple(ONE_PASS),
    "reset": ("pysot", "vot"),
    "long-term": ("pysot", "vot"),
}


def protocol(dataset: str, kind: str, experiment: str | None = None) -> Protocol:
    """How results of an experiment on a data set are scored, sequences being of ``kind``."""
    if kind == "vot":
        return "reset"
    if experiment == "realtime":  # it has no confidences
        return "one-pass"
    return "long-term" if names.is_long_term(dataset) or experiment == "longterm" else "one-pass"


def default(dataset: str, protocol: Protocol) -> str:
    """The convention of a data set's own numbers."""
    if protocol != "one-pass":
        return "pysot"
    own = names.letters(dataset)
    return next((name for name in ("lasot", "got10k") if own.startswith(name)), "otb")


def chosen(asked: str | None, dataset: str, protocol: Protocol) -> str:
    """The convention that was asked for, which must make sense here; else the default."""
    if asked is not None and asked not in KNOWN[protocol]:
        allowed = " or ".join(KNOWN[protocol])
        raise UserError(f"--convention must be {allowed} for {dataset}, which is scored {protocol}; got {asked}")
    return asked or default(dataset, protocol)
