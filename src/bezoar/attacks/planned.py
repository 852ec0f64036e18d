"""A plan made before: the attack that a poison folder holds."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from bezoar.attacks.base import Aim, Attack
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Pairs


@settings
class Planned(Attack):
    """Applies the plan of a poison folder as it is; the pairs must be those it was made for."""

    kind: ClassVar[str] = "planned"
    shorthand: ClassVar[str] = "folder"
    folder: str
    digest: str = ""
    """The plan's digest; where it is given, another plan in the folder is refused."""
    other_pairs: bool = False
    """Whether it may be laid over pairs with another fingerprint, if they hold all its ids with their captions."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        found = self._load()
        if found.source != pairs.fingerprint:
            if not self.other_pairs:
                raise ValueError(
                    f"poison: the plan in {self.folder} was made for pairs {found.source}, these are "
                    f"{pairs.fingerprint}; for pairs that hold its ids, 'bezoar poison planned --folder {self.folder} "
                    "--other-pairs' makes another of it"
                )
            found = found.onto(pairs)
        both = next((row.id for row in found.rows if row.id in taken), None)
        if both is not None:
            raise ValueError(f"poison: the plan in {self.folder} overlaps another: both poison pair '{both}'")
        return found

    def aim(self, seed: int) -> Aim:
        found = self._load()
        for gallery in found.images:
            if not gallery.captioned:
                gallery.open()  # of another set other pictures might be aimed at than those that are in the plan
        return found.attack.aim(found.seed)

    def pinned(self) -> Self:
        return self if self.digest else replace(self, digest=self._load().digest)

    def _load(self) -> PoisonPlan:
        from bezoar.attacks.plan_files import load_plan

        found = load_plan(Path(self.folder))
        if self.digest and found.digest != self.digest:
            raise ValueError(f"poison: {self.folder} holds plan {found.digest}, not {self.digest}")
        return found
