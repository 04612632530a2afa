"""Hyper-parameters of a tracker for a test set: what tune_tpe.py and tune_gene.py do.

The trials of a batch are spread over the devices at hand and scored in memory. The study is kept on disk, so a search
that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from lib.core.config import hyper_to_yaml
from lib.core.device import prepare_process
from lib.core.lock import locked
from lib.core.parallel import spread
from lib.core.scoring import HEADLINE, NAMES, score
from lib.core.subject import Subject, add_options, count, home_of, places_of, subject_of
from lib.core.testing import deal, digest
from lib.core.tune import PROPOSE, Finished, Hyper, Search, search_space
from lib.files import atomic_write
from lib.tracker.family import defaults

AT_ONCE = 8  # trials tracked together before they are written
BATCH = {"TPE": 8, "GENE": 100}  # trials drawn together
TRIALS = {"TPE": 1000, "GENE": 100 * 100}  # published: 600 to 3000; 100 generations
SEARCHED_SIDES = ("VOT2017", "VOT2018")  # sets on which the side of SiamRPN's search image is tuned too


def command(method: str, description: str | None) -> str:
    """tune_tpe.py and tune_gene.py."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", "--checkpoint", help="weights: a checkpoint of ours or a published file")
    add_options(parser, "VOT2017")
    trials, batch = TRIALS[method], BATCH[method]
    parser.add_argument("--trials", type=count, default=trials, help="in all, with those done (default: %(default)s)")
    name, what = ("--batch", "drawn together") if method == "TPE" else ("--population", "in a generation")
    parser.add_argument(name, dest="batch", type=count, default=batch, help=f"trials {what} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the search (default: %(default)s)")
    parser.add_argument("--out", help="folder of the study and its best (default: output/tune/<weights on set>)")
    parser.add_argument("--storage", help="URL of a database of Optuna's for the study (default: tune.db in --out)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args()
    prepare_process()
    return tune(args, method)


def tune(args: argparse.Namespace, method: str) -> str:
    """Search until --trials are finished; writes the best as a test file, and returns what was found."""
    places = places_of(args)
    subject, home = subject_of(args, args.resume, places), home_of(places)
    family, loaded = subject.family(home)
    stage = subject.stage(home)
    weights, set_name = digest(subject.weights)[:12], subject.results("", "").name
    out = Path(args.out or f"output/tune/{Path(subject.weights).stem}_{set_name}_{method.lower()}")
    with locked(out):
        search = Search(
            args.storage or out / "tune.db",
            f"{loaded.arch} {weights} on {set_name} by {method}",
            space=search_space(family.is_rpn, method, search_sides=args.dataset.upper() in SEARCHED_SIDES),
            subject={"data": str(subject.place()), "frames": args.max_frames, "weights": weights, "method": method}
            | subject.departures(),
            seed=args.seed,
            batch=args.batch,
            defaults=defaults(family.is_rpn),
        )
        trials = Trials(subject, places, search, args.trials, args.quiet)
        best = search.run(args.trials, trials.evaluate, PROPOSE[method], at_once=max(AT_ONCE, 2 * len(places)))
        file = out / "tuned.yaml"
        atomic_write(file, hyper_to_yaml({args.dataset: best.params}))
    script = "test_siamrpn.py" if family.is_rpn else "test_siamfc.py"
    where = f"--dataset {args.dataset} --dataset_root {args.dataset_root}"
    how = "".join(f" --{name} {value}" for name, value in subject.departures().items())
    use = f"python siamese_tracking/{script} --resume {subject.weights} {where} --cfg {file}{how}"
    return f"{found(search, best, NAMES[HEADLINE[stage.kind]])}\nwritten: {file}\nuse it: {use}"


class Trials:
    """Scores trials on the places, with a bar."""

    def __init__(
        self, subject: Subject, places: Sequence[torch.device], search: Search, trials: int, quiet: bool
    ) -> None:
        self.subject, self.places, self.search, self.trials, self.quiet = subject, places, search, trials, quiet

    def evaluate(self, trials: list[Hyper]) -> list[float]:
        """The score of each trial: on CPUs one at a time, on GPUs an equal share each."""
        done = self.search.finished
        best = f", best {max(trial.value for trial in done):.3f}" if done else ""
        label = f"trials {len(done) + 1} to {len(done) + len(trials)} of {self.trials}{best}"
        alone = len(self.places) == 1
        parts = 1 if alone else len(self.places) if self.places[0].type != "cpu" else len(trials)
        shares = deal([1] * len(trials), parts)
        told = label if alone and not self.quiet else ""
        tasks = [(self.subject, [trials[n] for n in share], told) for share in shares]
        scored = tqdm(
            spread(score_trials, tasks, self.places),
            label,
            len(tasks),
            unit="share",
            disable=self.quiet or alone,
            leave=False,
        )
        values: dict[int, float] = {}
        for share, some in zip(shares, scored, strict=True):
            values |= zip(share, some, strict=True)
        return [values[n] for n in range(len(trials))]


def score_trials(task: tuple[Subject, list[Hyper], str], device: torch.device) -> list[float]:
    """The score of each trial, which chooses among them; a bar where there is a label."""
    subject, trials, label = task
    stage, (family, _) = subject.stage(device), subject.family(device)
    tracked = stage.track(family, trials, label, quiet=not label)
    return [score(stage, rows, intervals=False).mean[HEADLINE[stage.kind]] for rows in tracked]


def found(search: Search, best: Finished, headline: str) -> str:
    """The best trial, and how much each hyper-parameter matters."""
    shares = search.importance()
    lines = [f"best of {len(search.finished)} trials: {headline} {best.value:.4f}"]
    wide = max(map(len, best.params))
    for name, value in best.params.items():
        share = f"   {shares[name]:4.0%} of the variation" if name in shares else ""
        lines.append(f"  {name:<{wide}}  {value:<8g}{share}")
    return "\n".join(lines)
