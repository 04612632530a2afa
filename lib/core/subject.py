"""Weights and a test set by name: what the command lines of the scripts that test and tune share.

A process keeps the test set and the model that it was last told of.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from lib.core.config import load_test, model_of_test
from lib.core.parallel import devices_at_hand, places_for
from lib.core.scoring import Stage
from lib.data.pixels import SHARE, free_memory
from lib.evaluation.datasets import load, place
from lib.evaluation.names import canonical
from lib.evaluation.results import set_folder
from lib.files import UserError
from lib.models import zoo
from lib.models.backends import BACKENDS, running
from lib.models.graphs import open_model, weight_files
from lib.models.siamse import MATCHINGS
from lib.models.weights import LoadedModel
from lib.tracker.family import PRECISIONS, Family

PUBLISHED = Path(__file__).parents[2] / "experiments" / "test"
SAME_SEQUENCES = {"VOT2018": "VOT2017"}  # published hyper-parameters of the second serve the first


@dataclass(frozen=True)
class Subject:
    """Weights and a test set, by name: what a process must be told."""

    weights: str
    dataset: str
    root: str = "dataset"
    max_frames: int | None = None
    slots: int = 16
    memory: int = 4 << 30  # bytes of decoded frames that a process may keep
    arch: str | None = None  # this and the next two check the weights where they are given
    cls_type: str | None = None
    anchors: int | None = None
    matching: str | None = None  # takes the place of the weights' own
    precision: str = "fp32"  # of the network
    backend: str = "eager"  # what runs it: the same numbers but for rounding

    def stage(self, device: torch.device) -> Stage:
        stage = _stage(self.dataset, self.root, self.max_frames, self.slots, device)
        stage.supply.budget_bytes = self.memory
        return stage

    def family(self, device: torch.device) -> tuple[Family, LoadedModel]:
        """The trackers of the weights, and what their file holds."""
        path = Path(self.weights)
        changed = max((file.stat().st_mtime_ns for file in weight_files(path) if file.is_file()), default=0)
        told = self.arch, self.cls_type, self.anchors, self.matching, self.precision, self.backend
        return _family(self.weights, changed, *told, device)

    def departures(self) -> dict[str, str]:
        """What a tracker does otherwise than its weights alone would."""
        told = {"matching": self.matching, "precision": None if self.precision == "fp32" else self.precision}
        return {name: value for name, value in told.items() if value}

    def place(self) -> Path:
        """Where the test set lies: two of one name are two sets."""
        return place(self.dataset, self.root)

    def results(self, root: str | Path, tracker: str) -> Path:
        """Folder of result files."""
        name = set_folder(self.dataset, self.max_frames)
        suffix = "".join(f"-{value}" for value in self.departures().values())
        return Path(root) / name / (tracker + suffix) if tracker else Path(root) / (name + suffix)


@lru_cache(maxsize=1)
def _stage(dataset: str, root: str, max_frames: int | None, slots: int, device: torch.device) -> Stage:
    return Stage(dataset, load(dataset, root, max_frames=max_frames), device, slots=slots)


@lru_cache(maxsize=1)
def _family(
    weights: str,
    changed: int,
    arch: str | None,
    cls_type: str | None,
    anchors: int | None,
    matching: str | None,
    precision: str,
    backend: str,
    device: torch.device,
) -> tuple[Family, LoadedModel]:
    loaded = open_model(weights, arch=arch, cls_type=cls_type, anchors=anchors, matching=matching)
    return Family.of(loaded, running(loaded.model.fuse().to(device), backend), precision=precision), loaded


# -------------------------------------------------------------------------------------------------- the command line


def add_options(parser: argparse.ArgumentParser, dataset: str) -> None:
    """What all scripts that track a test set understand, the published options and ours."""
    add_weight_options(parser)
    add_network_options(parser)
    parser.add_argument("--dataset", default=dataset, help="test set (default: %(default)s)")
    parser.add_argument("--dataset_root", default="dataset", help="folder of the test sets (default: %(default)s)")
    parser.add_argument("--max_frames", type=count, help="only the first so many frames of each sequence")
    parser.add_argument("--slots", type=count, default=16, help="sequences at once (default: %(default)s)")
    parser.add_argument("--threads", type=count, help="processes: one a GPU, at most one a core (default: all GPUs; 4)")
    parser.add_argument("--gpu_nums", type=count, help="use the first so many GPUs (default: all)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))


def add_weight_options(parser: argparse.ArgumentParser, *, anchors: bool = True) -> None:
    """What may be said of weights beside their file; of a SiamRPN's anchors where ``anchors``."""
    parser.add_argument("--arch", type=_arch_name, help="SiamFCRes22 ..., checks the weights; list shows all")
    if anchors:
        parser.add_argument("--cls_type", choices=("thinner", "thicker"), help="of SiamRPN, checks the weights")
        parser.add_argument("--anchor_nums", type=int, help="of SiamRPN, checks the weights")
    parser.add_argument("--matching", choices=MATCHINGS, help="of SE-SiamFC (default: that of the weights, or corr)")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    what = "of the network: bf16 is faster on GPUs and CPUs that have it, fp16 on GPUs (default: %(default)s)"
    parser.add_argument("--precision", default="fp32", choices=tuple(PRECISIONS), help=what)
    what = "what runs the network; auto measures and takes the fastest that is here (default: %(default)s)"
    parser.add_argument("--backend", default="eager", choices=BACKENDS, help=what)


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Where results go, and with which hyper-parameters they come about."""
    parser.add_argument("--result_path", default="result", help="folder of the results (default: %(default)s)")
    parser.add_argument("--cfg", help="test file with hyper-parameters (default: the published ones of the data set)")


def _arch_name(name: str) -> str:
    if name == "list":
        print(zoo.table())
        raise SystemExit(0)
    return name


def count(text: str) -> int:
    """A number on the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def subject_of(args: argparse.Namespace, weights: str | Path | None, places: Sequence[torch.device]) -> Subject:
    """What the options name, for a process at each place."""
    if not weights:
        raise UserError("weights must be named, none were: give --resume FILE")
    arch = args.arch or (model_of_test(args.cfg) if getattr(args, "cfg", None) else None)
    told = {"arch": arch, "cls_type": args.cls_type, "anchors": args.anchor_nums if "RPN" in (arch or "RPN") else None}
    told |= {"matching": args.matching, "precision": args.precision, "backend": args.backend}
    memory = memory_for_frames(places)
    return Subject(str(weights), args.dataset, args.dataset_root, args.max_frames, args.slots, memory, **told)


