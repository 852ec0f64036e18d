"""The pool of features against a plain list that does the same one row at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.seeds import torch_generator
from bezoar.training import pool as pool_module
from bezoar.training.pool import Pool, PoolEnd, PoolStart

WIDTH = 3


def drawn(count: int, name: str = "rows") -> Tensor:
    """L2-normalized rows."""
    return F.normalize(torch.randn(count, WIDTH, generator=torch_generator(0, "pool", name)), dim=1)


def made(size: int, start: PoolStart = "empty", end: PoolEnd = "wrap") -> Pool:
    return Pool(size, WIDTH, generator=torch_generator(1, "pool"), start=start, end=end)


class Listed:
    """Entries in a list, ``None`` where nothing is yet."""

    def __init__(self, entries: list[list[float] | None], end: PoolEnd) -> None:
        self.entries, self.end, self.place = entries, end, 0

    def push(self, rows: list[list[float]]) -> None:
        for row in rows:
            if self.place == len(self.entries):
                if self.end == "cut":
                    break
                self.place = 0
            self.entries[self.place] = row
            self.place += 1
        # A place behind the last is the front, for whoever comes next.
        self.place %= len(self.entries)

    def find(self, query: list[float]) -> int:
        best, found = -float("inf"), 0
        for place, entry in enumerate(self.entries):
            if entry is not None:
                cosine = sum(a * b for a, b in zip(query, entry, strict=True))
                if cosine > best + 1e-6:
                    best, found = cosine, place
        return found


STARTS: list[PoolStart] = ["empty", "random"]
ENDS: list[PoolEnd] = ["wrap", "cut"]
counts = st.lists(st.integers(1, 12), max_size=6)


@given(size=st.integers(1, 7), pushes=counts, start=st.sampled_from(STARTS), end=st.sampled_from(ENDS))
@settings(deadline=None)
def test_it_does_what_a_list_does(size: int, pushes: list[int], start: PoolStart, end: PoolEnd) -> None:
    pool, queries = made(size, start, end), drawn(8, "queries")
    listed = Listed(pool.entries.tolist() if start == "random" else [None] * size, end)
    rows = drawn(72)
    for number, count in enumerate(pushes):
        these, rows = rows[:count], rows[count:]
        slots, taken = pool.slots(count)
        pool.push(these)
        listed.push(these.tolist())
        assert torch.equal(pool.entries[slots], these[taken]), number
        assert pool.filled.item() == sum(entry is not None for entry in listed.entries)
        assert pool.place.item() == listed.place
        expected = [[0.0] * WIDTH if entry is None else entry for entry in listed.entries]
        torch.testing.assert_close(pool.entries, torch.tensor(expected), rtol=0, atol=0)
        assert pool.find(queries).tolist() == [listed.find(query) for query in queries.tolist()]


def test_an_empty_pool_has_something_instead() -> None:
    pool, instead = made(4), drawn(2, "instead").requires_grad_()
    assert pool.find(drawn(2)).tolist() == [0, 0]
    found = pool.nearest(drawn(2), instead)
    assert torch.equal(found, instead)
    assert not found.requires_grad
    pool.push(drawn(1, "one"))
    assert torch.equal(pool.nearest(drawn(2), instead), drawn(1, "one").expand(2, -1))


def test_places_that_are_still_empty_are_never_found() -> None:
    """Their zeros would be nearer than an entry on the other side."""
    pool, query = made(5), drawn(1)
    pool.push(-query)
    assert torch.equal(pool.nearest(query, query), -query)


def test_the_first_of_equals_is_found() -> None:
    pool, query = made(4), drawn(1)
    pool.push(torch.cat([-query, query, -query, query]))
    assert pool.find(query).tolist() == [1]


def test_what_was_found_stays_when_others_come() -> None:
    pool = made(4)
    pool.push(drawn(4))
    found = pool.nearest(drawn(3, "queries"), drawn(3))
    before = found.clone()
    pool.push(drawn(4, "others"))
    assert torch.equal(found, before)


def test_a_random_pool_is_full_of_directions_that_the_seed_draws() -> None:
    pool = made(5, "random")
    torch.testing.assert_close(pool.entries.norm(dim=1), torch.ones(5))
    assert (pool.filled.item(), pool.place.item(), len(pool)) == (5, 0, 5)
    assert torch.equal(pool.entries, made(5, "random").entries)
    assert not torch.equal(pool.entries, Pool(5, WIDTH, generator=torch_generator(2, "pool"), start="random").entries)


@pytest.mark.parametrize("end", ENDS)
def test_it_goes_on_from_its_state(end: PoolEnd) -> None:
    whole, again = made(5, "empty", end), made(5, "empty", end)
    whole.push(drawn(3))
    again.load_state_dict(whole.state_dict())
    for pool in (whole, again):
        pool.push(drawn(4, "later"))
    assert all(torch.equal(again.state_dict()[name], value) for name, value in whole.state_dict().items())
    assert set(whole.state_dict()) == {"entries", "place", "filled"}


def test_many_queries_are_compared_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, queries = made(6), drawn(10, "queries")
    pool.push(drawn(6))
    whole = pool.find(queries)
    monkeypatch.setattr(pool_module, "_BLOCK", 3)
    assert torch.equal(pool.find(queries), whole)


def test_autocast_makes_no_entries_equally_near() -> None:
    pool = Pool(256, 64, generator=torch_generator(1, "pool"), start="random")
    near = F.normalize(pool.entries[:1] + 0.003 * pool.entries, dim=1)
    pool.push(near)
    whole = pool.find(near)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pool.find(near), whole)
        assert pool.nearest(near.bfloat16(), near).dtype == torch.float32
    assert len(set(whole.tolist())) == 256
