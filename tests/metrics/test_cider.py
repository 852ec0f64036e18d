"""CIDEr-D by loops from the paper, against the released scorer where it is installed, and its ends."""

from __future__ import annotations

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from bezoar.metrics import cider
from bezoar.metrics.cider import words

CAPTIONS = ["a dog runs on the grass", "two men ride bikes", "a dog", "the red ball"]
REFERENCES = [
    ["a brown dog runs over grass", "a dog is running on the grass"],
    ["two men ride their bikes", "cyclists on a road", "two men ride bikes"],
    ["a cat sleeps"],
    ["a child with a red ball", "the ball"],
]


def sequences(caption: str, size: int) -> list[str]:
    parts = caption.lower().split()
    return [" ".join(parts[start : start + size]) for start in range(len(parts) - size + 1)]


def by_loops(captions: list[str], references: list[list[str]]) -> list[float]:
    """Equations 1 to 4 of the paper with the clipping and the length penalty of CIDEr-D, one pair at a time."""

    def weight(gram: str, size: int, caption: str) -> float:
        holding = sum(any(gram in sequences(one, size) for one in given) for given in references)
        return sequences(caption, size).count(gram) * (math.log(len(references)) - math.log(max(1, holding)))

    found = []
    for caption, given in zip(captions, references, strict=True):
        total = 0.0
        for other in given:
            apart = len(sequences(caption, 2)) - len(sequences(other, 2))
            for size in (1, 2, 3, 4):
                grams = {*sequences(caption, size), *sequences(other, size)}
                mine = {gram: weight(gram, size, caption) for gram in grams}
                theirs = {gram: weight(gram, size, other) for gram in grams}
                lengths = math.sqrt(sum(w * w for w in mine.values()) * sum(w * w for w in theirs.values()))
                product = sum(min(mine[gram], theirs[gram]) * theirs[gram] for gram in grams)
                total += math.exp(-(apart**2) / 72) * (product / lengths if lengths else 0) / 4
        found.append(10 * total / len(given))
    return found


def test_by_loops() -> None:
    assert cider(CAPTIONS, REFERENCES) == pytest.approx(by_loops(CAPTIONS, REFERENCES), rel=1e-9)


vocabulary = ["a", "dog", "cat", "on", "the", "red", "ball", "runs"]
text = st.lists(st.sampled_from(vocabulary), min_size=1, max_size=9).map(" ".join)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.tuples(text, st.lists(text, min_size=1, max_size=3)), min_size=2, max_size=5))
def test_any_captions_by_loops(drawn: list[tuple[str, list[str]]]) -> None:
    captions, references = [one for one, _ in drawn], [given for _, given in drawn]
    found = cider(captions, references)
    assert found == pytest.approx(by_loops(captions, references), rel=1e-9, abs=1e-12)
    assert all(-1e-9 <= score <= 10 + 1e-9 for score in found)


def test_against_the_released_scorer() -> None:
    """pycocoevalcap, which is no dependency: its own tokenizer needs Java, its scorer does not."""
    scorer = pytest.importorskip("pycocoevalcap.cider.cider")
    given = {number: [" ".join(words(one)) for one in some] for number, some in enumerate(REFERENCES)}
    said = {number: [" ".join(words(one))] for number, one in enumerate(CAPTIONS)}
    mean, each = scorer.Cider().compute_score(given, said)
    assert cider(CAPTIONS, REFERENCES) == pytest.approx(list(each), rel=1e-6)
    assert sum(each) / 4 == pytest.approx(mean)


def test_the_best_and_the_worst() -> None:
    references = [["a dog runs on grass"], ["two men ride bikes"], ["one red ball lies here"]]
    assert cider([given[0].upper() + "!" for given in references], references) == pytest.approx([10, 10, 10])
    assert cider(["nothing of it"] * 3, references) == [0, 0, 0]
    assert cider(["", "bikes", "ball"], references)[0] == 0


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("A Man's hat -- isn't it, É?") == ["a", "man's", "hat", "isn't", "it", "é"]


def test_a_picture_without_a_reference() -> None:
    with pytest.raises(ValueError, match="references: picture 1 has none"):
        cider(["a", "b"], [["a"], []])
