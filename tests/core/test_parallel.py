"""Work over devices: which are at hand, and what is spread over processes comes back whole and in order."""

import os
import time

import pytest
import torch

from lib.core.parallel import devices_at_hand, places_for, spread
from lib.files import UserError

CPU = torch.device("cpu")
GPUS = [torch.device("cuda", n) for n in range(2)]


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_gpus_at_hand(gpus, capsys):
    assert devices_at_hand() == GPUS
    assert devices_at_hand("auto", [1]) == devices_at_hand("cuda", [1]) == GPUS[1:]
    assert devices_at_hand("cpu", [0, 1]) == [CPU]
    assert capsys.readouterr().err == ""
    assert devices_at_hand("auto", [1, 2]) == GPUS[1:]
    assert capsys.readouterr().err == "note: GPU 2 is not here; going on with GPU 1\n"


def test_without_gpus(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices_at_hand() == [CPU]
    assert capsys.readouterr().err == ""
    assert devices_at_hand("auto", [0, 1]) == devices_at_hand("cuda") == [CPU]
    assert capsys.readouterr().err.splitlines() == [
        "note: GPU 0, 1 is not here; going on with the CPU",
        "note: cuda is not here; going on with the CPU",
    ]


def test_places(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    assert places_for([CPU]) == [CPU]
    assert places_for([CPU], 2) == [CPU] * 2
    assert places_for([CPU], 16) == [CPU] * 3
    assert places_for(GPUS) == places_for(GPUS, 16) == GPUS
    assert places_for(GPUS, 1) == GPUS[:1]


def where(task: int, device: torch.device) -> tuple[int, int, str]:
    if task < 0:
        raise UserError(f"a task must not be below 0, got {task}")
    time.sleep(0.1 if task % 2 else 0)
    return task, os.getpid(), str(device)


def test_one_place_is_this_process():
    assert list(spread(where, [2, 1, 0], [CPU])) == [(n, os.getpid(), "cpu") for n in (2, 1, 0)]


def test_each_process_has_a_device_of_its_own():
    done = [*spread(where, range(8), GPUS), *spread(where, range(8), GPUS)]
    assert [task for task, _, _ in done] == [*range(8), *range(8)]
    owners = {(process, device) for _, process, device in done}
    assert len(owners) == len({process for process, _ in owners}) == len({device for _, device in owners})
    assert os.getpid() not in {process for process, _ in owners} and {d for _, d in owners} <= {"cuda:0", "cuda:1"}
    with pytest.raises(UserError, match="must not be below 0, got -1"):
        list(spread(where, [1, -1], GPUS))
