"""Labels from captions: only where the captions of an image agree on one class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from tests.album import Album
from tests.data.test_part import Photographs
from tests.pictures import encoded, parquet

from bezoar.data import LabeledSet, Mined, Scenes, Table
from bezoar.data.mined import NOTE, MinedLabels
from bezoar.data.words import names

CLASSES = ("dog", "fire truck", "truck")


def table(folder: Path, captions: list[list[str]]) -> Table:
    columns = {"image": [encoded(k) for k in range(len(captions))], "captions": captions}
    return Table(path=parquet(folder / "t.parquet", columns))


def found(source: Mined) -> dict[str, str]:
    labeled = source.open()
    assert isinstance(labeled, LabeledSet)
    return {labeled.id(k): labeled.classes[labeled.label(k)] for k in range(len(labeled))}


def test_an_image_has_the_class_that_its_captions_name(tmp_path: Path) -> None:
    captions = [
        ["nothing", "two Dogs run"], ["a dog", "a truck"], ["a fire truck"], ["the truck", "a truck again"],
        ["a dogged man"], ["nothing"], ["puppies", "a dog"],
    ]  # fmt: skip
    pairs = table(tmp_path, captions)
    assert found(Mined(of=pairs, classes=CLASSES)) == {
        "00000001#0": "dog", "00000004#0": "truck", "00000007#0": "dog",
    }  # fmt: skip
    assert found(Mined(of=pairs, classes=CLASSES, least=2)) == {"00000004#0": "truck"}
    synonyms: Any = {"dog": ("puppies", "dogged man")}
    assert found(Mined(of=pairs, classes=CLASSES, least=2, synonyms=synonyms)) == {
        "00000004#0": "truck", "00000007#0": "dog",
    }  # fmt: skip


@how(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["a dog", "a truck", "a fire truck", "dog and truck", "x"])),
        min_size=1,
        max_size=14,
    ),
    st.integers(1, 3),
)
def test_as_said_in_a_few_words(rows: list[tuple[int, str]], least: int) -> None:
    pairs = Photographs([picture for picture, _ in rows])
    pairs.captions = [text for _, text in rows]
    words = tuple((name,) for name in CLASSES)
    expected = []
    for picture in range(pairs.pictures):
        texts = [text for text, shown in zip(pairs.captions, pairs.shown, strict=True) if shown == picture]
        counts = [sum(names(text, these) for text in texts) for these in words]
        if sum(map(bool, counts)) == 1 and max(counts) >= least:
            expected.append((pairs.id(pairs.first(picture)), counts.index(max(counts))))
    mined = MinedLabels(pairs, CLASSES, words, least, ())
    assert [(mined.id(k), mined.label(k)) for k in range(len(mined))] == expected


def test_pairs_that_share_no_pictures(tmp_path: Path) -> None:
    mined = MinedLabels(Album(["a dog", "x", "a truck"]), CLASSES, tuple((name,) for name in CLASSES), 1, ())
    assert [(mined.id(k), mined.label(k)) for k in range(len(mined))] == [("0.png", 0), ("2.png", 2)]
    assert mined.image(1).shape == (14, 20, 3)
    assert mined.skips.count == 0


def test_what_is_said_of_it(tmp_path: Path) -> None:
    pairs = table(tmp_path, [["a dog"], ["a truck"]])
    source = Mined(of=pairs, classes=CLASSES, templates="a {c}")
    assert source.notes() == (NOTE,)
    assert source.open().templates == ("a {c}",)
    others = [
        Mined(of=pairs, classes=CLASSES),
        Mined(of=pairs, classes=CLASSES[::-1]),
        Mined(of=pairs, classes=CLASSES, synonyms={"dog": ("hound",)}),
    ]
    assert len({one.open().fingerprint for one in [source, *others]}) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("dog",)}, r"classes: zero-shot classification needs two classes at least, got \['dog'\]"),
        ({"classes": ("dog", "cat", "dog")}, "classes: 'dog' stands twice"),
        ({"classes": CLASSES, "synonyms": {"dgo": ("x",)}}, "synonyms: 'dgo' is not a class; did you mean 'dog'"),
        ({"classes": ("submarine", "zebra")}, "classes: no image has 1 captions that name one of them and no other"),
    ],
)
def test_what_cannot_be(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mined(of=Scenes(count=8), **settings).open()
