"""How checkpoints are laid out, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bezoar.models.layouts.base import Layout, Tower, Tree
from bezoar.models.layouts.cleanclip import CleanClip
from bezoar.models.layouts.declip import DeClip
from bezoar.models.layouts.hf_clip import HfClip
from bezoar.models.layouts.hf_siglip import HfSiglip
from bezoar.models.layouts.open_clip import OpenClip
from bezoar.models.layouts.openai import OpenAI
from bezoar.models.layouts.supervised import Supervised
from bezoar.models.reading.refusal import shown

if TYPE_CHECKING:
    from bezoar.models.reading import Beside

LAYOUTS: tuple[Layout, ...] = (DeClip(), Supervised(), CleanClip(), OpenAI(), OpenClip(), HfClip(), HfSiglip())
"""Each is asked in turn whether a file is laid out its way: the most specific first."""


_FACTS = 8
"""That are kept of what a file says of itself."""


def find(tree: Tree, beside: Beside, source: str) -> Tower:
    """The tower in ``tree``, whoever laid it out; tensors may lie on the meta device.

    Raises ``ValueError`` in one line that names ``source``, which is what the user has named, where there is none, and
    where it lacks something or contradicts itself.
    """
    for layout in LAYOUTS:
        try:
            tower = layout.find(tree, beside)
        except ValueError as error:
            raise ValueError(f"model: {source} looks like {layout.about}: {error}") from None
        if tower is not None:
            return replace(tower, facts=_printable(tower.facts), unused=tuple(map(shown, tower.unused)))
    held = ", ".join(map(shown, list(tree)[:4])) or "nothing"
    choices = ", ".join(layout.name for layout in LAYOUTS)
    raise ValueError(f"model: {source} holds no image-text model in a known layout (it holds {held}; known: {choices})")


def _printable(facts: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    """The first of ``facts``, as they can stand in a card and on a terminal: they are whatever the file says."""
    few = list(facts.items())[:_FACTS]
    return {shown(name): shown(value) if isinstance(value, str) else value for name, value in few}
