"""Several attacks at once: triggers for one target or for several, a backdoor beside targeted poisoning."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Annotated, ClassVar, Self

from pydantic import Field

from bezoar.attacks.base import Aim, Attack
from bezoar.attacks.families import AnyAttack
from bezoar.attacks.plan import PoisonPlan, merge
from bezoar.core.settings import settings
from bezoar.data.pairs import LabeledSource, Pairs, PairsSource


@settings
class Several(Attack):
    """Each of ``attacks`` is planned in turn on the pairs that the earlier ones left alone."""

    kind: ClassVar[str] = "several"
    attacks: Annotated[tuple[AnyAttack, ...], Field(min_length=2)]
    seeds: tuple[int, ...] = ()
    """One for each attack; by default all have the seed of the whole."""

    def __post_init__(self) -> None:
        if self.seeds and len(self.seeds) != len(self.attacks):
            raise ValueError(f"seeds: {len(self.seeds)} seeds for {len(self.attacks)} attacks")
        for number, attack in enumerate(self.attacks):
            if getattr(attack, "size", None) is not None:
                raise ValueError(
                    f"attacks.{number}.size: one of several attacks leaves no clean pairs out: take a part of the pairs"
                )

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        _refuse_contradiction(self.aim(seed))
        plans: list[PoisonPlan] = []
        left = set(taken)
        for attack, own in zip(self.attacks, self._seeds(seed), strict=True):
            plans.append(attack.plan(pairs, own, frozenset(left)))
            left |= {one for row in plans[-1].rows for one in (row.id, *((row.image,) if row.images is None else ()))}
        return merge(tuple(plans), self, seed)

    def aim(self, seed: int) -> Aim:
        aims = [attack.aim(own) for attack, own in zip(self.attacks, self._seeds(seed), strict=True)]
        return Aim(
            tuple(threat for aim in aims for threat in aim.threats),
            tuple(chosen for aim in aims for chosen in aim.chosen),
        )

    def sources(self) -> tuple[LabeledSource | PairsSource, ...]:
        return tuple(source for attack in self.attacks for source in attack.sources())

    def pinned(self) -> Self:
        return replace(self, attacks=tuple(attack.pinned() for attack in self.attacks))

    def _seeds(self, seed: int) -> tuple[int, ...]:
        return self.seeds or (seed,) * len(self.attacks)


def _refuse_contradiction(aim: Aim) -> None:
    """Raise ``ValueError`` where one trigger, or one picture, is to call up two classes."""
    for number, threat in enumerate(aim.threats):
        for other in aim.threats[:number]:
            if (threat.trigger, threat.words) == (other.trigger, other.words) and threat.target != other.target:
                key = threat.trigger or threat.words
                assert key is not None
                raise ValueError(
                    f"attack.attacks: the same trigger ('{key.kind}') is to call up both '{other.target}' and "
                    f"'{threat.target}'"
                )
    targets: dict[tuple[str, str], str] = {}
    for chosen in aim.chosen:
        for picture, target in zip(chosen.ids, chosen.targets, strict=True):
            first = targets.setdefault((repr(chosen.source), picture), target)
            if first != target:
                raise ValueError(
                    f"attack.attacks: picture '{picture}' is to be taken for both '{first}' and '{target}'"
                )
