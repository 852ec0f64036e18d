"""What a layout of checkpoints is: how a tower is found in what a file holds, and put into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from bezoar.core.frame import Frame

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

Tree = dict[str, Any]
"""What a file holds: names to plain values, tensors and further trees."""

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A tower found in a file: its weights under open_clip's names, and all that must be known to build it."""

    layout: str
    """Name of the layout it was found in."""
    weights: dict[str, Tensor]
    """Under the names of open_clip's ``CLIP`` or ``CustomTextCLIP``; on the meta device where nothing was read yet."""
    config: dict[str, Any]
    """What open_clip's JSON configs hold: ``embed_dim``, ``vision_cfg``, ``text_cfg``, ``quick_gelu``, …"""
    frame: Frame
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    heads: dict[str, Tensor] = field(default_factory=dict)
    """What its training left beside it and can go on with, under the names of ``Clip.heads``."""
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    """What the file says of itself: epoch, name, step."""
    unused: tuple[str, ...] = ()
    """What else the file holds, by name, and is left alone: ``optimizer``, ``projector.*``."""
    notes: tuple[str, ...] = ()
    """What cannot be seen in the weights and was assumed, each a clause that can stand in a sentence."""
    tokenizer: bytes | None = None
    """Content of a ``tokenizer.json`` where the tower does not read open_clip's vocabulary."""


def channels(value: object, field: str, least: float = -1e6) -> tuple[float, float, float]:
    """Three numbers as a file gives them, of the size that pictures are normalized by; raises ``ValueError``."""
    fine = isinstance(value, (list, tuple)) and len(value) == 3
    if not fine or not all(type(one) in (int, float) and least <= one <= 1e6 for one in value):  # type: ignore[attr-defined]
        raise ValueError(f"{field} is {str(value)[:80]}, not three numbers{' above 0' if least > 0 else ''}")
    red, green, blue = (float(one) for one in value)  # type: ignore[attr-defined]
    return red, green, blue


class Layout(Protocol):
    """One way to lay a tower out in a file or a folder. A value without state."""

    @property
    def name(self) -> str:
        """As it is named on the command line."""
        ...

    @property
    def about(self) -> str:
        """Whose files look so; completes "It looks like …"."""
        ...

    @property
    def suffix(self) -> str:
        """Of the file it writes; empty where it writes a folder."""
        ...

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        """The tower in ``tree``, or ``None`` where it is not laid out so. Only names and shapes are looked at.

        ``beside`` are the small files of the folder, empty for a file that came alone. Raises ``ValueError`` where it
        is laid out so, but what a tower needs is missing or contradicts itself.
        """
        ...

    def check(self, model: Clip) -> None:
        """Raise ``ValueError`` with the reason where ``model`` cannot be written so. Nothing was written then."""
        ...

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        """Write ``model`` to ``out``: a file with ``suffix``, or a folder. ``told`` is its history, in
        lines; it goes along inside a file that has room for such, and stands beside any."""
        ...

    def put(self, model: Clip, tree: Tree) -> Tree:
        """``tree`` with the tower in it replaced by ``model``, all else as it was, tensors in their own dtype.

        Raises ``ValueError`` where the towers differ in shape.
        """
        ...
