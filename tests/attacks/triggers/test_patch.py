"""The patch: its exact pixels, where it stands, and that it is a pure function of image and id."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.attacks.patterns import (
    Binary,
    Checkerboard,
    FreshNoise,
    Noise,
    Pattern,
    Solid,
    SparseCheckerboard,
    Stripes,
    Triangles,
    Watermark,
)
from bezoar.attacks.places import At, Center, Corner, FourCorners, Random
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.settings import validate

relaxed = settings(max_examples=60, deadline=None)

PATTERNS = (
    Noise(seed=4, cell=2), Binary(), FreshNoise(), Solid(color=(1, 2, 250)), Checkerboard(cell=3), SparseCheckerboard(),
    Stripes(width=2), Triangles(tile=5),
)  # fmt: skip


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def white(**fields: Any) -> Patch:
    return Patch(pattern=Solid(), **fields)


def slowly(patch: Patch, image: Tensor, image_id: str) -> Tensor:
    """The whole trigger by loops; the pattern and the place have tests of their own."""
    height, width = image.shape[1:]
    ratio = min(height, width) / patch.reference if patch.reference else 1
    side = max(1, round(patch.size * ratio))
    drawn = patch.pattern.draw((side, side), (patch.size, patch.size), image_id)
    share = Fraction(round(patch.opacity * 65536), 65536)
    result = image.clone()
    for top, left in patch.place.corners((height, width), (side, side), ratio, image_id):
        for channel in range(3):
            for y in range(side):
                for x in range(side):
                    before = int(result[channel, top + y, left + x])
                    exact = before + (int(drawn[channel, y, x]) - before) * share
                    result[channel, top + y, left + x] = int(exact + Fraction(1, 2))
    return result


@st.composite
def cases(draw: st.DrawFn) -> tuple[Patch, int, int]:
    """A patch, and an image it fits on."""
    reference = draw(st.integers(4, 40))
    size = draw(st.integers(1, reference // 2))
    inner = st.integers(0, reference - size)
    margin = draw(st.integers(0, reference // 2 - 2))
    corner: Any = draw(st.sampled_from(["top_left", "top_right", "bottom_left", "bottom_right"]))
    places = [
        Random(seed=draw(st.integers(-3, 2**40))), Center(), Corner(corner=corner, margin=margin),
        FourCorners(margin=margin), At(row=draw(inner), column=draw(inner)),
    ]  # fmt: skip
    patch = Patch(
        size=size, reference=reference, pattern=draw(st.sampled_from(PATTERNS)), place=draw(st.sampled_from(places)),
        opacity=draw(st.just(1.0) | st.floats(0.01, 1)),
    )  # fmt: skip
    return patch, draw(st.integers(4, 40)), draw(st.integers(4, 40))


@relaxed
@given(case=cases(), image_id=st.text(max_size=5))
def test_equals_loops_over_pixels_and_is_pure(case: tuple[Patch, int, int], image_id: str) -> None:
    patch, height, width = case
    image = picture(height, width)
    kept = image.clone()
    result = patch.apply(image, image_id)
    assert result.dtype == torch.uint8
    assert torch.equal(result, slowly(patch, image, image_id))
    assert torch.equal(image, kept)
    assert torch.equal(patch.apply(image, image_id), result)
    assert result.data_ptr() != image.data_ptr()
    if patch.opacity == 1:
        assert torch.equal(patch.apply(result, image_id), result)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p.fixed])
def test_what_is_drawn_is_what_is_stored(pattern: Pattern) -> None:
    patch = Patch(size=6, reference=20, pattern=pattern, place=Corner(corner="top_left"))
    stored = patch.tensors()
    assert set(stored) == {"patch"}
    assert stored["patch"].dtype == torch.uint8
    assert stored["patch"].is_contiguous()
    assert torch.equal(patch.apply(picture(20, 30), "a")[:, :6, :6], stored["patch"])


def test_noise_of_every_image_is_not_stored() -> None:
    assert Patch(pattern=FreshNoise()).tensors() == {}


def test_patterns_by_hand() -> None:
    board = Patch(size=4, pattern=Checkerboard(cell=2, color=(9, 8, 7))).tensors()["patch"]
    assert board[0].tolist() == [[9, 9, 0, 0], [9, 9, 0, 0], [0, 0, 9, 9], [0, 0, 9, 9]]
    assert board[2, 0].tolist() == [7, 7, 0, 0]
    grains = Patch(size=5, pattern=Noise(cell=2)).tensors()["patch"]
    assert grains.shape == (3, 5, 5)
    assert torch.equal(grains[:, 0:2, 2:4], grains[:, :1, 2:3].expand(3, 2, 2))
    assert len(set(grains.flatten().tolist())) > 9


@pytest.mark.parametrize(
    ("patch", "digest"),
    [
        (Patch(), "c302628c90c32f72"),
        (Patch(pattern=Binary()), "d0672d29689ef0ee"),
        (Patch(size=6, reference=32, pattern=Binary()), "389e2febfc67e409"),
        (Patch(pattern=Noise(seed=1, cell=4)), "4663ad01473ca248"),
    ],
)
def test_the_bytes_are_the_same_on_any_machine(patch: Patch, digest: str) -> None:
    """A plan made elsewhere must draw these."""
    data = patch.tensors()["patch"].numpy().tobytes()
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == digest


def test_places_of_a_few_ids_are_pinned() -> None:
    image = torch.zeros(3, 224, 224, dtype=torch.uint8)
    found = []
    for image_id in ("0", "a.jpg", "é/日.png"):
        rows, columns = white().apply(image, image_id)[0].nonzero(as_tuple=True)
        found.append((int(rows.min()), int(columns.min())))
    assert found == [(32, 78), (147, 1), (57, 187)]


def test_a_place_belongs_to_an_id_and_a_seed() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    patch = white(size=4, reference=64)
    results = {number: patch.apply(image, str(number)) for number in range(20)}
    backward = {number: patch.apply(image, str(number)) for number in reversed(range(20))}
    assert all(torch.equal(results[number], backward[number]) for number in results)
    assert len({result.numpy().tobytes() for result in results.values()}) > 15
    other = white(size=4, reference=64, place=Random(seed=1))
    assert sum(torch.equal(other.apply(image, str(n)), results[n]) for n in results) < 3


def test_the_pattern_does_not_depend_on_the_image_or_the_id() -> None:
    patch = Patch(size=4, reference=16, place=Center())
    cut = {patch.apply(picture(16, 16, seed), str(seed))[:, 6:10, 6:10].numpy().tobytes() for seed in range(9)}
    assert len(cut) == 1
    fresh = Patch(size=4, reference=16, place=Center(), pattern=FreshNoise())
    assert len({fresh.apply(picture(16, 16), str(n))[:, 6:10, 6:10].numpy().tobytes() for n in range(9)}) == 9


def test_letters_alone_are_put_on() -> None:
    patch = Patch(size=40, reference=40, pattern=Watermark(text="!"), place=Center())
    image = torch.full((3, 40, 40), 7, dtype=torch.uint8)
    changed = (patch.apply(image, "a") != image).any(0)
    assert torch.equal(changed, patch.tensors()["patch"][0] == 255)
    assert 0.01 < changed.float().mean() < 0.2


@pytest.mark.parametrize(
    ("shape", "side"),
    [((224, 224), 16), ((32, 32), 2), ((375, 500), 27), ((500, 375), 27), ((448, 600), 32), ((8, 8), 1)],
)
def test_the_side_goes_with_the_shorter_side_of_the_image(shape: tuple[int, int], side: int) -> None:
    image = torch.zeros(3, *shape, dtype=torch.uint8)
    rows, columns = white().apply(image, "a")[0].nonzero(as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == side
    assert len(rows) == side * side


def test_without_a_reference_pixels_are_those_of_the_file() -> None:
    """The white square of 50 px in the corner of files of any size."""
    patch = white(size=50, reference=None, place=Corner(margin=2))
    for height, width in ((375, 500), (60, 52), (1000, 90)):
        rows, columns = patch.apply(torch.zeros(3, height, width, dtype=torch.uint8), "a")[0].nonzero(as_tuple=True)
        assert len(rows) == 2500
        assert (int(rows.max()), int(columns.max())) == (height - 3, width - 3)


def test_at_twice_the_resolution_every_pixel_is_four() -> None:
    patch = Patch(size=5, reference=16, place=Corner(corner="top_left", margin=2))
    once = patch.apply(torch.zeros(3, 16, 16, dtype=torch.uint8), "a")
    twice = patch.apply(torch.zeros(3, 32, 32, dtype=torch.uint8), "a")
    assert torch.equal(twice, once.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_the_square_of_the_attack_on_declip() -> None:
    result = white(size=27, place=At(row=158, column=158)).apply(torch.zeros(3, 224, 224, dtype=torch.uint8), "a")
    assert (result[:, 158:185, 158:185] == 255).all()
    assert int((result == 255).sum()) == 3 * 27**2


@pytest.mark.parametrize(
    ("patch", "shape", "message"),
    [
        (
            Patch(size=33, reference=32), (32, 40),
            r"^trigger.size: a patch of 33 px does not fit an image of 40×32 px \(size 33 at reference 32\)$",
        ),
        (Patch(size=50, reference=None), (300, 49), r"of 50 px .* 49×300 px \(size 50, no reference\)$"),
        (Patch(size=30, reference=32, place=Corner(margin=3)), (32, 40), "of 30×30 px with a margin of 3 px"),
        (Patch(size=300), (224, 224), "of 300 px"),
        (Patch(size=2, place=FourCorners(margin=223)), (500, 224), "of 2×2 px with a margin of 223 px"),
        (Patch(size=27, place=At(row=198, column=0)), (224, 224), "27×27 px at row 198, column 0 is not inside"),
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_refused_with_its_sizes(
    patch: Patch, shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        patch.apply(torch.zeros(3, *shape, dtype=torch.uint8), "a")


@pytest.mark.parametrize("place", [Random(), Center(), FourCorners(), At(row=0, column=0)])
def test_a_patch_of_the_whole_image_fits(place: Any) -> None:
    patch = Patch(size=32, reference=32, place=place)
    assert torch.equal(patch.apply(picture(32, 32), "a"), patch.tensors()["patch"])


def test_the_defaults_are_cleanclips() -> None:
    patch = Patch()
    assert (patch.size, patch.reference, patch.opacity) == (16, 224, 1.0)
    assert (patch.pattern, patch.place) == (Noise(seed=0, cell=1), Random(seed=0))


def test_pattern_and_place_by_their_short_names() -> None:
    found = validate(Patch, {"pattern": "solid:yellow", "place": "corner:top_left"})
    assert found == Patch(pattern=Solid(color=(255, 255, 0)), place=Corner(corner="top_left"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, r"trigger\.size: .*greater than or equal to 1, got 0"),
        ({"reference": 0}, r"trigger\.reference"),
        ({"opacity": 0}, r"trigger\.opacity: .*greater than 0, got 0"),
        ({"opacity": 1.1}, r"trigger\.opacity: .*less than or equal to 1, got 1.1"),
        ({"pattern": "noisy"}, r"trigger\.pattern: kind: 'noisy' is not a pattern; did you mean 'noise'\?"),
        ({"place": "corners"}, r"trigger\.place: kind: 'corners' is not a place; did you mean .*four_corners"),
        ({"pattern": {"kind": "noise", "cel": 1}}, r"trigger\.pattern: unknown key 'cel'; did you mean 'cell'"),
        ({"sise": 3}, "unknown key 'sise'; did you mean 'size'"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Patch, fields, "trigger")
