"""The plans of a run: its poison folders, in either spelling of ``poison.json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bezoar.core.files import read_json


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A poison folder of the run."""

    pairs: str
    attack: str
    """A name of ``attacks``; empty for the experiment's own."""
    seed: int
    head: Mapping[str, Any]
    """``poison.json``."""
    appended: int
    """How many of its pairs are new ones, as far as the plan's table is there to tell."""
    preview: tuple[Mapping[str, Any], ...]
    """Some of its pairs: both captions, the pictures as PNG, and ``mark``, the number of the trigger on it."""

    @property
    def triggers(self) -> tuple[Mapping[str, Any], ...]:
        """What is put on pictures, in either spelling of ``poison.json``."""
        marks = self.head.get("marks")
        found = [mark.get("trigger") for mark in marks or ()] if marks is not None else self.head.get("triggers")
        return tuple(trigger for trigger in found or () if isinstance(trigger, Mapping))

    @property
    def words(self) -> tuple[Mapping[str, Any], ...]:
        """What is put into captions."""
        return tuple(self.head.get("words") or ())

    @property
    def length(self) -> int:
        """How many pairs the poisoned set has."""
        return int(self.head.get("size") or self.head["total"] + self.appended)


def read_plans(folder: Path, experiment: Mapping[str, Any]) -> tuple[Plan, ...]:
    """The newest whole plan of each of the experiment's attacks for each set of pairs and seed, by seed."""
    attacks = {**(experiment.get("attacks") or {}), "": experiment.get("attack") or {}}
    order = ["", *(experiment.get("attacks") or {})]
    plans: dict[tuple[int, int, str], Plan] = {}
    for path in by_age(folder.glob("poison/*/poison.json")):
        head = mapping(path)
        named = re.fullmatch(r"(.+)-seed(-?\d+)-[0-9a-f]+", path.parent.name)
        if not {"count", "total"} <= set(head) or not named or int(named[2]) not in experiment.get("seeds", (0,)):
            continue
        for attack, settings in attacks.items():
            of = f".{slug(attack)}" if attack else ""
            if named[1].endswith(of) and _made_by(settings, head):
                pairs, seed = named[1].removesuffix(of), int(named[2])
                plans[seed, order.index(attack), pairs] = Plan(
                    pairs=pairs, attack=attack, seed=seed, head=head, appended=_appended(path.parent),
                    preview=_preview(path.parent),
                )  # fmt: skip
                break
    return tuple(plans[key] for key in sorted(plans))


def _made_by(attack: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
    """Whether a plan is that of ``attack``."""
    planned = attack.get("kind") == "planned" and attack.get("digest") in ("", head.get("digest"))
    return planned or head.get("attack") == attack


def _appended(folder: Path) -> int:
    """How many of a plan's pairs are new ones; none where its table does not tell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "poison.parquet"
    try:
        if "appended" not in _columns(path):
            return 0
        return sum(map(bool, pq.read_table(path, columns=["appended"])["appended"].to_pylist()))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None


def _columns(path: Path) -> set[str]:
    """The columns of a table; none where there is no file."""
    import pyarrow.parquet as pq

    return set(pq.read_schema(path).names) if path.exists() else set()


def _preview(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The pictures of a plan, each with the number of its trigger, which older ones have in the plan's table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "preview.parquet"
    try:
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        if all("mark" in row for row in rows):
            return tuple(rows)
        path, number = folder / "poison.parquet", {}
        column = next((name for name in ("mark", "trigger") if name in _columns(path)), None)
        if column:
            shown = [("id", "in", [row.get("id") for row in rows])]
            table = pq.read_table(path, columns=["id", column], filters=shown).to_pylist()
            number = {row["id"]: row[column] for row in table}
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    return tuple({**row, "mark": number.get(row.get("id")) or 0} for row in rows)


def mapping(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file."""
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must be a JSON object")
    return found


def by_age(paths: Iterable[Path]) -> list[Path]:
    """Oldest first, so that the newest of one name wins."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name))


def slug(name: str) -> str:
    """A name as the folders of a run spell it."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)
