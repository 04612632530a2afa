"""Every published command line, run on demo data in the place that it names."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from lib.core.config import load_test
from lib.evaluation.names import OTB2013
from lib.geometry.boxes import polygon_from_xywh
from lib.models.zoo import build
from tests.core.tiny import write_data
from tests.scripts.conftest import as_shown
from tests.tracker.clips import render

ROOT = Path(__file__).parents[2]
TRAIN = """\
{above}
{family}:
  GPUS: '0,1'
  PRINT_FREQ: 1
  TRAIN: {{MODEL: {model}, WIDTH: 0.125, END_EPOCH: 1, BATCH: 2, PAIRS: 4, FREEZE_OUT: none, LR: 0.001, LR_END: 0.0001}}
{stages}
  DATASET: {{CLIPS: {{PATH: dataset/crops, ANNOTATION: dataset/crops.json}}}}
"""
STAGES = """\
  OUTPUT_DIR: output
  CHECKPOINT_DIR: output/snapshot
  TEST: {DATA: choose, MAX_FRAMES: 2}
  TUNE: {DATA: choose, TRIALS: 2, BATCH: 2, MAX_FRAMES: 2}
  FINAL: {DATA: report, MAX_FRAMES: 2}
"""
SE_TEST = """\
MODEL: SESiamFCResNet22
TRACKER:
  OTB2015: {scale_step: 1.1633, scale_lr: 0.171, scale_penalty: 0.9995, w_influence: 0.251}
