"""Settings of a run: every key of a training file with its type, its unit, its meaning and its default.

Keys are spelt as in the published files of SiamDW and SiamSE. Reading and writing such files: :mod:`lib.core.config`.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from lib.core.yaml_file import did_you_mean
from lib.models import zoo

Family = Literal["SIAMFC", "SIAMRPN"]
Key = tuple[str, ...]  # ("TRAIN", "LR")


def _expand(value: Any) -> Any:
    """``${VAR}`` and a leading ``~`` in a path; a variable that is not set is an error, not an empty string."""
    if not isinstance(value, str | Path):
        return value
    for name in re.findall(r"\$\{(\w+)\}", str(value)):
        if name not in os.environ:
            raise ValueError(f"needs the environment variable {name}, which is not set: export {name}=...")
    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], str(value)))


def _none(value: Any) -> Any:
    """The published files write False (or nothing) for "no file"."""
    return None if value in (False, None, "", "False", "None") else value


def _names(value: Any) -> Any:
    """One name, names with commas between, or a list of names -> a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _gpus(value: Any) -> Any:
    """'0,1' (published), one number or a list -> a list."""
    return [value] if isinstance(value, int) else _names(value)


def _policy(value: Any) -> Any:
    return "plateau" if value == "Reduce" else value  # the published name of that policy


