"""A poison folder: a plan written to files, and read again only as what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from bezoar.attacks.base import Stage
from bezoar.attacks.families import ATTACKS, CAPTION_TRIGGERS, TRIGGERS
from bezoar.attacks.plan import HEAD, SCHEMA, Gallery, Mark, PoisonPlan, PoisonRow
from bezoar.core.files import atomic, read_json, write_json
from bezoar.core.settings import digest, explain, revisions
from bezoar.data.families import LABELED_SOURCES, PAIRS_SOURCES

if TYPE_CHECKING:
    from torch import Tensor


def save_plan(plan: PoisonPlan, folder: Path) -> None:
    """Write ``poison.parquet``, ``triggers.safetensors``, and last ``poison.json`` to ``folder``."""
    import pyarrow.parquet as pq
    from safetensors.torch import save

    with atomic(folder / "poison.parquet") as stream:
        pq.write_table(_table(plan.rows), stream)
    with atomic(folder / "triggers.safetensors") as stream:
        stream.write(save(plan.tensors()))
    write_json(
        folder / "poison.json",
        {
            **plan.head(),
            # Of what is written: a loaded plan may have got settings since it was saved.
            "digest": replace(plan, saved_as="").digest if plan.saved_as else plan.digest,
            "survival": asdict(plan.survival) if plan.survival else None,
        },
    )


def _table(rows: tuple[PoisonRow, ...]) -> Any:
    """The rows as an Arrow table; columns that may be empty have their type."""
    import pyarrow as pa

    numbers, texts = ("index", "mark", "words", "images"), ("id", "role", "target", "original", "caption", "image")
    columns = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in texts}
    columns |= {name: pa.array([getattr(row, name) for row in rows], pa.int64()) for name in numbers}
    return pa.table({**columns, "appended": pa.array([row.appended for row in rows], pa.bool_())})


def load_plan(folder: Path) -> PoisonPlan:
    """The plan of a poison folder; raises ``ValueError`` when it is missing, damaged or not what it says it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from bezoar.attacks.patterns.picture import remember
    from bezoar.attacks.survival import Survival

    head = read_json(folder / "poison.json")
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        found = head.get("schema") if isinstance(head, dict) else None
        raise ValueError(
            f"{folder / 'poison.json'}: not a poison plan, or one of schema {found}: this version reads {SCHEMA}"
        )
    missing = {*HEAD, "digest", "survival"} - set(head)
    if missing:
        raise ValueError(f"{folder / 'poison.json'}: not a poison plan: missing field {', '.join(sorted(missing))}")
    try:
        table = pq.read_table(folder / "poison.parquet").to_pylist()
        rows = tuple(PoisonRow(**row) for row in table)
        stored = load_file(folder / "triggers.safetensors")
        for name, tensor in stored.items():
            if name.endswith(".picture"):
                remember(tensor)
        plan = PoisonPlan(
            attack=ATTACKS.parse(head["attack"]), marks=tuple(map(_mark, head["marks"])),
            words=tuple(map(CAPTION_TRIGGERS.parse, head["words"])), images=tuple(map(_gallery, head["images"])),
            seed=head["seed"], source=head["source"], total=head["total"], size=head["size"], rows=rows,
            survival=Survival.parse(head["survival"]) if head["survival"] else None, saved_as=head["digest"],
        )  # fmt: skip
    except (KeyError, OSError, TypeError, ValueError, pa.ArrowException, SafetensorError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{folder}: not a whole poison plan: {reason}") from None
    whole = digest({key: head[key] for key in HEAD}, [asdict(row) for row in rows])
    if whole != head["digest"] or len(rows) != head["count"]:
        raise ValueError(
            f"{folder}: the plan is not the one that was saved: digest {whole} with {len(rows)} pairs, "
            f"not {head['digest']} with {head['count']}"
        )
    _check_triggers(folder, head, plan, stored)
    return plan


def _check_triggers(folder: Path, head: Mapping[str, Any], plan: PoisonPlan, stored: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` where this version would put on other pixels than the one that made the plan."""
    import torch

    for saved, mark in zip(head["marks"], plan.marks, strict=True):
        now = revisions(mark.trigger)
        for kind, then in saved.get("revisions", {}).items():
            if now.get(kind) != then:
                raise ValueError(f"{folder}: its {kind} is of revision {then}, this version puts on {now.get(kind)}")
    drawn = plan.tensors()
    for name in drawn | dict(stored):
        if name not in drawn or name not in stored or not torch.equal(drawn[name], stored[name]):
            raise ValueError(f"{folder}: this version draws trigger pattern {name} differently from the saved one")


def _mark(data: Mapping[str, Any]) -> Mark:
    if data["stage"] not in get_args(Stage):
        raise ValueError(f"stage: {data['stage']!r} is not one of {', '.join(get_args(Stage))}")
    return Mark(TRIGGERS.parse(data["trigger"]), data["stage"])


def _gallery(data: Mapping[str, Any]) -> Gallery:
    family = PAIRS_SOURCES if data.get("captioned") else LABELED_SOURCES
    return Gallery(family.parse(data["source"]), data["fingerprint"])
