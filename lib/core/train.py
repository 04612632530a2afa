"""The training loop of SiamFC and SiamRPN (Zhang & Peng 2019), to be taken in at one sitting."""

import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tensorboardX import SummaryWriter
from torch import Tensor, nn
from tqdm import tqdm

from lib.core.calibrate import calibrate
from lib.core.checkpoint import checkpoint_path, latest_checkpoint, load_checkpoint, save_checkpoint
from lib.core.config import to_yaml
from lib.core.distributed import ALONE, Group, run_together
from lib.core.freeze import Opened, open_layers
from lib.core.parallel import devices_at_hand
from lib.core.provenance import provenance
from lib.core.schedule import learning_rate
from lib.core.settings import TrainSettings, pairs_of_sets
from lib.data.augment import Augmentation
from lib.data.batches import Batch, batches, steps_of
from lib.data.index import CropSet, Index, build_index
from lib.data.pairs import sample_pairs
from lib.data.pixels import Pixels
from lib.data.targets import AnchorRule
from lib.files import UserError, append, atomic_write, reason_of, say
from lib.geometry.anchors import training_anchors
from lib.losses.classification import BLOCK_WEIGHT, block_term, classification_loss
from lib.losses.regression import weighted_l1
from lib.models import zoo
from lib.models.heads import logit
from lib.models.pretrain import start_from
from lib.models.weights import Report

WORST_LOSS = 1e4  # a step with a larger loss is skipped
SKIPS_IN_A_ROW = 20  # that end the run
CALIBRATION_PAIRS, THINNING_PAIRS = 8, 32


def build_model(settings: TrainSettings) -> Any:
    """The model of the settings with random weights, the same for the same SEED."""
    torch.manual_seed(settings.SEED)
    return zoo.build(settings.TRAIN.MODEL, **model_options(settings))


def initial_model(settings: TrainSettings) -> tuple[Any, Report | None]:
    """The model before training, with what was found in PRETRAIN where that is given."""
    model = build_model(settings)
    if not settings.TRAIN.PRETRAIN:
        return model, None
    return model, start_from(model, settings.TRAIN.PRETRAIN, images=partial(thinning_images, settings))


def model_options(settings: TrainSettings) -> dict[str, Any]:
    """What :func:`lib.models.zoo.build` is told beside the name."""
    train = settings.TRAIN
    if settings.FAMILY == "SIAMFC":
        return {"width": train.WIDTH, "matching": train.MATCHING}
    anchors = {"ratios": train.ANCHORS_RATIOS, "scales": train.ANCHORS_SCALES}
    return {"width": train.WIDTH, "cls_type": train.CLS_TYPE, **anchors}


def score_mapping(loss: str) -> str:
    """How logits trained under this loss become scores: a hinge-trained logit lives in -1..1."""
    return "hinge" if loss == "hinge" else "sigmoid"


def losses(settings: TrainSettings, prediction: Any, batch: Batch, group: Group = ALONE) -> dict[str, Tensor]:
    """Named terms and their weighted sum, ``loss``; their means over the group are those of the whole batch."""
    train = settings.TRAIN
    classify = classification_loss(train.LOSS)
    if settings.FAMILY == "SIAMFC":
        return {"loss": classify(prediction.squeeze(1), batch.label, group.divisors(batch.label))}
    assert batch.delta is not None and batch.weight is not None and batch.block_label is not None
    cls, reg = prediction
    z = logit(cls, batch.label.shape[1])
    reg = weighted_l1(reg, batch.delta, batch.weight) * group.share(batch.label)
    terms = {"cls": classify(z, batch.label, group.divisors(batch.label)), "reg": reg}
    if train.CLS_TYPE == "thinner":
        block = block_term(z, batch.block_label, group.divisors(batch.block_label))
        terms["cls"] = terms["cls"] + BLOCK_WEIGHT * block
    return {"loss": train.CLS_WEIGHT * terms["cls"] + train.REG_WEIGHT * terms["reg"], **terms}


def train_on_gpus(settings: TrainSettings, *, quiet: bool = False) -> dict[str, Any]:
    """:func:`train` on all GPUs of the settings that are here, a process each; on the CPU where there is none."""
    named = settings.GPUS if "GPUS" in settings.model_fields_set else None  # a default that is absent needs no word
    devices = devices_at_hand(settings.DEVICE, named)[: len(settings.GPUS)]
    return run_together(partial(train, settings, quiet=quiet), devices)


