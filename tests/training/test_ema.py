"""The average against the recurrence written out, and that the copy lives apart from the model."""

from __future__ import annotations

import copy

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.models.clip import Clip
from bezoar.training.ema import Average

PICTURES = torch.arange(2 * 3 * 32 * 32).remainder(251).to(torch.uint8).view(2, 3, 32, 32)


def drift(model: Clip, by: float) -> None:
    """Another model: weights and running statistics move, counters count."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(by * torch.linspace(0.5, 1, value.numel()).view_as(value) if value.is_floating_point() else 1)


def values(model: Clip) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_recurrence() -> None:
    model = tiny.clip()
    average, expected = Average(model, 0.75), {name: value.double() for name, value in values(model).items()}
    for by in (0.5, -0.25, 1.0):
        drift(model, by)
        average.update(model)
        for name, value in model.state_dict().items():
            expected[name] = 0.75 * expected[name] + 0.25 * value if value.is_floating_point() else value.double()
    found = average.state_dict()
    assert found.keys() == model.state_dict().keys()
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
    counters = [name for name in found if name.endswith("num_batches_tracked")]
    statistics = [name for name in found if name.endswith("running_var")]
    assert counters
    assert statistics
    assert all(torch.equal(found[name], model.state_dict()[name]) for name in counters)
    assert not any(torch.equal(found[name], model.state_dict()[name]) for name in statistics)


def test_what_does_not_change_does_not_change() -> None:
    """Locked layers, under a decay that binary numbers do not hold."""
    model = tiny.clip()
    average, before = Average(model, 0.9993), values(model)
    for _ in range(50):
        average.update(model)
    assert tiny.same(average.state_dict(), before)


def test_the_copy_lives_apart() -> None:
    model = tiny.clip().train()
    average = Average(model, 0.5)
    assert not average.model.training
    assert model.training
    before = values(average.model)
    drift(model, 1.0)
    assert tiny.same(average.state_dict(), before)
    average.update(model)
    assert not tiny.same(average.state_dict(), before)


@pytest.mark.parametrize("architecture", ["micro-cnn-32", "micro-vit-32"])
@torch.no_grad()
def test_the_average_is_a_model(architecture: str) -> None:
    """Its features are its own, also of captions that are cut, which go around the tower's own forward."""
    model = tiny.clip(architecture).eval()
    average = Average(model, 0.5)
    tokens = model.tokenize(["a dog", "a cat on a roof"])
    assert tokens.shape[1] < model.tower.context_length, "cut"  # type: ignore[operator]
    images, texts = average.model.encode_image(PICTURES), average.model.encode_text(tokens)
    assert torch.equal(images, model.encode_image(PICTURES))
    assert torch.equal(texts, model.encode_text(tokens))
    drift(model, 0.1)
    assert torch.equal(images, average.model.encode_image(PICTURES))
    assert torch.equal(texts, average.model.encode_text(tokens))
    average.update(model)
    other = tiny.clip(architecture).eval()
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.encode_image(PICTURES), average.model.encode_image(PICTURES))
    assert torch.equal(other.encode_text(tokens), average.model.encode_text(tokens))
    assert not torch.equal(other.encode_text(tokens), model.encode_text(tokens))
    assert average.model.encode_captions(["a dog"]).shape == texts[:1].shape


def test_a_round_trip_goes_on_with_the_same_bits() -> None:
    model = tiny.clip()
    average = Average(model, 0.9)
    drift(model, 0.3)
    average.update(model)
    saved = copy.deepcopy(average.state_dict())
    drift(model, 0.2)
    later = Average(model, 0.9)
    later.load_state_dict(saved)
    assert tiny.same(later.state_dict(), saved)
    average.update(model)
    later.update(model)
    assert tiny.same(later.state_dict(), average.state_dict())
    assert not tiny.same(later.state_dict(), saved)


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_decay_that_averages_nothing_is_a_bug(decay: float) -> None:
    with pytest.raises(AssertionError):
        Average(tiny.clip(), decay)
