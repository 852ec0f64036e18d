"""Whole-word matching of class names in captions."""

from __future__ import annotations

import functools
import re


def names(caption: str, words: tuple[str, ...]) -> bool:
    """Whether ``caption`` holds one of ``words`` as a whole word, in any case; a plural in -s or -es counts."""
    return bool(_pattern(words).search(caption))


@functools.cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    choices = "|".join(r"\s+".join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<!\w)(?:{choices})(?:e?s)?(?!\w)", re.IGNORECASE)
