"""A picture of the user's own: scaled, pinned by its pixels, and drawn from a plan when its file is gone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import bezoar.attacks.patterns.picture as store
from bezoar.attacks.patterns import PATTERNS, Picture
from bezoar.attacks.patterns.picture import remember
from bezoar.attacks.triggers import Blended, Patch
from bezoar.core.settings import validate


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process were another."""
    monkeypatch.setattr(store, "_KNOWN", {})
    store._first.cache_clear()


def paint(path: Path, height: int = 6, width: int = 9, seed: int = 0) -> Tensor:
    """Write random pixels as PNG; returns them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def test_at_its_own_size_it_is_itself(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "logo.png")
    pattern = Picture(path=str(tmp_path / "logo.png"))
    assert torch.equal(pattern.draw((6, 9), (100, 100), "a"), pixels)
    assert pattern.cover((6, 9), (6, 9)) is None
    assert torch.equal(pattern.tensors()["picture"], pixels)


def test_it_is_scaled_straight_to_the_area_and_antialiased(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "logo.png", 40, 40)
    small = Picture(path=str(tmp_path / "logo.png")).draw((10, 10), (224, 224), "a")
    expected = torch.nn.functional.interpolate(
        pixels[None].float(), size=(10, 10), mode="bilinear", antialias=True, align_corners=False
    )[0]
    assert (small.float() - expected).abs().max() <= 1
    wide = Picture(path=str(tmp_path / "logo.png")).draw((10, 30), (10, 30), "a")
    assert wide.shape == (3, 10, 30)


def test_pinning_names_the_pixels_whatever_the_file_is_called(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "logo.png")
    Image.open(tmp_path / "logo.png").save(tmp_path / "copy.bmp")
    pinned = Picture(path=str(tmp_path / "logo.png")).pinned()
    data = pixels.contiguous().numpy().tobytes()
    assert pinned.sha256 == hashlib.sha256(b"6 9 " + data).hexdigest() == remember(pixels)
    assert Picture(path=str(tmp_path / "copy.bmp")).pinned().sha256 == pinned.sha256
    assert pinned.pinned() is pinned
    assert remember(pixels.reshape(3, 9, 6)) != pinned.sha256


@pytest.mark.parametrize("kind", [Patch, Blended])
def test_a_trigger_pins_and_stores_it(kind: type[Patch | Blended], tmp_path: Path) -> None:
    pixels = paint(tmp_path / "logo.png")
    trigger = kind(pattern=Picture(path=str(tmp_path / "logo.png"))).pinned()
    assert isinstance(trigger.pattern, Picture)
    assert trigger.pattern.sha256
    assert torch.equal(trigger.tensors()["picture"], pixels)


def test_what_is_remembered_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "logo.png")
    trigger = Blended(pattern=Picture(path=str(tmp_path / "logo.png"))).pinned()
    image = torch.full((3, 20, 30), 100, dtype=torch.uint8)
    expected, stored = trigger.apply(image, "a"), trigger.tensors()
    (tmp_path / "logo.png").unlink()
    forget(monkeypatch)
    remember(stored["picture"])
    assert torch.equal(trigger.tensors()["blend"], stored["blend"])
    assert torch.equal(trigger.apply(image, "a"), expected)


def test_another_picture_at_its_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "logo.png")
    pinned = Picture(path=str(tmp_path / "logo.png")).pinned()
    forget(monkeypatch)
    paint(tmp_path / "logo.png", seed=1)
    with pytest.raises(
        ValueError, match=r"^pattern\.path: '.*logo.png' is not the picture it was: .* [0-9a-f]{64}, the"
    ):
        pinned.draw((4, 4), (4, 4), "a")
    forget(monkeypatch)
    paint(tmp_path / "logo.png")
    assert pinned.draw((4, 4), (4, 4), "a").shape == (3, 4, 4)


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(ValueError, match=r"^pattern\.path: cannot read picture '.*none.png': No such file"):
        Picture(path=str(tmp_path / "none.png"), sha256=sha256).draw((4, 4), (4, 4), "a")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"^pattern\.path: cannot read picture '.*text.png': "):
        Picture(path=str(tmp_path / "text.png"), sha256=sha256).tensors()
    with pytest.raises(ValueError, match=r"^pattern\.path: cannot read picture"):
        Patch(pattern=Picture(path=str(tmp_path))).pinned().tensors()


def test_a_word_after_the_kind_is_the_path() -> None:
    assert PATTERNS.parse("picture:my/logo.png") == Picture(path="my/logo.png")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"pattern\.path: "),
        ({"path": ""}, r"pattern\.path: "),
        ({"path": "x", "sha256": "abc"}, r"pattern\.sha256: "),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Picture, fields, "pattern")