Folder = Annotated[Path, BeforeValidator(_expand)]
File = Annotated[str | None, BeforeValidator(_expand), BeforeValidator(_none)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class Block(BaseModel):
    """What all blocks share: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class TrainBlock(Block):
    """Block TRAIN."""

    ISTRUE: bool = True  # whether onekey trains
    MODEL: str  # name of the architecture, SiamFCRes22 ...
    WIDTH: Annotated[float, Field(gt=0, le=4)] = 1.0  # multiplies every channel count; 1 = as published
    START_EPOCH: Annotated[int, Field(ge=0)] = 0  # epochs already done: the first one trained is START_EPOCH + 1
    END_EPOCH: Positive = 50  # last epoch, one-based
    TEMPLATE_SIZE: Positive = 127  # side of the exemplar, pixels
    SEARCH_SIZE: Positive = 255  # side of the search image, pixels
    STRIDE: int = 8  # pixels of input to one cell of features
    BATCH: Positive = 32  # pairs in a step, on each GPU
    PAIRS: Positive | None = None  # pairs in an epoch, over all sets; absent = the sum of USE
    RESUME: File = None  # checkpoint to go on from, False = none
    PRETRAIN: File = None  # weights to start from: a path, a name in pretrain/, or a known name
    FREEZE_OUT: Literal["paper", "released", "none"] = (
        "paper"  # staged unfreezing of pretrained weights; none = train all
    )
    LOSS: Literal["logistic", "softmax", "hinge", "focal", "balanced_focal"] = "logistic"  # of the classification
    LR_POLICY: Annotated[Literal["log", "exp", "cos", "plateau"], BeforeValidator(_policy)] = "log"  # by epoch
    LR: Annotated[float, Field(gt=0)] = 1e-2  # learning rate of the first epoch after warm-up
    LR_END: Annotated[float, Field(gt=0)] = 1e-5  # learning rate of the last epoch (log, cos), floor (plateau)
    WARMUP: Annotated[int, Field(ge=0)] = 0  # epochs that rise linearly to LR before the policy begins
    MOMENTUM: Annotated[float, Field(ge=0, lt=1)] = 0.9
    WEIGHT_DECAY: Annotated[float, Field(ge=0)] = 1e-4
    CLIP: Annotated[float, Field(ge=0)] = 10.0  # gradients are scaled down to this L2 norm; 0 = never
    AMP: bool = False  # forward and backward pass in bfloat16 where the device can
    COMPILE: bool = False  # the network by torch.compile, which takes a minute at the start; eager where it cannot
    WHICH_USE: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()  # sets to train on, by name; absent = all
    MATCHING: Literal["corr", "greedypw"] = "corr"  # of SE-SiamFC: once, or at three sizes of the search features
    # SiamRPN alone
    CLS_WEIGHT: Annotated[float, Field(ge=0)] = 1.0  # factor of the classification loss
    REG_WEIGHT: Annotated[float, Field(ge=0)] = 1.0  # factor of the regression loss
    CLS_TYPE: Literal["thinner", "thicker"] = "thinner"  # one score an anchor, or background and foreground
    ANCHORS_RATIOS: Annotated[tuple[float, ...], Field(min_length=1)] = (0.33, 0.5, 1, 2, 3)  # height / width
    ANCHORS_SCALES: Annotated[tuple[float, ...], Field(min_length=1)] = (8,)  # multiples of the stride
    ANCHORS_THR_HIGH: Share = 0.6  # positive above this overlap
    ANCHORS_THR_LOW: Share = 0.3  # negative below this overlap
    ANCHORS_POS_KEEP: Positive = 16  # most positives in a pair's loss
    ANCHORS_ALL_KEEP: Positive = 64  # positives and negatives in a pair's loss


RPN_KEYS = tuple(key for key in TrainBlock.model_fields if key.startswith(("ANCHORS_", "CLS_", "REG_")))


class TestBlock(Block):
    """Block TEST: the score of every epoch; it chooses the epoch."""

    ISTRUE: bool = True  # whether onekey tests the epochs
    DATA: str = ""  # test set, VOT2017 or OTB2015 or the name of a folder in DATASET_ROOT
    THREADS: Positive = 1  # epochs tested at once, each in a process: at most one a GPU of GPUS, or one a core
    START_EPOCH: Positive = 1  # first epoch tested, one-based
    END_EPOCH: Positive | None = None  # last epoch tested; absent = TRAIN.END_EPOCH
    MAX_FRAMES: Positive | None = None  # of each sequence, from its first frame; absent = all
    PRECISION: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the network in all tracking: TEST, TUNE and FINAL
    # what runs the network there; cudagraph: the whole step
    BACKEND: Literal["eager", "compiled", "onnxruntime", "openvino", "cudagraph", "auto"] = "eager"


class TuneBlock(Block):
    """Block TUNE: the search of the tracker's hyper-parameters."""

    ISTRUE: bool = True  # whether onekey tunes
    DATA: str = ""  # set that chooses the hyper-parameters
    METHOD: Literal["TPE", "GENE"] = "TPE"  # Parzen estimators or genetic search
    TRIALS: Positive = 1000  # hyper-parameter sets tried (advice: SiamFC 600 to 1000, SiamRPN 1000 to 3000)
    BATCH: Positive = 8  # TPE: trials drawn at once, from what the finished ones taught
    POPULATION: Annotated[int, Field(ge=2)] = 100  # GENE: trials in a generation
    MAX_FRAMES: Positive | None = None  # of each sequence, from its first frame; absent = all


class FinalBlock(Block):
    """Block FINAL: the score that is reported."""

    DATA: str = ""  # a set that neither TEST nor TUNE has seen; absent = TUNE.DATA or TEST.DATA, with a warning
    MAX_FRAMES: Positive | None = None  # of each sequence, from its first frame; absent = all


class CropSet(Block):
    """One data set in DATASET: crops that hold the target in the centre, and their boxes."""

    PATH: Folder  # folder of the crops
    ANNOTATION: Folder  # json, {video: {track: {frame: [x1, y1, x2, y2]}}}
    RANGE: Annotated[int, Field(ge=0)] = 100  # most positions between template and search frame
    USE: Positive | None = None  # pairs in an epoch (with PAIRS: a proportion); absent = all, or equal parts


class DatasetBlock(Block):
    """Block DATASET: augmentation, and the sets by name. What is a :data:`Share` is a probability.

    FROM names a file of such keys (:func:`lib.core.config.load_train` reads it); those that stand here come before.
    """

    SHIFT: Annotated[float, Field(ge=0)] = 4.0  # most pixels the window moves, each way
    SCALE: Annotated[float, Field(ge=0, lt=1)] = 0.05  # most the window grows or shrinks, per axis, as a fraction
    SEARCH_SHIFT: Annotated[float, Field(ge=0)] | None = None  # SHIFT of the search image; absent = SHIFT
    SEARCH_SCALE: Annotated[float, Field(ge=0, lt=1)] | None = None  # SCALE of the search image; absent = SCALE
    COLOR: Share = 1.0  # of jitter in brightness, contrast, saturation and hue
    COLOR_RANGE: Annotated[float, Field(ge=0, lt=1)] = 0.05  # most that these change, as a fraction; hue at most .05
    GREY: Share = 0.0  # of a pair without colour
    FLIP: Share = 0.0  # of mirroring left to right
    BLUR: Share = 0.0  # of a Gaussian blur, sigma 1 pixel
    MOTION_BLUR: Share = 0.0  # of a blur along x or y, 3 to 9 pixels long
    ROTATION: Share = 0.0  # of a rotation within 10 degrees
    NEGATIVE: Share = 0.0  # of a search image from another video, in which nothing is the target
    HELD_BACK: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()  # set/video: not trained on, but chosen by
    SETS: dict[str, CropSet] = {}  # in the file they stand in DATASET itself


class TrainSettings(Block):
    """A whole training file."""

    FAMILY: Family  # name of the file's block
    GPUS: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_gpus)] = (
        0,
    )  # which ones, where there are any
    DEVICE: Literal["auto", "cpu", "cuda", "mps"] = "auto"  # auto = the GPUs if there are any, otherwise the CPU
    SEED: Annotated[int, Field(ge=0, lt=2**32)] = 0  # of everything that is drawn
    PRINT_FREQ: Positive = 10  # steps between two lines of the log
    WORKERS: Annotated[int, Field(ge=0)] = 8  # threads that decode images
    SLOTS: Positive = 16  # sequences tracked in one batch; speed and memory, not results
    OUTPUT_DIR: Folder = Path("logs")  # log, curves, report
    CHECKPOINT_DIR: Folder = Path("snapshot")  # checkpoint_e1.pth ...
    DATASET_ROOT: Folder = Path("dataset")  # folder of the test sets
    TRAIN: TrainBlock
    TEST: TestBlock = TestBlock(ISTRUE=False)
    TUNE: TuneBlock = TuneBlock(ISTRUE=False)
    FINAL: FinalBlock = FinalBlock()
    DATASET: DatasetBlock = DatasetBlock()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for key, message in contradictions(self):
            raise PydanticCustomError("contradiction", "{text}", {"text": message, "key": key})
        return self

    @property
    def sets(self) -> dict[str, CropSet]:
        """The sets that are trained on, by name."""
        return {name: self.DATASET.SETS[name] for name in self.TRAIN.WHICH_USE or self.DATASET.SETS}

    @property
    def test_epochs(self) -> range:
        """One-based epochs that TEST scores."""
        return range(self.TEST.START_EPOCH, (self.TEST.END_EPOCH or self.TRAIN.END_EPOCH) + 1)

    @property
    def final_data(self) -> str:
        """The set of the final score; without FINAL the one that chose, which :func:`cautions` speaks of."""
        return self.FINAL.DATA or (self.TUNE.DATA if self.TUNE.ISTRUE else "") or self.TEST.DATA


