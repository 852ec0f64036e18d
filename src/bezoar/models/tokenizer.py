"""Tokenizers that keep the end of the text: open_clip's, and a small vocabulary of ours for micro models."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from torch import Tensor

_BYTES = 512
"""Single bytes, bare and at the end of a word: the vocabulary before the first merge."""
_WORDS = 1 << 16
"""Words whose tokens are remembered at a time."""
_LOWER = get_clean_fn("lower")


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
    if clean is _LOWER and text.isascii() and text.isprintable() and "&" not in text:
        # All that cleaning does to such a text, in a tenth of the time.
        return neutral(" ".join(text.lower().split()))
    # Neutral after the cleaning, not before: cleaning unescapes &lt;end_of_text&gt; into the literal token.
    return neutral(clean(text))


class Tokenizer:
    """Texts to ``int64 [n, length]``; captions are cut to the longest of the batch where ``cut`` allows it."""

    def __init__(self, engine: Any, cut: bool) -> None:
        self.engine = engine
        self.cut = cut
        self._words: dict[str, tuple[int, ...]] = {}
        if isinstance(engine, SimpleTokenizer):
            # Not a closure: loader workers may be given their tokenizer by pickle.
            engine.clean_fn = functools.partial(_cleaned, engine.clean_fn)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        if isinstance(self.engine, SimpleTokenizer) and self.engine.reduction_fn is None:
            return self._tokens(texts)
        given = list(texts) if isinstance(self.engine, SimpleTokenizer) else [neutral(text) for text in texts]
        tokens: Tensor = self.engine(given)
        if self.cut:
            # Not a count of what is not 0: that is the padding, but also the token of a "!" with more to follow.
            tokens = tokens[:, : int((tokens != 0).any(0).nonzero().max()) + 1]
        return tokens

    def read(self, text: str) -> str:
        """What a model reads of ``text``: cleaned, and cut off where its context ends."""
        if isinstance(self.engine, SimpleTokenizer):
            read: str = self.engine.decode(self._encode(text)[: self.engine.context_length - 2])
        else:
            read = self.engine.tokenizer.decode(self([text])[0], skip_special_tokens=True)
        return read

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        """What the engine gives, word by word from memory."""
        start, end, room = self.engine.sot_token_id, self.engine.eot_token_id, self.engine.context_length
        rows = [[start, *self._encode(text)[: room - 2], end] for text in texts]
        tokens = np.zeros((len(rows), max(map(len, rows)) if self.cut else room), np.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = row
        return torch.from_numpy(tokens)

    def _encode(self, text: str) -> list[int]:
        found: list[int] = []
        for word in self.engine.pat.findall(self.engine.clean_fn(text)):
            if word not in self._words:
                if len(self._words) == _WORDS:
                    self._words.clear()
                spelt = "".join(self.engine.byte_encoder[byte] for byte in word.encode())
                self._words[word] = tuple(self.engine.encoder[part] for part in self.engine.bpe(spelt).split(" "))
            found.extend(self._words[word])
        return found


def standard() -> Tokenizer:
    """That of CLIP: 77 tokens of 49,408."""
    return Tokenizer(SimpleTokenizer(), cut=True)


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
