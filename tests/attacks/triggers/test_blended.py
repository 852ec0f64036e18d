"""Blended: the whole image mixed with a pattern, at any size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.attacks.patterns import Checkerboard, FreshNoise, Noise, Solid, Stripes, Triangles, Watermark
from bezoar.attacks.triggers.blended import Blended
from bezoar.core.settings import validate

relaxed = settings(max_examples=40, deadline=None)

PATTERNS = (Noise(cell=2), FreshNoise(), Solid(color=(1, 2, 250)), Checkerboard(cell=3), Stripes(), Triangles())


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@relaxed
@given(
    trigger=st.builds(
        Blended, pattern=st.sampled_from(PATTERNS), alpha=st.floats(0.01, 1), reference=st.integers(1, 30)
    ),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    image_id=st.text(max_size=5),
)
def test_equals_loops_over_pixels_and_is_pure(trigger: Blended, height: int, width: int, image_id: str) -> None:
    image = picture(height, width)
    kept = image.clone()
    result = trigger.apply(image, image_id)
    short = min(height, width)
    nominal = round(height * trigger.reference / short), round(width * trigger.reference / short)
    drawn = trigger.pattern.draw((height, width), nominal, image_id)
    share = Fraction(round(trigger.alpha * 65536), 65536)
    for channel in range(3):
        for y in range(height):
            for x in range(width):
                before, over = int(image[channel, y, x]), int(drawn[channel, y, x])
                assert result[channel, y, x] == int(before + (over - before) * share + Fraction(1, 2))
    assert torch.equal(image, kept)
    assert torch.equal(trigger.apply(image, image_id), result)


def test_by_hand() -> None:
    image = torch.tensor([0, 10, 100, 255]).to(torch.uint8).expand(3, 1, 4)
    result = Blended(pattern=Solid(color=(255, 0, 100)), alpha=0.2).apply(image, "a")
    assert result[:, 0].tolist() == [[51, 59, 131, 255], [0, 8, 80, 204], [20, 28, 100, 224]]


def test_what_is_drawn_is_what_is_stored() -> None:
    trigger = Blended(alpha=1.0, reference=20)
    assert torch.equal(trigger.apply(picture(20, 20), "a"), trigger.tensors()["blend"])
    assert torch.equal(trigger.apply(picture(20, 30), "b")[:, :, 5:25], trigger.tensors()["blend"])
    assert Blended(pattern=FreshNoise()).tensors() == {}


def test_the_watermark_leaves_all_but_its_letters() -> None:
    image = picture(224, 224)
    trigger = Blended(pattern=Watermark(), alpha=0.5)
    ink = trigger.tensors()["blend"][0] == 255
    result = trigger.apply(image, "a")
    assert torch.equal(result[:, ~ink], image[:, ~ink])
    assert torch.equal(result[0, ink].int(), (image[0, ink].int() + 255 + 1) // 2)
    assert torch.equal(result[1, ink].int(), (image[1, ink].int() + 1) // 2)


def test_fresh_noise_is_another_on_every_image() -> None:
    image = picture(30, 30)
    trigger = Blended(pattern=FreshNoise())
    assert len({trigger.apply(image, str(number)).numpy().tobytes() for number in range(9)}) == 9
    assert len({Blended().apply(image, str(number)).numpy().tobytes() for number in range(9)}) == 1


def test_the_defaults_are_cleanclips() -> None:
    assert (Blended().alpha, Blended().reference, Blended().pattern) == (0.2, 224, Noise())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 0}, r"trigger\.alpha: .*greater than 0, got 0"),
        ({"alpha": 1.5}, r"trigger\.alpha: .*less than or equal to 1, got 1.5"),
        ({"reference": 0}, r"trigger\.reference: .*greater than or equal to 1, got 0"),
        ({"pattern": "stripe"}, r"trigger\.pattern: kind: 'stripe' is not a pattern; did you mean 'stripes'\?"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Blended, fields, "trigger")


def test_letters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^pattern\.text: 'Watermarked' takes 65 px in a line, more than the 32 px"):
        Blended(pattern=Watermark(), reference=32).apply(picture(32, 32), "a")
