"""How checkpoints are laid out, by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.models.layouts.base import Layout, Tower, Tree
from bezoar.models.layouts.cleanclip import CleanClip
from bezoar.models.layouts.declip import DeClip
from bezoar.models.layouts.hf_clip import HfClip
from bezoar.models.layouts.hf_siglip import HfSiglip
from bezoar.models.layouts.open_clip import OpenClip
from bezoar.models.layouts.openai import OpenAI
from bezoar.models.layouts.supervised import Supervised

if TYPE_CHECKING:
    from bezoar.models.reading import Beside

LAYOUTS: tuple[Layout, ...] = (DeClip(), Supervised(), CleanClip(), OpenAI(), OpenClip(), HfClip(), HfSiglip())
"""Each is asked in turn whether a file is laid out its way: the most specific first."""


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
            return tower
    held = ", ".join(list(tree)[:4]) or "nothing"
    choices = ", ".join(layout.name for layout in LAYOUTS)
    raise ValueError(f"model: {source} holds no image-text model in a known layout (it holds {held}; known: {choices})")
