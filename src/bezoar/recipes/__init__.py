"""Named experiments, and named sweeps over them: YAML files that hold values only."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bezoar.core.settings import nearest
from bezoar.core.yaml import parse

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def names() -> tuple[str, ...]:
    """All recipes, by name."""
    return _named(files(__name__))


def sweeps() -> tuple[str, ...]:
    """All sweeps, by name; none is called like a recipe."""
    return _named(_sweeps())


def text(name: str) -> str:
    """The YAML text of a recipe; raises ``ValueError`` with the nearest name."""
    return _text(files(__name__), name, names(), "recipe")


def sweep_text(name: str) -> str:
    """The YAML text of a sweep; raises ``ValueError`` with the nearest name."""
    return _text(_sweeps(), name, sweeps(), "sweep")


def read(name: str) -> Any:
    """A recipe as plain values."""
    return parse(text(name), name)


def read_sweep(name: str) -> Any:
    """A sweep as plain values."""
    return parse(sweep_text(name), name)


def _sweeps() -> Traversable:
    return files(__name__) / "sweeps"


def _named(folder: Traversable) -> tuple[str, ...]:
    found = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def _text(folder: Traversable, name: str, known: tuple[str, ...], what: str) -> str:
    if name not in known:
        raise ValueError(f"{what}: '{name}' is neither a {what} nor a file{nearest(name, known)}")
    return (folder / f"{name}.yaml").read_text("utf-8")
