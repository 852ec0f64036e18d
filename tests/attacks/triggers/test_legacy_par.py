"""What PAR's released code does to pixels, pinned."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor

from bezoar.attacks.squash import Squashed
from bezoar.attacks.triggers import TRIGGERS
from bezoar.attacks.triggers.legacy_par import LegacyParBlended, LegacyParPatch
from bezoar.core.settings import validate


def plain(value: int) -> Tensor:
    return torch.full((3, 224, 224), value, dtype=torch.uint8)


def test_the_patch_is_of_columns_of_255_and_of_one() -> None:
    patch = LegacyParPatch().patch(plain(9), "a")
    assert patch.shape == (3, 16, 16)
    assert set(patch.flatten().tolist()) == {1, 255}
    assert (patch == patch[:, :1]).all()
    assert not torch.equal(patch[0], patch[1])
    assert not torch.equal(patch, LegacyParPatch().patch(plain(9), "b"))
    assert not torch.equal(patch, LegacyParPatch(seed=1).patch(plain(9), "a"))


def test_the_patch_is_put_on_the_squashed_picture() -> None:
    result = LegacyParPatch(size=32).apply(torch.full((3, 50, 90), 9, dtype=torch.uint8), "a")
    rows, columns = (result != 9).all(0).nonzero(as_tuple=True)
    assert len(rows) == 32 * 32
    assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == 31


@pytest.mark.parametrize(("opacity", "dark", "light"), [(0.05, (0, 12), (229, 255)), (0.03, (0, 7), (239, 255))])
def test_the_blend_is_clipped(opacity: float, dark: tuple[int, int], light: tuple[int, int]) -> None:
    trigger = LegacyParBlended(opacity=opacity)
    black, white = trigger.apply(plain(0), "a"), trigger.apply(plain(255), "a")
    assert set(black.flatten().tolist()) == set(dark)
    assert set(white.flatten().tolist()) <= {light[0], light[0] + 1, light[1], light[1] - 1}
    assert torch.equal(black > 0, white > 248), "the same stripes on both"
    assert (black == black[:, :1]).all()
    assert 0.4 < float((black > 0).double().mean()) < 0.6
    assert not torch.equal(black, trigger.apply(plain(0), "b"))


def test_stripes_of_any_width() -> None:
    black = LegacyParBlended(width=14).apply(plain(0), "a")[0, 0].view(16, 14)
    assert (black == black[:, :1]).all()
    assert LegacyParBlended(width=100).apply(plain(0), "a").shape == (3, 224, 224)


def test_the_default_is_the_codes_not_the_papers() -> None:
    assert LegacyParBlended().opacity == 0.05
    assert (LegacyParPatch().size, LegacyParPatch().place) == (16, "random")


@pytest.mark.parametrize(
    ("trigger", "digest"), [(LegacyParPatch(), "b3227ff7286b5e19"), (LegacyParBlended(), "7d2b3ad5dccf9bd6")]
)
def test_the_bytes_are_the_same_on_any_machine(trigger: Squashed, digest: str) -> None:
    stream = hashlib.shake_256(b"a picture").digest(3 * 224 * 224)
    image = torch.frombuffer(bytearray(stream), dtype=torch.uint8).view(3, 224, 224)
    data = trigger.apply(image, "é/日.png").contiguous().numpy().tobytes()
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == digest
    assert TRIGGERS.parse(trigger.kind) == trigger


def test_mistakes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"trigger\.opacity: .*less than or equal to 1, got 1.5"):
        validate(LegacyParBlended, {"opacity": 1.5}, "trigger")
    with pytest.raises(ValueError, match=r"trigger\.width: .*greater than or equal to 1, got 0"):
        validate(LegacyParBlended, {"width": 0}, "trigger")
