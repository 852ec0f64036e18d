"""The two consistency terms of CyCLIP (Goel et al. 2022): the cosines of two pairs agree, however they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor


def cyclic_in_modal(images: Tensor | Rows, texts: Tensor | Rows) -> Tensor:
    """1/n Σᵢⱼ (Iᵢ·Iⱼ - Tᵢ·Tⱼ)²: two pictures are as near to each other as their captions.

    ``images`` I and ``texts`` T: [n, d], L2-normalized by the caller, row i of both from pair i; as ``Rows``, own rows
    against all, averaged over the own ones. At least float32, also under autocast.
    """
    import torch

    image, text = rows(images), rows(texts)
    assert image.own.ndim == 2, image.own.shape
    assert image.own.shape == text.own.shape, (image.own.shape, text.own.shape)
    precision = torch.promote_types(image.own.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(image.own.device.type, enabled=False):
        between_images = image.own.to(precision) @ image.all.to(precision).T
        between_texts = text.own.to(precision) @ text.all.to(precision).T
        return (between_images - between_texts).square().sum() / len(between_images)


def cyclic_cross_modal(images: Tensor | Rows, texts: Tensor | Rows) -> Tensor:
    """1/n Σᵢⱼ (Iᵢ·Tⱼ - Tᵢ·Iⱼ)²: a picture is as near to another's caption as its caption to the other picture.

    Arguments as of ``cyclic_in_modal``. A pair with itself adds nothing.
    """
    import torch

    image, text = rows(images), rows(texts)
    assert image.own.ndim == 2, image.own.shape
    assert image.own.shape == text.own.shape, (image.own.shape, text.own.shape)
    precision = torch.promote_types(image.own.dtype, torch.float32)
    with torch.autocast(image.own.device.type, enabled=False):
        forth = image.own.to(precision) @ text.all.to(precision).T
        back = forth.T if image.whole else text.own.to(precision) @ image.all.to(precision).T
        return (forth - back).square().sum() / len(forth)
