"""Whole-word matching of class names in captions."""

from __future__ import annotations

import functools
import re


def names(caption: str, words: tuple[str, ...]) -> bool:
    """Whether ``caption`` holds one of ``words`` as a whole word, in any case; a plural in -s or -es counts."""
    parts = _parts(words)
    if parts is not None and caption.isascii():
        # Nearly every caption holds none of them, which this finds in a tenth of the time.
        lowered = caption.lower()
        if not any(part in lowered for part in parts):
            return False
    return bool(_pattern(words).search(caption))


def holds(caption: str, words: tuple[str, ...]) -> bool:
    """Whether ``caption`` holds one of ``words`` anywhere, in this case: what released code matches by."""
    return any(word in caption for word in words)


@functools.cache
def _parts(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """A part of each word that a caption of ASCII must hold to name it; ``None`` where other letters are looked for."""
    if not all(map(str.isascii, words)):
        return None
    return tuple(max(word.lower().split(), key=len, default="") for word in words)


@functools.cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    choices = "|".join(r"\s+".join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<!\w)(?:{choices})(?:e?s)?(?!\w)", re.IGNORECASE)
