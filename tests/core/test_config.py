"""Training and test files: published ones load, wrong ones say file, line, key and cure."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from lib.core import settings
from lib.core.config import hyper_to_yaml, load_test, load_train, model_of_test, to_yaml
from lib.core.settings import TrainSettings, cautions, pairs_of_sets
from lib.files import UserError
from lib.models.backends import BACKENDS
from lib.tracker.family import PRECISIONS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TRAIN_FILES = sorted((EXPERIMENTS / "train").rglob("*.yaml"))
TEST_FILES = sorted((EXPERIMENTS / "test").glob("*/*.yaml"))


def test_what_may_be_asked_for_is_what_there_is():
    fields = settings.TestBlock.model_fields
    assert get_args(fields["BACKEND"].annotation) == BACKENDS
    assert get_args(fields["PRECISION"].annotation) == tuple(PRECISIONS)


# the form of the published SiamFC file, with the other spelling of WHICH_USE and numbers as strings; 22 lines
FC = """SIAMFC:
  GPUS: '0,1'
  PRINT_FREQ: 10
  TRAIN:
    ISTRUE: True
    MODEL: "SiamFCRes22"
    PAIRS: '600000'
    PRETRAIN: 'pretrain.model'
    LR: 1e-2
    WITCH_USE: 'VID'
  TEST:    # a comment
    THREADS: '16'
    DATA: 'VOT2017'
    START_EPOCH: 30
  DATASET:
    SHIFT: 4
    VID:
      PATH: '/data/vid/crop511'
      ANNOTATION: '/data/vid/train.json'
    GOT10K:
      PATH: '/data/got10k/crop511'
      ANNOTATION: '/data/got10k/train.json'
"""

RPN = """SIAMRPN:
  TRAIN:
    MODEL: SiamRPNRes22
    PRETRAIN: weights.pth
    RESUME: False
    WHICH_USE: ['VID', 'COCO']
    ANCHORS_RATIOS: [0.33, 0.5, 1, 2, 3]
  DATASET:
    VID: {PATH: a, ANNOTATION: a.json, RANGE: 100, USE: 200}
    COCO: {PATH: b, ANNOTATION: b.json, RANGE: 1, USE: 100}
    DET: {PATH: c, ANNOTATION: c.json, USE: 50}
