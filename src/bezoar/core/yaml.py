"""YAML files, read by the rules of YAML 1.2: ``1e-5`` is a number, ``yes`` is a string, a repeated key is an error."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruamel.yaml import YAML


_NODES = 1_000_000
"""More values than any experiment has: a few lines of aliases of aliases can stand for billions."""


def parse(text: str, source: str = "text") -> Any:
    """Plain values from YAML text; raises ``ValueError`` with file, line and column.

    What an alias stands for is a copy: changing one place later changes no other.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _apart(_reader().load(text), source, itertools.count(), ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{source}{where}: not valid YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from None


def _apart(value: Any, source: str, nodes: Iterator[int], above: tuple[int, ...]) -> Any:
    """``value`` with no mapping or list in two places."""
    if not isinstance(value, (dict, list)):
        return value
    if id(value) in above:
        raise ValueError(f"{source}: not valid YAML here: an alias stands for what it is a part of")
    if next(nodes) >= _NODES:
        raise ValueError(f"{source}: not valid YAML here: its aliases stand for more than {_NODES:,} values")
    inside = (*above, id(value))
    if isinstance(value, dict):
        return {key: _apart(item, source, nodes, inside) for key, item in value.items()}
    return [_apart(item, source, nodes, inside) for item in value]


def _reader() -> YAML:
    """A reader of the core schema alone: ``2026-01-01`` is a string, and a set or other typed value is refused."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class Core(SafeConstructor):
        pass

    for name in ("timestamp", "value"):
        Core.add_constructor(f"tag:yaml.org,2002:{name}", SafeConstructor.construct_yaml_str)
    for name in ("binary", "omap", "pairs", "set"):
        Core.add_constructor(f"tag:yaml.org,2002:{name}", SafeConstructor.construct_undefined)
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Core
    return reader


def read(path: Path) -> Any:
    """Plain values from a YAML file; raises ``ValueError`` when it is missing or malformed."""
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def render(value: Any) -> str:
    """YAML text of plain values, keys in the order given."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()
