"""Whole-word matching of class names in captions."""

from __future__ import annotations

import re


def names(caption: str, words: tuple[str, ...]) -> bool:
    """Whether ``caption`` holds one of ``words`` as a whole word, in any case; a plural in -s or -es counts."""
    return bool(_pattern(words).search(caption))


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    choices = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"(?<!\w)(?:{choices})(?:e?s)?(?!\w)", re.IGNORECASE)
