"""Tokenizers that keep the end of the text: CLIP's, DeCLIP's, of a ``tokenizer.json``, and a small one of our own."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from torch import Tensor

from bezoar.models.tokenizer_rules import check_growth, check_steps

CLIP, DECLIP = 49_408, 49_409
"""Vocabularies: that of CLIP, and DeCLIP's with a token for what is masked."""
MICRO = 515, 16_384
"""The smallest and the largest vocabulary that is taken for one of ours."""

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


class DeclipTokenizer(SimpleTokenizer):  # type: ignore[misc]
    """CLIP's encoding with the numbers of DeCLIP: ``<|mask|>`` is 49,406, and start and end come after it."""

    def __init__(self, context_length: int) -> None:
        super().__init__(context_length=context_length)
        words = [*SimpleTokenizer().encoder][:-2]
        self.encoder = {word: n for n, word in enumerate([*words, "<|mask|>", "<start_of_text>", "<end_of_text>"])}
        self.decoder = {index: word for word, index in self.encoder.items()}
        self.sot_token_id, self.eot_token_id = DECLIP - 2, DECLIP - 1
        self.all_special_ids = [self.sot_token_id, self.eot_token_id]
        self.vocab_size = DECLIP


@contextlib.contextmanager
def _of_a_tokenizer() -> Iterator[None]:
    """Whatever the library makes of a file that is not what it seems, panics of its own among it, as ``ValueError``."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise ValueError(f"model: tokenizer.json cannot be read: {str(error).partition(chr(10))[0]}") from None


class JsonTokenizer:
    """A ``tokenizer.json``, read as SigLIP reads: without punctuation and capitals, padded to the whole context.

    ``content``: what the file holds; it pads with what its ``padding`` says, else with the end of the text.

    Raises ``ValueError`` where it is none, takes texts through steps that could take any time or memory, writes tokens
    that a vocabulary of ``vocab_size`` has not, or is another vocabulary by more than the one in a hundred that some
    are padded by.
    """

    def __init__(self, content: bytes, vocab_size: int, context_length: int) -> None:
        try:
            import tokenizers
        except ImportError:
            raise ValueError("model: its tokenizer.json is read by the package tokenizers: pip install it") from None
        check_steps(content)
        with _of_a_tokenizer():
            engine = tokenizers.Tokenizer.from_str(content.decode())
        check_growth(engine.normalizer)
        found = engine.get_vocab()
        size = max(found.values(), default=-1) + 1
        if not 0.99 * vocab_size <= size <= vocab_size:
            raise ValueError(
                f"model: tokenizer.json does not fit the vocabulary: it has {size:,} tokens, the model {vocab_size:,}"
            )
        pad = engine.padding["pad_id"] if engine.padding else found.get("</s>", found.get("<eos>"))
        if pad is None:
            raise ValueError("model: tokenizer.json does not say what it pads with, and has neither </s> nor <eos>")
        engine.enable_truncation(context_length)
        with _of_a_tokenizer():
            engine.enable_padding(length=context_length, pad_id=pad, pad_token=engine.id_to_token(pad))
            tried = [one.ids for one in engine.encode_batch(["", "a photo of a dog"])]
        if any(len(ids) != context_length or not 0 <= min(ids) <= max(ids) < vocab_size for ids in tried):
            raise ValueError("model: tokenizer.json writes texts of another length, or words that the model has not")
        self.tokenizer = engine
        self.context_length, self.vocab_size = context_length, vocab_size

    def __call__(self, texts: Sequence[str]) -> Tensor:
        clean = get_clean_fn("canonicalize")
        found = self.tokenizer.encode_batch([clean(text) for text in texts])
        return torch.tensor([one.ids for one in found], dtype=torch.int64).reshape(len(texts), self.context_length)


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
        self.lowers = False
        """Whether it is CLIP's encoding, of lower-cased text, whatever the size of its vocabulary."""
        self._words: dict[str, tuple[int, ...]] = {}
        if isinstance(engine, SimpleTokenizer):
            self.lowers = engine.clean_fn is _LOWER
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
            read = self.engine.tokenizer.decode(self([text])[0].tolist(), skip_special_tokens=True)
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


def build(
    architecture: str, vocab_size: int, context_length: int, cut: bool, content: bytes | None = None
) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json`` with ``content``, of an open_clip name, or that of the vocabulary's size.

    Raises ``ValueError`` where it needs a package or a download that cannot be had, or none fits the vocabulary.
    """
    if content is not None:
        return Tokenizer(JsonTokenizer(content, vocab_size, context_length), cut)
    if not architecture.startswith("micro-") and (
        architecture.startswith("hf-hub:") or architecture in open_clip.list_models()
    ):
        try:
            engine = open_clip.get_tokenizer(architecture, context_length=context_length)
        except (ImportError, OSError, RuntimeError) as error:
            raise ValueError(f"model: the tokenizer of {architecture} cannot be built: {error}") from error
        return Tokenizer(engine, cut)
    try:
        return Tokenizer(of_size(vocab_size, context_length), cut)
    except ValueError as error:
        raise ValueError(f"model: {error}") from None


def of_size(vocab_size: int, context_length: int) -> SimpleTokenizer:
    """CLIP's encoding with a vocabulary of ``vocab_size``; raises ``ValueError`` where there is none."""
    if vocab_size == CLIP:
        return SimpleTokenizer(context_length=context_length)
    if vocab_size == DECLIP:
        return DeclipTokenizer(context_length)
    if MICRO[0] <= vocab_size <= MICRO[1]:
        return SmallTokenizer(vocab_size, context_length)
    raise ValueError(
        f"no tokenizer fits a vocabulary of {vocab_size:,}: CLIP's has {CLIP:,}, DeCLIP's {DECLIP:,}, ours "
        f"{MICRO[0]:,} to {MICRO[1]:,}, and any other needs its tokenizer.json"
    )
