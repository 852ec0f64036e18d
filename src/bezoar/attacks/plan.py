"""The poison plan: the one thing that knows who is poisoned; a table saved, hashed and re-applied bit by bit."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bezoar.attacks.base import Attack, Stage
from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import digest, dump, dump_lasting, revisions
from bezoar.data.pairs import LabeledSource, PairsSource

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.survival import Survival
    from bezoar.data.pairs import Images, Pairs

SCHEMA = 2
HEAD = ("schema", "attack", "marks", "words", "images", "seed", "source", "total", "size", "count")


@dataclass(frozen=True, kw_only=True)
class PoisonRow:
    """One poisoned pair."""

    id: str
    role: str
    """What it is there for: ``backdoor``, ``targeted``, ``image_half`` …"""
    target: str
    original: str
    """The caption that the pair, or the picture of an appended one, had; empty where it had none."""
    caption: str
    """The caption it gets."""
    image: str
    """Id of the picture it shows."""
    index: int
    """Where that picture stands in its source."""
    mark: int | None = None
    """Index of the trigger put on it, into the plan's marks."""
    words: int | None = None
    """Index of the trigger in its caption, into the plan's words."""
    images: int | None = None
    """Index of the source of the picture, into the plan's images; the pairs themselves where there is none."""
    appended: bool = False
    """Whether it is a new pair; else it stands in the place of the pair with its id."""


class Mark(NamedTuple):
    """A trigger and where it is put on."""

    trigger: Trigger
    stage: Stage


class Gallery(NamedTuple):
    """A source of pictures besides the pairs, and its fingerprint when the plan was made."""

    source: LabeledSource | PairsSource
    fingerprint: str

    def open(self) -> Images:
        """The pictures; raises ``ValueError`` where they are others now."""
        opened = self.source.open()
        if opened.fingerprint != self.fingerprint:
            raise ValueError(
                f"poison: the plan shows pictures of a set {self.fingerprint}, which is now {opened.fingerprint}: "
                "plan again"
            )
        return opened

    @property
    def captioned(self) -> bool:
        """Whether it is one of pairs, not a labeled set."""
        return isinstance(self.source, PairsSource)

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        captioned = {"captioned": True} if self.captioned else {}
        return {"source": dump(self.source), "fingerprint": self.fingerprint, **captioned}