def memory_for_frames(places: Sequence[torch.device]) -> int:
    """Bytes of decoded frames that the process at each place may keep."""
    return int(SHARE * free_memory(places[0]) / list(places).count(places[0]))


def places_of(args: argparse.Namespace) -> list[torch.device]:
    """The device of each process."""
    gpus = range(args.gpu_nums) if args.gpu_nums else None
    return places_for(devices_at_hand(args.device, gpus), args.threads)


def home_of(places: Sequence[torch.device]) -> torch.device:
    """Where this process has its own test set and model: beside others that do the work it needs no GPU."""
    return places[0] if len(places) == 1 else torch.device("cpu")


def hyper_parameters(cfg: str | None, dataset: str, weights: LoadedModel, kind: str) -> dict[str, Any]:
    """Those of the file ``cfg``, or those that lie with the weights, or the published ones of this architecture and
    set, or none: the tracker's defaults. Says in one line which.
    """
    arch = weights.arch
    if weights.hyper and not cfg:
        values = ", ".join(f"{key} {value:g}" for key, value in weights.hyper.items())
        print(f"hyper-parameters: those tuned for the weights: {values}")
        return dict(weights.hyper)
    path = Path(cfg) if cfg else PUBLISHED / kind.upper() / f"{arch}.yaml"
    blocks = load_test(path) if cfg or path.is_file() else {}
    names = [dataset, canonical(dataset), *([SAME_SEQUENCES[dataset]] if dataset in SAME_SEQUENCES else [])]
    name = next((name for name in names if name in blocks), None)
    if name is not None:
        values = ", ".join(f"{key} {value:g}" for key, value in blocks[name].items())
        print(f"hyper-parameters: {name} in {path}: {values}")
        return dict(blocks[name])
    if cfg:
        raise UserError(f"{path} must hold a block {dataset}, it has {', '.join(blocks)}: add it")
    print(f"hyper-parameters: the tracker's defaults, none are published of {arch} for {dataset}")
    return {}
