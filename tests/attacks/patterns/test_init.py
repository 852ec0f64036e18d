"""Every pattern by loops over its formula, and what all of them have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.attacks.font import GLYPHS
from bezoar.attacks.pattern import Pattern
from bezoar.attacks.patterns import (
    PATTERNS,
    Binary,
    Checkerboard,
    FreshNoise,
    Noise,
    Picture,
    Solid,
    SparseCheckerboard,
    Stripes,
    Triangles,
    Watermark,
)
from bezoar.attacks.patterns.picture import remember
from bezoar.core.settings import dump, validate

relaxed = settings(max_examples=40, deadline=None)

RAMP = remember((torch.arange(3 * 5 * 7) * 2).to(torch.uint8).view(3, 5, 7))
EXAMPLES: dict[str, Pattern] = {
    "noise": Noise(seed=3, cell=2),
    "binary": Binary(),
    "fresh_noise": FreshNoise(),
    "solid": Solid(color=(1, 2, 3)),
    "checkerboard": Checkerboard(color=(9, 8, 7), cell=3),
    "sparse_checkerboard": SparseCheckerboard(cell=2),
    "stripes": Stripes(width=3),
    "triangles": Triangles(tile=5),
    "watermark": Watermark(text="Hi!", color=(255, 0, 9)),
    "picture": Picture(path="gone.png", sha256=RAMP),
}
EVERY = pytest.mark.parametrize("kind", PATTERNS.members)

Value = Callable[[int, int, int, int], int]
"""Channel, row, column and side to a byte: a pattern on a square at reference resolution."""


def stream(text: str, count: int) -> bytes:
    return hashlib.shake_256(text.encode()).digest(count)


def grain(seed: int, cell: int) -> Value:
    def value(channel: int, y: int, x: int, side: int) -> int:
        count = -(-side // cell)
        return stream(f"bezoar patch {seed}", 3 * count**2)[channel * count**2 + y // cell * count + x // cell]

    return value


def stripe(channel: int, y: int, x: int, side: int) -> int:
    count = -(-side // 3)
    return 255 * (stream("bezoar stripes 0", 3 * count)[channel * count + x // 3] >= 128)


def letter(channel: int, y: int, x: int, side: int) -> int:
    times = side // 17
    row, column = y - (side - 7 * times) // 2, x - (side - 17 * times) // 2
    if not (0 <= row < 7 * times and 0 <= column < 17 * times):
        return 0
    number, inside = divmod(column // times, 6)
    ink = inside < 5 and GLYPHS["Hi!"[number]][row // times][inside] == "#"
    return (255, 0, 9)[channel] if ink else 0


FORMULAS: dict[str, Value] = {
    "noise": grain(3, 2),
    "binary": lambda c, y, x, side: 255 * (grain(0, 1)(c, y, x, side) >= 128),
    "solid": lambda c, y, x, side: c + 1,
    "checkerboard": lambda c, y, x, side: 9 - c if (y // 3 + x // 3) % 2 == 0 else 0,
    "sparse_checkerboard": lambda c, y, x, side: 255 if y // 2 % 2 == x // 2 % 2 == 0 else 0,
    "stripes": stripe,
    "triangles": lambda c, y, x, side: 102 if y % 5 >= x % 5 else 204,
    "watermark": letter,
}


def test_there_is_an_example_of_every_member() -> None:
    assert list(EXAMPLES) == list(PATTERNS.members)
    assert all(type(example) is PATTERNS.members[kind] for kind, example in EXAMPLES.items())
    assert {kind for kind, member in PATTERNS.members.items() if not member.fixed} == {"fresh_noise"}


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize(
    ("shape", "nominal"),
    [((20, 20), (20, 20)), ((40, 40), (20, 20)), ((13, 13), (20, 20)), ((20, 31), (20, 31)), ((17, 11), (28, 19))],
)
def test_equals_loops(kind: str, shape: tuple[int, int], nominal: tuple[int, int]) -> None:
    drawn = EXAMPLES[kind].draw(shape, nominal, "a")
    side = min(nominal)
    for y in range(shape[0]):
        row = (y * nominal[0] // shape[0] - (nominal[0] - side) // 2) % side
        for x in range(shape[1]):
            column = (x * nominal[1] // shape[1] - (nominal[1] - side) // 2) % side
            for channel in range(3):
                assert drawn[channel, y, x] == FORMULAS[kind](channel, row, column, side)


@EVERY
@relaxed
@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), nominal=st.tuples(*[st.integers(17, 40)] * 2))
def test_of_the_shape_wanted_and_pure(kind: str, shape: tuple[int, int], nominal: tuple[int, int]) -> None:
    pattern = EXAMPLES[kind]
    drawn = pattern.draw(shape, nominal, "a")
    assert drawn.shape == (3, *shape)
    assert drawn.dtype == torch.uint8
    assert torch.equal(pattern.draw(shape, nominal, "a"), drawn)
    if pattern.fixed:
        assert torch.equal(pattern.draw(shape, nominal, "b"), drawn)
    cover = pattern.cover(shape, nominal)
    if cover is not None:
        assert cover.shape == (1, *shape)
        assert cover.dtype == torch.bool
        assert not (drawn * ~cover).any()


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("noise", "15b42cd40dab73e6"),
        ("binary", "b459b2d8aec068be"),
        ("fresh_noise", "722500e61414fdea"),
        ("solid", "346ea420ee944cfa"),
        ("checkerboard", "0978e8f80e477946"),
        ("sparse_checkerboard", "a75c7e0255acbb97"),
        ("stripes", "bba02f133e954c58"),
        ("triangles", "595030c26432d81c"),
        ("watermark", "266264a7fe70fe48"),
        ("picture", "44fa8a855f6f09fc"),
    ],
)
def test_the_bytes_are_the_same_on_any_machine(kind: str, digest: str) -> None:
    """A plan made elsewhere must draw these."""
    data = EXAMPLES[kind].draw((40, 50), (32, 40), "é/日.png").contiguous().numpy().tobytes()
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == digest


@EVERY
def test_each_comes_back_from_its_plain_form(kind: str) -> None:
    assert PATTERNS.parse(dump(EXAMPLES[kind])) == EXAMPLES[kind]


def test_fresh_noise_belongs_to_a_seed_and_an_id() -> None:
    nominal = 30, 30
    drawn = [
        FreshNoise(seed=seed).draw(nominal, nominal, image_id) for seed, image_id in [(0, "a"), (0, "b"), (1, "a")]
    ]
    assert drawn[0].flatten().tolist() == list(stream("bezoar fresh noise 0 a", 2700))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (drawn[one] == drawn[other]).float().mean() < 0.03
    assert abs(float(torch.stack(drawn).float().mean()) - 127.5) < 3


def test_fresh_noise_is_scaled_as_the_others() -> None:
    small = FreshNoise().draw((10, 15), (10, 15), "a")
    large = FreshNoise().draw((20, 30), (10, 15), "a")
    assert torch.equal(large, small.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_on_a_wide_picture_the_center_is_what_a_square_one_gets() -> None:
    for kind in FORMULAS:
        square = EXAMPLES[kind].draw((24, 24), (24, 24), "")
        assert torch.equal(EXAMPLES[kind].draw((24, 32), (24, 32), "")[:, :, 4:28], square)


def test_seeds_draw_others() -> None:
    shape = 16, 16
    for one, other in ((Noise(), Noise(seed=1)), (Binary(), Binary(seed=1)), (Stripes(), Stripes(seed=1))):
        assert not torch.equal(one.draw(shape, shape, ""), other.draw(shape, shape, ""))
    for pattern in (Binary(), Stripes()):
        assert set(pattern.draw(shape, shape, "").flatten().tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("noise", {"cell": 0}, r"pattern\.cell: .*greater than or equal to 1, got 0"),
        ("stripes", {"width": 0}, r"pattern\.width: .*greater than or equal to 1, got 0"),
        ("triangles", {"tile": 1}, r"pattern\.tile: .*greater than or equal to 2, got 1"),
        ("checkerboard", {"colour": 1}, "unknown key 'colour'; did you mean 'color'"),
        ("fresh_noise", {"seed": 1.5}, r"pattern\.seed: .*got 1.5"),
    ],
)
def test_mistakes_are_refused_by_name(kind: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(PATTERNS.members[kind], fields, "pattern")
