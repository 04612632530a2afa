"""Two processes that train one model do what one process does with batches twice as large."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lib.core.checkpoint import checkpoint_path, load_checkpoint
from lib.core.config import load_train
from lib.core.distributed import Group, JointBatchNorm, run_together
from lib.core.settings import TrainSettings
from lib.core.train import build_model, train
from lib.files import UserError
from tests.core.tiny import write_data, write_settings

CPU = torch.device("cpu")
MODELS = {"SIAMFC": "SiamFCRes22", "SIAMRPN": "SiamRPNRes22"}
EPOCHS = {"SIAMFC": 2, "SIAMRPN": 1}


def settings_of(cfg: Path, batch: int) -> TrainSettings:
    # 7 pairs in batches of 4: the last batch has 3, of which one process has 1 and the other 2
    some = {"TRAIN.PAIRS": 7, "DATASET.BLUR": 0.5, "DATASET.FLIP": 0.5, "TRAIN.END_EPOCH": EPOCHS[cfg.parent.name]}
    return load_train(cfg, {"TRAIN.BATCH": batch, "TEST.END_EPOCH": 1, **some})


def train_all(device: torch.device, group: Group, *, cfgs: list[Path]) -> dict:
    """Both families; then the first again from its first epoch on, as after a kill in the second."""
    torch.set_num_threads(1)
    done = [train(settings_of(cfg, 2), device, group, quiet=True) for cfg in cfgs]
    folder = Path(settings_of(cfgs[0], 2).CHECKPOINT_DIR)
    dist.barrier()
    if group.is_first:
        shutil.copy(checkpoint_path(folder, 2), folder / "uninterrupted.pth")
        checkpoint_path(folder, 2).unlink()
    dist.barrier()
    train(settings_of(cfgs[0], 2), device, group, quiet=True)
    return done[0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Where one process and where two have trained."""
    data = tmp_path_factory.mktemp("data")
    write_data(data)
    cfgs = {}
    for size in ("one", "two"):
        root = tmp_path_factory.mktemp(size)
        cfgs[size] = [write_settings(root / f, data, family=f, model=model) for f, model in MODELS.items()]
    for cfg in cfgs["one"]:
        train(settings_of(cfg, 4), CPU, quiet=True)
    counts = run_together(partial(train_all, cfgs=cfgs["two"]), [CPU, CPU])
    assert counts == {"crops": 8, "pairs": 7, "skipped": 0}
    return {size: paths[0].parents[1] for size, paths in cfgs.items()}


def saved(folder: Path, family: str, epoch: int) -> dict:
    return load_checkpoint(checkpoint_path(folder / family / "output/snapshot", epoch))


@pytest.mark.parametrize(("family", "epoch"), [(f, e + 1) for f, last in EPOCHS.items() for e in range(last)])
def test_two_processes_give_the_model_of_one(folders, family, epoch):
    one, two = (saved(folders[size], family, epoch) for size in ("one", "two"))
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)  # channels-last batch-norms add up in float32
    weights, others = one["state_dict"], two["state_dict"]
    start = build_model(settings_of(folders["one"] / family / "tiny.yaml", 4)).state_dict()
    assert weights.keys() == others.keys() == start.keys()
    for name, value in weights.items():
        # rounding of float32 sums, multiplied by the batch-norms of two pairs, is a tenth of a first layer's way;
        # statistics are better than that
        tolerance = 1e-3 if "running" in name else 0.2
        way = torch.linalg.norm((value - start[name]).float())
        assert way > 0 and torch.linalg.norm((others[name] - value).float()) <= tolerance * way, name


def test_resumes_bit_for_bit(folders):
    folder = folders["two"] / "SIAMFC/output/snapshot"
    whole, again = (load_checkpoint(folder / name) for name in ("uninterrupted.pth", "checkpoint_e2.pth"))
    assert all(torch.equal(whole["state_dict"][name], value) for name, value in again["state_dict"].items())
    assert whole["losses"] == again["losses"]


def test_only_the_first_process_writes(folders):
    one, two = ((folders[size] / "SIAMFC/output/train.jsonl").read_text() for size in ("one", "two"))
    rows = [[(r["epoch"], r["step"]) for r in map(json.loads, text.splitlines())] for text in (one, two)]
    assert rows[0] == rows[1]


def fail(device: torch.device, group: Group) -> None:
    if group.rank == 1:
        raise UserError("the second process must find its files, it does not")
    dist.barrier()


def test_what_one_process_finds_wrong_ends_all():
    with pytest.raises(UserError, match="second process must find its files"):
        run_together(fail, [CPU, CPU])


@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3, 2), (2, 5, 3, 4, 2)])
def test_joint_norm_of_one_process_is_the_usual_one(shape, tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        usual = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][max(len(shape) - 3, 0)](5)
        joint = JointBatchNorm(5)
        for norm in (usual, joint):
            nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
        x = (50 + 10 * torch.randn(shape)).requires_grad_()
        results = []
        for norm in (usual, joint):
            y = norm(x)
            (gradient,) = torch.autograd.grad(y.sin().sum(), x)
            results.append([y, gradient, norm.running_mean, norm.running_var, norm.eval()(x)])
        for theirs, ours in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    finally:
        dist.destroy_process_group()
