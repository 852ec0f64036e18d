"""Named experiments: YAML files that hold values only."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from bezoar.core.settings import nearest
from bezoar.core.yaml import parse


def names() -> tuple[str, ...]:
    """All recipes, by name."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml"))
    )


def text(name: str) -> str:
    """The YAML text of a recipe; raises ``ValueError`` with the nearest name."""
    if name not in names():
        raise ValueError(f"recipe: '{name}' is neither a recipe nor a file{nearest(name, names())}")
    return (files(__name__) / f"{name}.yaml").read_text("utf-8")


def read(name: str) -> Any:
    """A recipe as plain values."""
    return parse(text(name), name)
