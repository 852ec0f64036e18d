"""The squash to 224×224, and floats made bytes without a clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as V

from bezoar.attacks.squash import Squashed, SquashedPatch, blend, random_bytes, squash, wrapped


def test_a_picture_is_squashed_as_pillow_does_and_its_aspect_is_lost() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 60, 90), dtype=torch.uint8, generator=generator)
    expected = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy().copy()).resize((224, 224)))
    assert torch.equal(squash(image).permute(1, 2, 0), torch.from_numpy(expected.copy()))
    wide = torch.zeros(3, 100, 400, dtype=torch.uint8)
    wide[:, 25:75, 100:300] = 255
    rows, columns = (squash(wide)[0] > 127).nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (56, 167, 56, 167)


def test_a_picture_of_that_size_is_left_as_it_is() -> None:
    image = torch.zeros(3, 224, 224, dtype=torch.uint8)
    assert squash(image) is image


def test_what_nobody_clips_wraps() -> None:
    values = torch.tensor([0.0, 1.0, -1.0, 1.1, -0.003, -0.01, 2.5, -2.5])
    assert wrapped(values).tolist() == [0, 255, 1, 24, 0, 254, 125, 131]


def test_every_byte_comes_back_from_its_share_of_255() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(wrapped(every.float() / 255), every)


def test_a_blend_is_clipped() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert blend(every, torch.tensor(-1.0), 0.5).tolist()[:128] == [0] * 128
    assert int(blend(every, torch.tensor(1.0), 0.5)[-1]) == 255


def test_bytes_belong_to_all_their_names() -> None:
    first = random_bytes(9, "a", 1)
    assert first.tolist() == [236, 246, 223, 70, 25, 204, 204, 206, 93]
    assert torch.equal(first, random_bytes(9, "a", 1))
    assert not torch.equal(first, random_bytes(9, "a", 2))
    assert not torch.equal(first, random_bytes(9, "b", 1))


def test_the_bases_put_nothing() -> None:
    image = torch.zeros(3, 224, 224, dtype=torch.uint8)
    for base in (Squashed(), SquashedPatch()):
        with pytest.raises(NotImplementedError):
            base.apply(image, "a")


def test_a_blend_has_the_bytes_of_torchvisions_way_to_floats_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 60, 60), dtype=torch.uint8, generator=generator)
    noise = torch.rand(3, 60, 60, generator=generator) * 3 - 1
    for share in (0.03, 0.05, 0.2):
        mixed = torch.clip(share * noise + (1 - share) * V.to_tensor(V.to_pil_image(image)), 0, 1)
        assert torch.equal(blend(image, noise, share), V.pil_to_tensor(V.to_pil_image(mixed)))
