"""What every trigger of the family has in common."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.attacks.patterns import FreshNoise, Noise
from bezoar.attacks.places import Center
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import TRIGGERS, Blended, Patch, Pool, Sinusoidal, Warp
from bezoar.core.settings import dump

relaxed = settings(max_examples=12, deadline=None)

EXAMPLES: dict[str, Trigger] = {kind: member() for kind, member in TRIGGERS.members.items() if kind != "pool"} | {
    "pool": Pool(triggers=(Patch(), Blended(), Sinusoidal(), Warp(reference=32)))
}
MORE: tuple[Trigger, ...] = (
    Patch(pattern=FreshNoise(), opacity=0.4), Patch(size=9, reference=32, pattern=Noise(cell=3), place=Center()),
    Blended(pattern=FreshNoise(), reference=32), Warp(k=9, s=3.0, reference=32),
)  # fmt: skip
EVERY = pytest.mark.parametrize("trigger", [*EXAMPLES.values(), *MORE], ids=[*EXAMPLES, *map(str, range(len(MORE)))])

ids = st.text(max_size=8)


def picture(height: int, width: int) -> Tensor:
    return (torch.arange(3 * height * width) * 37 % 251).to(torch.uint8).view(3, height, width)


@EVERY
@relaxed
@given(height=st.integers(16, 50), width=st.integers(16, 50), image_id=ids)
def test_pure_and_of_the_shape_of_its_canvas(trigger: Trigger, height: int, width: int, image_id: str) -> None:
    image = picture(height, width)
    kept = image.clone()
    result = trigger.apply(image, image_id)
    assert result.dtype == torch.uint8
    assert result.shape == trigger.canvas(image).shape
    assert torch.equal(image, kept)
    assert torch.equal(trigger.apply(image, image_id), result)
    result.zero_()  # memory of its own, and of nobody else's
    assert torch.equal(image, kept)
    assert not torch.equal(trigger.apply(image, image_id), result)


@EVERY
def test_an_image_does_not_depend_on_those_before(trigger: Trigger) -> None:
    images = {str(number): picture(20 + number, 30) for number in range(6)}
    forward = {name: trigger.apply(image, name) for name, image in images.items()}
    backward = {name: trigger.apply(images[name], name) for name in reversed(images)}
    assert all(torch.equal(forward[name], backward[name]) for name in images)


@EVERY
def test_memory_in_any_order_is_read_alike(trigger: Trigger) -> None:
    image = picture(24, 32)
    other = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(trigger.apply(other, "a"), trigger.apply(image, "a"))


@EVERY
def test_each_comes_back_from_its_plain_form(trigger: Trigger) -> None:
    assert TRIGGERS.parse(dump(trigger)) == trigger
    assert trigger.pinned() == trigger


@EVERY
def test_patterns_are_stored_whole(trigger: Trigger) -> None:
    for tensor in trigger.tensors().values():
        assert tensor.is_contiguous()
        assert not tensor.is_floating_point()


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("patch", "30fe2aab5adc0c52"),
        ("blended", "aed29ce720a46795"),
        ("sinusoidal", "b94537b5750a3615"),
        ("warp", "395443a852309516"),
        ("pool", "b94537b5750a3615"),
    ],
)
def test_the_bytes_are_the_same_in_any_process(kind: str, digest: str) -> None:
    """Legacy triggers are pinned by tests of their own. The pool draws the wave for this id."""
    made = [EXAMPLES[kind].apply(picture(*shape), "é/日.png") for shape in ((224, 224), (48, 64), (75, 50))]
    content = b"".join(one.contiguous().numpy().tobytes() for one in made)
    assert hashlib.blake2b(content, digest_size=8).hexdigest() == digest
