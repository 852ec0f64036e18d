"""Settings by their path: what every model was made with, how runs differ, and what to call them for it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bezoar.report.runs import Run
    from bezoar.report.tables import Row

ASIDE = ("name", "about", "seeds", "workers")
"""Keys of an experiment that say nothing of how its models were made."""
_SHOWN = 3
"""Settings in a label; runs that differ in more go by their folder."""


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Plain values by dotted path; entries of a list of mappings go by name or number, other lists are one value."""
    if isinstance(value, Mapping) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        names = [_name(item, number) for number, item in enumerate(value)]
        places = [f"{name}.{n}" if names.count(name) > 1 else name for n, name in enumerate(names)]
        items = list(zip(places, value, strict=True))
    else:
        return {path: shown(value)}
    return {key: leaf for name, item in items for key, leaf in flat(item, f"{path}.{name}" if path else name).items()}


def _name(item: Any, number: int) -> str:
    named = item.get("name", item.get("kind", number)) if isinstance(item, Mapping) else number
    return str(named)


def shown(value: Any) -> Any:
    """A setting as one value: numbers and words as they are, lists and nothing as words."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == {} else value


def of_row(run: Run, row: Row) -> dict[str, Any]:
    """Every setting of one model by its path: those of its stage first, with its point of the grid filled in.

    ``attack`` is the one that is measured after it.
    """
    stage = next(stage for stage in run.experiment["stages"] if stage["name"] == row.group)
    filled = {key: value for key, value in stage.items() if key not in ("grid", "name")}
    filled["method"] = {**stage["method"], **run.groups[row.group].points.get(row.stage, row.settings)}
    others = {key: value for key, value in run.experiment.items() if key not in (*ASIDE, "stages", "attacks")}
    threat = run.threat_of(run.groups[row.group])
    others["attack"] = run.attacks.get(threat) if threat is not None else None
    words = {"run": row.run, "stage": row.group, "seed": "mean" if row.seed is None else row.seed, "method": row.method}
    return {**words, **flat(filled, f"stages.{row.group}"), **flat(others)}


def value_of(field: str, settings: Mapping[str, Any]) -> Any:
    """The setting that ``field`` names: a whole path, or the end of one — the shortest, a stage's own before others.

    ``None`` where the model has no such setting.
    """
    if field in settings:
        return settings[field]
    ends = [key for key in settings if key.endswith(f".{field}")]
    return settings[min(ends, key=lambda key: key.count("."))] if ends else None


def check(fields: Sequence[str], known: Iterable[Mapping[str, Any]]) -> None:
    """Raise ``ValueError`` with the nearest names for a field that no model of the page has."""
    settings = list(known)
    for field in fields:
        if settings and all(value_of(field, found) is None for found in settings):
            paths = dict.fromkeys(key for found in settings for key in found)
            names = paths if "." in field else dict.fromkeys(key.rpartition(".")[2] for key in paths)
            close = difflib.get_close_matches(field, list(names), n=3)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "name a path of experiment.yaml"
            raise ValueError(f"by: no setting is called '{field}'; {hint}")


def differences(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """Settings in which runs differ, by the shortest name that tells them apart, one value a run."""
    trees = [_comparable(run) for run in runs]
    paths = list(dict.fromkeys(path for tree in trees for path in tree))
    # What only some runs have comes with a difference that all have: another kind, another list of names.
    rows = {path: tuple(tree[path] for tree in trees) for path in paths if all(path in tree for tree in trees)}
    rows = {path: values for path, values in rows.items() if len(set(map(_key, values))) > 1}
    alike: dict[tuple[str, str], list[str]] = {}
    for path, values in rows.items():
        alike.setdefault((path.rpartition(".")[2], _key(values)), []).append(path)
    once = [paths[0] for paths in alike.values()]  # one setting that differs alike in every stage is one difference
    ends = [path.rpartition(".")[2] for path in once]
    return {_short(path) if ends.count(end) > 1 else end: rows[path] for path, end in zip(once, ends, strict=True)}


def labeled(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs, each with a label of its own: its name; where that is shared, what differs, or else its folder."""
    if len(runs) < 2:
        return tuple(runs)
    labels = [run.name for run in runs]
    for name in {name for name in labels if labels.count(name) > 1}:
        places = [i for i, run in enumerate(runs) if run.name == name]
        told = _told([runs[i] for i in places])
        for i, text in zip(places, told, strict=True):
            labels[i] = text if len(places) == len(runs) else f"{name}: {text}"
    labels = [f"{label} ({i})" if labels.count(label) > 1 else label for i, label in enumerate(labels, 1)]
    return tuple(replace(run, label=label) for run, label in zip(runs, labels, strict=True))


def _told(runs: Sequence[Run]) -> list[str]:
    """Words for runs of one name."""
    found = differences(runs)
    texts = [", ".join(f"{key} {values[i]}" for key, values in found.items()) for i in range(len(runs))]
    brief = 0 < len(found) <= _SHOWN and all(len(text) <= 60 for text in texts)
    return texts if brief and len(set(texts)) == len(texts) else [run.folder.name or str(run.folder) for run in runs]


def _comparable(run: Run) -> dict[str, Any]:
    """An experiment by paths; parts that not every run can share stand as one value of names."""
    plain = {key: value for key, value in run.experiment.items() if key not in ASIDE}
    kinds = [item.get("kind") if isinstance(item, Mapping) else item for item in plain.get("evaluators") or ()]
    names = {
        "stages": [stage["name"] for stage in run.experiment["stages"]],
        "attack": (plain.get("attack") or {}).get("kind"),
        "evaluators": kinds,
        **{key: list(plain.get(key) or {}) for key in ("pairs", "labeled", "held_out")},
    }
    plain["stages"] = [
        # What a grid goes over stands in the place of the default that it replaces.
        {**stage, "method": {**stage["method"], **(stage.get("grid") or {})}, "grid": None}
        for stage in run.experiment["stages"]
    ]
    return {**flat(plain), **{key: shown(value) for key, value in names.items()}, "attack.kind": ""}


def _short(path: str) -> str:
    """``cleanclip.lr`` of ``stages.cleanclip.method.lr``."""
    return path.removeprefix("stages.").replace(".method.", ".")


def _key(value: Any) -> str:
    return json.dumps(value, default=str)
