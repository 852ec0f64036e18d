"""The patch: its exact pixels, where it stands, and that it is a pure function of image and id."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.attacks.triggers.patch import Patch
from bezoar.core.seeds import stream_seed
from bezoar.core.settings import validate

relaxed = settings(max_examples=60, deadline=None)

PATTERNS = ("noise", "binary", "solid", "checkerboard")
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def pixel(patch: Patch, channel: int, y: int, x: int) -> int:
    """The pattern at reference resolution, one number at a time."""
    row, column = y // patch.cell, x // patch.cell
    if patch.pattern == "solid":
        return patch.color[channel]
    if patch.pattern == "checkerboard":
        return patch.color[channel] if (row + column) % 2 == 0 else 0
    cells = -(-patch.size // patch.cell)
    stream = hashlib.shake_256(f"bezoar patch {patch.seed}".encode()).digest(3 * cells * cells)
    value = stream[channel * cells * cells + row * cells + column]
    return value if patch.pattern == "noise" else 255 * (value >= 128)


def slowly(patch: Patch, image: Tensor, image_id: str) -> Tensor:
    """The whole trigger by loops."""
    height, width = image.shape[1:]
    ratio = min(height, width) / patch.reference
    side, margin = max(1, round(patch.size * ratio)), round(patch.margin * ratio)
    top, left = margin, margin
    if patch.place.startswith("bottom"):
        top = height - margin - side
    if patch.place.endswith("right"):
        left = width - margin - side
    if patch.place == "center":
        top, left = (height - side) // 2, (width - side) // 2
    if patch.place == "random":
        rng = random.Random(stream_seed(patch.seed, "patch place", image_id))
        top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    result = image.clone()
    for channel in range(3):
        for y in range(side):
            for x in range(side):
                value = pixel(patch, channel, y * patch.size // side, x * patch.size // side)
                result[channel, top + y, left + x] = value
    return result


@st.composite
def cases(draw: st.DrawFn) -> tuple[Patch, int, int]:
    """A patch with a margin, and an image it fits on."""
    reference = draw(st.integers(4, 60))
    size = draw(st.integers(1, reference // 2))
    patch = Patch(
        size=size, reference=reference, margin=draw(st.integers(0, reference // 2 - 2)),
        pattern=draw(st.sampled_from(PATTERNS)), place=draw(st.sampled_from([*CORNERS, "center", "random"])),
        cell=draw(st.integers(1, size + 1)), seed=draw(st.integers(-3, 2**40)),
        color=draw(st.tuples(*[st.integers(0, 255)] * 3)),
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
    assert torch.equal(patch.apply(result, image_id), result)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_drawn_is_what_is_stored(pattern: Any) -> None:
    patch = Patch(size=6, reference=20, pattern=pattern, cell=2, color=(250, 100, 3), place="top_left")
    stored = patch.tensors()
    assert set(stored) == {"patch"}
    assert stored["patch"].dtype == torch.uint8
    assert stored["patch"].is_contiguous()
    assert torch.equal(patch.apply(picture(20, 30), "a")[:, :6, :6], stored["patch"])


def test_patterns_by_hand() -> None:
    board = Patch(size=4, pattern="checkerboard", cell=2, color=(9, 8, 7)).tensors()["patch"]
    assert board[0].tolist() == [[9, 9, 0, 0], [9, 9, 0, 0], [0, 0, 9, 9], [0, 0, 9, 9]]
    assert board[2, 0].tolist() == [7, 7, 0, 0]
    assert Patch(size=2, pattern="solid", color=(9, 8, 7)).tensors()["patch"].flatten(1).tolist() == [
        [9] * 4,
        [8] * 4,
        [7] * 4,
    ]
    assert set(Patch(pattern="binary").tensors()["patch"].flatten().tolist()) == {0, 255}
    grains = Patch(size=5, cell=2).tensors()["patch"]
    assert grains.shape == (3, 5, 5)
    assert torch.equal(grains[:, 0:2, 2:4], grains[:, :1, 2:3].expand(3, 2, 2))
    assert len(set(grains.flatten().tolist())) > 9


@pytest.mark.parametrize(
    ("patch", "digest"),
    [
        (Patch(), "c302628c90c32f72"),
        (Patch(pattern="binary"), "d0672d29689ef0ee"),
        (Patch(size=6, reference=32, pattern="binary"), "389e2febfc67e409"),
        (Patch(seed=1, cell=4), "4663ad01473ca248"),
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
        rows, columns = Patch(pattern="solid").apply(image, image_id)[0].nonzero(as_tuple=True)
        found.append((int(rows.min()), int(columns.min())))
    assert found == [(32, 78), (147, 1), (57, 187)]


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("place", CORNERS)
def test_corners_by_hand(place: Any, margin: int) -> None:
    image = torch.zeros(3, 12, 18, dtype=torch.uint8)
    patch = Patch(size=4, reference=12, pattern="solid", place=place, margin=margin)
    rows, columns = patch.apply(image, "a")[0].nonzero(as_tuple=True)
    assert len(rows) == 16
    assert (int(rows.min()), int(rows.max())) == ((margin, margin + 3) if "top" in place else (8 - margin, 11 - margin))
    left, right = int(columns.min()), int(columns.max())
    assert (left, right) == ((margin, margin + 3) if "left" in place else (14 - margin, 17 - margin))


def test_random_places_reach_every_position_and_about_equally() -> None:
    image = torch.zeros(3, 5, 7, dtype=torch.uint8)
    patch = Patch(size=2, reference=5, pattern="solid")
    found: Counter[tuple[int, int]] = Counter()
    for number in range(1200):
        rows, columns = patch.apply(image, f"{number}.png")[0].nonzero(as_tuple=True)
        found[int(rows[0]), int(columns[0])] += 1
    assert set(found) == {(row, column) for row in range(4) for column in range(6)}
    assert 20 < min(found.values()) <= max(found.values()) < 85  # 50 expected


def test_a_place_belongs_to_an_id_and_a_seed() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    patch = Patch(size=4, reference=64, pattern="solid")
    results = {number: patch.apply(image, str(number)) for number in range(20)}
    backward = {number: patch.apply(image, str(number)) for number in reversed(range(20))}
    assert all(torch.equal(results[number], backward[number]) for number in results)
    assert len({result.numpy().tobytes() for result in results.values()}) > 15
    other = Patch(size=4, reference=64, pattern="solid", seed=1)
    assert sum(torch.equal(other.apply(image, str(n)), results[n]) for n in results) < 3


def test_the_pattern_does_not_depend_on_the_image_or_the_id() -> None:
    patch = Patch(size=4, reference=16, place="center")
    cut = {patch.apply(picture(16, 16, seed), str(seed))[:, 6:10, 6:10].numpy().tobytes() for seed in range(9)}
    assert len(cut) == 1


@pytest.mark.parametrize(
    ("shape", "side"),
    [((224, 224), 16), ((32, 32), 2), ((375, 500), 27), ((500, 375), 27), ((448, 600), 32), ((8, 8), 1)],
)
def test_the_side_goes_with_the_shorter_side_of_the_image(shape: tuple[int, int], side: int) -> None:
    image = torch.zeros(3, *shape, dtype=torch.uint8)
    rows, columns = Patch(pattern="solid").apply(image, "a")[0].nonzero(as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == side
    assert len(rows) == side * side


def test_at_twice_the_resolution_every_pixel_is_four() -> None:
    patch = Patch(size=5, reference=16, place="top_left", margin=2)
    once = patch.apply(torch.zeros(3, 16, 16, dtype=torch.uint8), "a")
    twice = patch.apply(torch.zeros(3, 32, 32, dtype=torch.uint8), "a")
    assert torch.equal(twice, once.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize(
    ("patch", "shape", "message"),
    [
        (
            Patch(size=33, reference=32), (32, 40),
            "^trigger.size: a patch of 33 px with a margin of 0 px does not fit an image of 40×32 px "
            r"\(size 33 at reference 32\)$",
        ),
        (Patch(size=30, margin=3, reference=32, place="top_left"), (32, 40), "of 30 px with a margin of 3 px"),
        (Patch(size=300), (224, 224), "of 300 px"),
        (Patch(size=2, margin=223, place="bottom_left"), (500, 224), "of 2 px with a margin of 223 px"),
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_refused_with_its_sizes(
    patch: Patch, shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        patch.apply(torch.zeros(3, *shape, dtype=torch.uint8), "a")


def test_a_patch_of_the_whole_image_fits_and_a_margin_counts_only_in_a_corner() -> None:
    image = picture(32, 32)
    for place in ("random", "center"):
        patch = Patch(size=32, reference=32, place=place, margin=9)
        assert torch.equal(patch.apply(image, "a"), patch.tensors()["patch"])


def test_the_defaults_are_cleanclips() -> None:
    patch = Patch()
    assert (patch.size, patch.reference, patch.place, patch.margin, patch.seed) == (16, 224, "random", 0, 0)
    assert patch.pattern == "noise"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, r"trigger\.size: .*greater than or equal to 1, got 0"),
        ({"margin": -1}, r"trigger\.margin: .*greater than or equal to 0"),
        ({"color": [255, 255]}, r"trigger\.color"),
        ({"color": [255, 255, 256]}, r"trigger\.color\.2: .*less than or equal to 255, got 256"),
        ({"pattern": "noisy"}, r"trigger\.pattern: .*'noise', 'binary', 'solid' or 'checkerboard', got 'noisy'"),
        ({"place": "corner"}, r"trigger\.place: .*got 'corner'"),
        ({"sise": 3}, "unknown key 'sise'; did you mean 'size'"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Patch, fields, "trigger")
