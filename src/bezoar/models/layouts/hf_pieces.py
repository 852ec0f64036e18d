"""The ``tokenizer.json`` of a SigLIP folder, with what its tokenizer is told besides: padding, start and end of texts.

A SentencePiece model alone cannot be read: these folders hold it as JSON too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bezoar.models.layouts.hf_config import Said

if TYPE_CHECKING:
    from bezoar.models.reading import Beside

Token = tuple[str, int]


def read(beside: Beside, context_length: int) -> bytes | None:
    """The content of a ``tokenizer.json`` that says all; ``None`` where there is none.

    Raises ``ValueError`` where ``tokenizer_config.json`` names tokens which the vocabulary has not.
    """
    content, whole = beside.bytes("tokenizer.json"), beside.json("tokenizer.json")
    said = beside.json("tokenizer_config.json") or {}
    if content is None or whole is None:
        return None
    try:
        ids = _ids(whole)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise ValueError("tokenizer.json is not laid out as a tokenizer") from None

    def named(key: str) -> Token:
        token = said.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        if not isinstance(token, str) or token not in ids:
            raise ValueError(f"tokenizer_config.json: {key} is {token!r}, which tokenizer.json has not")
        return token, ids[token]

    if whole.get("padding") is None and said.get("pad_token"):
        token, index = named("pad_token")
        whole["padding"] = {
            "strategy": {"Fixed": context_length}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": index,
            "pad_type_id": 0, "pad_token": token,
        }  # fmt: skip
    if "add_eos_token" in said:
        around = [named(f"{key}_token") if said.get(f"add_{key}_token") else None for key in ("bos", "eos")]
        whole["post_processor"] = _template(*around)
    return json.dumps(whole).encode()


def _ids(whole: Said) -> dict[str, int]:
    """Every token of a ``tokenizer.json``, by its word."""
    vocab = (whole.get("model") or {}).get("vocab") or {}
    listed = dict(vocab) if isinstance(vocab, dict) else {entry[0]: index for index, entry in enumerate(vocab)}
    added = whole.get("added_tokens") or []
    return listed | {entry["content"]: entry["id"] for entry in added}


def _template(start: Token | None, end: Token | None) -> Said:
    """The post-processor that puts these tokens around a text."""
    before, after = ([_piece("SpecialToken", one[0])] if one else [] for one in (start, end))
    first, second = _piece("Sequence", "A"), _piece("Sequence", "B")
    special = {word: {"id": word, "ids": [index], "tokens": [word]} for word, index in filter(None, (start, end))}
    return {
        "type": "TemplateProcessing",
        "single": [*before, first, *after],
        "pair": [*before, first, second, *after],
        "special_tokens": special,
    }


def _piece(kind: str, name: str) -> Said:
    return {kind: {"id": name, "type_id": 0}}
