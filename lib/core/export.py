"""What export.py does: graphs from a checkpoint, in a precision, and what the precision costs."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from lib.core.device import prepare_process
from lib.core.scoring import Stage, score
from lib.core.subject import add_weight_options, count, hyper_parameters
from lib.core.summary import table_row
from lib.evaluation.datasets import load
from lib.evaluation.report import terminal_table
from lib.files import UserError, atomic_write
from lib.geometry.crop import subwindow
from lib.models.export import Graphs, difference, export, scales_of
from lib.models.graphs import SUFFIX, files_of, open_model
from lib.models.precision import PRECISIONS, in_half, in_int8
from lib.models.weights import LoadedModel
from lib.tracker.family import Family
from lib.tracker.frames import read_image

IMAGES = {".jpg", ".jpeg", ".png", ".bmp"}


def command(description: str | None) -> str:
    """Export, write, compare; returns what is to be said."""
    args = _parse(description)
    prepare_process()
    if not args.resume:
        raise UserError("weights must be named, none were: give --resume FILE")
    name = Path(args.out or Path(args.resume).with_suffix(f".{args.precision}" * (args.precision != "fp32")))
    name = name.with_name(name.name.removesuffix(SUFFIX) + SUFFIX)
    files = files_of(name)
    if args.resume.endswith(SUFFIX):
        raise UserError(f"graphs are made from weights, {args.resume} is a graph: name the checkpoint")
    told = {"arch": args.arch, "cls_type": args.cls_type, "anchors": args.anchor_nums, "matching": args.matching}
    loaded = open_model(args.resume, **told)
    graphs, apart = export(loaded, template_side=args.template_side, search_side=args.search_side)
    lines = [f"{loaded.arch}: float32 graphs are within {apart:.1e} of PyTorch's largest values (1 and 3 slots)"]
    if args.precision != "fp32":
        exact, graphs = graphs, in_precision(graphs, args.precision, args.crops, args.count)
        searches = scales_of(loaded.arch)
        lost = difference(exact.model(), graphs.model(), graphs.facts, 3, searches, args.search_side)
        if not lost < float("inf"):
            raise UserError(f"{args.precision} must give finite numbers, values above 65504 overflow: take int8")
        lines.append(f"{args.precision}: within {lost:.1e} of float32's")
    for file, content in zip(files, graphs.files(), strict=True):
        atomic_write(file, content)
    if args.dataset:
        lines.append(compare(loaded, graphs, args))
    size = sum(file.stat().st_size for file in files) / 1e6
    written = files.search.with_name(files.search.name.replace(".search.", ".{template,search}."))
    lines.append(f"written: {written}, {size:.1f} MB; run_video.py --resume {name}")
    return "\n".join(lines)


def _parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", help="weights: a checkpoint of ours or a published file")
    add_weight_options(parser)
    parser.add_argument("--out", help="NAME of NAME.template.onnx and NAME.search.onnx (default: the weights' own)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--crops", help="folder of images, targets in their middles, to calibrate int8 with")
    parser.add_argument("--count", type=count, default=64, help="of them, evenly taken (default: %(default)s)")
    parser.add_argument("--template_side", type=count, default=127, help="px; SiamFC: instance_size - 128")
    parser.add_argument("--search_side", type=count, default=255, help="px at which it is checked; others work too")
    parser.add_argument("--dataset", help="test set on which PyTorch and the graphs are scored beside each other")
    parser.add_argument("--dataset_root", default="dataset", help="folder of the test sets (default: %(default)s)")
    parser.add_argument("--max_frames", type=count, help="only the first so many frames of each sequence")
    parser.add_argument("--cfg", help="test file with hyper-parameters (default: the published ones of the data set)")
    return parser.parse_args()


def in_precision(graphs: Graphs, precision: str, crops: str | None, most: int) -> Graphs:
    """The graphs in another precision than float32; int8 looks at ``most`` images in the folder ``crops``."""
    if precision == "fp16":
        return in_half(graphs)
    if not crops:
        raise UserError("int8 needs crops to calibrate with, none are named: give --crops FOLDER, training crops say")
    z, x = calibration_pairs(Path(crops), most, int(graphs.facts["template_side"]), int(graphs.facts["search_side"]))
    return in_int8(graphs, *(images.flip(1) if graphs.facts["color"] == "rgb" else images for images in (z, x)))


def calibration_pairs(folder: Path, most: int, template_side: int, search_side: int) -> tuple[Tensor, Tensor]:
    """The middles of images below ``folder``, BGR (M, 3, e, e) and (M, 3, i, i) float."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    if not paths:
        raise UserError(f"crops must lie in {folder}, no image does: name a folder of training crops")
    chosen = [paths[number] for number in np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]
    images = [read_image(path) for path in chosen]
    return _middles(images, template_side), _middles(images, search_side)


def _middles(images: list[np.ndarray], side: int) -> Tensor:
    patches = []
    for image in images:
        centre, colour = (image.shape[1] / 2, image.shape[0] / 2), [int(mean) for mean in cv2.mean(image)[:3]]
        patches.append(subwindow(image, centre, side, side, colour))
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float()


def compare(loaded: LoadedModel, graphs: Graphs, args: argparse.Namespace) -> str:
    """The scores of PyTorch's float32 and of the graphs on a test set, one below the other."""
    stage = Stage(args.dataset, load(args.dataset, args.dataset_root, max_frames=args.max_frames), torch.device("cpu"))
    hyper = hyper_parameters(args.cfg, args.dataset, loaded, stage.kind)
    rows = []
    for name, model in (("PyTorch fp32", loaded.model.fuse()), (f"ONNX {graphs.facts['precision']}", graphs.model())):
        (tracks,) = stage.track(Family.of(loaded, model), [hyper], name)
        rows.append(table_row(name, score(stage, tracks)))
    return terminal_table(rows)
