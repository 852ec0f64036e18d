"""Parts: the same ones every time, disjoint, and with their pictures shared as in the whole."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from tests.album import Album
from tests.pictures import encoded, parquet

from bezoar.core.settings import settings
from bezoar.data import LabeledPart, LabeledTable, Pairs, PairsPart, PairsSource, Scenes, SharesPictures, Skips, Table
from bezoar.data.pairs import Findable, places_of
from bezoar.data.part import PartOfPairs, chosen

counts = st.integers(1, 40)


class Photographs(Album):
    """Pair ``i`` shows picture ``shown[i]``; numbers in the order in which they first come."""

    def __init__(self, shown: list[int]) -> None:
        super().__init__([f"text {k}" for k in range(len(shown))])
        numbers: dict[int, int] = {}
        self.shown = [numbers.setdefault(one, len(numbers)) for one in shown]

    @property
    def pictures(self) -> int:
        return len(set(self.shown))

    def picture(self, index: int) -> int:
        return self.shown[index]

    def first(self, picture: int) -> int:
        return self.shown.index(picture)


@how(deadline=None)
@given(count=counts, cuts=st.lists(counts, max_size=4), seed=st.one_of(st.none(), st.integers(0, 9)))
def test_parts_of_one_shuffle_are_disjoint_and_cover(count: int, cuts: list[int], seed: int | None) -> None:
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    parts = [chosen(count, a, b, seed).tolist() for a, b in pairwise(edges)]
    assert [len(part) for part in parts] == [b - a for a, b in pairwise(edges)]
    assert sorted(index for part in parts for index in part) == list(range(count))
    assert all(part == sorted(part) for part in parts)
    if seed is None:
        assert parts == [list(range(a, b)) for a, b in pairwise(edges)]


@how(deadline=None)
@given(shown=st.lists(st.integers(0, 6), min_size=1, max_size=30), data=st.data())
def test_picture_and_first_are_inverse(shown: list[int], data: st.DataObject) -> None:
    whole = Photographs(shown)
    indices = data.draw(st.lists(st.integers(0, len(shown) - 1), min_size=1, unique=True).map(sorted))
    part = PartOfPairs(whole, np.array(indices))
    assert isinstance(part, SharesPictures)
    assert part.pictures == len({whole.picture(index) for index in indices})
    for picture in range(part.pictures):
        assert part.picture(part.first(picture)) == picture
        assert part.first(picture) == min(k for k in range(len(part)) if part.picture(k) == picture)
    for a in range(len(part)):
        for b in range(len(part)):
            same = whole.picture(indices[a]) == whole.picture(indices[b])
            assert (part.picture(a) == part.picture(b)) == same


def test_a_shuffle_is_this_one() -> None:
    assert chosen(10, 0, 4, 1).tolist() == SHUFFLE
    assert chosen(10, 0, 4, 2).tolist() != SHUFFLE
    assert PairsPart(of=Scenes(count=10), stop=4, shuffle=1).open().fingerprint == "79104f5b9c06bad6"


SHUFFLE = [1, 3, 7, 9]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 11, "stop: 11 is more than the 10 there are"), (4, 4, "start: 4 leaves nothing before 4"),
     (10, None, "start: 10 leaves nothing before 10")],
)  # fmt: skip
def test_empty_parts_are_refused(start: int, stop: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairsPart(of=Scenes(count=10), start=start, stop=stop).open()


def test_a_pair_of_a_part_is_that_of_the_whole() -> None:
    whole = Scenes(count=10).open()
    part = PairsPart(of=Scenes(count=10), start=3, stop=5).open()
    assert isinstance(part, Pairs)
    assert (len(part), part.id(1), part.caption(1)) == (2, whole.id(4), whole.caption(4))
    assert np.array_equal(part.image(1), whole.image(4))
    assert part.skips == Skips(rows=10, reasons={}, listed=None)
    assert pickle.loads(pickle.dumps(part)).id(0) == part.id(0)


def test_parts_differ_by_what_is_in_them() -> None:
    def fingerprint(**where: int) -> str:
        return PairsPart(of=Scenes(count=10), **where).open().fingerprint

    assert fingerprint() == fingerprint(stop=10)
    assert len({fingerprint(), fingerprint(stop=9), fingerprint(start=1), fingerprint(shuffle=1, stop=9)}) == 4


def test_parts_of_tables(tmp_path: Path) -> None:
    images = [*(encoded(k) for k in range(5)), b""]
    columns = {"image": images, "captions": [["a", "b"]] * 6, "label": ["x", "y"] * 3}
    path = parquet(tmp_path / "t.parquet", columns)
    part = PairsPart(of=Table(path=path, max_skipped=0.2), start=1, stop=5).open()
    assert (part.pictures, [part.picture(k) for k in range(4)]) == (3, [0, 1, 1, 2])
    assert part.skips.count == 1
    assert part.shrunk(0, 4).shape == (7, 9, 3)
    labeled = LabeledPart(of=LabeledTable(path=path, max_skipped=0.2), stop=3).open()
    assert (labeled.classes, [labeled.label(k) for k in range(3)], labeled.templates) == (("x", "y"), [0, 1, 0], ())
    assert labeled.fingerprint != part.fingerprint


def test_a_source_is_read_through_its_part() -> None:
    calls = []

    @settings
    class Noted(PairsSource):
        kind: ClassVar[str] = "noted"

        def ingest(self, listen: object = None) -> None:
            calls.append(listen)

        def notes(self) -> tuple[str, ...]:
            return ("Mind this.",)

    listen = print
    source = PairsPart(of=Noted())
    source.ingest(listen)
    assert calls == [listen]
    assert source.notes() == ("Mind this.",)


@given(counts, st.data())
@how(deadline=None)
def test_ids_are_found_where_they_stand(count: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    whole = Album([f"text {k}" for k in range(count)])
    part = PartOfPairs(whole, chosen(count, start, stop, data.draw(st.sampled_from([None, 3]))))
    inner = PartOfPairs(part, chosen(len(part), 0, (len(part) + 1) // 2, 5))
    for found in (part, inner):
        assert places_of(found, [*map(whole.id, range(count)), "no such"]) == {
            found.id(place): place for place in range(len(found))
        }
    assert inner.whole is part


def test_ids_of_a_file_are_found_through_its_column(tmp_path: Path) -> None:
    path = parquet(tmp_path / "pairs.parquet", {"image": [encoded(k) for k in range(5)], "caption": list("abcde")})
    opened = Table(path=str(path)).open()
    assert isinstance(opened, Findable)
    assert opened.find([opened.id(4), opened.id(1), "x"]) == {opened.id(1): 1, opened.id(4): 4}
    part = PairsPart(of=Table(path=str(path)), start=2).open()
    assert places_of(part, [opened.id(4), opened.id(1)]) == {opened.id(4): 2}
