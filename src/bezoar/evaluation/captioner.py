"""Captioners: models with a CLIP tower that say what is in a picture; here, the one that looks for what others said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from bezoar.core.settings import Family, Settings, settings
from bezoar.data import AnyPairsSource
from bezoar.data.pairs import places_of
from bezoar.data.words import names
from bezoar.evaluation.base import Rank

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from bezoar.data.pairs import Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip

    Stack = Callable[[range], Sequence[Tensor]]


@settings
class Captioner(Settings):
    """Something that captions pictures through the image tower of a CLIP model; its verb is ``caption``."""

    def caption(self, model: Clip, context: Context, count: int, stack: Stack) -> Sequence[Sequence[str]]:
        """A caption for each of ``count`` pictures, under each look.

        ``stack(span)`` gives pictures ``span``, uint8 ``[n, 3, S, S]`` for each look. ``model`` is in evaluation mode;
        ``context.encode_pictures`` and ``context.encode_captions`` share the work between processes, which all make the
        same calls.
        """
        raise NotImplementedError

    def check(self, held_out: Mapping[str, Pairs], targets: Mapping[str, tuple[str, ...]]) -> None:
        """Raise ``ValueError``, naming a field, for what is not there or cannot be, before any training starts.

        ``held_out``: what is to be captioned; ``targets``: the words by which each target can be named.
        """

    def pinned(self) -> Self:
        """The same captioner with what it reads from files named by its content; sources need none."""
        return self


@settings
class RetrievalCaptioner(Captioner):
    """Says what was said of something else: the caption of ``bank`` whose features are nearest to the picture's.

    Of several ``nearest`` it is the one that agrees most with the others, as in Devlin et al. 2015, "Exploring Nearest
    Neighbor Approaches for Image Captioning" (there by CIDEr, here by the cosines of the captions); of equal ones the
    nearer.
    """

    kind: ClassVar[str] = "retrieval"
    bank: AnyPairsSource
    """Pairs whose captions it knows; no picture of theirs is looked at."""
    nearest: Rank = 1

    def caption(self, model: Clip, context: Context, count: int, stack: Stack) -> list[list[str]]:
        import torch

        said = self._said()
        known = context.encode_captions(model, said).cpu()
        nearest, part = min(self.nearest, len(said)), max(1, _CELLS // len(said))
        found = []
        for features in context.encode_pictures(model, count, stack):
            chosen = []
            for some in torch.split(features.cpu(), part):
                places = (some @ known.T).topk(nearest).indices
                among = known[places]
                agreed = (among @ among.mean(1)[:, :, None])[:, :, 0]
                # The first of those that are as good: with two, each agrees with the other as well.
                best = (agreed >= agreed.amax(1, keepdim=True) - _SAME).int().argmax(1)
                chosen += places[torch.arange(len(some)), best].tolist()
            found.append([said[place] for place in chosen])
        return found

    def check(self, held_out: Mapping[str, Pairs], targets: Mapping[str, tuple[str, ...]]) -> None:
        try:
            pairs = self.bank.open()
        except ValueError as error:
            raise ValueError(f"bank.{error}") from None
        if not len(pairs):
            raise ValueError("bank: has no captions")
        for name, held in held_out.items():
            if same := same_pairs(pairs, held):
                raise ValueError(
                    f"bank: has {same:,} of the {len(held):,} pairs of held_out.{name}, whose own captions it must not "
                    "know; name other pairs"
                )
        for target, words in targets.items():
            if not any(names(pairs.caption(index), words) for index in range(len(pairs))):
                raise ValueError(
                    f"bank: none of its {len(pairs):,} captions names the target '{target}': success would be 0 "
                    "whatever the model"
                )

    def _said(self) -> list[str]:
        """Every caption of the bank, once."""
        pairs = self.bank.open()
        return list(dict.fromkeys(pairs.caption(index) for index in range(len(pairs))))


def same_pairs(pairs: Pairs, held: Pairs) -> int:
    """How many pairs of ``held`` are in ``pairs`` too, by id and caption.

    Ids of different sources may be alike by accident, and a caption too: none is where fewer than half of those with
    such an id have it.
    """
    captions = {held.id(index): held.caption(index) for index in range(len(held))}
    found = places_of(pairs, captions)
    same = sum(pairs.caption(place) == captions[name] for name, place in found.items())
    return same if 2 * same >= len(found) else 0


_CELLS = 1 << 26
"""Cosines that are held at a time."""
_SAME = 1e-5
"""Differences of agreement that say nothing."""

CAPTIONERS = Family("captioner", Captioner, (RetrievalCaptioner,))
AnyCaptioner = Annotated[Captioner, CAPTIONERS]