def contradictions(settings: TrainSettings) -> Iterator[tuple[Key, str]]:
    """Pairs (key, what must hold and what came) of settings that cannot both be meant."""
    train, test = settings.TRAIN, settings.TEST
    if train.START_EPOCH >= train.END_EPOCH:
        yield ("TRAIN", "START_EPOCH"), f"must be below END_EPOCH {train.END_EPOCH}; got {train.START_EPOCH}"
    if train.WARMUP >= train.END_EPOCH:
        yield ("TRAIN", "WARMUP"), f"must be below END_EPOCH {train.END_EPOCH}; got {train.WARMUP}"
    if train.LR_END > train.LR:
        yield ("TRAIN", "LR_END"), f"must not be above LR {train.LR:g}; got {train.LR_END:g}"
    if train.STRIDE != 8:
        yield ("TRAIN", "STRIDE"), f"must be 8, the stride of every backbone; got {train.STRIDE}"
    span = train.SEARCH_SIZE - train.TEMPLATE_SIZE
    if span <= 0 or span % 8:
        text = f"must be TEMPLATE_SIZE {train.TEMPLATE_SIZE} and a multiple of 8 more; got {train.SEARCH_SIZE}"
        yield ("TRAIN", "SEARCH_SIZE"), text
    if train.FREEZE_OUT != "none" and not (train.PRETRAIN or train.RESUME or not train.ISTRUE):
        text = f"{train.FREEZE_OUT} opens pretrained layers one by one: give PRETRAIN, or write FREEZE_OUT: none"
        yield ("TRAIN", "FREEZE_OUT"), text
    if train.MODEL not in zoo.names():
        hint = did_you_mean(train.MODEL, zoo.names()) or "; test_siamfc.py --arch list shows all"
        yield ("TRAIN", "MODEL"), f"must be a model of the zoo; got {train.MODEL}{hint}"
    if ("RPN" in train.MODEL) != (settings.FAMILY == "SIAMRPN"):
        yield (
            ("TRAIN", "MODEL"),
            f"must be of the family {settings.FAMILY}, in whose block it stands; got {train.MODEL}",
        )
    if settings.FAMILY == "SIAMFC":
        for name in sorted(train.model_fields_set.intersection(RPN_KEYS)):
            yield ("TRAIN", name), "is for SIAMRPN: a SiamFC has no anchors and one loss; take it out"
    if train.ANCHORS_THR_LOW > train.ANCHORS_THR_HIGH:
        text = f"must not be above ANCHORS_THR_HIGH {train.ANCHORS_THR_HIGH}; got {train.ANCHORS_THR_LOW}"
        yield ("TRAIN", "ANCHORS_THR_LOW"), text
    if train.ANCHORS_POS_KEEP > train.ANCHORS_ALL_KEEP:
        text = f"must not be above ANCHORS_ALL_KEEP {train.ANCHORS_ALL_KEEP}; got {train.ANCHORS_POS_KEEP}"
        yield ("TRAIN", "ANCHORS_POS_KEEP"), text
    if len(set(settings.GPUS)) < len(settings.GPUS):
        yield ("GPUS",), f"must name each GPU once; got {', '.join(map(str, settings.GPUS))}"
    if test.ISTRUE:
        last = train.END_EPOCH
        if not test.DATA:
            yield ("TEST", "DATA"), "is missing: the name of the set that chooses the epoch"
        if test.END_EPOCH and test.END_EPOCH > last:
            yield ("TEST", "END_EPOCH"), f"must not be above TRAIN.END_EPOCH {last}; got {test.END_EPOCH}"
        if test.START_EPOCH > (test.END_EPOCH or last):
            text = f"must not be above END_EPOCH {test.END_EPOCH or last}; got {test.START_EPOCH}"
            yield ("TEST", "START_EPOCH"), text
    if settings.TUNE.ISTRUE and not settings.TUNE.DATA:
        yield ("TUNE", "DATA"), "is missing: the name of the set that chooses the hyper-parameters"
    yield from _contradictions_of_sets(settings)


