"""What a batch holds, and how its views become features."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.core.seeds import torch_generator
from bezoar.training.batch import Batch, encode


def batch(n: int = 4, images: int = 2, texts: int = 2) -> Batch:
    generator = torch_generator(0, "batch")
    words = tiny.clip().tokenize(["a red axe", "two mushrooms", "a cat on a box", "it"] * max(texts, 1))
    return Batch(
        ids=tuple(map(str, range(n))),
        indices=torch.arange(n),
        images=tuple(torch.randint(256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8) for _ in range(images)),
        texts=words.chunk(texts) if texts else (),
    )


def close(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


def test_no_answer_key() -> None:
    """A field more is a field too many: who is poisoned never enters a batch."""
    assert [field.name for field in dataclasses.fields(Batch)] == ["ids", "indices", "images", "texts"]


def test_features_are_unit_vectors_one_per_view() -> None:
    found = encode(tiny.clip(), batch())
    for view in (*found.images, *found.texts):
        assert view.shape == (4, 128)
        torch.testing.assert_close(view.norm(dim=1), torch.ones(4))


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


def test_to_another_device() -> None:
    given = batch()
    assert given.to(torch.device("cpu")) is given
    moved = given.to(torch.device("meta"))
    assert moved.ids == given.ids
    assert {view.device.type for view in (*moved.images, *moved.texts, moved.indices)} == {"meta"}
