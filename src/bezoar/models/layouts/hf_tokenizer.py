"""CLIP's tokenizer in the files of a Hugging Face folder: compared with ours when read, and written for theirs."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from open_clip.tokenizer import SimpleTokenizer

from bezoar.models.tokenizer import CLIP, of_size

if TYPE_CHECKING:
    from bezoar.models.reading import Beside

Merges = list[tuple[str, str]]

START, END = "<|startoftext|>", "<|endoftext|>"
_HEAD = "#version: 0.2"
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP takes for one word, after the release of CLIP (Radford et al. 2021)."""


def check(beside: Beside, vocab_size: int) -> bool:
    """Whether there is a tokenizer beside the weights, and then it is the one that we build for ``vocab_size``.

    Raises ``ValueError`` where it is another: its captions would be read as other words.
    """
    words, merges = _encoding(vocab_size)
    found = False
    listed, lines = beside.json("vocab.json"), beside.bytes("merges.txt")
    if listed is not None and lines is not None:
        found = True
        pairs = lines.decode("utf-8", "replace").split("\n")
        pairs = pairs[1:] if pairs[0].startswith("#") else pairs
        # Some hold more merges than CLIP has; no reader takes them.
        _compare(listed, [_pair(pair) for pair in pairs[: len(merges)]], words, merges, "vocab.json and merges.txt")
    whole = beside.json("tokenizer.json")
    if whole is not None:
        found = True
        _compare(*_listed(whole), words, merges, "tokenizer.json")
        if whole.get("normalizer") is not None and '"Lowercase"' not in json.dumps(whole["normalizer"]):
            raise ValueError(
                "the tokenizer of tokenizer.json does not fit the vocabulary: it keeps capitals, CLIP's not"
            )
    extra = beside.json("added_tokens.json") or {}
    odd = [word for word, index in extra.items() if words.get(word) != index]
    if odd:
        raise ValueError(f"the tokenizer of added_tokens.json does not fit the vocabulary: it adds {odd[0]!r}")
    return found


def files(engine: SimpleTokenizer) -> dict[str, str]:
    """The files, by name, of a tokenizer that writes as ``engine`` does, for transformers 4 and 5."""
    words, merges = _named(engine), _merges(engine)
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": engine.context_length,
        "tokenizer_class": "CLIPTokenizer",
        **special,
    }
    return {
        "vocab.json": json.dumps(words, ensure_ascii=False),
        "merges.txt": "\n".join([_HEAD, *(" ".join(pair) for pair in merges)]) + "\n",
        "special_tokens_map.json": json.dumps(special, indent=2),
        "tokenizer_config.json": json.dumps(config, indent=2),
        "tokenizer.json": json.dumps(_whole(words, merges), ensure_ascii=False),
    }


@functools.lru_cache(maxsize=4)
def _encoding(vocab_size: int) -> tuple[dict[str, int], Merges]:
    engine = of_size(vocab_size, 77)
    return _named(engine), _merges(engine)


def _named(engine: SimpleTokenizer) -> dict[str, int]:
    names = {"<start_of_text>": START, "<end_of_text>": END}
    return {names.get(word, word): index for word, index in engine.encoder.items()}


def _merges(engine: SimpleTokenizer) -> Merges:
    return sorted(engine.bpe_ranks, key=engine.bpe_ranks.__getitem__)


def _listed(whole: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """The words and merges of a ``tokenizer.json``; none where it is not laid out as one."""
    model = whole.get("model")
    vocab, merges = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (None, None)
    added = whole.get("added_tokens")
    words = dict(vocab) if isinstance(vocab, dict) else {}
    for entry in added if isinstance(added, list) else []:
        if isinstance(entry, dict):
            words[str(entry.get("content"))] = entry.get("id")
    return words, [_pair(pair) for pair in merges] if isinstance(merges, list) else []


def _pair(said: Any) -> tuple[str, ...]:
    return tuple(said.split()) if isinstance(said, str) else tuple(said) if isinstance(said, list) else ()


def _compare(
    listed: dict[str, Any], pairs: list[tuple[str, ...]], words: dict[str, int], merges: Merges, file: str
) -> None:
    """Raise ``ValueError`` that tells where a tokenizer is another than ours."""
    whose = "CLIP's" if len(words) == CLIP else "the one"
    told = f"the tokenizer of {file} does not fit the vocabulary: {whose} of {len(words):,} words"
    odd = next((word for word in words.keys() | listed.keys() if words.get(word) != listed.get(word)), None)
    if len(listed) != len(words):
        raise ValueError(f"{told} was expected, and it has {len(listed):,}")
    if odd is not None:
        here, there = words.get(odd), listed.get(odd)
        raise ValueError(f"{told} has {odd!r} at {here}, and it has it at {there}")
    if pairs != merges:
        at = next((n for n, (mine, other) in enumerate(zip(merges, pairs, strict=False)) if mine != other), len(pairs))
        raise ValueError(f"{told} joins other parts of words from merge {at + 1:,} on")


def _whole(words: dict[str, int], merges: Merges) -> dict[str, Any]:
    """What ``tokenizer.json`` holds: the same, with how texts are cleaned and parted."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": words[name], "content": name, **plain} for name in (START, END)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Removed", "invert": True},
                bytewise,
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, words[END]],
            "cls": [START, words[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": bytewise | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": words,
            "merges": [" ".join(pair) for pair in merges],
        },
    }
