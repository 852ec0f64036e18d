"""Several processes measure as one does: each a share of the pictures and captions, and all the same numbers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from tests import tiny
from tests.evaluation import ranks
from tests.evaluation.test_base import Counted
from tests.training.ranks import ended, launch

from bezoar.core.frame import Frame
from bezoar.data.prepared import Prepared
from bezoar.evaluation import LabeledImages, sharing
from bezoar.evaluation.sharing import shared, spans
from bezoar.models.clip import Clip
from bezoar.training.peers import ALONE, Peers

T = TypeVar("T")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Twenty pictures are three chunks."""
    monkeypatch.setattr(sharing, "CHUNK", ranks.CHUNK)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def at_once(world: int, work: Callable[[Peers], T]) -> list[T]:
    """What ``work`` returns to each of ``world`` threads."""
    meeting = ranks.Meeting(world)
    with ThreadPoolExecutor(world) as pool:
        return [done.result() for done in [pool.submit(work, meeting.peers(rank)) for rank in range(world)]]


def test_chunks_cover_everything_once() -> None:
    assert spans(20) == [range(7), range(7, 14), range(14, 20)]
    assert spans(7) == [range(7)]


@pytest.mark.parametrize("world", [2, 3, 5])
def test_every_evaluator_finds_the_same_on_every_rank(world: int) -> None:
    """With five there are ranks that have no chunk of their own; the pictures are three chunks."""
    alone = ranks.everything(ALONE)
    assert {name for name, (measures, _) in alone.items() if measures} == set(alone), "each must measure something"
    assert at_once(world, ranks.everything) == [alone] * world


def test_processes_find_what_one_does(tmp_path: Path) -> None:
    """Two real ones, over gloo."""
    for status, _, error in ended(launch(2, ["-m", "tests.evaluation.ranks", str(tmp_path)])):
        assert status == 0, error
    alone = ranks.everything(ALONE)
    for rank in range(2):
        assert pickle.loads((tmp_path / f"rank{rank}.pickle").read_bytes()) == alone


def test_a_picture_is_decoded_by_one_rank_and_once() -> None:
    def work(peers: Peers) -> list[list[int]]:
        labeled = Counted(20)
        images = LabeledImages(labeled, Prepared(labeled, Frame(32)))
        # Two rounds, of two models: pictures are kept from one to the other.
        here = [ranks.context(peers, images) for _ in range(2)]
        read = []
        for context in here:
            for look in context.looks["test"]:
                context.features(tiny.clip().eval(), "test", look)
            read.append(sorted(labeled.read))
        return read

    first, last = range(7), range(7, 20)
    assert at_once(2, work) == [[[*first], [*first]], [[*last], [*last]]]


def test_captions_are_shared_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rank has all the long ones: that one would be waited for."""
    widths: dict[int, list[int]] = {0: [], 1: []}
    whole = Clip.encode_text
    captions = ["an axe " * (place // 7 + 1) for place in range(28)]

    def work(peers: Peers) -> Any:
        model = tiny.clip().eval()

        def encode(tokens: torch.Tensor) -> torch.Tensor:
            widths[peers.rank].append(tokens.shape[1])
            return whole(model, tokens)

        monkeypatch.setattr(model, "encode_text", encode)
        return ranks.context(peers, ranks.labeled()).encode_captions(model, captions).tolist()

    found = at_once(2, work)
    alone = ranks.context(ALONE, ranks.labeled()).encode_captions(tiny.clip().eval(), captions).tolist()
    assert found == [alone, alone]
    short, longer, long, longest = sorted({*widths[0], *widths[1]})
    assert widths == {0: [short, long], 1: [longer, longest]}


def test_one_process_makes_no_copy_of_what_it_made() -> None:
    """What was before there were several: chunks, joined."""
    made = [torch.arange(6.0).view(2, 3), torch.arange(3.0).view(1, 3)]
    (found,) = shared(ALONE, [2, 1], lambda number: [made[number]])
    assert torch.equal(found, torch.cat(made))
