"""Training speed, data included, beside the published way of training, in one run, on the same crops.

python -m benchmarks.train [--case SiamFCRes22] [--batch 32] [--steps 8] [--width 1] [--amp] [--json OUT]

Both cases take a minute on two cores as they stand; batches are smaller there than on a GPU, which changes little.

Crops are rendered noise, so no data are needed. Ours decodes each once, before the clock runs (its time is printed);
the peer decodes in every step, in --workers processes beside the model.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import figures
from benchmarks.baseline.training import PublishedPairs, published_step
from benchmarks.floor import Machine, machine_of
from lib.core.config import load_train
from lib.core.device import choose_device, prepare_process
from lib.core.freeze import open_layers
from lib.core.settings import TrainSettings
from lib.core.train import build_model, epoch_batches, losses, new_optimiser, run_epoch, training_index
from lib.data.batches import Batch
from lib.data.pairs import sample_pairs
from lib.data.pixels import Pixels
from lib.files import reason_of, run_script

CASES = ("SiamFCRes22", "SiamRPNRes22")
FILE = """\
{family}:
  TRAIN: {{MODEL: {model}, WIDTH: {width}, BATCH: {batch}, PAIRS: {pairs}, FREEZE_OUT: none, AMP: {amp},
    COMPILE: {compile}, LR: 1.0e-6, LR_END: 1.0e-7, END_EPOCH: 50}}
  DATASET: {{BLUR: 0.2, CLIPS: {{PATH: '{folder}/crops', ANNOTATION: '{folder}/crops.json'}}}}
"""


def write_crops(folder: Path, count: int, side: int) -> None:
    """``count`` crops of noise that compresses as photographs do, in one video."""
    rng, boxes = np.random.default_rng(0), {}
    (folder / "crops" / "v").mkdir(parents=True)
    for number in range(count):
        ground = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = cv2.resize(ground, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "crops" / "v" / f"{number:06d}.00.x.jpg"), image)
        boxes[f"{number:06d}"] = [float(rng.uniform(50, 80)), float(rng.uniform(50, 80))]
    (folder / "crops.json").write_text(json.dumps({"v": {"00": boxes}}))


class Clock:
    """Seconds of each step but the first ``skip``, the median, waiting for the device."""

    def __init__(self, device: torch.device, skip: int = 1) -> None:
        self.device, self.skip, self.marks = device, skip, [0.0]

    def __call__(self, *_: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.marks.append(time.perf_counter())

    def seconds(self) -> float:
        return float(np.median(np.diff(self.marks[self.skip :])))


def ours(settings: TrainSettings, pixels: Pixels, pairs: Any, device: torch.device) -> Callable[[], float]:
    """One call: the steps of an epoch; seconds a step."""
    model = build_model(settings).to(device)
    opened = open_layers(model, 1, settings.TRAIN.END_EPOCH, settings.TRAIN.FREEZE_OUT)
    optimiser = new_optimiser(settings, model)

    def run() -> float:
        clock = Clock(device)
        supply = epoch_batches(settings, pixels, pairs, 1, device)
        run_epoch(settings, model, optimiser, opened, supply, clock)
        return clock.seconds()

    return run


def published(settings: TrainSettings, pixels: Pixels, pairs: Any, device: torch.device, workers: int) -> Any:
    """One call: the steps of an epoch of the peer; seconds a step."""
    model = build_model(settings).to(device)
    opened = open_layers(model, 1, settings.TRAIN.END_EPOCH, settings.TRAIN.FREEZE_OUT)
    optimiser = torch.optim.SGD(opened.parameters, lr=1e-6, momentum=0.9, weight_decay=1e-4)
    rpn = settings.FAMILY == "SIAMRPN"
    ahead = 2 * workers  # batches that wait before the first is taken: how fast more come is seen after them
    data = PublishedPairs(pixels.index, np.resize(pairs, (len(pairs) + ahead * settings.TRAIN.BATCH, 2)), rpn=rpn)

    def loss_of(prediction: Any, parts: list[torch.Tensor]) -> torch.Tensor:
        return losses(settings, prediction, Batch(*parts))["loss"]

    def batches() -> Iterator[list[torch.Tensor]]:
        pin = device.type == "cuda"
        yield from torch.utils.data.DataLoader(data, settings.TRAIN.BATCH, num_workers=workers, pin_memory=pin)

    def run() -> float:
        clock = Clock(device, skip=1 + ahead)
        for batch in batches():
            published_step(model, optimiser, batch, loss_of)
            clock()
        return clock.seconds()

    return run


def measure(arch: str, folder: Path, args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One line of the table."""
    file = folder / f"{arch}.yaml"
    told: dict[str, Any] = {"family": "SIAMRPN" if "RPN" in arch else "SIAMFC", "model": arch, "folder": folder}
    told |= {"width": args.width, "batch": args.batch, "pairs": args.batch * (args.steps + 1)}
    file.write_text(FILE.format(amp=args.amp, compile=args.compile, **told))
    settings = load_train(file)
    frozen = settings.TRAIN.model_copy(update={"FREEZE_OUT": args.freeze})  # of random weights, which settings forbid
    settings = settings.model_copy(update={"TRAIN": frozen})
    index, counts = training_index(settings)
    pixels = Pixels(index, device=device)
    began = time.perf_counter()
    pixels.preload(quiet=True)
    line: dict[str, Any] = {"model": arch, "decode_ms_a_crop": 1e3 * (time.perf_counter() - began) / len(index)}
    pairs = sample_pairs(index, counts, seed=0, epoch=1)
    sides = {"ours": ours(settings, pixels, pairs, device)}
    sides["published"] = published(settings, pixels, pairs, device, args.workers)
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):  # in turns, so that what else the machine does meets both
        for name, run in sides.items():
            try:
                took[name].append(run())
            except RuntimeError as error:
                if name == "ours":
                    raise
                line["published"] = f"failed: {reason_of(error)}"  # memory that its many processes share, say
    for name, seconds in took.items():
        if seconds:
            line[f"{name}_pairs_per_second"] = args.batch / min(seconds)
    if took["published"]:
        line["ratio"] = line["ours_pairs_per_second"] / line["published_pairs_per_second"]
    # products of matrices as convolutions are made: in TF32, where those are
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    machine = machine_of(device, torch.bfloat16 if args.amp else torch.float32)
    line |= floor_of_step(settings, pixels, pairs, device, machine, 1e3 / line["ours_pairs_per_second"])
    if args.profile:
        line["profile"] = figures.profile(sides["ours"], device)
    pixels.close()
    return line