"""
WEIGHTS = {  # as published: in snapshot/, names with module.
    "CIResNet22_RPN.pth": "SiamRPNRes22",
    "CIResNet22_FC.pth": "SiamFCRes22",
    "checkpoint_e30.pth": "SiamRPNRes22",
    "checkpoint_e31.pth": "SiamRPNRes22",
    "SESiamFCResNet22/checkpoint_otb.pth": "SESiamFCResNet22",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as the published commands expect it, with small data in the places that they name."""
    here = tmp_path_factory.mktemp("checkout")
    for name in ("siamese_tracking", "lib", "evalutionVOT.py"):
        (here / name).symlink_to(ROOT / name)
    write_data(here / "dataset")
    _write_sets(here / "dataset")
    torch.manual_seed(3)
    for name, arch in WEIGHTS.items():
        state = {f"module.{key}": value for key, value in build(arch, width=0.125).state_dict().items()}
        (here / "snapshot" / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": state}, here / "snapshot" / name)
    fc, rpn = ("SIAMFC", "SiamFCRes22"), ("SIAMRPN", "SiamRPNRes22")
    for file, (family, model), stages in (
        ("demo", fc, STAGES),
        ("SiamFC", fc, "  CHECKPOINT_DIR: snapshot/fc"),
        ("SiamRPN", rpn, STAGES),
    ):
        text = TRAIN.format(above="", family=family, model=model, stages=stages)
        _write(here / f"experiments/train/{file}.yaml", text)
    above = "PRINT_FREQ: 1\nWORKERS: 1\nCHECKPOINT_DIR: snapshot/se"  # SiamSE's form
    se = TRAIN.replace("  GPUS: '0,1'\n  PRINT_FREQ: 1\n", "").format(
        above=above, family="SIAMFC", model="SESiamFCResNet22", stages=""
    )
    _write(here / "configs/train.yaml", se)
    _write(here / "configs/test.yaml", SE_TEST)
    (here / "videos").mkdir()
    video = cv2.VideoWriter(str(here / "videos/bag.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (120, 90))
    for path in sorted((here / "dataset/clip/img").iterdir()):
        video.write(cv2.imread(str(path)))
    video.release()
    return here


def _write_sets(data: Path) -> None:
    """OTB2013 whole (51 names, one clip), OTB2015 with two sequences, VOT2015 to VOT2017 with two each."""
    clip = render(data / "clip", "img", frames=4, size=(120, 90), seed=7)
    files, boxes = [path.name for path in clip.frames], (clip.truth + np.array([1, 1, 0, 0])).tolist()
    entry = {"name": "clip", "image_files": files, "init_rect": boxes[0], "gt_rect": boxes}
    for name, titles in (("OTB2013", OTB2013.split()), ("OTB2015", ["Basketball", "Biker"])):
        short = entry | {"image_files": files[:2], "gt_rect": boxes[:2]} if len(titles) > 2 else entry
        (data / name).symlink_to(data)
        _write(data / f"{name}.json", json.dumps({title: short for title in titles}))
    for name in ("VOT2015", "VOT2016", "VOT2017"):
        _write(data / name / "list.txt", "bag\nball1\n")
        for title in ("bag", "ball1"):
            shutil.copytree(data / "clip/img", data / name / title / "color")
            rows = [",".join(map(str, row)) for row in polygon_from_xywh(clip.truth).tolist()]
            _write(data / name / title / "groundtruth.txt", "\n".join(rows))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(
    in_process: Callable[..., int],
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command line in a fresh checkout: (status, stdout, stderr)."""
    for part in template.iterdir():  # what a command writes goes beside what is shared
        (tmp_path / part.name).symlink_to(part)
    for own in ("snapshot", "dataset"):
        (tmp_path / own).unlink()
        (tmp_path / own).mkdir()
        for part in (template / own).iterdir():
            (tmp_path / own / part.name).symlink_to(part)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> tuple[int, str, str]:
        words = shlex.split(command)
        while "=" in words[0]:
            monkeypatch.setenv(*words.pop(0).split("=", 1))
        assert words.pop(0) == "python"
        status = in_process(*words)
        out, err = capfd.readouterr()
        return status, as_shown(out), as_shown(err)

    get_reusable_executor().shutdown(wait=True)  # processes of an earlier test stand in its folder
    return run


S = "python siamese_tracking/"
# command -> what it says, and the files that it leaves
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    f"{S}train_siamfc.py --cfg experiments/train/SiamFC.yaml --gpus 0,1 --workers 1": (
        r"trained: 1 epochs of 4 pairs",
        ("snapshot/fc/checkpoint_e1.pth", "logs/train.jsonl"),
    ),
    f"{S}train_siamrpn.py --cfg experiments/train/SiamRPN.yaml --gpus 0 --workers 1": (
        r"next: python siamese_tracking/test_epochs.py --arch SiamRPNRes22 .*--dataset choose",
        ("output/snapshot/checkpoint_e1.pth",),
    ),
    f"CUDA_VISIBLE_DEVICES=0 {S}train_siamfc.py --cfg configs/train.yaml": (
        r"trained: 1 epochs",
        ("snapshot/se/checkpoint_e1.pth",),
    ),
    f"{S}test_siamfc.py --arch SiamFCRes22 --resume snapshot/CIResNet22_FC.pth --dataset OTB2013": (
        r"OTB2013 in .*SiamFCRes22.yaml: scale_step 1.0482[^\n]*\n +AUC[^\n]*\nSiamFCRes22 +0\.\d{3} \[",
        ("result/OTB2013/SiamFCRes22/Basketball.txt", "result/OTB2013/SiamFCRes22/Jogging.1.txt"),
    ),
    f"{S}test_siamfc.py --arch SiamFCRes22 --resume snapshot/CIResNet22_FC.pth --dataset VOT2017 --epoch_test False": (
        r"VOT2017 in .*SiamFCRes22.yaml: scale_step 1.1466",
        ("result/VOT2017/SiamFCRes22/baseline/bag/bag_001.txt",),
    ),
    f"{S}test_siamrpn.py --arch SiamRPNRes22 --resume snapshot/checkpoint_e30.pth --dataset VOT2017 --epoch_test True"
    " --anchor_nums 5 --cls_type thinner": (
        r"small_sz 271, big_sz 287",
        ("result/VOT2017/SiamRPNRes22_e30/baseline/ball1/ball1_001.txt",),
    ),
    "python ./siamese_tracking/test_siamrpn.py --arch SiamRPNRes22 --resume ./snapshot/CIResNet22_RPN.pth"
    " --dataset VOT2016 --cls_type thinner": (
        r"VOT2016 in .*SiamRPNRes22.yaml: penalty_k 0.711[^\n]*\n[^\n]*EAO",
        ("result/VOT2016/SiamRPNRes22/baseline/bag/bag_001.txt",),
    ),
    f"{S}test_siamfc.py --checkpoint snapshot/SESiamFCResNet22/checkpoint_otb.pth --dataset OTB2015"
    " --dataset_root dataset/ --cfg configs/test.yaml": (
        r"OTB2015 in configs/test.yaml: scale_step 1.1633[^\n]*\n +AUC[^\n]*\nSESiamFCResNet22 ",
        ("result/OTB2015/SESiamFCResNet22/Biker.txt",),
    ),
    f"{S}test_epochs.py --arch SiamRPNRes22 --start_epoch 30 --end_epoch 32 --gpu_nums 4 --anchor_nums 5 --threads 1"
    " --dataset VOT2015": (
        r"not in snapshot: epochs 32\n.*epoch 30 +[^\n]*\nepoch 31 .*best: not known, EAO needs longer",
        ("result/VOT2015/SiamRPNRes22_e31/baseline/bag/bag_001.txt",),
    ),
    f"{S}tune_tpe.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth --gpu_nums 4 --anchor_nums 5"
    " --cls_type thinner --dataset OTB2015 --trials 2": (
        r"best of 2 trials: AUC 0\.\d+\n  penalty_k .*test_siamrpn.py",
        ("output/tune/CIResNet22_RPN_OTB2015_tpe/tuned.yaml",),
    ),
    f"{S}tune_gene.py --arch SiamFCRes22 --resume snapshot/CIResNet22_FC.pth --gpu_nums 4 --dataset OTB2015 --trials 3"
    " --population 2": (
        r"best of 3 trials: AUC 0\.\d+\n  scale_step .*test_siamfc.py",
        ("output/tune/CIResNet22_FC_OTB2015_gene/tuned.yaml",),
    ),
    f"{S}onekey.py": (r"trained +.*tuned +.*report: output/report.html", ("output/report.html", "output/tuned.yaml")),
    f"{S}onekey.py --cfg experiments/train/SiamRPN.yaml": (
        r"tuned +.*report: output/report.html",
        ("output/tuned.yaml",),
    ),
    f"{S}run_video.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth --video videos/bag.mp4"
    " --init_bbox [12,10,26,20] --boxes boxes.txt": (r"4 frames", ("boxes.txt",)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_published_commands(run: Run, command: str):
    status, out, err = run(command)
    assert status == 0, err
    said, files = COMMANDS[command]
    assert re.search(said, out, re.DOTALL), out
    assert all(Path(file).is_file() for file in files), sorted(map(str, Path().glob("[orsl][eun]*/**/*")))


REFUSED = {
    f"{S}run_video.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth --video videos/bag.mp4": "--init_bbox",
    f"{S}run_webcam.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth": "display",
    f"{S}test_siamrpn.py --arch SiamRPNRes22 --resume snapshot/absent.pth": "snapshot/absent.pth does not",
    f"{S}test_siamfc.py --arch SiamFCIncep22 --resume snapshot/CIResNet22_FC.pth": "is SiamFCRes22, not SiamFCIncep22",
    f"{S}test_siamfc.py --resume snapshot/CIResNet22_RPN.pth": "run test_siamrpn.py",
    f"{S}test_siamfc.py --resume snapshot/CIResNet22_FC.pth --dataset VOT2019": "dataset/VOT2019.json",
    f"{S}test_siamfc.py --resume snapshot/CIResNet22_FC.pth --cfg configs/test.yaml": "is SiamFCRes22",
    f"{S}test_epochs.py --arch SiamRPNRes22 --start_epoch 40 --end_epoch 50 --dataset VOT2015": "e40.pth to e50",
    f"{S}tune_tpe.py --arch SiamFCRes22 --dataset OTB2015": "give --resume FILE",
    f"{S}train_siamrpn.py --cfg experiments/train/SiamFC.yaml": "run train_siamfc.py",
}


@pytest.mark.parametrize("command", REFUSED)
def test_refused_in_one_line(run: Run, command: str):
    status, _, err = run(command)
    assert status == 2 and REFUSED[command] in err
    assert len(err.strip().splitlines()) == 1, err


def test_install_script():
    """Here it is only asked what it would do: tests change no environment."""
    done = subprocess.run(["sh", "install_rpn.sh", "--print"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "pip install" in done.stdout, done.stderr


def test_results_are_scored_by_the_evaluation_scripts(run: Run):
    for dataset in ("VOT2015", "VOT2016", "VOT2017"):
        weights = "--resume snapshot/CIResNet22_RPN.pth --cls_type thinner"
        assert run(f"{S}test_siamrpn.py {weights} --dataset {dataset} --max_frames 4")[0] == 0
        shutil.move(f"result/{dataset}-first4", f"result/{dataset}")
        status, out, err = run(f"python ./evalutionVOT.py {dataset}")
        assert status == 0 and "SiamRPNRes22" in out, err
        status, out, err = run(f"python lib/core/eval_vot.py {dataset} ./result")
        assert status == 0 and "SiamRPNRes22" in out, err
    assert run(f"{S}test_siamfc.py --resume snapshot/CIResNet22_FC.pth --dataset OTB2013 --name SiamFC_one")[0] == 0
    status, out, err = run("python lib/core/eval_otb.py OTB2013 ./result 'SiamFC*' 0 1")
    assert status == 0 and "SiamFC_one" in out, err
    named = "--dataset OTB2013 --dataset_root dataset --result_path result --tracker_reg 'Siam*' --start 0 --end 1"
    status, out, err = run(f"python lib/core/eval_otb.py {named}")
    assert status == 0 and "SiamFC_one" in out, err


def test_the_best_hyper_parameters_can_be_used(run: Run):
    weights = "--resume snapshot/CIResNet22_FC.pth --dataset OTB2015"
    status, out, err = run(f"{S}tune_tpe.py {weights} --trials 2 --max_frames 2 --out tuned --quiet")
    assert status == 0 and err == "", err
    (best,) = load_test("tuned/tuned.yaml").values()
    score = float(re.search(r"AUC ([\d.]+)", out)[1])
    status, out, _ = run(f"{S}test_siamfc.py {weights} --max_frames 2 --cfg tuned/tuned.yaml")
    assert status == 0 and f"scale_lr {best['scale_lr']:g}" in out
    assert float(re.search(r"SiamFCRes22 +([\d.]+)", out)[1]) == pytest.approx(score, abs=6e-4)


def test_results_of_other_weights_give_way(run: Run):
    command = f"{S}test_siamrpn.py --dataset OTB2015 --max_frames 3 --name one --resume snapshot/checkpoint_e"
    file = Path("result/OTB2015-first3/one/Biker.txt")
    run(f"{command}30.pth")
    boxes, written = np.loadtxt(file, delimiter=","), file.stat().st_mtime_ns
    assert "replaced" not in run(f"{command}30.pth")[1] and file.stat().st_mtime_ns == written
    assert "replaced" in run(f"{command}31.pth")[1] and (np.loadtxt(file, delimiter=",") != boxes).any()
    (file.parent / "tracker.json").unlink()
    status, _, err = run(f"{command}31.pth")
    assert status == 2 and "--name" in err and file.is_file()


def test_processes_give_what_one_gives(run: Run):
    weights, epochs = "--resume snapshot/CIResNet22_FC.pth", "--start_epoch 30 --end_epoch 31"
    commands = {
        f"test_siamfc.py {weights} --dataset VOT2016 --result_path R": "R/VOT2016/SiamFCRes22/baseline/bag/bag_001.txt",
        f"test_siamfc.py {weights} --dataset OTB2015 --result_path R": "R/OTB2015/SiamFCRes22/Biker.txt",
        f"test_epochs.py {epochs} --dataset OTB2015 --result_path R": "R/OTB2015/SiamRPNRes22_e31/Biker.txt",
        f"tune_gene.py {weights} --dataset OTB2015 --population 3 --trials 5 --out R": "R/tuned.yaml",
    }
    for number, (command, file) in enumerate(commands.items()):
        found = []
        for threads in (1, 2):
            folder = f"r{number}_{threads}"
            status, out, err = run(f"{S}{command.replace(' R', f' {folder}')} --threads {threads}")
            assert status == 0, err
            found.append((out.replace(folder, ""), Path(file.replace("R/", f"{folder}/")).read_bytes()))
        assert found[0] == found[1]
        assert "epochs" not in command or re.search(
            r"epoch 3\d .* best\n.*best: snapshot/checkpoint_e3\d.pth", out, re.S
        )


def test_the_zoo_is_listed(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lib.models.zoo.table", lambda: "all of them")
    assert run(f"{S}test_siamfc.py --arch list") == (0, "all of them\n", "")