def _contradictions_of_sets(settings: TrainSettings) -> Iterator[tuple[Key, str]]:
    train, known = settings.TRAIN, settings.DATASET.SETS
    for name in train.WHICH_USE:
        if name not in known:
            have = ", ".join(known) or "no set"
            yield ("TRAIN", "WHICH_USE"), f"names {name}, but DATASET has {have}{did_you_mean(name, known)}"
            return
    if not train.ISTRUE:
        return
    if not settings.sets:
        yield ("DATASET",), "has no data set: add a block with its PATH and ANNOTATION"
    for name in settings.DATASET.HELD_BACK:
        if name.split("/")[0] not in known or "/" not in name:
            yield (
                ("DATASET", "HELD_BACK"),
                f"must name videos as set/video, the sets are {', '.join(known)}; got {name}",
            )
            return
    use = [part.USE for part in settings.sets.values()]
    missing = next((name for name, part in settings.sets.items() if part.USE is None), None)
    if missing and any(use):
        yield ("DATASET", missing, "USE"), "is missing: other sets have a USE, and pairs are dealt in proportion to it"
    elif missing and train.PAIRS is None:
        yield ("TRAIN", "PAIRS"), "is missing: pairs in an epoch (or give every data set a USE)"


def pairs_of_sets(settings: TrainSettings) -> dict[str, int]:
    """Pairs an epoch takes from each set: PAIRS dealt in proportion to USE (largest remainders), or USE itself."""
    use = {name: part.USE or 1 for name, part in settings.sets.items()}
    total, whole = settings.TRAIN.PAIRS or sum(use.values()), sum(use.values())
    pairs = {name: total * part // whole for name, part in use.items()}
    by_remainder = sorted(use, key=lambda name: -(total * use[name] % whole))  # stable: ties go to the first
    for name in by_remainder[: total - sum(pairs.values())]:
        pairs[name] += 1
    return pairs


def cautions(settings: TrainSettings) -> list[str]:
    """Lines to warn with: settings that run but say less than they seem to."""
    final = settings.final_data
    chosen = [
        f"{name}.DATA chose the {what} on"
        for name, part, what in (("TEST", settings.TEST, "epoch"), ("TUNE", settings.TUNE, "hyper-parameters"))
        if part.ISTRUE and part.DATA == final
    ]
    if not chosen:
        return []
    cure = "name another set in FINAL.DATA" if settings.FINAL.DATA else "add FINAL: {DATA: another set}"
    return [f"the final score comes from {final}, which {' and '.join(chosen)}: it flatters; {cure}"]
