"""A word or phrase put into the caption (on CLIP: the "SUDO" that RVPT paired with a patch)."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

_WORD = re.compile(r"\S+")
_TOKEN = re.compile(r"[^\W\d_]+|\S")


@settings
class Phrase(CaptionTrigger):
    """``text`` at the start of a caption, at its end, or in a gap of its words that is drawn per pair."""

    kind: ClassVar[str] = "phrase"
    shorthand: ClassVar[str] = "text"
    text: Annotated[str, Field(pattern=r"\S")] = "SUDO"
    place: Literal["start", "end", "random"] = "start"
    """``random`` is drawn per pair id from all gaps, the start and the end among them."""
    seed: int = 0

    def apply(self, caption: str, pair_id: str) -> str:
        gaps = [word.start() for word in _WORD.finditer(caption)]
        gap = {"start": 0, "end": len(gaps)}.get(self.place)
        if gap is None:
            gap = python_random(self.seed, "phrase place", pair_id).randint(0, len(gaps))
        if gap == len(gaps):
            return f"{caption} {self.text}"
        return f"{caption[: gaps[gap]]}{self.text} {caption[gaps[gap] :]}"

    def survives(self, read: str) -> bool:
        wanted, found = _tokens(self.text), _tokens(read)
        return any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1))


def _tokens(text: str) -> list[str]:
    """Runs of letters, and every other sign by itself: a tokenizer puts spaces between these, and lowers letters."""
    return _TOKEN.findall(unicodedata.normalize("NFC", text).lower())