def train(
    settings: TrainSettings, device: torch.device, group: Group = ALONE, *, quiet: bool = False
) -> dict[str, Any]:
    """Train to END_EPOCH, a checkpoint an epoch; goes on after the newest one. Returns counts for the report."""
    index, counts = training_index(settings)
    newest = newest_checkpoint(settings)
    model, started = initial_model(settings) if newest is None else (build_model(settings), None)
    model = group.joined(model.to(device))
    optimiser = new_optimiser(settings, model)
    past, fresh = resume(settings, newest, model, optimiser), newest is None
    del newest  # as large as the weights and their momentum
    if past["epoch"] >= settings.TRAIN.END_EPOCH:
        return {"crops": len(index), "pairs": sum(counts), "skipped": past["skipped"]}

    pixels = Pixels(index, device=device, workers=settings.WORKERS)
    if fresh:
        if started and group.is_first:
            print(f"starting from {settings.TRAIN.PRETRAIN}: {started}")
        thinned = started is not None and started.told is not None
        if started is None or thinned or any(key.startswith("connect_model.") for key in started.missing):
            batch = first_batch(settings, pixels, counts, device, CALIBRATION_PAIRS)
            calibrate(model, batch, pretrained_backbone=started is not None and not thinned)
    log = TrainingLog(settings, past["epoch"], quiet) if group.is_first else NoLog()
    for epoch in range(past["epoch"] + 1, settings.TRAIN.END_EPOCH + 1):
        rate = learning_rate(
            epoch,
            policy=settings.TRAIN.LR_POLICY,
            lr=settings.TRAIN.LR,
            lr_end=settings.TRAIN.LR_END,
            end_epoch=settings.TRAIN.END_EPOCH,
            warmup=settings.TRAIN.WARMUP,
            losses=past["losses"],
        )
        opened = open_layers(model, epoch, settings.TRAIN.END_EPOCH, settings.TRAIN.FREEZE_OUT)
        stepper = fresh_optimiser(settings, opened) if opened.fresh_optimiser else optimiser
        for part in stepper.param_groups:
            part["lr"] = rate
        pairs = sample_pairs(index, counts, seed=settings.SEED, epoch=epoch, negative=settings.DATASET.NEGATIVE)
        supply = epoch_batches(settings, pixels, pairs, epoch, device, group)
        log.begin(epoch, steps_of(len(pairs), settings.TRAIN.BATCH * group.size, group.size), rate)
        mean, skipped = run_epoch(settings, group.replica(model), stepper, opened, supply, log.step, group)
        past["losses"].append(mean)
        past["skipped"] += skipped
        if not group.is_first:
            continue
        save_checkpoint(
            checkpoint_path(settings.CHECKPOINT_DIR, epoch),
            {
                "epoch": epoch,
                "arch": settings.TRAIN.MODEL,
                "model": model_options(settings),
                "state_dict": model.state_dict(),
                "optimizer": optimiser.state_dict(),
                "mapping": score_mapping(settings.TRAIN.LOSS),
                "losses": past["losses"],
                "skipped": past["skipped"],
                "settings": to_yaml(settings),
                "provenance": provenance(settings) | {"crops": str(len(index)), "pairs an epoch": str(sum(counts))},
            },
        )
    log.close()
    pixels.close()
    if pixels.unreadable:
        print(pixels.report())
    return {"crops": len(index), "pairs": sum(counts), "skipped": past["skipped"]}


def run_epoch(
    settings: TrainSettings,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    opened: Opened,
    supply: Iterator[Batch],
    on_step: Callable[[int, dict[str, float]], None],
    group: Group = ALONE,
) -> tuple[float, int]:
    """One epoch; returns the mean loss of the steps that were made, and how many were skipped."""
    total, made, skipped, in_a_row = 0.0, 0, 0, 0
    device_type = next(model.parameters()).device.type
    network = compiled(model) if settings.TRAIN.COMPILE else model
    coming = next(supply, None)
    while (batch := coming) is not None:
        # every layer follows the layout of its input; channels-last saves a third of a step on CPUs
        z, x = (images.contiguous(memory_format=torch.channels_last) for images in (batch.z, batch.x))
        with torch.autocast(device_type, torch.bfloat16, enabled=settings.TRAIN.AMP):
            prediction = network(z, x)
        terms = losses(settings, prediction, batch, group)
        optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        coming = next(supply, None)  # made while a GPU is still at this one, before its loss is waited for
        values = group.values(terms)
        if settings.TRAIN.CLIP:
            torch.nn.utils.clip_grad_norm_(opened.parameters, settings.TRAIN.CLIP)
        for parameter in opened.held:
            parameter.grad = None
        if math.isfinite(values["loss"]) and values["loss"] <= WORST_LOSS:
            optimiser.step()
            total, made, in_a_row = total + values["loss"], made + 1, 0
        else:
            skipped, in_a_row = skipped + 1, in_a_row + 1
            if in_a_row >= SKIPS_IN_A_ROW:
                raise UserError(
                    f"the loss must be finite and at most {WORST_LOSS:g}, it was {values['loss']:g} for "
                    f"{in_a_row} steps in a row: lower LR, or start from other weights"
                )
        on_step(len(batch.z) * group.size, values)
    return total / max(made, 1), skipped


