"""Captioners: models with a CLIP tower that say what is in a picture; here, the one that looks for what others said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from bezoar.core.settings import Family, Settings, settings
from bezoar.data import AnyPairsSource
from bezoar.evaluation.base import Rank

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip

    Stack = Callable[[range], Sequence[Tensor]]


@settings
class Captioner(Settings):
    """Something that captions pictures through the image tower of a CLIP model; its verb is ``caption``."""

    def caption(self, model: Clip, context: Context, count: int, stack: Stack) -> tuple[list[str], ...]:
        """A caption for each of ``count`` pictures, under each look.

        ``stack(span)`` gives pictures ``span``, uint8 ``[n, 3, S, S]`` for each look. ``model`` is in evaluation mode;
        ``context.encode_pictures`` and ``context.encode_captions`` share the work between processes, which all make the
        same calls.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise ``ValueError`` for what is not there, before any training starts."""


@settings
class RetrievalCaptioner(Captioner):
    """Says what was said of something else: the caption of ``bank`` whose features are nearest to the picture's.

    Of several ``nearest`` it is the one that agrees most with the others, as in Devlin et al. 2015, "Exploring Nearest
    Neighbor Approaches for Image Captioning" (there by CIDEr, here by the cosines of the captions).
    """

    kind: ClassVar[str] = "retrieval"
    bank: AnyPairsSource
    """Pairs whose captions it knows; no picture of theirs is looked at."""
    nearest: Rank = 1

    def caption(self, model: Clip, context: Context, count: int, stack: Stack) -> tuple[list[str], ...]:
        import torch

        said = self._said()
        known = context.encode_captions(model, said).cpu()
        nearest = min(self.nearest, len(said))
        found = []
        for features in context.encode_pictures(model, count, stack):
            chosen = []
            for part in torch.split(features.cpu(), _PART):
                places = (part @ known.T).topk(nearest).indices
                among = known[places]
                agreed = (among @ among.mean(1)[:, :, None])[:, :, 0].argmax(1)
                chosen += places[torch.arange(len(part)), agreed].tolist()
            found.append([said[place] for place in chosen])
        return tuple(found)

    def check(self) -> None:
        if not self._said():
            raise ValueError("bank: has no captions")

    def _said(self) -> list[str]:
        """Every caption of the bank, once."""
        pairs = self.bank.open()
        return list(dict.fromkeys(pairs.caption(index) for index in range(len(pairs))))


_PART = 256
"""Pictures that are compared with all captions at a time."""

CAPTIONERS = Family("captioner", Captioner, (RetrievalCaptioner,))
AnyCaptioner = Annotated[Captioner, CAPTIONERS]