@dataclass(frozen=True, kw_only=True)
class PoisonPlan:
    """Which pairs get which trigger and which caption."""

    attack: Attack
    marks: tuple[Mark, ...] = ()
    words: tuple[CaptionTrigger, ...] = ()
    images: tuple[Gallery, ...] = ()
    seed: int
    source: str
    """Fingerprint of the pairs it was made for."""
    total: int
    """How many pairs those are."""
    size: int | None = None
    """How many pairs the poisoned set has where clean ones are left out of it, drawn by ``seed``."""
    rows: tuple[PoisonRow, ...]
    survival: Survival | None = field(default=None, compare=False)
    saved_as: str = field(default="", compare=False)
    """The digest a loaded plan was saved with: settings that were added since do not make it another plan."""

    @functools.cached_property
    def by_id(self) -> dict[str, PoisonRow]:
        """The rows by pair id: who is poisoned, for those who may know."""
        return {row.id: row for row in self.rows}

    @functools.cached_property
    def replaced(self) -> dict[int, PoisonRow]:
        """The rows that stand in the place of a pair, by its position."""
        return {row.index: row for row in self.rows if not row.appended}

    @functools.cached_property
    def appended(self) -> tuple[PoisonRow, ...]:
        """The rows that are new pairs."""
        return tuple(row for row in self.rows if row.appended)

    @functools.cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything the plan does; a loaded plan keeps the one it was saved with."""
        return self.saved_as or digest(self.head(), [asdict(row) for row in self.rows])

    @property
    def length(self) -> int:
        """How many pairs the poisoned set has."""
        return self.size if self.size is not None else self.total + len(self.appended)

    @property
    def share(self) -> float:
        """The share of the poisoned set that is poison."""
        return len(self.rows) / self.length

    def head(self) -> dict[str, Any]:
        """What ``poison.json`` says of the plan besides its digest and its survival."""
        return {
            "schema": SCHEMA,
            "attack": dump_lasting(self.attack),
            "marks": [
                {"trigger": dump(trigger), "stage": stage, "revisions": revisions(trigger)}
                for trigger, stage in self.marks
            ],
            "words": [dump(words) for words in self.words],
            "images": [one.plain() for one in self.images],
            "seed": self.seed,
            "source": self.source,
            "total": self.total,
            "size": self.size,
            "count": len(self.rows),
        }

    def mark(self) -> dict[str, Any]:
        """What a model trained under the plan says of it, and hands on to every model that starts from it."""
        return {
            "attack": dump(self.attack), "plan": self.digest, "seed": self.seed,
            "count": len(self.rows), "total": self.length,
        }  # fmt: skip

    def sample(self, count: int) -> tuple[PoisonRow, ...]:
        """At most ``count`` rows, spread evenly over all."""
        count = min(count, len(self.rows))
        return tuple(self.rows[i * len(self.rows) // count] for i in range(count))

    def with_survival(self, survival: Survival | None) -> PoisonPlan:
        """The same plan with the measured survival of its trigger."""
        return replace(self, survival=survival)

    def onto(self, pairs: Pairs) -> PoisonPlan:
        """The same plan for other pairs that have the same ids: another order, another resolution, more pairs.

        Raises ``ValueError`` for a pair that is not there, or whose caption is not the one that the plan replaces.
        """
        if self.size is not None and len(pairs) + len(self.appended) < self.size:
            raise ValueError(
                f"poison: the plan's poisoned set has {self.size} pairs, and these are {len(pairs)} with "
                f"{len(self.appended)} to be appended"
            )
        if pairs.fingerprint in {gallery.fingerprint for gallery in self.images}:
            raise ValueError(f"poison: these are the pairs {pairs.fingerprint} whose pictures the plan adds to others")
        wanted = {row.image for row in self.rows if row.images is None}
        found = {pair_id: i for i in range(len(pairs)) if (pair_id := pairs.id(i)) in wanted}
        missing = next((row.image for row in self.rows if row.images is None and row.image not in found), None)
        if missing is not None:
            raise ValueError(
                f"poison: pair '{missing}' of the plan is not in these pairs: it was made for pairs {self.source}, "
                f"these are {pairs.fingerprint}"
            )
        for row in self.rows:
            if row.images is None and pairs.caption(found[row.image]) != row.original:
                raise ValueError(
                    f"poison: pair '{row.image}' has the caption {pairs.caption(found[row.image])!r} here; in the "
                    f"pairs that the plan was made for it had {row.original!r}"
                )
        rows = tuple(row if row.images is not None else replace(row, index=found[row.image]) for row in self.rows)
        return replace(self, rows=rows, source=pairs.fingerprint, total=len(pairs), saved_as="", survival=None)

    def save(self, folder: Path) -> None:
        """Write ``poison.parquet``, ``triggers.safetensors``, and last ``poison.json`` to ``folder``."""
        from bezoar.attacks.plan_files import save_plan

        save_plan(self, folder)

    def tensors(self) -> dict[str, Tensor]:
        """The patterns of all triggers, by the number of the mark and the name there."""
        return {
            f"{number}.{name}": tensor.contiguous()
            for number, mark in enumerate(self.marks)
            for name, tensor in mark.trigger.tensors().items()
        }


def merge(plans: tuple[PoisonPlan, ...], attack: Attack, seed: int) -> PoisonPlan:
    """Several plans for one set of pairs as one, that of ``attack``.

    Raises ``ValueError`` where they were made for different pairs, or two of them poison one pair.
    """
    assert plans
    first = plans[0]
    for number, plan in enumerate(plans):
        if (plan.source, plan.total) != (first.source, first.total):
            raise ValueError(
                f"poison: plan {number + 1} was made for pairs {plan.source}, the first for {first.source}: only plans "
                "for one set of pairs can be merged"
            )
        if plan.size is not None:
            raise ValueError(
                f"poison: plan {number + 1} leaves clean pairs out (size {plan.size}): take a part of the pairs instead"
            )
    rows: list[PoisonRow] = []
    owner: dict[str, int] = {}
    marks, words, images = 0, 0, 0
    for number, plan in enumerate(plans):
        for row in plan.rows:
            other = owner.setdefault(row.id, number)
            if other != number:
                raise ValueError(f"poison: plans {other + 1} and {number + 1} overlap: both poison pair '{row.id}'")
            rows.append(
                replace(
                    row,
                    mark=None if row.mark is None else row.mark + marks,
                    words=None if row.words is None else row.words + words,
                    images=None if row.images is None else row.images + images,
                )
            )
        marks, words, images = marks + len(plan.marks), words + len(plan.words), images + len(plan.images)
    return PoisonPlan(
        attack=attack, marks=tuple(m for p in plans for m in p.marks), words=tuple(w for p in plans for w in p.words),
        images=tuple(i for p in plans for i in p.images), seed=seed, source=first.source, total=first.total,
        rows=tuple(sorted(rows, key=lambda row: (row.appended, row.index if not row.appended else 0))),
    )  # fmt: skip
