"""The walls between packages: who may import whom. Read from the sources, so that an unused import counts too."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib"
MODULES = sorted(LIB.rglob("*.py"))
SCRIPTS = sorted([*(ROOT / "siamese_tracking").glob("*.py"), *ROOT.glob("*.py")])

# package: what of lib it may import beside itself. lib.files (atomic writes, UserError), lib.images and lib.memory
# are for all.
MAY_IMPORT = {
    "files": set(),
    "images": set(),
    "memory": set(),
    "geometry": set(),
    "models": {"geometry"},
    "losses": set(),
    "data": {"geometry"},
    "tracker": {"geometry"},
    "evaluation": {"geometry", "tracker.slots"},
    "core": {"geometry", "models", "losses", "data", "tracker", "evaluation"},
}
EXCEPTIONS = {"tracker.live": {"models"}}  # from Python, load("weights.pth") builds its model


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in the file; 'from a import b' counts as a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the full name"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def name_in_lib(path: Path) -> str:
    return ".".join(path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__")


def trespasses(module: str, imported: list[str]) -> list[str]:
    """Names that ``module`` (within lib) imports although it may not."""
    package = module.split(".")[0]
    allowed = MAY_IMPORT[package] | EXCEPTIONS.get(module, set()) | {package, "files", "images", "memory"}
    ours = [name.removeprefix("lib.") for name in imported if name.startswith("lib.")]
    # 'from lib.tracker.slots import run' also names lib.tracker.slots.run: both lie within what is allowed
    return [name for name in ours if not any(within(name, other) for other in allowed)]


@pytest.mark.parametrize("path", MODULES, ids=name_in_lib)
def test_a_module_imports_only_what_its_package_may(path: Path):
    module = name_in_lib(path)
    if module in ("lib", "__init__", ""):
        return
    imported = list(imports(path))
    assert not trespasses(module, imported)
    scripts = {"siamese_tracking", *(script.stem for script in SCRIPTS)}
    assert not [name for name in imported if name.split(".")[0] in scripts]


def test_the_walls_would_be_noticed():
    assert trespasses("models.zoo", ["lib.tracker.siamfc"]) == ["tracker.siamfc"]
    assert trespasses("evaluation.otb", ["lib.tracker.slots", "lib.tracker.slots.run"]) == []
    assert trespasses("evaluation.otb", ["lib.tracker.siamfc"]) == ["tracker.siamfc"]
    assert trespasses("tracker.live", ["lib.models.zoo"]) == []
    assert trespasses("tracker.siamfc", ["lib.models.zoo"]) == ["models.zoo"]
    assert trespasses("losses.regression", ["lib.files", "torch", "lib.losses.classification"]) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_lib_and_never_each_other(path: Path):
    others = {script.stem for script in SCRIPTS} - sys.stdlib_module_names
    imported = list(imports(path))
    assert not [name for name in imported if name.split(".")[0] in others | {"siamese_tracking"}]


def test_no_module_of_core_hides_a_standard_one():
    # `python lib/core/eval_otb.py` puts lib/core first on the path
    names = {path.stem for path in (LIB / "core").glob("*.py")}
    assert not names & sys.stdlib_module_names
    assert not names & {
        "torch",
        "numpy",
        "cv2",
        "yaml",
        "optuna",
        "joblib",
        "tqdm",
        "matplotlib",
        "shapely",
        "pydantic",
    }


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_edits_of_the_path_and_no_eval(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert ast.unparse(node) != "sys.path" if isinstance(node, ast.Attribute) else True
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in (
                "eval",
                "exec",
                "os.system",
                "pickle.load",
                "pickle.loads",
                "yaml.load",
            )
            assert not any(key.arg == "shell" for key in node.keywords), "commands are lists, never shell strings"
            if ast.unparse(node.func) == "torch.load":
                assert any(key.arg == "weights_only" for key in node.keywords)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "a bare except hides what went wrong"
