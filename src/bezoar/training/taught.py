"""Methods that have a teacher: a model like theirs, which stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bezoar.core.settings import settings
from bezoar.training.method import Method

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


@settings
class Taught(Method):
    """A method that the loop gives, once, the model that a stage names as its ``teacher``."""

    def teach(self, state: Any, teacher: Clip) -> None:
        """Take note of the teacher, in evaluation mode on the device; called once after ``build``.

        Called again, with the same, where a training goes on: nothing of it needs to be kept on disk. Raises
        ``ValueError`` for a teacher that cannot teach this model.
        """
        raise NotImplementedError


def check_alike(model: Clip, teacher: Clip) -> None:
    """Raise ``ValueError`` for a teacher of another architecture."""
    own, other = (
        {name: tuple(one.shape) for name, one in each.tower.state_dict().items()} for each in (model, teacher)
    )
    if own != other:
        odd = next(name for name in [*own, *other] if own.get(name) != other.get(name))
        raise ValueError(
            f"teacher: is a {teacher.title}, the model a {model.title}; they differ first in {odd}: "
            f"{list(other[odd]) if odd in other else 'missing'} and {list(own[odd]) if odd in own else 'missing'}"
        )
    # Of two activations neither has a weight, and no weight has a stride or a number of heads.
    parts = zip(model.tower.named_modules(), teacher.tower.named_modules(), strict=False)
    for (where, part), (_, its) in parts:
        if (here := _said(part)) != (there := _said(its)):
            raise ValueError(
                f"teacher: is a {teacher.title}, the model a {model.title}; they differ first in {where}: "
                f"{there} and {here}"
            )


def _said(part: Any) -> str:
    heads = getattr(part, "num_heads", None)
    told = [part.extra_repr(), "" if heads is None else f"{heads} heads"]
    return f"{type(part).__name__}({', '.join(filter(None, told))})"
