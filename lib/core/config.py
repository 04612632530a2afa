"""Training and test files: YAML in, settings or hyper-parameters out, and back.

A training file holds one block, ``SIAMFC:`` or ``SIAMRPN:``, as SiamDW's do; SiamSE's form (PRINT_FREQ, WORKERS and
CHECKPOINT_DIR above the block) is the same file to us. An unknown key, a bad value or a contradiction is one line that
names the file, the line and the key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml
from pydantic import ValidationError

from lib.core.settings import (
    RPN_KEYS,
    Block,
    CropSet,
    DatasetBlock,
    Family,
    FinalBlock,
    Key,
    TestBlock,
    TrainBlock,
    TrainSettings,
    TuneBlock,
)
from lib.core.yaml_file import YamlFile, did_you_mean, read_yaml
from lib.files import UserError


def load_train(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainSettings:
    """Read a training file. ``overrides``: {"TRAIN.LR": .1} takes the file's place; a value of None leaves it."""
    file = read_yaml(path)
    raw = _one_block(file)
    given = {tuple(key.split(".")): value for key, value in (overrides or {}).items() if value is not None}
    for key, value in given.items():
        block = raw
        for part in key[:-1]:
            block = block.setdefault(part, {})
            if not isinstance(block, dict):
                raise UserError(f"{'.'.join(key)} in place of what {path} says: {part} is a value there, not a block")
        block[key[-1]] = value
    bases = _shared_sets(raw, file)
    try:
        return TrainSettings.model_validate(_gather_sets(raw))
    except ValidationError as error:
        _refuse(error, file, raw["FAMILY"], given, bases)


