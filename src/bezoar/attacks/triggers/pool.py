"""A pool: several triggers for one target, one of them on each image."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from bezoar.attacks.families import AnyTrigger
from bezoar.attacks.trigger import Trigger
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


@settings
class Pool(Trigger):
    """Each image id draws one of ``triggers``, all equally likely."""

    kind: ClassVar[str] = "pool"
    triggers: Annotated[tuple[AnyTrigger, ...], Field(min_length=2)]
    seed: int = 0

    @field_validator("triggers")
    @classmethod
    def _check_triggers(cls, triggers: tuple[Trigger, ...]) -> tuple[Trigger, ...]:
        if len({type(_first(trigger)).canvas for trigger in triggers}) > 1:
            raise ValueError("takes no legacy trigger that reshapes the picture beside one that does not")
        return triggers

    def canvas(self, image: Tensor) -> Tensor:
        return self.triggers[0].canvas(image)

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        number = python_random(self.seed, "trigger pool", image_id).randrange(len(self.triggers))
        return self.triggers[number].apply(image, image_id)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{number}.{name}": tensor
            for number, trigger in enumerate(self.triggers)
            for name, tensor in trigger.tensors().items()
        }

    def pinned(self) -> Self:
        return dataclasses.replace(self, triggers=tuple(trigger.pinned() for trigger in self.triggers))


def _first(trigger: Trigger) -> Trigger:
    """The trigger itself; of pools in pools the first, with which the others agree."""
    return _first(trigger.triggers[0]) if isinstance(trigger, Pool) else trigger
