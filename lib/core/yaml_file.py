"""A YAML file with its lines: plain values, and the line on which a key stands."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lib.files import UserError


@dataclass(frozen=True)
class YamlFile:
    """``data``: the file's mapping. ``node``: the same as YAML nodes, which know their lines."""

    path: Path
    data: dict[str, Any]
    node: yaml.MappingNode

    def at(self, *keys: tuple[str, ...]) -> str:
        """'file, line 7' of the key path that leads deepest into the file; the file alone when none begins there."""
        depth, line = max((_find(self.node, key) for key in keys), default=(0, 0))
        return f"{self.path}, line {line}" if depth else str(self.path)


def read_yaml(path: str | Path) -> YamlFile:
    """Read a file that holds one mapping of plain values. Anything else is a :class:`UserError` with the line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{path} must hold keys and values; got {'nothing' if node is None else 'something else'}")
        _refuse_twins(path, node, set())
        return YamlFile(path, yaml.safe_load(text), node)
    except OSError as error:
        raise UserError(f"settings file {path} cannot be read: {error.strerror or error}; check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"settings file {path} must be UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = f"{error.problem or error.context}"
        tag = re.search(r"tag '(.*)'", problem) if "constructor" in problem else None
        problem = f"a value asks for {tag[1].rpartition('2002:')[2]}, write it plainly" if tag else problem
        raise UserError(f"{where}: must be YAML of plain values: {problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} must be YAML of plain values: {str(error).splitlines()[0]}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the nearest known name, or nothing."""
    by_upper = {other.upper(): other for other in known}
    near = difflib.get_close_matches(str(name).upper(), by_upper, n=1, cutoff=0.4)
    return f"; did you mean {by_upper[near[0]]}?" if near else ""


def _find(node: yaml.Node, key: tuple[str, ...]) -> tuple[int, int]:
    """How many parts of ``key`` exist below ``node``, and the one-based line of the last of them."""
    depth, line = 0, 0
    for part in key:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        hit = next(((name, value) for name, value in pairs if name.value == part), None)
        if hit is None:
            break
        depth, line, node = depth + 1, hit[0].start_mark.line + 1, hit[1]
    return depth, line


def _refuse_twins(path: Path, node: yaml.Node, seen: set[int]) -> None:
    """A key that stands twice in one block: YAML would keep the last in silence. ``seen``: nodes that aliases share."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    lines: dict[str, int] = {}
    for child in node.value:
        if isinstance(child, tuple):
            name, child = child
            line = name.start_mark.line + 1
            if name.value in lines:
                raise UserError(f"{path}, line {line}: {name.value} stands twice, also on line {lines[name.value]}")
            if isinstance(name, yaml.ScalarNode):
                lines[name.value] = line
        _refuse_twins(path, child, seen)
