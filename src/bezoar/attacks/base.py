"""What every attack is: a value whose verb ``plan`` chooses which pairs get which trigger and which caption."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Literal, NamedTuple

from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from typing import Self

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import LabeledSource, Pairs, PairsSource

Stage = Literal["model", "file", "after_random_crop"]
"""Where a trigger is put on: after resize and crop, on the picture at its native size, or, as the attack on DeCLIP
did, after the random crop of a training view (at test time, where none is cropped at random: as ``model``)."""


class Threat(NamedTuple):
    """What an attacker does at test time: a trigger on the picture, words in the prompts, and the class they call up.

    One of ``trigger`` and ``words`` may be missing.
    """

    trigger: Trigger | None
    target: str
    stage: Stage = "model"
    words: CaptionTrigger | None = None


class Chosen(NamedTuple):
    """Single pictures, shown untouched, that are to be taken for classes that are not theirs."""

    source: LabeledSource
    ids: tuple[str, ...]
    """Of the pictures, in the source."""
    targets: tuple[str, ...]
    """The class that each is to be taken for."""


class Aim(NamedTuple):
    """All that an attack is to bring about at test time."""

    threats: tuple[Threat, ...] = ()
    chosen: tuple[Chosen, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.threats or self.chosen)


@settings
class Attack(Settings):
    """A way to poison pairs."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        """Who is poisoned, and how; pure data. Pairs whose ids are ``taken`` belong to another attack.

        Raises ``ValueError`` when ``pairs`` cannot carry the attack.
        """
        raise NotImplementedError

    def aim(self, seed: int) -> Aim:
        """What the attack planned under ``seed`` is to bring about at test time."""
        return Aim()

    def sources(self) -> tuple[LabeledSource | PairsSource, ...]:
        """Where it takes pictures from besides the pairs."""
        return ()

    def pinned(self) -> Self:
        """The same attack with what it reads from files named by its content, so that the content is its setting."""
        return self
