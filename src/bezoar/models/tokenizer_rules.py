"""What a ``tokenizer.json`` may do to a text: nothing that makes it grow, nor search in it that takes long."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_STEPS = 16
"""That a text may be taken through."""
_ADDED = 8
"""Letters that may be put before a text."""
_LETTERS = 32
"""That one letter may become: compatibility forms have up to 18."""
_HARMLESS = {
    *("Sequence", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "Strip", "StripAccents", "BertNormalizer"),
    *("Replace", "Prepend", "Precompiled", "Split", "Metaspace", "WhitespaceSplit", "Whitespace", "Punctuation"),
    *("Digits", "BertPreTokenizer", "ByteLevel"),
}
_SIMPLE = re.compile(r"(?:\\s|[^\\()\[\]{}*+?|^$.])(?:\+|\{\d{1,3},\d{0,3}\})?")
"""One letter or any space, as often as is said: such a search is linear, others may take forever."""


def check_steps(content: bytes) -> None:
    """Raise ``ValueError`` for a step that could make texts grow without bounds, or take any time, or is not known."""
    try:
        told = json.loads(content)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ValueError("model: tokenizer.json cannot be read: it is no JSON") from None
    if not isinstance(told, dict):
        raise ValueError("model: tokenizer.json cannot be read: it is no object")
    steps = [*_steps(told.get("normalizer"), 0), *_steps(told.get("pre_tokenizer"), 0)]
    if len(steps) > _STEPS:
        raise ValueError(f"model: tokenizer.json takes a text through {len(steps)} steps, more than {_STEPS}")
    for step in steps:
        fault = _fault(step)
        if fault is not None:
            raise ValueError(f"model: tokenizer.json is refused: {fault}")


def check_growth(normalizer: Any) -> None:
    """Raise ``ValueError`` where a table of the ``normalizer`` makes many letters of one."""
    if normalizer is None:
        return
    for letter in map(chr, range(32, 127)):
        if len(normalizer.normalize_str(letter)) > _LETTERS:
            raise ValueError(f"model: tokenizer.json is refused: it makes more than {_LETTERS} letters of {letter!r}")


def _steps(found: Any, depth: int) -> Iterator[dict[str, Any]]:
    if found is None or depth > 4:
        return
    if not isinstance(found, dict):
        raise ValueError("model: tokenizer.json cannot be read: a step is no object")
    yield found
    inner = found.get("normalizers") or found.get("pretokenizers") or ()
    for step in inner if isinstance(inner, list) else ():
        yield from _steps(step, depth + 1)


def _fault(step: dict[str, Any]) -> str | None:
    kind = step.get("type")
    if not isinstance(kind, str) or kind not in _HARMLESS:
        return f"a step of type {ascii(kind)[:40]} is not known"
    if kind == "Prepend" and len(str(step.get("prepend"))) > _ADDED:
        return f"it puts more than {_ADDED} letters before a text"
    pattern = step.get("pattern")
    if pattern is None:
        return None
    found = pattern if isinstance(pattern, dict) and len(pattern) == 1 else {}
    (way, text), *_ = [*found.items(), ("", "")]
    if way == "Regex" and not _SIMPLE.fullmatch(str(text)):
        return f"a search for {ascii(text)[:40]} may take any time"
    if way not in ("Regex", "String") or not text:
        return "a step does not say what it looks for"
    least = len(str(text)) if way == "String" else 1
    if kind == "Replace" and len(str(step.get("content", ""))) > least:
        return f"it replaces {ascii(text)[:20]} by more than it was"
    return None
