"""WaNet: against the same warp in floating point by torch, and the integers that make its bytes agree anywhere."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import bezoar.attacks.triggers.warp as warp_module
from bezoar.attacks.triggers.warp import Warp, _map
from bezoar.core.seeds import numpy_generator
from bezoar.core.settings import validate

relaxed = settings(max_examples=40, deadline=None)

warps = st.builds(
    Warp, k=st.integers(2, 9), s=st.floats(0.1, 5), grid_rescale=st.floats(0.9, 1.1), reference=st.integers(2, 40),
    seed=st.integers(0, 2**40),
)  # fmt: skip


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def axes(height: int, width: int) -> Tensor:
    """``[height, width, 2]``: x and y of every pixel, in -1 to 1; 0 in the only row or column."""
    lines = [torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1) for n in (height, width)]
    y, x = torch.meshgrid(lines[0].double(), lines[1].double(), indexing="ij")
    return torch.stack([x, y], 2)


def floating(warp: Warp) -> Tensor:
    """The field as released code makes it: how far from its place each pixel is read, ``[2, rows, columns]``."""
    control = torch.from_numpy(numpy_generator(warp.seed, "warp").random((2, warp.k, warp.k)) * 2 - 1)
    noise = F.interpolate((control / control.abs().mean())[None], warp.reference, mode="bicubic", align_corners=True)
    identity = axes(warp.reference, warp.reference)
    grid = (identity + warp.s * noise[0].permute(1, 2, 0) / warp.reference) * warp.grid_rescale
    return (grid.clamp(-1, 1) - identity).permute(2, 0, 1)


def slowly(warp: Warp, image: Tensor) -> Tensor:
    """float64 ``[3, height, width]``."""
    shape = tuple(image.shape[1:])
    beside = F.interpolate(floating(warp)[None], shape, mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
    places = (axes(*shape) + beside).clamp(-1, 1)
    return F.grid_sample(image.double()[None], places[None], align_corners=True)[0]


@relaxed
@given(warp=warps)
def test_the_field_is_that_of_released_code(warp: Warp) -> None:
    stored = warp.tensors()["warp"]
    assert stored.dtype == torch.int32
    assert stored.shape == (2, warp.reference, warp.reference)
    in_pixels = floating(warp) * (warp.reference - 1) / 2
    assert (stored.double() / 65536 - in_pixels).abs().max() < 1e-4


@relaxed
@given(warp=warps, height=st.integers(2, 40), width=st.integers(2, 40))
def test_an_image_is_within_a_gray_level_of_floating_point_and_pure(warp: Warp, height: int, width: int) -> None:
    image = picture(height, width)
    kept = image.clone()
    result = warp.apply(image, "a")
    assert result.dtype == torch.uint8
    assert result.shape == image.shape
    assert (result.double() - slowly(warp, image)).abs().max() < 1
    assert torch.equal(image, kept)
    assert torch.equal(warp.apply(image, "b"), result)


def test_the_released_settings_of_cleanclip() -> None:
    warp, image = Warp(k=224, s=1.0), picture(224, 224)
    assert (warp.apply(image, "a").double() - slowly(warp, image)).abs().max() < 0.8
    field = warp.tensors()["warp"].double().abs() / 65536
    assert 0.49 < field.mean() < 0.5  # as measured of the released code: .50 px, at most 1.0
    assert 0.9 < field.max() <= 1.0


def test_the_default_is_smooth() -> None:
    field = Warp().tensors()["warp"][:, 2:-2, 2:-2].double() / 65536  # at the border it is cut off
    assert 0.1 < field.abs().mean() < 0.3
    assert field.diff(dim=1).abs().max() < 0.02
    assert Warp(k=224).tensors()["warp"].double().diff(dim=1).abs().mean() > 0.2 * 65536


@relaxed
@given(warp=warps, height=st.integers(1, 12), width=st.integers(1, 12))
def test_every_pixel_is_a_mixture_of_four_inside_the_image(warp: Warp, height: int, width: int) -> None:
    grid = _map(warp, height, width)
    assert torch.stack(grid.weights).min() >= 0
    assert (torch.stack(grid.weights).sum(0) == 8192).all()
    assert torch.stack(grid.places).min() >= 0
    assert torch.stack(grid.places).max() < height * width


def test_bright_and_dark_channels_do_not_run_into_each_other() -> None:
    for color in ((255, 255, 255), (255, 0, 255), (0, 255, 0), (0, 0, 0), (255, 254, 1)):
        image = torch.tensor(color, dtype=torch.uint8).view(3, 1, 1).repeat(1, 30, 40)
        assert torch.equal(Warp(s=9.0).apply(image, "a"), image)


def test_large_images_are_not_kept_and_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    image, kept = picture(20, 30), warp_module._kept_map.cache_info()
    monkeypatch.setattr(warp_module, "_KEPT_AREA", 599)
    large = Warp(s=7.0).apply(image, "a")
    assert warp_module._kept_map.cache_info() == kept
    monkeypatch.undo()
    assert torch.equal(Warp(s=7.0).apply(image, "a"), large)
    assert warp_module._kept_map.cache_info() != kept


def test_channels_last_in_memory_are_read_alike() -> None:
    image = picture(20, 30)
    assert torch.equal(
        Warp(s=9.0).apply(image.permute(1, 2, 0).contiguous().permute(2, 0, 1), "a"), Warp(s=9.0).apply(image, "a")
    )


def test_a_wide_image_is_warped_as_if_it_were_squashed() -> None:
    warp = Warp(s=4.0, reference=32)
    ramp = torch.arange(64).mul(4).to(torch.uint8).expand(3, 32, 64)
    square = warp.tensors()["warp"][0].double() / 65536
    moved = (warp.apply(ramp, "a")[0].double() - ramp[0]) / 4
    assert (moved[:, [0, 63]] - square[:, [0, 31]] * 63 / 31).abs().max() < 0.2


@pytest.mark.parametrize(
    ("warp", "digest"),
    [
        (Warp(), "8dbd158d5c3f0326"),
        (Warp(k=224, s=1.0), "4fd982b3748f6878"),
        (Warp(seed=3, k=7, grid_rescale=0.98), "c48c437c906da4df"),
    ],
)
def test_the_bytes_are_the_same_on_any_machine(warp: Warp, digest: str) -> None:
    """A plan made elsewhere must draw these."""
    assert hashlib.blake2b(warp.tensors()["warp"].numpy().tobytes(), digest_size=8).hexdigest() == digest


def test_seeds_draw_others() -> None:
    image = picture(30, 30)
    assert not torch.equal(Warp(s=5.0).apply(image, "a"), Warp(s=5.0, seed=1).apply(image, "a"))


def test_the_defaults_are_wanets() -> None:
    assert (Warp().k, Warp().s, Warp().grid_rescale, Warp().reference) == (4, 0.5, 1.0, 224)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": 1}, r"trigger\.k: .*greater than or equal to 2, got 1"),
        ({"s": 0}, r"trigger\.s: .*greater than 0, got 0"),
        ({"grid_rescale": 0}, r"trigger\.grid_rescale: .*greater than 0"),
        ({"reference": 1}, r"trigger\.reference: .*greater than or equal to 2, got 1"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Warp, fields, "trigger")