def compiled(model: nn.Module) -> Callable[[Tensor, Tensor], Any]:
    """``model`` by torch.compile. Where that fails, then or later, the model as it stands, and a line that says why."""
    program: Callable[[Tensor, Tensor], Any] = torch.compile(model)

    def run(z: Tensor, x: Tensor) -> Any:
        nonlocal program
        try:
            return program(z, x)
        except Exception as error:  # no compiler, an operation that it lacks: each has its own class
            if program is model:
                raise
            say(f"COMPILE gives way to eager: {reason_of(error)}")
            program = model
            return model(z, x)

    return run


def epoch_batches(
    settings: TrainSettings, pixels: Pixels, pairs: Any, epoch: int, device: torch.device, group: Group = ALONE
) -> Iterator[Batch]:
    """The epoch's images and targets, made on the device: this process's share of each batch of BATCH a process."""
    train, data = settings.TRAIN, settings.DATASET
    anchors, rule = None, AnchorRule()
    if settings.FAMILY == "SIAMRPN":
        cells = (train.SEARCH_SIZE - train.TEMPLATE_SIZE) // train.STRIDE + 1
        shapes = (train.ANCHORS_RATIOS, train.ANCHORS_SCALES)
        anchors = training_anchors(*shapes, cells, train.SEARCH_SIZE, train.STRIDE)
        keep = {"positives": train.ANCHORS_POS_KEEP, "total": train.ANCHORS_ALL_KEEP}
        rule = AnchorRule(positive_iou=train.ANCHORS_THR_HIGH, negative_iou=train.ANCHORS_THR_LOW, **keep)
    made = batches(
        pixels,
        pairs,
        batch=train.BATCH * group.size,
        template_size=train.TEMPLATE_SIZE,
        search_size=train.SEARCH_SIZE,
        stride=train.STRIDE,
        augmentation=Augmentation(
            shift=data.SHIFT,
            scale=data.SCALE,
            search_shift=data.SEARCH_SHIFT,
            search_scale=data.SEARCH_SCALE,
            color=data.COLOR,
            color_range=data.COLOR_RANGE,
            grey=data.GREY,
            motion_blur=data.MOTION_BLUR,
            flip=data.FLIP,
            blur=data.BLUR,
            rotation=data.ROTATION,
        ),
        family="siamfc" if anchors is None else "siamrpn",
        anchors=anchors,
        rule=rule,
        seed=settings.SEED,
        epoch=epoch,
        device=device,
        part=(group.rank, group.size),
    )
    if zoo.color(train.MODEL) == "rgb":
        return (batch._replace(z=batch.z.flip(1), x=batch.x.flip(1)) for batch in made)
    return made


def first_batch(settings: TrainSettings, pixels: Pixels, counts: list[int], device: torch.device, size: int) -> Batch:
    """``size`` pairs of the first epoch, the same for any BATCH and in every process."""
    small = settings.model_copy(update={"TRAIN": settings.TRAIN.model_copy(update={"BATCH": size})})
    pairs = sample_pairs(pixels.index, counts, seed=settings.SEED, epoch=1)[:size]
    return next(epoch_batches(small, pixels, pairs, 1, device))


def thinning_images(settings: TrainSettings) -> Tensor:
    """Search images (N, 3, side, side) of the training sets, to thin wider weights on."""
    index, counts = training_index(settings)
    cpu = torch.device("cpu")
    pixels = Pixels(index, device=cpu, workers=0)
    images = first_batch(settings, pixels, counts, cpu, THINNING_PAIRS).x
    pixels.close()
    return images


def new_optimiser(settings: TrainSettings, model: nn.Module) -> torch.optim.SGD:
    """SGD over all parameters: those that are frozen have no gradient, and are left alone with their momentum."""
    return _sgd(settings, list(model.parameters()), settings.TRAIN.WEIGHT_DECAY)


def fresh_optimiser(settings: TrainSettings, opened: Opened) -> torch.optim.SGD:
    """The optimiser that the released code makes for one epoch at each opening."""
    return _sgd(settings, opened.parameters, 1e-4 if settings.FAMILY == "SIAMRPN" else settings.TRAIN.WEIGHT_DECAY)


