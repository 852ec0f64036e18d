"""A sweep: one experiment, and the settings of it that take several values."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bezoar.core.settings import dump, nearest
from bezoar.experiment.axes import Axis, Label, axis_of
from bezoar.experiment.experiment import Experiment, override, parse

KEYS = ("name", "about", "experiment", "seeds", "axes", "choose")
LIMIT = 10_000
"""Points of a sweep; more would be a slip."""
BASE = "base"
"""What an axis is said to be at a point that leaves it as the experiment has it, where that is none of its values."""


@dataclass(frozen=True)
class Point:
    """One experiment of a sweep, and where it stands."""

    axes: Mapping[str, Label]
    """Every axis of the sweep by name."""
    experiment: Experiment


@dataclass(frozen=True)
class Sweep:
    """An experiment and the grids that are laid over it; its points are those of all grids, each once."""

    name: str
    about: str
    base: Experiment
    grids: tuple[tuple[Axis, ...], ...]
    choose: tuple[str, ...]
    """Axes among whose values a defender may choose, on ``select_on``; every other axis stands in the table."""
    plain: Mapping[str, Any]
    """The file, with its experiment resolved: what runs again."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Every axis once; one that stands in several grids has the values of all."""
        found: dict[str, Axis] = {}
        for axis in itertools.chain(*self.grids):
            found[axis.name] = found[axis.name].joined(axis) if axis.name in found else axis
        return tuple(found.values())

    def points(self) -> tuple[Point, ...]:
        """All points, in the order of the grids; raises ``ValueError`` that names the axis at fault."""
        plain = _plain(self.base)
        axes = {axis.name: axis for axis in self.axes}
        unset = {name: _standing(self.base, plain, axis) for name, axis in axes.items()}
        found: dict[tuple[Label, ...], Point] = {}
        for grid in self.grids:
            for labels in itertools.product(*(axis.changes for axis in grid)):
                at = dict(zip((axis.name for axis in grid), labels, strict=True))
                where = {name: at.get(name, unset[name]) for name in axes}
                if tuple(where.values()) not in found:
                    made = _changed(plain, [(axis, at[axis.name]) for axis in grid])
                    found[tuple(where.values())] = Point(where, made)
        return tuple(found.values())


