"""A tokenizer.json of anybody neither makes texts grow nor searches them forever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import normalizers

from bezoar.models.tokenizer_rules import check_growth, check_steps


def content(normalizer: Any = None, pre_tokenizer: Any = None) -> bytes:
    return json.dumps({"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}).encode()


def replace(pattern: Any, by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": by}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"),
    [
        (None, None),
        # SigLIP's, of T5
        (sequence({"type": "Precompiled", "precompiled_charsmap": ""}, replace({"Regex": " {2,}"}, "▁")), None),
        # SigLIP 2's, of Gemma
        (
            replace({"String": " "}, "▁"),
            {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
        ),
        (sequence({"type": "Lowercase"}, {"type": "Prepend", "prepend": "▁"}), {"type": "Metaspace"}),
        (None, {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace"}]}),
        (replace({"Regex": "\\s+"}, " "), None),
    ],
)
def test_what_released_tokenizers_do_is_taken(normalizer: Any, pre_tokenizer: Any) -> None:
    check_steps(content(normalizer, pre_tokenizer))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (content(replace({"String": "a"}, "aa")), "it replaces 'a' by more than it was"),
        (content(sequence(*[replace({"Regex": " "}, "  ")] * 3)), "it replaces ' ' by more than it was"),
        (content(replace({"Regex": "(a+)+$"}, "")), "a search for '(a+)+$' may take any time"),
        (content(None, {"type": "Split", "pattern": {"Regex": "(x*)*y"}}), r"a search for '(x*)*y' may take any time"),
        (content(replace({"String": ""}, "a")), "a step does not say what it looks for"),
        (content(replace({"Glob": "*"}, "")), "a step does not say what it looks for"),
        (content(replace("a", "")), "a step does not say what it looks for"),
        (content({"type": "Prepend", "prepend": "x" * 9}), "it puts more than 8 letters before a text"),
        (content({"type": "Script"}), "a step of type 'Script' is not known"),
        (content({"type": ["a"]}), "a step of type ['a'] is not known"),
        (content(sequence(*[{"type": "NFC"}] * 16)), "takes a text through 17 steps, more than 16"),
        (content([1]), "a step is no object"),
        (b"[]", "it is no object"),
        (b"\xff", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
    ],
)
def test_what_could_take_any_time_or_memory_is_refused(given: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"^model: tokenizer\.json ") as caught:
        check_steps(given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_letter_that_becomes_many_is_refused() -> None:
    check_growth(None)
    check_growth(normalizers.NFKC())
    with pytest.raises(ValueError, match=r"it makes more than 32 letters of 'a'"):
        check_growth(normalizers.Replace("a", "x" * 33))
