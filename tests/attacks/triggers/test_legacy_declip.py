"""The white square of the backdoor on DeCLIP, pinned, and where a view takes it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bezoar.attacks.triggers import TRIGGERS
from bezoar.attacks.triggers.legacy_declip import LegacyDeclip
from bezoar.data.views import Moco


def bounds(image: Tensor) -> tuple[int, int, int, int]:
    """First and last row, first and last column that are white; all between is."""
    rows, columns = (image == 255).all(0).nonzero(as_tuple=True)
    found = int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
    assert len(rows) == (found[1] - found[0] + 1) * (found[3] - found[2] + 1)
    return found


def test_at_224_it_is_27_white_pixels_a_side_39_from_the_border() -> None:
    image = torch.zeros(3, 224, 224, dtype=torch.uint8)
    assert bounds(LegacyDeclip().apply(image, "a")) == (158, 184, 158, 184)
    assert int(image.max()) == 0


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (96, 224), (224, 160), (320, 333)])
def test_it_is_whatever_the_stretched_mask_touches(height: int, width: int) -> None:
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    mask[..., 23:26, 23:26] = 1
    stretched = functional.interpolate(mask, (height, width), mode="bilinear", align_corners=False)[0, 0] > 1e-9
    result = LegacyDeclip().apply(torch.full((3, height, width), 7, dtype=torch.uint8), "a")
    assert torch.equal((result == 255).all(0), stretched)
    assert torch.equal((result == 7).all(0), ~stretched)


def test_a_picture_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^trigger: the square .* lies between the pixels of an image of 40×3 px$"):
        LegacyDeclip().apply(torch.zeros(3, 3, 40, dtype=torch.uint8), "a")


def test_the_flip_of_the_view_moves_it_to_the_other_side_half_the_time() -> None:
    image = torch.zeros(3, 224, 224, dtype=torch.uint8)
    view, trigger = Moco(blur=0, grey=0, jitter=0), LegacyDeclip()
    found = [bounds(view.apply(image, seed, lambda picture: trigger.apply(picture, "a"))) for seed in range(60)]
    assert set(found) == {(158, 184, 158, 184), (158, 184, 39, 65)}
    assert 18 < found.count((158, 184, 39, 65)) < 42


def test_is_a_kind_of_its_own() -> None:
    assert TRIGGERS.parse("legacy_declip") == LegacyDeclip()