def parse_sweep(data: Any, load: Callable[[Any], Any] = lambda given: given, source: str = "") -> Sweep:
    """A sweep from plain values; ``load`` makes the settings of what it names as its experiment.

    Raises ``ValueError``, one line that names what is wrong.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{source or 'sweep'}: must be a mapping of experiment and axes, got {type(data).__name__}")
    for key in data:
        if key not in KEYS:
            raise ValueError(f"unknown key '{key}'{nearest(str(key), KEYS)}")
    if "experiment" not in data:
        raise ValueError("experiment: a sweep needs one: a recipe, a file, or its settings")
    base = parse(load(data["experiment"]), "experiment")
    about, name = data.get("about", base.about), data.get("name", base.name)
    grids = data.get("axes")
    listed = [dict(grid) for grid in (grids if isinstance(grids, list) else [grids]) if isinstance(grid, Mapping)]
    if not listed or not all(listed) or len(listed) != (len(grids) if isinstance(grids, list) else 1):
        raise ValueError(f"axes: must be a mapping of axes and their values, or a list of such, got {grids!r}")
    seeds = [value for value in (data.get("seeds"), *(grid.pop("seeds", None) for grid in listed)) if value is not None]
    if len(seeds) > 1:
        raise ValueError("axes.seeds: stands once: every point is run with all seeds")
    try:
        plain = {**_plain(base), "name": name, "about": about, **({"seeds": seeds[0]} if seeds else {})}
        base = parse(plain)
    except ValueError as error:
        raise ValueError(str(error)) from None
    made = tuple(tuple(axis_of(str(name), values) for name, values in grid.items()) for grid in listed)
    _check_size(made)
    for axis in itertools.chain(*made):
        _check_paths(axis, base)
    choose = _choosable(made, base, data.get("choose"))
    told = {"name": base.name, "about": base.about, "experiment": _plain(base), "axes": listed, "choose": list(choose)}
    return Sweep(base.name, base.about, base, made, choose, told)


def with_seeds(sweep: Sweep, seeds: tuple[int, ...]) -> Sweep:
    """The same sweep with other seeds."""
    base = replace(sweep.base, seeds=seeds)
    return replace(sweep, base=base, plain={**sweep.plain, "experiment": _plain(base)})


def _plain(experiment: Experiment) -> dict[str, Any]:
    """All settings as JSON has them, so that every path that there is can be named."""
    found: dict[str, Any] = json.loads(json.dumps(dump(experiment)))
    return found


def _check_size(grids: Sequence[Sequence[Axis]]) -> None:
    count = sum(math.prod(len(axis.changes) for axis in grid) for grid in grids)
    if count > LIMIT:
        raise ValueError(f"axes: they span {count:,} points, more than {LIMIT:,}; split them into a list of grids")


def _check_paths(axis: Axis, base: Experiment) -> None:
    """Raise ``ValueError`` for a path that leads nowhere."""
    plain = _plain(base)
    for path in axis.paths:
        changed = copy.deepcopy(plain)
        try:
            override(changed, path, None)
        except ValueError as error:
            raise ValueError(f"axes.{axis.name}: {error}") from None


def _changed(plain: Mapping[str, Any], changes: Sequence[tuple[Axis, Label]]) -> Experiment:
    """The experiment at a point; a fault is that of the first axis that has it alone."""
    try:
        return _laid(plain, changes)
    except ValueError as error:
        for axis, label in changes:
            try:
                _laid(plain, [(axis, label)])
            except ValueError as alone:
                raise ValueError(f"axes.{axis.name}: {alone}") from None
        at = ", ".join(f"{axis.name} {label}" for axis, label in changes)
        raise ValueError(f"axes: at {at}: {error}") from None


def _laid(plain: Mapping[str, Any], changes: Sequence[tuple[Axis, Label]]) -> Experiment:
    data = copy.deepcopy(dict(plain))
    for axis, label in changes:
        for path, value in axis.changes[label].items():
            override(data, path, copy.deepcopy(value))
    return parse(data)


def _standing(base: Experiment, plain: Mapping[str, Any], axis: Axis) -> Label:
    """What an axis is at a point that does not name it."""
    for label in axis.changes:
        try:
            if _laid(plain, [(axis, label)]) == base:
                return label
        except ValueError:
            continue  # it is said at the point that has it
    values = {json.dumps(_value_at(plain, path)) for path in axis.paths}
    value = json.loads(values.pop()) if len(values) == 1 else None
    return value if isinstance(value, (bool, int, float, str)) else BASE


def _value_at(plain: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(plain, list):
            named = [entry for entry in plain if isinstance(entry, dict) and entry.get("name") == step]
            plain = named[0] if named else plain[int(step)]
        else:
            plain = plain.get(step) if isinstance(plain, dict) else None
    return plain


def _choosable(grids: Sequence[Sequence[Axis]], base: Experiment, asked: Any) -> tuple[str, ...]:
    """The axes to choose among: those asked for, or all that change nothing but the methods of cleanings."""
    axes = {axis.name: axis for axis in itertools.chain(*grids)}
    if asked is None:
        return tuple(name for name, axis in axes.items() if not any(_beyond(axis, base, ("method",))))
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        raise ValueError(f"choose: must be a list of axes, got {asked!r}")
    for name in asked:
        if name not in axes:
            raise ValueError(f"choose: no axis is called '{name}'{nearest(name, axes)}")
        wrong = next(_beyond(axes[name], base, ()), None)
        if wrong is not None:
            raise ValueError(f"choose: '{name}' changes {wrong}, which is no setting of a cleaning: nobody chooses it")
    return tuple(asked)


def _beyond(axis: Axis, base: Experiment, within: tuple[str, ...]) -> Iterator[str]:
    """Paths of an axis outside of the stages that start from another one, or of one of their fields."""
    started = {stage.name for stage in base.stages if stage.start is not None}
    numbers = {str(number) for number, stage in enumerate(base.stages) if stage.start is not None}
    for path in axis.paths:
        first, _, rest = path.partition(".")
        stage, _, field = rest.partition(".")
        inside = first == "stages" and stage in started | numbers
        if not inside or (within and field.partition(".")[0] not in within):
            yield path
