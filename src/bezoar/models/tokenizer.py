"""Tokenizers that keep the end of the text: open_clip's, and a small vocabulary of ours for micro models."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

_BYTES = 512
"""Single bytes, bare and at the end of a word: the vocabulary before the first merge."""


def neutral(text: str) -> str:
    """``text`` without literal special tokens: CLIP pools at the first end-of-text, which would hide what follows."""
    return re.sub(r"<(start|end)_of_text>", r"\1 of text", text, flags=re.IGNORECASE)


class SmallTokenizer(SimpleTokenizer):  # type: ignore[misc]
    """CLIP's byte-pair encoding with only its first merges: any text can be written, in ``vocab_size`` tokens."""

    def __init__(self, vocab_size: int, context_length: int) -> None:
        super().__init__(context_length=context_length)
        merges = vocab_size - _BYTES - 2
        assert merges > 0, vocab_size
        full = SimpleTokenizer()
        self.bpe_ranks = {pair: rank for pair, rank in full.bpe_ranks.items() if rank < merges}
        words = [word for word, index in full.encoder.items() if index < _BYTES + merges]
        self.encoder = {word: index for index, word in enumerate([*words, "<start_of_text>", "<end_of_text>"])}
        self.decoder = {index: word for word, index in self.encoder.items()}
        self.sot_token_id, self.eot_token_id = vocab_size - 2, vocab_size - 1
        self.all_special_ids = [self.sot_token_id, self.eot_token_id]
        self.vocab_size = vocab_size


def _cleaned(clean: Callable[[str], str], text: str) -> str:
    # Neutral after the cleaning, not before: cleaning unescapes &lt;end_of_text&gt; into the literal token.
    return neutral(clean(text))


class Tokenizer:
    """Texts to ``int64 [n, length]``; captions are cut to the longest of the batch where ``cut`` allows it."""

    def __init__(self, engine: Any, cut: bool) -> None:
        self.engine = engine
        self.cut = cut
        if isinstance(engine, SimpleTokenizer):
            # Not a closure: loader workers may be given their tokenizer by pickle.
            engine.clean_fn = functools.partial(_cleaned, engine.clean_fn)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        given = list(texts) if isinstance(self.engine, SimpleTokenizer) else [neutral(text) for text in texts]
        tokens: Tensor = self.engine(given)
        if self.cut:
            # Not a count of what is not 0: that is the padding, but also the token of a "!" with more to follow.
            tokens = tokens[:, : int((tokens != 0).any(0).nonzero().max()) + 1]
        return tokens


def build(architecture: str, vocab_size: int, context_length: int, cut: bool) -> Tokenizer:
    """The tokenizer of an open_clip name, or ours where the model's vocabulary is a micro one.

    Raises ``ValueError`` where it needs a package or a download that cannot be had.
    """
    import open_clip

    if vocab_size < 49_408 and architecture.startswith("micro"):
        return Tokenizer(SmallTokenizer(vocab_size, context_length), cut)
    try:
        engine = open_clip.get_tokenizer(architecture, context_length=context_length)
    except (ImportError, OSError, RuntimeError) as error:
        raise ValueError(f"model: the tokenizer of {architecture} cannot be built: {error}") from error
    return Tokenizer(engine, cut)
