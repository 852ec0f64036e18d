"""SigLIP's image towers under both forms of GELU: which there are, and that only the form differs."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from bezoar.models.siglip_trunks import trunk


def built(name: str) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0, global_pool="map")


@pytest.mark.parametrize(
    ("sizes", "exact", "tanh"),
    [
        ((768, 16, 224), "vit_base_patch16_siglip_224", "bezoar_vit_base_patch16_siglip_224_tanh"),
        ((1024, 16, 384), "vit_large_patch16_siglip_384", "bezoar_vit_large_patch16_siglip_384_tanh"),
        ((1152, 14, 384), "vit_so400m_patch14_siglip_384", "bezoar_vit_so400m_patch14_siglip_384_tanh"),
        ((768, 32, 256), None, "vit_base_patch32_siglip_256"),
        ((1536, 16, 256), None, "vit_giantopt_patch16_siglip_256"),
        ((128, 4, 32), None, "bezoar_micro_siglip_32"),
        ((768, 16, 240), None, None),
        ((512, 16, 224), None, None),
    ],
)
def test_which_towers_there_are(sizes: tuple[int, int, int], exact: str | None, tanh: str | None) -> None:
    assert trunk(*sizes, "gelu") == exact
    assert trunk(*sizes, "gelu_pytorch_tanh") == tanh
    assert trunk(*sizes, "quick_gelu") is None


def test_only_the_activation_is_another() -> None:
    plain = trunk(768, 16, 224, "gelu")
    other = trunk(768, 16, 224, "gelu_pytorch_tanh")
    assert plain is not None
    assert other is not None
    one, two = built(plain), built(other)
    assert {n: t.shape for n, t in one.state_dict().items()} == {n: t.shape for n, t in two.state_dict().items()}
    kinds = [{type(block.mlp.act).__name__ for block in tower.blocks} for tower in (one, two)]
    assert kinds == [{"GELU"}, {"GELUTanh"}]
    assert type(two.attn_pool.mlp.act).__name__ == "GELUTanh"


def test_what_timm_says_of_its_towers_still_holds() -> None:
    """Which of them have the tanh form is written down here: a new timm may have changed its mind."""
    for sizes in ((768, 32, 256), (1536, 16, 256)):
        name = trunk(*sizes, "gelu_pytorch_tanh")
        assert name is not None
        assert type(built(name).blocks[0].mlp.act).__name__ == "GELUTanh"
