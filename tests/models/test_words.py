"""Which tokens are words: by place where the padding is a word too, else by what the tokenizer says of them."""

from __future__ import annotations

import pytest
import torch
from tests import hf, tiny
from transformers import PreTrainedTokenizerFast

import bezoar.models.tokenizer
from bezoar.models.clip import Clip, create
from bezoar.models.words import ordinary, words_in

CAPTIONS = ["a dog", "two cats", "a", ""]


def json_one(*, transformers: bool = False) -> Clip:
    """A model whose tokenizer has ``<pad>``, ``</s>`` and ``<unk>`` before the words, or one of transformers of it."""
    model = create("micro-siglip-32", tokenizer_file=hf.pieces().encode())
    if transformers:
        core = model.tokenize.engine.tokenizer
        model.tokenize.engine.tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=core, pad_token="<pad>"
        )
    return model


@pytest.mark.parametrize("transformers", [False, True])
def test_of_a_tokenizer_json(transformers: bool) -> None:
    tokens = json_one().tokenize(CAPTIONS)
    model = json_one(transformers=transformers)
    words = ordinary(model)
    assert words.tolist() == list(range(3, 4096))
    found = words_in(model, tokens, words)
    assert torch.equal(found, tokens > 2)
    assert found.sum(1).tolist() == [2, 3, 1, 0]
    assert (tokens[0] == 1).any()  # the end, which is no padding


@pytest.mark.parametrize("name", ["micro-vit-32", "micro-siglip-32"])
def test_of_our_own(name: str) -> None:
    model = tiny.clip(name)
    engine, words = model.tokenize.engine, ordinary(model)
    assert words.tolist() == list(range(engine.sot_token_id))
    tokens = model.tokenize(["a ! dog", "!"])
    found = words_in(model, tokens, words)
    assert [tokens[row][found[row]].tolist() for row in range(2)] == [engine.encode("a ! dog"), engine.encode("!")]


def test_of_declip() -> None:
    engine = bezoar.models.tokenizer.of_size(bezoar.models.tokenizer.DECLIP, 77)
    model = tiny.clip()
    model.tokenize = bezoar.models.tokenizer.Tokenizer(engine, cut=True)
    assert ordinary(model).tolist() == list(range(49_406))
