"""What a batch holds, and how its views become features."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.core.rows import Rows
from bezoar.core.seeds import torch_generator
from bezoar.models.clip import Clip
from bezoar.training.batch import Batch, Features, apart, together
from bezoar.training.peers import ALONE
from bezoar.training.state import State


def batch(n: int = 4, images: int = 2, texts: int = 2) -> Batch:
    generator = torch_generator(0, "batch")
    words = tiny.clip().tokenize(["a red axe", "two mushrooms", "a cat on a box", "it"] * max(texts, 1))
    return Batch(
        ids=tuple(map(str, range(n))),
        indices=torch.arange(n),
        everybody=torch.arange(n),
        images=tuple(torch.randint(256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8) for _ in range(images)),
        texts=words.chunk(texts) if texts else (),
    )


def encode(model: Clip, given: Batch, joint: bool = True) -> Features:
    return (together if joint else apart)(State(model, 4), given)


def close(one: tuple[Rows, ...], other: tuple[Rows | Tensor, ...]) -> bool:
    plain = (part.own if isinstance(part, Rows) else part for part in other)
    return all(torch.allclose(a.own, b, atol=1e-5) for a, b in zip(one, plain, strict=True))


def test_no_answer_key() -> None:
    """A field more is a field too many: who is poisoned never enters a batch."""
    named = ["ids", "indices", "everybody", "images", "texts", "again"]
    assert [field.name for field in dataclasses.fields(Batch)] == named


def test_features_are_unit_vectors_one_per_view() -> None:
    found = encode(tiny.clip(), batch())
    for view in (*found.images, *found.texts):
        assert view.own.shape == (4, 128)
        assert view.whole
        torch.testing.assert_close(view.own.norm(dim=1), torch.ones(4))


def test_the_order_of_views_is_kept() -> None:
    model, given = tiny.clip("micro-vit-32"), batch()
    found = encode(model, given)
    assert close(found.images, tuple(map(model.encode_image, given.images)))
    assert close(found.texts, tuple(map(model.encode_text, given.texts)))


def test_views_in_one_forward_mix_only_the_statistics_of_a_batch_norm() -> None:
    with torch.no_grad():
        vit, cnn = tiny.clip("micro-vit-32").train(), tiny.clip("micro-cnn-32").train()
        assert close(encode(vit, batch(), True).images, encode(vit, batch(), False).images)
        assert not close(encode(cnn, batch(), True).images, encode(cnn, batch(), False).images)
        cnn.eval()
        assert close(encode(cnn, batch(), True).images, encode(cnn, batch(), False).images)


@pytest.mark.parametrize(("images", "texts"), [(1, 1), (1, 0), (0, 2), (3, 1)])
def test_any_number_of_views(images: int, texts: int) -> None:
    given = batch(images=images, texts=texts)
    found = encode(tiny.clip(), given)
    assert (len(found.images), len(found.texts)) == (images, texts)


def test_features_are_taken_apart_and_put_together() -> None:
    own = [torch.rand(4, 3) for _ in range(4)]
    found = Features(images=(Rows(own[0], own[0]),), texts=(), others={"a": own[1], "b": own[2]})
    assert [part is other for part, other in zip(found.parts(), own, strict=False)] == [True] * 3
    new = found.made_of(own[1:]).shared(ALONE)
    assert (new.images[0].own is own[1], new.texts, new.others["b"] is own[3]) == (True, (), True)


def test_chunks_are_all_of_the_batch_in_order() -> None:
    given = batch(4)
    parts = list(given.chunks(3))
    assert [len(part) for part in parts] == [3, 1]
    assert parts[0].ids + parts[1].ids == given.ids
    assert all(torch.equal(part.everybody, given.everybody) for part in parts)
    for whole, pieces in zip(given.images, zip(*(part.images for part in parts), strict=True), strict=True):
        assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_some_of_a_batch_evenly(count: int) -> None:
    given = batch(7, texts=0)
    found, places = given.evenly(count), [7 * number // max(count, 1) for number in range(count)]
    assert (found.ids, found.again) == (tuple(given.ids[place] for place in places), count)
    assert torch.equal(found.indices, given.indices[places])
    assert torch.equal(found.images[1], given.images[1][places])
    assert found.everybody is given.everybody


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 9])
def test_what_comes_again_draws_for_itself_in_any_chunks(size: int) -> None:
    given = dataclasses.replace(
        batch(6, texts=0), ids=tuple("abcdac"), indices=torch.tensor([7, 1, 4, 9, 7, 4]), again=2
    )
    assert given.draws(10).tolist() == [7, 1, 4, 9, 17, 14]
    parts = list(given.chunks(size))
    assert sum(part.again for part in parts) == 2
    assert torch.equal(torch.cat([part.draws(10) for part in parts]), given.draws(10))
    assert given.to(torch.device("meta")).again == 2


def test_to_another_device() -> None:
    given = batch()
    assert given.to(torch.device("cpu")) is given
    moved = given.to(torch.device("meta"))
    assert moved.ids == given.ids
    assert {view.device.type for view in (*moved.images, *moved.texts, moved.indices)} == {"meta"}
