"""The whole job: train, test every epoch, tune, score, report. Killed anywhere, it goes on where it was.

Each stage finds on disk what it has done: training its checkpoints, testing its result files, tuning its study.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from lib.core.checkpoint import checkpoint_path, epochs_on_disk, load_checkpoint
from lib.core.config import hyper_to_yaml, load_train
from lib.core.device import choose_device
from lib.core.lock import locked, same_run
from lib.core.parallel import devices_at_hand, places_for
from lib.core.provenance import provenance
from lib.core.scoring import HEADLINE, Scores, Stage, score
from lib.core.settings import TrainSettings, cautions
from lib.core.subject import Subject, memory_for_frames
from lib.core.summary import Outcome, write_report
from lib.core.testing import Task, run_all, track_task
from lib.core.train import build_model, initial_model, score_mapping, train_on_gpus
from lib.core.tune import PROPOSE, Finished, Search, search_space
from lib.evaluation.datasets import load, place
from lib.evaluation.report import settings_from_html
from lib.evaluation.results import set_folder
from lib.files import UserError, atomic_write
from lib.models.backends import running
from lib.tracker.family import Family, defaults
from lib.tracker.still import StillTracker


def onekey(settings: TrainSettings, *, quiet: bool = False) -> Outcome:
    """Run all stages of the settings."""
    folder = Path(settings.OUTPUT_DIR)
    with locked(folder):
        same_run(settings, folder)
        for caution in cautions(settings):
            print(f"note: {caution}")
        device = choose_device(settings.DEVICE, settings.GPUS)
        job = Job(settings, folder, device, quiet)
        job.look_ahead()
        if settings.TRAIN.ISTRUE:
            job.note("train")
            train_on_gpus(settings, quiet=quiet)
        epochs = job.test_epochs() if settings.TEST.ISTRUE else {}
        epoch = job.choose(epochs)
        hyper = job.tune(epoch) if settings.TUNE.ISTRUE else {}
        job.final(epoch, hyper)
        job.note("report")
        outcome = job.report()
        job.note("done")
    return outcome


def report_of(folder: str | Path) -> Outcome:
    """The report of what a run has done so far, from its output folder alone; nothing is trained or tracked."""
    folder = Path(folder)
    path = folder / "settings.yaml"
    if not path.is_file():
        raise UserError(f"{folder} must be the output folder of a run, it has no settings.yaml: check the path")
    return Job(load_train(path), folder, torch.device("cpu"), quiet=True).report()


def settings_of(path: str | Path) -> str:
    """The settings file of the run that wrote this report or checkpoint."""
    path = Path(path)
    if path.suffix != ".html":
        settings = load_checkpoint(path).get("settings")
        if not settings:
            raise UserError(f"{path} must be a checkpoint of ours, it carries no settings: give another file")
        return str(settings)
    try:
        return settings_from_html(path.read_text())
    except FileNotFoundError:
        raise UserError(f"a report must exist, {path} does not: check the path") from None


class Job:
    """The stages of one run."""

    def __init__(self, settings: TrainSettings, folder: Path, device: torch.device, quiet: bool) -> None:
        self.settings, self.folder, self.device, self.quiet = settings, folder, device, quiet
        self.stages: dict[tuple[str, int | None], Stage] = {}

    def note(self, stage: str, **more: Any) -> None:
        """state.json: what the run is doing, for whoever looks."""
        state = {"stage": stage, "since": time.strftime("%Y-%m-%d %H:%M:%S"), **more}
        atomic_write(self.folder / "state.json", json.dumps(state, indent=1))
        if not self.quiet and stage != "done":
            print(f"== {stage}" + "".join(f", {key} {value}" for key, value in more.items()), flush=True)

    def stage(self, block: str) -> Stage:
        """The test set of TEST, TUNE or FINAL, loaded once."""
        settings = self.settings
        name = settings.final_data if block == "FINAL" else getattr(settings, block).DATA
        key = (name, getattr(settings, block).MAX_FRAMES)
        if key not in self.stages:
            videos = load(name, settings.DATASET_ROOT, max_frames=key[1])
            self.stages[key] = Stage(name, videos, self.device, slots=settings.SLOTS, workers=settings.WORKERS)
        return self.stages[key]

    def look_ahead(self) -> None:
        """Read the annotations of all test sets: what is missing or cannot be is said now, not days later."""
        if self.settings.TEST.PRECISION == "fp16" and self.device.type == "cpu":
            raise UserError("TEST.PRECISION fp16 is for GPUs, this is a CPU: write bf16 or fp32")
        test, final = self.settings.TEST.DATA, self.settings.final_data
        one, other = (place(name, self.settings.DATASET_ROOT) for name in (test, final))
        if self.settings.TEST.ISTRUE and one != other and Path(test).name == Path(final).name:
            raise UserError(  # results lie by that name: one's would be read as the other's
                f"TEST.DATA and FINAL.DATA must be one set or differ in name, they are {one} and {other}: rename one"
            )
        for block in ("TEST", "TUNE"):
            if getattr(self.settings, block).ISTRUE:
                self.stage(block)
        self.stage("FINAL")

    def family(self, epoch: int | None) -> Family:
        """The trackers of an epoch's checkpoint; of the untrained model for None."""
        if epoch is None:
            model, _ = initial_model(self.settings)
        else:
            model = build_model(self.settings)
            model.load_state_dict(load_checkpoint(checkpoint_path(self.settings.CHECKPOINT_DIR, epoch))["state_dict"])
        train, test = self.settings.TRAIN, self.settings.TEST
        return Family(
            running(model.fuse().to(self.device), test.BACKEND),
            ratios=train.ANCHORS_RATIOS if self.settings.FAMILY == "SIAMRPN" else None,
            scales=train.ANCHORS_SCALES,
            mapping=score_mapping(train.LOSS),
            precision=test.PRECISION,
        )

    def results(self, block: str, tracker: str) -> Path:
        """Folder of a tracker's result files."""
        name = self.settings.final_data if block == "FINAL" else getattr(self.settings, block).DATA
        return self.folder / "result" / set_folder(name, getattr(self.settings, block).MAX_FRAMES) / tracker

    def test_epochs(self) -> dict[int, Scores]:
        """Score every epoch on TEST.DATA, one after the other or TEST.THREADS at once."""
        stage, on_disk = self.stage("TEST"), set(epochs_on_disk(self.settings.CHECKPOINT_DIR))
        epochs = [epoch for epoch in self.settings.test_epochs if epoch in on_disk]
        if not epochs:
            wanted = self.settings.test_epochs
            raise UserError(
                f"TEST needs checkpoints of epochs {wanted.start} to {wanted.stop - 1}, {self.settings.CHECKPOINT_DIR} "
                "has none: train first (TRAIN.ISTRUE), or correct CHECKPOINT_DIR"
            )
        folders = {epoch: self.results("TEST", f"{self.settings.TRAIN.MODEL}_e{epoch}") for epoch in epochs}
        devices = [self.device]
        if self.device.type == "cuda":
            devices = devices_at_hand(self.settings.DEVICE, self.settings.GPUS)
        places = places_for(devices, self.settings.TEST.THREADS)
        if len(places) > 1:
            self.track_at_once({e: folder for e, folder in folders.items() if not stage.is_whole(folder)}, places)
            return {epoch: score(stage, stage.read(folder)) for epoch, folder in folders.items()}
        scores = {}
        for epoch, folder in folders.items():
            self.note("test", epoch=epoch, data=self.settings.TEST.DATA)
            if stage.is_whole(folder):
                rows = stage.read(folder)
            else:
                rows = stage.track_to_files(self.family(epoch), {}, folder, f"test epoch {epoch}", quiet=self.quiet)
            scores[epoch] = score(stage, rows)
        return scores

    def track_at_once(self, folders: Mapping[int, Path], places: Sequence[torch.device]) -> None:
        """Track TEST.DATA with each epoch's checkpoint, spread over the places, into the epoch's folder."""
        settings, test = self.settings, self.settings.TEST
        self.note("test", epochs=len(folders), data=test.DATA, processes=len(places))
        of: dict[str, Any] = {"dataset": test.DATA, "root": str(settings.DATASET_ROOT), "max_frames": test.MAX_FRAMES}
        of |= {"slots": settings.SLOTS, "memory": memory_for_frames(places)}
        of |= {"precision": test.PRECISION, "backend": test.BACKEND}
        weights = {epoch: str(checkpoint_path(settings.CHECKPOINT_DIR, epoch)) for epoch in folders}
        tasks = [Task(Subject(weights[epoch], **of), {}, folder) for epoch, folder in folders.items()]
        run_all(track_task, tasks, places, "test epochs", "epoch", quiet=self.quiet)

    def choose(self, epochs: Mapping[int, Scores]) -> int:
        """The best tested epoch (of equal ones the first), or the last one trained."""
        if epochs:
            return max(epochs, key=lambda epoch: epochs[epoch].mean[epochs[epoch].headline])
        trained = epochs_on_disk(self.settings.CHECKPOINT_DIR)
        if not trained:
            raise UserError(f"{self.settings.CHECKPOINT_DIR} must hold a checkpoint, it has none: train first")
        return trained[-1]

    def tune(self, epoch: int) -> dict[str, Any]:
        """Search on TUNE.DATA; the best is written as a test file, tuned.yaml."""
        settings, stage, family = self.settings, self.stage("TUNE"), self.family(epoch)
        tune = settings.TUNE
        self.note("tune", trials=tune.TRIALS, data=tune.DATA)
        search = self.search(epoch)
        headline = HEADLINE[stage.kind]

        def evaluate(trials: list[dict[str, Any]]) -> list[float]:
            first = len(search.finished)
            label = f"trials {first + 1} to {first + len(trials)} of {tune.TRIALS}"
            tracked = stage.track(family, trials, label, quiet=self.quiet)
            return [score(stage, rows, intervals=False).mean[headline] for rows in tracked]

        best: Finished = search.run(tune.TRIALS, evaluate, PROPOSE[tune.METHOD], at_once=tune.BATCH)
        atomic_write(self.folder / "tuned.yaml", hyper_to_yaml({tune.DATA: best.params}))
        return best.params

    def search(self, epoch: int) -> Search:
        """The study of this run."""
        tune, stage = self.settings.TUNE, self.stage("TUNE")
        is_rpn = self.settings.FAMILY == "SIAMRPN"
        sides = stage.kind == "vot" and tune.DATA.upper() in ("VOT2017", "VOT2018")
        return Search(
            self.folder / "tune.db",
            f"{self.settings.TRAIN.MODEL} on {tune.DATA}",
            space=search_space(is_rpn, tune.METHOD, search_sides=sides),
            subject={"data": tune.DATA, "frames": tune.MAX_FRAMES, "epoch": epoch, "method": tune.METHOD},
            seed=self.settings.SEED,
            batch=tune.BATCH if tune.METHOD == "TPE" else tune.POPULATION,
            defaults=defaults(is_rpn),
        )

    def final(self, epoch: int, hyper: Mapping[str, Any]) -> None:
        """Track FINAL.DATA with the trackers of the final table."""
        stage, folders = self.stage("FINAL"), self.final_folders(epoch)
        self.note("score", data=self.settings.final_data)
        trained = cache(partial(self.family, epoch))
        trackers: dict[str, tuple[Callable[[], Any], Mapping[str, Any]]] = {
            "still box": (partial(StillTracker, self.device), {}),
            "untrained": (partial(self.family, None), {}),
            "trained": (trained, {}),
        }
        if hyper:
            trackers["tuned"] = (trained, hyper)
        for label, (family, values) in trackers.items():
            if not stage.is_whole(folders[label]):
                stage.track_to_files(family(), values, folders[label], label, quiet=self.quiet)

    def final_folders(self, epoch: int) -> dict[str, Path]:
        """Where the results of each row of the final table lie."""
        name = f"{self.settings.TRAIN.MODEL}_e{epoch}"
        names = {"still box": "still", "untrained": "untrained", "trained": name, "tuned": f"{name}_tuned"}
        return {label: self.results("FINAL", folder) for label, folder in names.items()}

    def weights_made(self, epoch: int, now: Mapping[str, str]) -> dict[str, str]:
        """What the checkpoint says of its training, where that is not what holds now."""
        told = load_checkpoint(checkpoint_path(self.settings.CHECKPOINT_DIR, epoch)).get("provenance", {})
        return {
            name if name not in now else f"{name}, of the weights": text
            for name, text in told.items()
            if now.get(name) != text
        }

    def data(self) -> dict[str, str]:
        """Counts of the test sets by the settings' block."""
        settings, counts = self.settings, {}
        for block in ("TEST", "TUNE", "FINAL"):
            if block == "FINAL" or getattr(settings, block).ISTRUE:
                stage = self.stage(block)
                frames = sum(map(len, stage.videos))
                counts[block] = f"{stage.name}: {len(stage.videos)} sequences, {frames} frames"
        return counts

    def report(self) -> Outcome:
        """Write the report from what is on disk; stages that are not done yet are left out of it."""
        settings, epochs = self.settings, {}
        if settings.TEST.ISTRUE:
            stage = self.stage("TEST")
            for epoch in settings.test_epochs:
                folder = self.results("TEST", f"{settings.TRAIN.MODEL}_e{epoch}")
                if stage.is_whole(folder):
                    epochs[epoch] = score(stage, stage.read(folder))
        finals, chosen, search, made = {}, None, None, provenance(settings)
        if epochs or epochs_on_disk(settings.CHECKPOINT_DIR):
            chosen = self.choose(epochs)
            made |= self.weights_made(chosen, made)
            stage = self.stage("FINAL")
            folders = self.final_folders(chosen)
            finals = {label: stage.read(folder) for label, folder in folders.items() if stage.is_whole(folder)}
            if (self.folder / "tune.db").is_file():
                search = self.search(chosen)
        tuned_by = HEADLINE[self.stage("TUNE").kind] if search else ""
        return write_report(
            settings,
            self.folder,
            epochs=epochs,
            epoch=chosen,
            finals=finals,
            stage=self.stage("FINAL"),
            search=search,
            tuned_by=tuned_by,
            made=made | {f"data, {name}": told for name, told in self.data().items()},
        )