def floor_of_step(
    settings: TrainSettings, pixels: Pixels, pairs: Any, device: torch.device, machine: Machine, taken_ms: float
) -> dict[str, float]:
    """Operations of a pair, forward and back; the least milliseconds for them, and how many times that was taken."""
    model = build_model(settings).to(device)
    opened = open_layers(model, 1, settings.TRAIN.END_EPOCH, settings.TRAIN.FREEZE_OUT)
    supply = islice(epoch_batches(settings, pixels, pairs, 1, device), 1)
    with FlopCounterMode(display=False) as counter:
        run_epoch(settings, model, new_optimiser(settings, model), opened, supply, lambda *_: None)
    flop = counter.get_total_flops() / settings.TRAIN.BATCH
    floor_ms = 1e3 * flop / machine.flops
    return {"floor_gflop": flop / 1e9, "floor_ms": floor_ms, "ms_a_pair": taken_ms, "distance": taken_ms / floor_ms}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", default=list(CASES), help="architectures (default: %(default)s)")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, help="pairs of a step (default: 32 on a GPU, else 8)")
    parser.add_argument("--steps", type=int, default=4, help="that are timed, in each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--side", type=int, default=511, help="of the crops, pixels (published: 511)")
    parser.add_argument(
        "--freeze", default="none", choices=("none", "paper"), help="FREEZE_OUT: none, or paper for its first stage"
    )
    parser.add_argument("--workers", type=int, help="of the peer's DataLoader (default: 16 beside a GPU, else 0)")
    parser.add_argument("--profile", action="store_true", help="what ours spends its time on")
    parser.add_argument("--amp", action="store_true", help="ours in bfloat16; the peer stays in float32")
    parser.add_argument("--compile", action="store_true", help="ours by torch.compile; the peer stays as it is")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    prepare_process()
    device = choose_device(args.device)
    on_gpu = device.type == "cuda"
    args.workers = (16 if on_gpu else 0) if args.workers is None else args.workers
    args.batch = args.batch or (32 if on_gpu else 8)
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder), args.crops, args.side)
        about, lines = figures.machine("train", device), []
        print(f"{about['device']}, ours in {'bfloat16' if args.amp else 'float32'}")
        for arch in args.case:
            lines.append(measure(arch, Path(folder), args, device))
            print(figures.aligned(lines[-1], 14), flush=True)
            figures.write(args.json, about, lines=lines)


if __name__ == "__main__":
    run_script(main)
