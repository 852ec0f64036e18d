"""The poison plan: the one thing that knows who is poisoned; a table saved, hashed and re-applied bit by bit."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from bezoar.attacks.base import Attack, Stage
from bezoar.attacks.triggers import TRIGGERS, Trigger
from bezoar.core.files import atomic, read_json, write_json
from bezoar.core.settings import digest, dump, explain

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.survival import Survival
    from bezoar.data.pairs import Images

SCHEMA = 1
_HEAD = ("schema", "attack", "triggers", "revisions", "stage", "seed", "source", "total", "count")


@dataclass(frozen=True, kw_only=True)
class PoisonRow:
    """One poisoned pair."""

    id: str
    target: str
    original: str
    """The caption it had."""
    caption: str
    """The caption it gets."""
    role: str = "backdoor"
    trigger: int = 0
    """Index into the plan's triggers."""


@dataclass(frozen=True, kw_only=True)
class PoisonPlan:
    """Which pairs get which trigger and which caption."""

    attack: Attack
    triggers: tuple[Trigger, ...]
    stage: Stage
    seed: int
    source: str
    """Fingerprint of the pairs it was made for."""
    total: int
    """How many pairs those are."""
    rows: tuple[PoisonRow, ...]
    survival: Survival | None = field(default=None, compare=False)
    saved_as: str = field(default="", compare=False)
    """The digest a loaded plan was saved with: settings that were added since do not make it another plan."""

    @functools.cached_property
    def by_id(self) -> dict[str, PoisonRow]:
        """The rows by pair id."""
        return {row.id: row for row in self.rows}

    @functools.cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything the plan does; a loaded plan keeps the one it was saved with."""
        return self.saved_as or digest(self._head(), [asdict(row) for row in self.rows])

    def _head(self) -> dict[str, Any]:
        """What ``poison.json`` says of the plan besides its digest and its survival."""
        return {
            "schema": SCHEMA,
            "attack": dump(self.attack),
            "triggers": [dump(trigger) for trigger in self.triggers],
            "revisions": [type(trigger).revision for trigger in self.triggers],
            "stage": self.stage,
            "seed": self.seed,
            "source": self.source,
            "total": self.total,
            "count": len(self.rows),
        }

    def mark(self) -> dict[str, Any]:
        """What a model trained under the plan says of it, and hands on to every model that starts from it."""
        return {"attack": dump(self.attack), "plan": self.digest, "count": len(self.rows), "total": self.total}

    def caption(self, pair_id: str, caption: str) -> str:
        """The caption that pair ``pair_id`` carries under the plan."""
        row = self.by_id.get(pair_id)
        return row.caption if row else caption

    def load(self, images: Images, index: int, size: int) -> Tensor:
        """Picture ``index`` as the model gets it under the plan, before any view: uint8 ``[3, size, size]``."""
        row = self.by_id.get(images.id(index))
        return load_triggered(images, index, size, self.triggers[row.trigger] if row else None, self.stage)

    def places(self, images: Images) -> dict[str, int]:
        """Where each poisoned pair stands in ``images``, by id; raises ``ValueError`` when one is not there."""
        found = {pair_id: i for i in range(len(images)) if (pair_id := images.id(i)) in self.by_id}
        missing = next((row.id for row in self.rows if row.id not in found), None)
        if missing is not None:
            raise ValueError(
                f"poison: pair '{missing}' of the plan is not in these pairs: it was made for pairs {self.source}, "
                f"these are {images.fingerprint}"
            )
        return found

    def sample(self, count: int) -> tuple[PoisonRow, ...]:
        """At most ``count`` rows, spread evenly over all."""
        count = min(count, len(self.rows))
        return tuple(self.rows[i * len(self.rows) // count] for i in range(count))

    def with_survival(self, survival: Survival) -> PoisonPlan:
        """The same plan with the measured survival of its trigger."""
        return replace(self, survival=survival)

    def save(self, folder: Path) -> None:
        """Write ``poison.parquet``, ``triggers.safetensors``, and last ``poison.json``."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors.torch import save

        with atomic(folder / "poison.parquet") as stream:
            pq.write_table(pa.Table.from_pylist([asdict(row) for row in self.rows]), stream)
        with atomic(folder / "triggers.safetensors") as stream:
            stream.write(save(self._tensors()))
        write_json(
            folder / "poison.json",
            {
                **self._head(),
                "digest": self.digest,
                "survival": asdict(self.survival) if self.survival else None,
            },
        )

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f"{number}.{name}": tensor.contiguous()
            for number, trigger in enumerate(self.triggers)
            for name, tensor in trigger.tensors().items()
        }


def load_triggered(images: Images, index: int, size: int, trigger: Trigger | None, stage: Stage) -> Tensor:
    """Picture ``index`` at model resolution with ``trigger`` put on at ``stage``: uint8 ``[3, size, size]``."""
    from bezoar.data.images import fit, to_tensor

    image = to_tensor(images.image(index))
    if trigger is None:
        return fit(image, size)
    if stage == "file":
        return fit(trigger.apply(image, images.id(index)), size)
    return trigger.apply(fit(image, size), images.id(index))


def load_plan(folder: Path) -> PoisonPlan:
    """The plan of a poison folder; raises ``ValueError`` when it is missing, damaged or not what it says it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from bezoar.attacks import ATTACKS
    from bezoar.attacks.survival import Survival

    head = read_json(folder / "poison.json")
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        found = head.get("schema") if isinstance(head, dict) else None
        raise ValueError(
            f"{folder / 'poison.json'}: not a poison plan, or one of schema {found}: this version reads {SCHEMA}"
        )
    missing = {*_HEAD, "digest", "survival"} - set(head)
    if missing:
        raise ValueError(f"{folder / 'poison.json'}: not a poison plan: missing field {', '.join(sorted(missing))}")
    try:
        if head["stage"] not in get_args(Stage):
            raise ValueError(f"stage: {head['stage']!r} is not one of {', '.join(get_args(Stage))}")
        table = pq.read_table(folder / "poison.parquet").to_pylist()
        rows = tuple(PoisonRow(**row) for row in table)
        stored = load_file(folder / "triggers.safetensors")
        survival = Survival(**head["survival"]) if head["survival"] else None
        plan = PoisonPlan(
            attack=ATTACKS.parse(head["attack"]), triggers=tuple(map(TRIGGERS.parse, head["triggers"])),
            stage=head["stage"], seed=head["seed"], source=head["source"], total=head["total"], rows=rows,
            survival=survival, saved_as=head["digest"],
        )  # fmt: skip
    except (OSError, TypeError, ValueError, pa.ArrowException, SafetensorError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{folder}: not a whole poison plan: {reason}") from None
    whole = digest({key: head[key] for key in _HEAD}, table)
    if whole != head["digest"] or len(rows) != head["count"]:
        raise ValueError(
            f"{folder}: the plan is not the one that was saved: digest {whole} with {len(rows)} pairs, "
            f"not {head['digest']} with {head['count']}"
        )
    now = [type(trigger).revision for trigger in plan.triggers]
    if now != head["revisions"]:
        raise ValueError(f"{folder}: its triggers are of revision {head['revisions']}, this version puts on {now}")
    drawn = plan._tensors()
    for name in drawn | stored:
        if name not in drawn or name not in stored or not torch.equal(drawn[name], stored[name]):
            raise ValueError(f"{folder}: this version draws trigger pattern {name} differently from the saved one")
    return plan
