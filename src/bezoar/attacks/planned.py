"""A plan made before: the attack that a poison folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.base import Attack, Threat
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

    def plan(self, pairs: Pairs, seed: int) -> PoisonPlan:
        found = self._load()
        if found.source != pairs.fingerprint:
            raise ValueError(
                f"poison: the plan in {self.folder} was made for pairs {found.source}, these are {pairs.fingerprint}"
            )
        return found

    def threat(self) -> Threat | None:
        return self._load().attack.threat()

    def _load(self) -> PoisonPlan:
        from bezoar.attacks.plan import load_plan

        found = load_plan(Path(self.folder))
        if self.digest and found.digest != self.digest:
            raise ValueError(f"poison: {self.folder} holds plan {found.digest}, not {self.digest}")
        return found