def load_test(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a test file of either form: {data set: {hyper-parameter: value}}; each set holds one family's keys."""
    file = read_yaml(path)
    block = next((name for name in ("TEST", "TRACKER") if isinstance(file.data.get(name), dict)), None)
    if block is None:
        raise UserError(f"{path} must hold a block TEST: (or MODEL: and TRACKER:) of data sets; got {_keys(file.data)}")
    for name in file.data:
        if name not in (block, *(["MODEL"] if block == "TRACKER" else [])):
            raise UserError(f"{file.at((name,))}: {name} is not known beside {block}")
    return {name: _hyper_parameters(file, (block, name), part) for name, part in file.data[block].items()}


def model_of_test(path: str | Path) -> str | None:
    """The architecture that a test file of SiamSE's form names; None in SiamDW's form."""
    return read_yaml(path).data.get("MODEL")


HYPER_PARAMETERS: dict[Family, dict[str, type]] = {
    "SIAMFC": {
        **dict.fromkeys(("scale_step", "scale_lr", "scale_penalty", "w_influence"), float),
        **dict.fromkeys(("instance_size", "exemplar_size", "score_size"), int),  # the last two are SiamSE's
    },
    "SIAMRPN": {
        **dict.fromkeys(("penalty_k", "lr", "window_influence"), float),
        **dict.fromkeys(("instance_size", "small_sz", "big_sz"), int),
    },
}


def _hyper_parameters(file: YamlFile, key: Key, part: Any) -> dict[str, float]:
    if not isinstance(part, dict):
        raise UserError(f"{file.at(key)}: {'.'.join(key)} must be a block of hyper-parameters; got {part!r}")
    families = [known for known in HYPER_PARAMETERS.values() if set(part) <= set(known)]
    if not families:
        everything = {name for known in HYPER_PARAMETERS.values() for name in known}
        for name in part:
            if name not in everything:
                hint = did_you_mean(name, everything)
                raise UserError(f"{file.at((*key, name))}: {'.'.join(key)}.{name} is no hyper-parameter{hint}")
        raise UserError(f"{file.at(key)}: {'.'.join(key)} mixes SiamFC's keys with SiamRPN's; got {_keys(part)}")
    values: dict[str, float] = {}
    for name, value in part.items():
        try:
            values[name] = families[0][name](value)
        except (TypeError, ValueError):
            where = f"{file.at((*key, name))}: {'.'.join(key)}.{name}"
            raise UserError(f"{where} must be a number ({families[0][name].__name__}); got {value!r}") from None
    return values


def to_yaml(settings: TrainSettings) -> str:
    """The settings as a training file, defaults written out; loading it gives equal settings."""
    block = settings.model_dump(mode="json", exclude_none=True, exclude={"FAMILY"})
    block["GPUS"] = ",".join(map(str, settings.GPUS))
    block["DATASET"] |= block["DATASET"].pop("SETS")
    if settings.FAMILY == "SIAMFC":
        block["TRAIN"] = {key: value for key, value in block["TRAIN"].items() if key not in RPN_KEYS}
    return yaml.safe_dump({settings.FAMILY: block}, sort_keys=False, width=120)


def hyper_to_yaml(hyper: Mapping[str, Mapping[str, float]]) -> str:
    """{data set: {hyper-parameter: value}} as a test file of SiamDW's form."""
    return yaml.safe_dump({"TEST": {name: dict(part) for name, part in hyper.items()}}, sort_keys=False)


def _one_block(file: YamlFile) -> dict[str, Any]:
    """The keys of the file's one block and those above it, with FAMILY added."""
    families = [name for name in get_args(Family) if name in file.data]
    if len(families) != 1:
        raise UserError(f"{file.path} must hold one block, SIAMFC: or SIAMRPN:; got {_keys(file.data)}")
    family = families[0]
    block = file.data[family]
    if not isinstance(block, dict):
        raise UserError(f"{file.at((family,))}: {family} must be a block of keys; got {block!r}")
    above = {name: value for name, value in file.data.items() if name != family}
    for name in (*above, *block):
        if name == "FAMILY":
            raise UserError(
                f"{file.at((family, name), (name,))}: FAMILY is not a setting; the name of the block says it"
            )
        if name in above and name in block:
            raise UserError(f"{file.at((name,))}: {name} must stand in {family} alone; take it out here")
    train = block.get("TRAIN")
    if isinstance(train, dict) and "WITCH_USE" in train:  # the other published spelling
        if "WHICH_USE" in train:
            raise UserError(
                f"{file.at((family, 'TRAIN', 'WITCH_USE'))}: TRAIN has WHICH_USE and WITCH_USE; take one out"
            )
        block["TRAIN"] = {"WHICH_USE" if name == "WITCH_USE" else name: value for name, value in train.items()}
    merged = {**above, **block, "FAMILY": family}
    return {name: value for name, value in merged.items() if value is not None}  # "TUNE:" and nothing under it


def _shared_sets(raw: dict[str, Any], file: YamlFile) -> list[YamlFile]:
    """Fill DATASET with the keys of the file that DATASET.FROM names, and of the one that this names, and so on.

    Paths are relative to the file that holds them; the nearer file's keys come before, and one without a value
    (``stills:``) takes that key out. Returns the files.
    """
    files: list[YamlFile] = []
    keys = raw.get("DATASET")
    if not isinstance(keys, dict) or "FROM" not in keys:
        return files
    whole, source = keys, keys["FROM"]
    while source is not None:
        file = read_yaml(file.path.parent / str(source))
        if any(file.path.samefile(other.path) for other in files):
            raise UserError(f"{file.at(('FROM',))}: FROM comes back to {file.path}; take it out")
        files.append(file)
        whole, source = file.data | whole, file.data.get("FROM")
    raw["DATASET"] = {key: value for key, value in whole.items() if key != "FROM" and value is not None}
    return files


def _gather_sets(raw: dict[str, Any]) -> dict[str, Any]:
    """Blocks in DATASET are data sets: they move to DATASET.SETS."""
    dataset = raw.get("DATASET")
    if not isinstance(dataset, dict):
        return raw
    sets = {name: value for name, value in dataset.items() if isinstance(value, dict)}
    return {**raw, "DATASET": {"SETS": sets, **{k: v for k, v in dataset.items() if k not in sets}}}


def _refuse(
    error: ValidationError, file: YamlFile, family: str, given: Mapping[Key, Any], bases: list[YamlFile]
) -> NoReturn:
    """The first of pydantic's complaints as one line; a key that is not known comes before one that is missing."""
    first = min(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    key = first["ctx"]["key"] if first["type"] == "contradiction" else first["loc"]
    key = tuple(str(part) for part in key if part != "SETS")
    spellings = [key, (*key[:-1], "WITCH_USE")] if key[-1] == "WHICH_USE" else [key]
    places = [place for spelt in spellings for place in ((family, *spelt), spelt)]
    own = file.data.get(family, {}).get("DATASET") or {}
    if key[0] == "DATASET" and len(key) > 1 and key[1] not in own:
        file, places = next(((base, [key[1:]]) for base in bases if key[1] in base.data), (file, places))
    where = f"in place of what {file.path} says" if key in given else file.at(*places)
    if first["type"] == "extra_forbidden":
        text = f"is not a setting{_where_known(key)}"
    elif first["type"] == "missing":
        text = "is missing"
    elif first["type"] == "contradiction":
        text = first["msg"]
    elif first["type"] in ("model_type", "dict_type"):
        text = f"must be a block of keys; got {first['input']!r}"
    elif first["type"] == "value_error":
        text = f"{first['ctx']['error']}; got {first['input']!r}"
    else:
        said = first["msg"].partition(", unable to parse")[0]  # got says so too
        text = f"{said.replace('Input should', 'must').removesuffix('.')}; got {first['input']!r}"
    raise UserError(f"{where}: {'.'.join(key)} {text}") from None


_BLOCKS: dict[str, type[Block]] = {
    "TRAIN": TrainBlock,
    "TEST": TestBlock,
    "TUNE": TuneBlock,
    "FINAL": FinalBlock,
    "DATASET": DatasetBlock,
}


def _where_known(key: Key) -> str:
    """Hint for an unknown key: the nearest name in its block, or the block where it belongs."""
    name = key[-1]
    block: type[Block] = TrainSettings if len(key) == 1 else CropSet if len(key) == 3 else _BLOCKS[key[0]]
    homes = [home for home, model in _BLOCKS.items() if name in model.model_fields]
    if name in TrainSettings.model_fields:
        return "; it stands in the file's block itself"
    if homes:
        return f"; it belongs in {' or '.join(homes)}"
    hint = did_you_mean(name, block.model_fields)
    return hint or ("; a data set is a block with PATH and ANNOTATION" if block is DatasetBlock else "")


def _keys(data: Mapping[str, Any]) -> str:
    return ", ".join(map(str, data)) or "nothing"
