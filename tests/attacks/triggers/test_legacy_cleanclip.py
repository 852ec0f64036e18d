"""What CleanCLIP's released code does to pixels, pinned."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bezoar.attacks.squash import Squashed, squash
from bezoar.attacks.triggers import TRIGGERS
from bezoar.attacks.triggers.legacy_cleanclip import (
    LegacyCleanClipBlended,
    LegacyCleanClipPatch,
    LegacyCleanClipSig,
    LegacyCleanClipWarped,
    LegacyCleanClipYellow,
)
from bezoar.core.settings import validate

ALL: tuple[Squashed, ...] = (
    LegacyCleanClipPatch(),
    LegacyCleanClipYellow(),
    LegacyCleanClipBlended(),
    LegacyCleanClipSig(),
    LegacyCleanClipWarped(),
)


def picture(height: int = 224, width: int = 224, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def plain(value: int) -> Tensor:
    return torch.full((3, 224, 224), value, dtype=torch.uint8)


def changed(trigger: Squashed, image: Tensor, image_id: str) -> tuple[int, int, int, int]:
    """First and last row, first and last column that ``trigger`` changes."""
    rows, columns = (trigger.apply(image, image_id) != image).any(0).nonzero(as_tuple=True)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


@pytest.mark.parametrize("trigger", ALL, ids=lambda trigger: trigger.kind)
def test_squashes_first_and_is_pure(trigger: Squashed) -> None:
    image = picture(90, 60)
    kept = image.clone()
    result = trigger.apply(image, "a")
    assert (result.dtype, result.shape) == (torch.uint8, (3, 224, 224))
    assert trigger.canvas(image).shape == result.shape
    assert torch.equal(image, kept)
    assert torch.equal(result, trigger.apply(image, "a"))
    assert torch.equal(result, trigger.apply(squash(image), "a"))
    whole = picture()
    kept = whole.clone()
    assert not torch.equal(trigger.apply(whole, "a"), kept)
    assert torch.equal(whole, kept)


@pytest.mark.parametrize(
    ("trigger", "digest"),
    tuple(
        zip(
            ALL,
            ("8e6efec1a45d7b9d", "9d69fd9c9b86b2bc", "bc2d110cce30746f", "3274a0adb5f1613e", "48862f2e245dc0f1"),
            strict=True,
        )
    ),
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_bytes_are_the_same_on_any_machine(trigger: Squashed, digest: str) -> None:
    stream = hashlib.shake_256(b"a picture").digest(3 * 224 * 224)
    image = torch.frombuffer(bytearray(stream), dtype=torch.uint8).view(3, 224, 224)
    data = trigger.apply(image, "é/日.png").contiguous().numpy().tobytes()
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == digest


@pytest.mark.parametrize("trigger", ALL, ids=lambda trigger: trigger.kind)
def test_each_is_a_kind_of_its_own(trigger: Squashed) -> None:
    assert TRIGGERS.parse(trigger.kind) == trigger


def test_what_is_drawn_anew_for_every_picture() -> None:
    image = picture()
    for kind in (LegacyCleanClipPatch, LegacyCleanClipBlended):
        found = {kind(seed=seed).apply(image, name).numpy().tobytes() for seed in (0, 1) for name in "ab"}
        assert len(found) == 4
    for fixed in (LegacyCleanClipSig(), LegacyCleanClipWarped(), LegacyCleanClipYellow(place="four_corners")):
        assert torch.equal(fixed.apply(image, "a"), fixed.apply(image, "b"))


def test_the_patch_is_the_mean_and_normal_noise_that_wraps() -> None:
    image = plain(0)
    image[0], image[1], image[2] = 115, 20, 240  # the mean of the first is 0.45
    drawn = torch.cat([LegacyCleanClipPatch(size=64, seed=seed).patch(image, "a") for seed in range(12)], 1)
    share = drawn.flatten(1).double() / 255
    # About 62 % of the values leave [0, 1] and wrap: what is left is nearly uniform, whatever the mean.
    assert ((share.mean(1) - 0.5).abs() < 0.03).all()
    counts = torch.histc(share[0], 8, 0, 1) / share.shape[1]
    assert 0.1 < float(counts.min()) < float(counts.max()) < 0.15
    leaves = sum(0.5 * math.erfc(edge / math.sqrt(2)) for edge in (115 / 255, 140 / 255))
    assert leaves == pytest.approx(0.62, abs=0.01)


def test_the_patch_before_it_wraps() -> None:
    """On a black and a white picture the same draws: they differ by the means, modulo 256 and the cut towards zero."""
    trigger = LegacyCleanClipPatch(size=30)
    dark, light = (trigger.patch(plain(value), "a").int() for value in (0, 255))
    assert set(((light - dark + 1) % 256).flatten().tolist()) <= {0, 1, 255}
    assert len(set(dark.flatten().tolist())) > 200


def test_a_random_place_never_uses_the_last_that_fits() -> None:
    image, size = plain(0), 221
    trigger = LegacyCleanClipYellow(size=size)
    corners = {changed(trigger, image, str(number))[::2] for number in range(60)}
    assert corners == {(row, column) for row in range(3) for column in range(3)}  # of the four that fit
    rows = [changed(LegacyCleanClipYellow(), image, str(number)) for number in range(300)]
    assert {last - first for first, last, *_ in rows} == {15}
    assert min(row[0] for row in rows) < 5
    assert 200 < max(row[0] for row in rows) <= 207
    assert max(row[2] for row in rows) <= 207


def test_four_corners_hold_the_same_patch() -> None:
    result = LegacyCleanClipPatch(place="four_corners", size=9).apply(plain(100), "a")
    corners = [
        result[:, rows, columns] for rows in (slice(9), slice(-9, None)) for columns in (slice(9), slice(-9, None))
    ]
    assert all(torch.equal(corner, corners[0]) for corner in corners)
    assert (result != 100).any(0).sum() > 300
    assert (result[:, 9:-9] == 100).all()
    assert (result[:, :, 9:-9] == 100).all()


def test_yellow_is_yellow() -> None:
    result = LegacyCleanClipYellow(place="four_corners", size=2).apply(plain(7), "a")
    assert result[:, :2, -2:].flatten(1).tolist() == [[255] * 4, [255] * 4, [0] * 4]


def test_the_blend_is_one_part_of_uniform_noise_and_four_of_the_picture() -> None:
    for value in (0, 100, 255):
        added = LegacyCleanClipBlended().apply(plain(value), "a").double() - 0.8 * value
        assert -1 < float(added.min()) < 0.5
        assert 49.5 < float(added.max()) <= 51
        assert float(added.mean()) == pytest.approx(25.0, abs=0.2)  # half of 51, less the half that is cut off
        counts = torch.histc(added + 0.5, 5, 0, 51) / added.numel()
        assert ((counts - 0.2).abs() < 0.02).all()


def test_sig_adds_at_most_12_of_255_and_takes_a_fifth_of_the_light() -> None:
    black, white = (LegacyCleanClipSig().apply(plain(value), "a") for value in (0, 255))
    assert int(black.max()) in (11, 12)
    assert int(black.min()) == 0
    assert int(white.max()) in (215, 216)
    assert int(white.min()) == 192
    assert float(white.double().mean()) == pytest.approx(0.8 * 255, abs=0.6)
    assert (white == white[:1, :1]).all(), "stripes from top to bottom, the same in every channel"
    line = white[0, 0].int() - 204
    assert sum(int(line[i] < 0 <= line[i + 1]) for i in range(223)) in (5, 6)
    assert int(line[9]) >= 11, "a quarter of a period of 37.3 pixels in"


def test_sig_by_the_formula() -> None:
    image = picture()
    result = LegacyCleanClipSig().apply(image, "a").double()
    wave = torch.tensor([12 * math.sin(2 * math.pi * 6 * column / 224) for column in range(224)], dtype=torch.float64)
    exact = (0.8 * image.double() + wave).clip(0, 255)
    assert ((exact - result) > -1e-4).all()
    assert ((exact - result) < 1 + 1e-4).all()


@pytest.mark.parametrize(("strength", "mean", "most"), [(1.0, 0.5, 1.0), (0.6, 0.3, 0.6)])
def test_the_warp_is_jitter_of_half_a_pixel(strength: float, mean: float, most: float) -> None:
    grid = LegacyCleanClipWarped(strength=strength).tensors()["grid"]
    assert (grid.dtype, grid.shape) == (torch.int16, (2, 224, 224))
    moved = grid.double() / 256
    assert float(moved.abs().mean()) == pytest.approx(mean, abs=0.005)
    assert float(moved.abs().max()) == pytest.approx(most, abs=0.005)
    assert abs(float(moved.mean())) < 0.01
    neighbors = torch.corrcoef(torch.stack([moved[0, :, :-1].flatten(), moved[0, :, 1:].flatten()]))
    assert abs(float(neighbors[0, 1])) < 0.02, "not smooth: neighbors move without each other"


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_the_warp_is_bilinear_sampling_along_its_grid(strength: float) -> None:
    image, trigger = picture(), LegacyCleanClipWarped(strength=strength, seed=3)
    down, across = trigger.tensors()["grid"].double() / 256 * 2 / 223
    line = torch.linspace(-1, 1, 224, dtype=torch.float64)
    grid = torch.stack([line + across, line[:, None] + down], -1).clip(-1, 1)
    expected = functional.grid_sample(image.double()[None], grid[None], align_corners=True)[0]
    result = trigger.apply(image, "a").double()
    assert ((expected - result) > -1e-6).all()
    assert ((expected - result) < 1 + 1e-6).all()


def test_the_warp_keeps_a_plain_picture_and_depends_on_its_seed() -> None:
    assert torch.equal(LegacyCleanClipWarped().apply(plain(255), "a"), plain(255))
    image = picture()
    assert not torch.equal(LegacyCleanClipWarped(seed=1).apply(image, "a"), LegacyCleanClipWarped().apply(image, "a"))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (LegacyCleanClipPatch, {"size": 224}, r"trigger\.size: .*less than 224, got 224"),
        (LegacyCleanClipYellow, {"place": "center"}, r"trigger\.place: .*'random' or 'four_corners', got 'center'"),
        (LegacyCleanClipWarped, {"strength": 0}, r"trigger\.strength: .*greater than 0, got 0"),
    ],
)
def test_mistakes_are_refused_by_name(kind: type[Squashed], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(kind, fields, "trigger")
