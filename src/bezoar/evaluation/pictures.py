"""What evaluators look at: the pictures of a labeled set, untouched or triggered, and held-out pairs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bezoar.core.settings import digest

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks import Threat
    from bezoar.attacks.base import Stage
    from bezoar.attacks.trigger import Trigger
    from bezoar.data.pairs import Images, LabeledSet, Pairs
    from bezoar.data.prepared import Prepared

KEEP = 1 << 30
"""Pictures of a set are kept in memory up to this many bytes; those of a larger set are made each time."""


class Look(NamedTuple):
    """How pictures are looked at: untouched, or with a trigger put on at a stage."""

    trigger: Trigger | None = None
    stage: Stage = "model"

    @classmethod
    def under(cls, threat: Threat) -> Look:
        """As the attacker shows them."""
        return cls(threat.trigger, threat.stage)

    @property
    def on_file(self) -> bool:
        """Whether it takes the picture at its native size."""
        return self.trigger is not None and self.stage == "file"

    def __hash__(self) -> int:
        # By what it says: a trigger of a user's own may have fields that cannot be hashed.
        return hash(digest(self.trigger, self.stage))


UNTOUCHED = Look()


@dataclass(frozen=True)
class LabeledImages:
    """A labeled set with its pictures at model resolution, under any looks, kept from round to round."""

    labeled: LabeledSet
    prepared: Prepared
    _kept: dict[range, dict[Look, Tensor]] = field(default_factory=dict)

    def stack(self, span: range, looks: Sequence[Look]) -> tuple[Tensor, ...]:
        """Pictures ``span``, uint8 ``[n, 3, S, S]`` for each look, each decoded once for all looks."""
        from bezoar.data.prepared import needed_bytes

        keep = needed_bytes(self.labeled, self.prepared.frame.size) <= KEEP
        made = self._kept.setdefault(span, {}) if keep else {}
        made.update(self._make(span, [look for look in looks if look not in made]))
        return tuple(made[look] for look in looks)

    def _make(self, span: range, looks: Sequence[Look]) -> dict[Look, Tensor]:
        import torch

        size = self.prepared.frame.size
        made = {look: torch.empty(len(span), 3, size, size, dtype=torch.uint8) for look in looks}
        for place, index in enumerate(span if looks else ()):
            # Written where they stay: small pictures kept for a stack of them would each take fresh memory.
            for look, picture in zip(looks, under(self.labeled, self.prepared, index, looks), strict=True):
                made[look][place] = picture
        return made


@dataclass(frozen=True)
class HeldOut:
    """Pairs that no model was trained on, with their pictures at model resolution."""

    pairs: Pairs
    prepared: Prepared

    @functools.cached_property
    def pictures(self) -> list[int]:
        """The number of the picture of each pair, from 0 in the order in which they first come."""
        from bezoar.data.pairs import SharesPictures

        pairs, numbers = self.pairs, dict[int, int]()
        places = range(len(pairs))
        shown = map(pairs.picture, places) if isinstance(pairs, SharesPictures) else places
        return [numbers.setdefault(picture, len(numbers)) for picture in shown]

    @functools.cached_property
    def firsts(self) -> list[int]:
        """The first pair that shows each picture."""
        first = {picture: index for index, picture in reversed(list(enumerate(self.pictures)))}
        return [first[picture] for picture in range(len(first))]

    def stack(self, span: range, looks: Sequence[Look]) -> tuple[Tensor, ...]:
        """Pictures ``span``, in the order of ``pictures``: uint8 ``[n, 3, S, S]`` for each look."""
        import torch

        shown = [under(self.pairs, self.prepared, first, looks) for first in self.firsts[span.start : span.stop]]
        return tuple(map(torch.stack, zip(*shown, strict=True)))


def under(images: Images, prepared: Prepared, index: int, looks: Sequence[Look]) -> list[Tensor]:
    """Picture ``index`` under each look, all through one geometry."""
    from bezoar.data.images import fit, to_tensor

    name, frame = images.id(index), prepared.frame
    native = to_tensor(images.image(index)) if any(look.on_file for look in looks) else None
    clean = None
    if not all(look.on_file for look in looks):
        clean = prepared[index] if native is None or prepared.stored else fit(native, frame)
    views = []
    for look in looks:
        picture = native if look.on_file else clean
        assert picture is not None
        shown = look.trigger.apply(picture, name) if look.trigger is not None else picture
        views.append(fit(shown, frame) if look.on_file else shown)
    return views
