"""One axis of a sweep: a name, and what each of its values changes in the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Label = bool | int | float | str
"""How a value is called in records and tables."""


@dataclass(frozen=True)
class Axis:
    """Values by what they are called, and for each the settings that it stands for, by their paths."""

    name: str
    changes: Mapping[Label, Mapping[str, Any]]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that any of its values changes."""
        return tuple(dict.fromkeys(path for change in self.changes.values() for path in change))

    def joined(self, other: Axis) -> Axis:
        """The values of both; raises ``ValueError`` where one value means two things."""
        for label, change in other.changes.items():
            if self.changes.get(label, change) != change:
                raise ValueError(f"axes.{self.name}: {label!r} stands for two things in two grids")
        return Axis(self.name, {**self.changes, **other.changes})


def axis_of(name: str, given: Any) -> Axis:
    """An axis as a sweep file has it, in one of three forms.

    ``path: [value, …]``, one setting; ``name: {paths: [path, …], values: [value, …]}``, several settings that take the
    same value; ``name: {value: {path: setting, …}, …}``, several that change together. Raises ``ValueError``.
    """
    where = f"axes.{name}"
    if isinstance(given, list):
        return Axis(name, _same((name,), given, where))
    if isinstance(given, Mapping) and set(given) == {"paths", "values"}:
        paths = given["paths"]
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            raise ValueError(f"{where}.paths: must be a list of settings paths, got {paths!r}")
        if not isinstance(given["values"], list):
            raise ValueError(f"{where}.values: must be a list, got {given['values']!r}")
        return Axis(name, _same(tuple(paths), given["values"], where))
    if isinstance(given, Mapping) and given and all(isinstance(change, Mapping) for change in given.values()):
        for label, change in given.items():
            if not isinstance(label, (bool, int, float, str)) or not change:
                raise ValueError(f"{where}: {label!r} must name the settings that it stands for, as path: value")
        return Axis(name, {label: dict(change) for label, change in given.items()})
    raise ValueError(
        f"{where}: must be a list of values, {{paths: […], values: […]}} or {{value: {{path: setting}}}}, got {given!r}"
    )


def _same(paths: tuple[str, ...], values: list[Any], where: str) -> dict[Label, dict[str, Any]]:
    """The same value at every path."""
    if not values:
        raise ValueError(f"{where}: has no values")
    found: dict[Label, dict[str, Any]] = {}
    for value in values:
        label = _label(value, where)
        if label in found:
            raise ValueError(f"{where}: two values are called {label!r}; name them: {where}: {{name: {{path: value}}}}")
        found[label] = dict.fromkeys(paths, value)
    return found


def _label(value: Any, where: str) -> Label:
    if isinstance(value, (bool, int, float, str)):
        return value
    if value is None:
        return "none"
    if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
        return str(value["kind"])
    raise ValueError(f"{where}: {value!r} needs a name: {{name: {{path: value}}, …}}")
