"""CIDEr-D: how much a caption agrees with those that people gave (Vedantam et al. 2015, sections 4 and 5)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 4
"""Words of the longest sequences that are compared."""
SIGMA = 6.0
"""Of the Gaussian by which a caption of another length counts less."""
_WORD = re.compile(r"\w+(?:'\w+)?")

Grams = Counter[tuple[str, ...]]


def words(caption: str) -> list[str]:
    """The words of a caption, in lower case and without punctuation."""
    return _WORD.findall(caption.lower())


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption against the references of its picture, from 0 to 10.

    Sequences of words that few pictures' references have weigh more (their inverse document frequency is taken from
    ``references``), so scores depend on the whole set. As the COCO server computes it, but for its tokenizer: words are
    what ``words`` says. Raises ``ValueError`` for a picture without a reference.
    """
    assert len(captions) == len(references), (len(captions), len(references))
    bare = next((number for number, given in enumerate(references) if not given), None)
    if bare is not None:
        raise ValueError(f"references: picture {bare} has none")
    counted = [[_grams(words(one)) for one in given] for given in references]
    seen = Counter(gram for given in counted for gram in set().union(*given))
    pictures = math.log(len(references))
    rarity = {gram: pictures - math.log(count) for gram, count in seen.items()}
    scores = []
    for caption, given in zip(captions, counted, strict=True):
        own = _weighted(_grams(words(caption)), rarity, pictures)
        each = [_alike(own, _weighted(one, rarity, pictures)) for one in given]
        scores.append(10 * sum(each) / len(each))
    return scores


class _Weighted:
    """A caption as one vector of weights for each length of sequence."""

    def __init__(self) -> None:
        self.weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(LONGEST)]
        self.norms = [0.0] * LONGEST
        self.length = 0
        """Pairs of words: what the COCO server takes for the length."""


def _grams(given: Sequence[str]) -> Grams:
    return Counter(
        tuple(given[start : start + size]) for size in range(1, LONGEST + 1) for start in range(len(given) - size + 1)
    )


def _weighted(grams: Grams, rarity: dict[tuple[str, ...], float], unseen: float) -> _Weighted:
    found = _Weighted()
    for gram, count in grams.items():
        weight = count * rarity.get(gram, unseen)
        found.weights[len(gram) - 1][gram] = weight
        found.norms[len(gram) - 1] += weight**2
        found.length += count if len(gram) == 2 else 0
    return found


def _alike(own: _Weighted, other: _Weighted) -> float:
    """The mean over lengths of sequences of clipped cosines, less for another number of words."""
    penalty = math.exp(-((own.length - other.length) ** 2) / (2 * SIGMA**2))
    return penalty * sum(_cosines(own, other)) / LONGEST


def _cosines(own: _Weighted, other: _Weighted) -> Iterable[float]:
    for mine, theirs, norm, length in zip(own.weights, other.weights, own.norms, other.norms, strict=True):
        if norm and length:
            shared = mine.keys() & theirs.keys()
            yield sum(min(mine[gram], theirs[gram]) * theirs[gram] for gram in shared) / math.sqrt(norm * length)