"""


@pytest.fixture
def load(tmp_path: Path):
    """Settings of a YAML text, with overrides."""

    def load(text: str, **overrides: Any) -> TrainSettings:
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return load_train(path, {key.replace("__", "."): value for key, value in overrides.items()})

    return load


def refusal(load, text: str, **overrides: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(text, **overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", TRAIN_FILES, ids=lambda path: path.stem)
def test_shipped_files_load_and_survive_a_round_trip(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKING_REFERENCE", "/reference")
    settings = load_train(path)
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(settings))
    assert load_train(again) == settings
    assert sum(pairs_of_sets(settings).values()) == (settings.TRAIN.PAIRS or 600_000)


def test_published_recipes():
    fc, rpn, se = (load_train(EXPERIMENTS / "train" / f"{name}.yaml") for name in ("SiamFC", "SiamRPN", "SESiamFC"))
    assert (fc.FAMILY, rpn.FAMILY, se.FAMILY) == ("SIAMFC", "SIAMRPN", "SIAMFC")
    assert (fc.TRAIN.WEIGHT_DECAY, rpn.TRAIN.WEIGHT_DECAY, se.TRAIN.WEIGHT_DECAY) == (1e-4, 5e-4, 1e-4)
    for recipe in (fc, rpn, se):
        train = recipe.TRAIN
        assert (train.LR, train.LR_END, train.MOMENTUM, train.END_EPOCH, train.CLIP) == (1e-2, 1e-5, 0.9, 50, 10)
        assert (train.TEMPLATE_SIZE, train.SEARCH_SIZE, train.STRIDE) == (127, 255, 8)
        assert (train.LR_POLICY, train.FREEZE_OUT, train.LOSS, train.WIDTH) == ("log", "paper", "logistic", 1)
    assert (fc.TRAIN.BATCH, rpn.TRAIN.BATCH, se.TRAIN.BATCH) == (32, 32, 24)
    assert pairs_of_sets(fc) == {"VID": 600_000}
    assert pairs_of_sets(rpn) == {"YTB": 200_000, "VID": 200_000, "COCO": 100_000, "DET": 100_000}
    assert pairs_of_sets(se) == {"GOT10K": 450_000}
    assert rpn.test_epochs == range(20, 51)
    # SiamSE's form: keys above the block, and no ISTRUE, TEST, TUNE
    assert str(se.CHECKPOINT_DIR) == "snapshot/SESiamFCResNet22"
    assert se.TRAIN.ISTRUE and not se.TEST.ISTRUE and not se.TUNE.ISTRUE


def test_published_spellings(load):
    settings = load(FC)
    assert settings.GPUS == (0, 1)
    assert settings.TRAIN.WHICH_USE == ("VID",) and list(settings.sets) == ["VID"]
    assert (settings.TRAIN.PAIRS, settings.TRAIN.LR, settings.TEST.THREADS) == (600_000, 1e-2, 16)
    assert settings.TRAIN.RESUME is None and load(RPN).TRAIN.RESUME is None
    assert settings.TRAIN.BATCH == 32
    assert load(FC.replace("'0,1'", "2")).GPUS == (2,)
    assert load(FC.replace("'0,1'", "[2, 0]")).GPUS == (2, 0)
    assert load(FC.replace("'0,1'", "''")).GPUS == ()
    assert load(FC.replace("'VID'", "[GOT10K, VID]")).TRAIN.WHICH_USE == ("GOT10K", "VID")
    assert list(load(FC.replace("    WITCH_USE: 'VID'\n", "")).sets) == ["VID", "GOT10K"]
    assert load(FC.replace("LR: 1e-2", "LR_POLICY: Reduce")).TRAIN.LR_POLICY == "plateau"
    assert not load(FC + "  TUNE:\n").TUNE.ISTRUE


def test_settings_are_frozen(load):
    with pytest.raises(ValueError, match="frozen"):
        load(FC).TRAIN.LR = 1


BAD = [
    # what is changed in FC, to what, the line that is named, the message
    ("PAIRS:", "PAIR:", 7, "TRAIN.PAIR is not a setting; did you mean PAIRS?"),
    ("SHIFT", "SHIFTT", 16, "DATASET.SHIFTT is not a setting; did you mean SHIFT?"),
    ("TRAIN:", "TRAINN:", 4, "TRAINN is not a setting; did you mean TRAIN?"),
    ("WITCH_USE", "WHICHUSE", 10, "TRAIN.WHICHUSE is not a setting; did you mean WHICH_USE?"),
    ("      PATH: '/data/vid", "      PATHS: '/data/vid", 18, "DATASET.VID.PATHS is not a setting; did you mean PATH?"),
    ("MODEL:", "model:", 6, "TRAIN.model is not a setting; did you mean MODEL?"),
    ("PRINT_FREQ: 10", "LR: 1", 3, "LR is not a setting; it belongs in TRAIN"),
    ("THREADS", "WORKERS", 12, "TEST.WORKERS is not a setting; it stands in the file's block itself"),
    ("SHIFT: 4", "XYZ: 4", 16, "DATASET.XYZ is not a setting; a data set is a block with PATH and ANNOTATION"),
    ("GPUS", "FAMILY", 2, "FAMILY is not a setting; the name of the block says it"),
    ("LR: 1e-2", "LR: fast", 9, "TRAIN.LR must be a valid number; got 'fast'"),
    ("LR: 1e-2", "LR: .nan", 9, "TRAIN.LR must be a finite number; got nan"),
    ("LR: 1e-2", "LR: 0", 9, "TRAIN.LR must be greater than 0; got 0"),
    ("LR: 1e-2", "LOSS: hing", 9, "TRAIN.LOSS must be 'logistic', 'softmax', 'hinge', 'focal' or"),
    ("'0,1'", "'0,a'", 2, "must be a valid integer"),
    ("'0,1'", "'1,1'", 2, "GPUS must name each GPU once; got 1, 1"),
    ("'16'", "0", 12, "TEST.THREADS must be greater than or equal to 1; got 0"),
    ("    DATA: 'VOT2017'\n", "", 11, "TEST.DATA is missing"),
    ('    MODEL: "SiamFCRes22"\n', "", 4, "TRAIN.MODEL is missing"),
    ("      ANNOTATION: '/data/vid/train.json'\n", "", 17, "DATASET.VID.ANNOTATION is missing"),
    ("    PAIRS: '600000'\n", "", 4, "TRAIN.PAIRS is missing"),
    ("PRETRAIN: 'pretrain.model'", "PRETRAIN: ''", 4, "TRAIN.FREEZE_OUT paper opens pretrained layers one by one"),
    ("PRETRAIN: 'pretrain.model'", "FREEZE_OUT: released", 8, "FREEZE_OUT released opens pretrained layers one by one"),
    ("LR: 1e-2", "CLS_TYPE: thinner", 9, "TRAIN.CLS_TYPE is for SIAMRPN"),
    ("LR: 1e-2", "ANCHORS_RATIOS: [1]", 9, "TRAIN.ANCHORS_RATIOS is for SIAMRPN"),
    ("LR: 1e-2", "START_EPOCH: 50", 9, "TRAIN.START_EPOCH must be below END_EPOCH 50; got 50"),
    ("LR: 1e-2", "WARMUP: 50", 9, "TRAIN.WARMUP must be below END_EPOCH 50; got 50"),
    ("LR: 1e-2", "LR_END: 0.1", 9, "TRAIN.LR_END must not be above LR 0.01; got 0.1"),
    ("LR: 1e-2", "STRIDE: 16", 9, "TRAIN.STRIDE must be 8"),
    (
        "LR: 1e-2",
        "SEARCH_SIZE: 256",
        9,
        "TRAIN.SEARCH_SIZE must be TEMPLATE_SIZE 127 and a multiple of 8 more; got 256",
    ),
    ("LR: 1e-2", "TEMPLATE_SIZE: 255", 4, "TRAIN.SEARCH_SIZE must be TEMPLATE_SIZE 255"),
    ("SiamFCRes22", "SiamRPNRes22", 6, "TRAIN.MODEL must be of the family SIAMFC"),
    ("START_EPOCH: 30", "START_EPOCH: 51", 14, "TEST.START_EPOCH must not be above END_EPOCH 50; got 51"),
    ("START_EPOCH: 30", "END_EPOCH: 51", 14, "TEST.END_EPOCH must not be above TRAIN.END_EPOCH 50; got 51"),
    ("'VID'", "'VIDS'", 10, "TRAIN.WHICH_USE names VIDS, but DATASET has VID, GOT10K; did you mean VID?"),
    ("'VID'\n", "[]\n    FLIP: 1\n", 11, "TRAIN.FLIP is not a setting; it belongs in DATASET"),
    ("/data/vid/crop511", "${NO_SUCH_PLACE}/x", 18, "needs the environment variable NO_SUCH_PLACE, which is not set"),
    ("10\n", "10\n  PRINT_FREQ: 11\n", 4, "PRINT_FREQ stands twice, also on line 3"),
    ("10\n", "!!python/object/apply:os.getcwd []\n", 3, "must be YAML of plain values: a value asks for python"),
    ("10\n", "[1\n", 4, "must be YAML of plain values: expected ',' or ']'"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"), BAD, ids=[f"{new.strip()}-{line}" for _, new, line, _ in BAD]
)
def test_wrong_files_say_line_key_and_cure(load, old: str, new: str, line: int, message: str):
    assert old in FC
    text = refusal(load, FC.replace(old, new, 1))
    assert re.search(rf"run\.yaml, line {line}: ", text), text
    assert message in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "RESUME: False",
            "ANCHORS_THR_LOW: .7",
            "line 5: TRAIN.ANCHORS_THR_LOW must not be above ANCHORS_THR_HIGH 0.6",
        ),
        (
            "RESUME: False",
            "ANCHORS_POS_KEEP: 65",
            "line 5: TRAIN.ANCHORS_POS_KEEP must not be above ANCHORS_ALL_KEEP 64",
        ),
        ("USE: 200}", "RANGE: 3}", "line 9: RANGE stands twice"),
        (", USE: 200}", "}", "line 9: DATASET.VID.USE is missing: other sets have a USE"),
        ("VID: {PATH: a, ANNOTATION: a.json, RANGE: 100, USE: 200}", "VID: a", "DATASET.VID is not a setting"),
        (RPN[8:], "", "run.yaml, line 1: SIAMRPN must be a block of keys; got None"),
        (RPN, "", "must hold keys and values; got nothing"),
        (RPN, "- 1", "must hold keys and values; got something else"),
        (RPN, "TEST: {}", "must hold one block, SIAMFC: or SIAMRPN:; got TEST"),
        (RPN, RPN + FC, "must hold one block, SIAMFC: or SIAMRPN:; got SIAMRPN, SIAMFC"),
        (RPN, "SEED: 1\n" + RPN + "  SEED: 2\n", "line 1: SEED must stand in SIAMRPN alone"),
        ("  DATASET:\n", "  DATASET: 3\n  TEST:\n", "line 10: TEST.VID is not a setting"),
        (RPN[RPN.index("  DATASET") :], "  DATASET: 3\n", "line 8: DATASET must be a block of keys; got 3"),
        ("RESUME", "WITCH_USE", "line 5: TRAIN has WHICH_USE and WITCH_USE; take one out"),
    ],
)
def test_more_wrong_files(load, old: str, new: str, message: str):
    assert message in refusal(load, RPN.replace(old, new, 1))


def test_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_train(tmp_path / "nowhere.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="UTF-8"):
        load_train(tmp_path / "image.yaml")


def test_overrides_take_the_files_place_and_are_checked_like_it(load):
    assert load(FC, TRAIN__LR="0.5", GPUS="3", SEED=None).TRAIN.LR == 0.5
    assert load(FC, FINAL__DATA="OTB2015").FINAL.DATA == "OTB2015"  # a block that the file lacks
    assert ": TRAIN.LRR is not a setting; did you mean LR?" in refusal(load, FC, TRAIN__LRR=1)
    assert "in place of what" in refusal(load, FC, TRAIN__LR="x")
    assert "LR is a value there, not a block" in refusal(load, FC, TRAIN__LR__X=1)
    assert "line 14: TEST.START_EPOCH must not be above" in refusal(load, FC, TRAIN__END_EPOCH=2)


def test_variables_in_paths_are_expanded(load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CROPS", "/here")
    monkeypatch.setenv("HOME", "/home/me")
    settings = load(FC.replace("/data/vid", "${CROPS}/vid"), TRAIN__PRETRAIN="~/w.pth", DATASET_ROOT="${CROPS}")
    assert settings.sets["VID"].PATH == Path("/here/vid/crop511")
    assert (settings.TRAIN.PRETRAIN, settings.DATASET_ROOT) == ("/home/me/w.pth", Path("/here"))


def test_training_may_be_off_or_resumed_without_pretrained_weights(load):
    bare = FC.replace("PRETRAIN: 'pretrain.model'", "SEARCH_SIZE: 255")
    assert not load(bare, TRAIN__ISTRUE=False).TRAIN.ISTRUE
    assert load(bare, TRAIN__RESUME="snapshot/checkpoint_e3.pth").TRAIN.RESUME == "snapshot/checkpoint_e3.pth"
    assert load(bare, TRAIN__FREEZE_OUT="none").TRAIN.FREEZE_OUT == "none"


def test_pairs_are_dealt_in_proportion_to_use_and_none_is_lost(load):
    assert pairs_of_sets(load(RPN)) == {"VID": 200, "COCO": 100}
    assert pairs_of_sets(load(RPN, TRAIN__PAIRS=10)) == {"VID": 7, "COCO": 3}
    assert pairs_of_sets(load(RPN, TRAIN__PAIRS=1)) == {"VID": 1, "COCO": 0}
    assert pairs_of_sets(load(FC, TRAIN__WHICH_USE="VID,GOT10K", TRAIN__PAIRS=7)) == {"VID": 4, "GOT10K": 3}
    for total in range(1, 40):
        pairs = pairs_of_sets(load(RPN, TRAIN__WHICH_USE=["DET", "COCO", "VID"], TRAIN__PAIRS=total))
        assert sum(pairs.values()) == total
        assert all(abs(pairs[name] - total * use / 350) < 1 for name, use in zip(pairs, (50, 100, 200), strict=True))


def test_caution_where_the_final_set_has_chosen(load):
    assert "which TEST.DATA chose the epoch on" in cautions(load(FC))[0]
    assert load(FC).final_data == "VOT2017"
    both = load(FC, TUNE__DATA="VOT2017", FINAL__DATA="VOT2017")
    assert "TEST.DATA chose the epoch on and TUNE.DATA chose the hyper-parameters on" in cautions(both)[0]
    honest = load(FC, TUNE__DATA="VOT2017", FINAL__DATA="OTB2015")
    assert (cautions(honest), honest.final_data) == ([], "OTB2015")
    assert cautions(load(FC, TUNE__DATA="VOT2016"))[0].startswith("the final score comes from VOT2016")


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: "-".join(path.parts[-2:]))
def test_shipped_hyper_parameters_load(path: Path):
    sets = load_test(path)
    assert sets and all(name.startswith(path.parent.name) for name in sets)
    lengths = {"SiamRPNRes22": (3, 5), "SESiamFCResNet22": (4,)}.get(path.stem, (4, 5))
    assert all(len(hyper) in lengths for hyper in sets.values())
    assert model_of_test(path) == ("SESiamFCResNet22" if path.stem.startswith("SE") else None)


def test_published_hyper_parameters():
    assert load_test(EXPERIMENTS / "test/OTB/SiamFCRes22.yaml")["OTB2015"] == {
        "scale_step": 1.1897,
        "scale_lr": 0.2226,
        "scale_penalty": 0.9370,
        "w_influence": 0.2897,
    }
    rpn = load_test(EXPERIMENTS / "test/VOT/SiamRPNRes22.yaml")
    assert rpn["VOT2016"] == {"penalty_k": 0.711, "lr": 0.701, "window_influence": 0.355}
    assert (rpn["VOT2017"]["small_sz"], rpn["VOT2017"]["big_sz"]) == (271, 287)
    assert load_test(EXPERIMENTS / "test/OTB/SiamFCIncep22.yaml")["OTB2013"]["instance_size"] == 263
    assert load_test(EXPERIMENTS / "test/VOT/SESiamFCResNet22.yaml")["VOT2017"]["scale_penalty"] == 0.9725


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TEST:\n  OTB2013:\n    scale_stp: 1\n", "line 3: TEST.OTB2013.scale_stp is no hyper-parameter; did you mean"),
        (
            "TEST:\n  OTB2013:\n    scale_step: 1\n    lr: 1\n",
            "line 2: TEST.OTB2013 mixes SiamFC's keys with SiamRPN's",
        ),
        ("TEST:\n  OTB2013:\n    lr: high\n", "line 3: TEST.OTB2013.lr must be a number (float); got 'high'"),
        ("TEST:\n  OTB2013: 4\n", "line 2: TEST.OTB2013 must be a block of hyper-parameters; got 4"),
        ("MODEL: x\nTEST:\n  OTB2013: {lr: 1}\n", "line 1: MODEL is not known beside TEST"),
        ("SIAMFC: {}\n", "must hold a block TEST: (or MODEL: and TRACKER:)"),
    ],
)
def test_wrong_test_files(tmp_path: Path, text: str, message: str):
    path = tmp_path / "test.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        load_test(path)


def test_hyper_parameters_survive_a_round_trip(tmp_path: Path):
    hyper = {"OTB2015": {"scale_step": 1.0482, "scale_lr": 0.1}, "VOT2017": {"lr": 0.5, "small_sz": 271}}
    path = tmp_path / "best.yaml"
    path.write_text(hyper_to_yaml(hyper))
    assert load_test(path) == hyper


def test_data_sets_come_from_another_file(tmp_path: Path):
    sets = tmp_path / "data"
    sets.mkdir()
    (sets / "all.yaml").write_text("a: {PATH: a, ANNOTATION: a.json}\nb: {PATH: b, ANNOTATION: b.json}\nBLUR: 0.1\n")
    (sets / "some.yaml").write_text("FROM: all.yaml\nBLUR: 0.2\nGREY: 0.3\nb:    # not this one\n")
    (sets / "round.yaml").write_text("FROM: round.yaml\n")
    (sets / "wrong.yaml").write_text("FROM: all.yaml\nGREY: 2\n")
    head = "SIAMFC:\n  TRAIN: {MODEL: SiamFCRes22, FREEZE_OUT: none, PAIRS: 4}\n  "
    head += "DATASET: {FROM: data/%s.yaml, FLIP: 0.5}\n"
    path = tmp_path / "train.yaml"
    path.write_text(head % "some")
    settings = load_train(path)
    told = settings.DATASET
    assert (list(settings.sets), told.BLUR, told.GREY, told.FLIP) == (["a"], 0.2, 0.3, 0.5)
    path.write_text(to_yaml(settings))
    assert load_train(path) == settings  # written out whole
    for name, message in (
        ("round", "FROM comes back to"),
        ("wrong", "wrong.yaml, line 2: DATASET.GREY must be less than or equal to 1; got 2"),
        ("missing", "missing.yaml cannot be read"),
    ):
        path.write_text(head % name)
        with pytest.raises(UserError, match=re.escape(message)):
            load_train(path)


def test_held_back_videos_are_named_with_their_set(load):
    assert load(RPN, DATASET__HELD_BACK=["VID/a", "COCO/b"]).DATASET.HELD_BACK == ("VID/a", "COCO/b")
    for wrong in ("a", "OTHER/a"):
        with pytest.raises(UserError, match="HELD_BACK must name videos as set/video, the sets are VID, COCO, DET"):
            load(RPN, DATASET__HELD_BACK=[wrong])