def _sgd(settings: TrainSettings, parameters: list[nn.Parameter], decay: float) -> torch.optim.SGD:
    train = settings.TRAIN
    return torch.optim.SGD(parameters, lr=train.LR, momentum=train.MOMENTUM, weight_decay=decay, fused=True)


def newest_checkpoint(settings: TrainSettings) -> dict[str, Any] | None:
    """What training goes on from: the newest checkpoint of this run, or RESUME, or nothing."""
    checkpoint = latest_checkpoint(settings.CHECKPOINT_DIR)
    source, cure = str(settings.CHECKPOINT_DIR), "CHECKPOINT_DIR"
    if checkpoint is None and settings.TRAIN.RESUME:
        checkpoint, source, cure = load_checkpoint(settings.TRAIN.RESUME), settings.TRAIN.RESUME, "RESUME"
    if checkpoint is not None and checkpoint.get("arch") != settings.TRAIN.MODEL:
        raise UserError(
            f"a run goes on with its own MODEL, {settings.TRAIN.MODEL}; what lies in {source} is of "
            f"{checkpoint.get('arch')}: name another {cure}"
        )
    return checkpoint


def resume(
    settings: TrainSettings, checkpoint: dict[str, Any] | None, model: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Fill model and optimiser from the checkpoint, if there is one: {epoch, losses, skipped} so far."""
    if checkpoint is None:
        return {"epoch": settings.TRAIN.START_EPOCH, "losses": [], "skipped": 0}
    model.load_state_dict(checkpoint["state_dict"])
    optimiser.load_state_dict(checkpoint["optimizer"])
    return {key: checkpoint[key] for key in ("epoch", "losses", "skipped")}


def training_index(settings: TrainSettings) -> tuple[Index, list[int]]:
    """The crops of the sets in use, and the pairs of each in an epoch."""
    sets, held_back = settings.sets, settings.DATASET.HELD_BACK
    index = build_index(
        [
            CropSet(
                name=name,
                path=Path(part.PATH),
                annotation=Path(part.ANNOTATION),
                reach=part.RANGE,
                held_back=tuple(v.split("/", 1)[1] for v in held_back if v.startswith(f"{name}/")),
            )
            for name, part in sets.items()
        ]
    )
    return index, list(pairs_of_sets(settings).values())


class TrainingLog:
    """train.jsonl (what the report draws), TensorBoard's events, and the progress bar."""

    def __init__(self, settings: TrainSettings, epochs_done: int, quiet: bool) -> None:
        self.settings, self.quiet = settings, quiet
        folder = Path(settings.OUTPUT_DIR)
        self.path = folder / "train.jsonl"
        kept = [row for row in read_log(self.path) if row["epoch"] <= epochs_done]  # a killed epoch is done again
        atomic_write(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self.events = SummaryWriter(str(folder / "tensorboard"))
        self.bar: Any = tqdm(disable=True)

    def begin(self, epoch: int, steps: int, rate: float) -> None:
        """A new epoch of so many steps at this learning rate."""
        self.epoch, self.steps, self.rate, self.at = epoch, steps, rate, 0
        self.bar.close()
        last = self.settings.TRAIN.END_EPOCH
        self.bar = tqdm(total=steps, unit="step", desc=f"epoch {epoch}/{last}", disable=self.quiet)
        self.started = time.monotonic()

    def step(self, pairs: int, values: dict[str, float]) -> None:
        """One step on ``pairs`` pairs, with its loss and terms."""
        self.at += 1
        speed = self.at * pairs / (time.monotonic() - self.started)
        self.bar.set_postfix({"loss": f"{values['loss']:.4f}", "pairs/s": f"{speed:.1f}"}, refresh=False)
        self.bar.update()
        if self.at % self.settings.PRINT_FREQ and self.at != self.steps:
            return
        row = {"epoch": self.epoch, "step": self.at, "lr": self.rate, **values}
        append(self.path, json.dumps(row))
        whole = (self.epoch - 1) * self.steps + self.at
        for name, value in {"lr": self.rate, **values, "pairs_per_second": speed}.items():
            self.events.add_scalar(name, value, whole)

    def close(self) -> None:
        """The epoch's bar and the events are complete."""
        self.bar.close()
        self.events.close()


class NoLog:
    """What the other processes of a group keep: nothing."""

    def begin(self, epoch: int, steps: int, rate: float) -> None: ...

    def step(self, pairs: int, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows of train.jsonl; a line that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
