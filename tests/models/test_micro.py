"""The small image towers: what they keep of the resolution, and that every weight learns."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch.nn import functional as F

from bezoar.models.micro import Block, MicroCNN, bezoar_micro_cnn_32, bezoar_micro_cnn_64, bezoar_micro_siglip_32


def test_a_block_is_two_convolutions_and_a_shortcut() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    for block in (Block(4, 4, 1).eval(), Block(4, 8, 2).eval()):
        inner = F.relu(block.bn1(block.conv1(x)))
        outer = block.bn2(block.conv2(inner))
        beside = x if isinstance(block.shortcut, torch.nn.Identity) else block.shortcut(x)
        assert torch.equal(block(x), F.relu(outer + beside))
    assert block(x).shape == (2, 8, 3, 3)


def test_a_shortcut_is_bare_where_the_shape_stays() -> None:
    assert isinstance(Block(4, 4, 1).shortcut, torch.nn.Identity)
    assert not isinstance(Block(4, 4, 2).shortcut, torch.nn.Identity)
    assert not isinstance(Block(4, 5, 1).shortcut, torch.nn.Identity)


def test_four_pixels_a_side_are_left_before_the_mean() -> None:
    for tower, size in ((bezoar_micro_cnn_32(), 32), (bezoar_micro_cnn_64(), 64)):
        stem = tower.stem(torch.zeros(1, 3, size, size))
        assert stem.shape == (1, 16, 32, 32)
        assert tower.blocks(stem).shape == (1, 192, 4, 4)
        assert tower.num_features == 192


def test_the_towers_are_timms() -> None:
    for name in ("bezoar_micro_cnn_32", "bezoar_micro_cnn_64"):
        tower = timm.create_model(name, num_classes=7)
        assert isinstance(tower, MicroCNN)
        assert tower(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(0)
    tower = bezoar_micro_cnn_32(num_classes=5)
    tower(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for name, weight in tower.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_the_small_siglip_is_made_as_timms() -> None:
    """Same parts as the released ones, of other sizes: no class token, pooled by a learned query, GELU by tanh."""
    with torch.device("meta"):
        released: Any = timm.create_model("vit_base_patch32_siglip_256", num_classes=0)
        small: Any = bezoar_micro_siglip_32()
    assert {name for name in small.state_dict() if not name.startswith("blocks.")} == {
        name for name in released.state_dict() if not name.startswith("blocks.")
    }
    blocks = [{name.partition(".0.")[2] for name in tower.state_dict() if ".0." in name} for tower in (small, released)]
    assert blocks[0] == blocks[1]
    for tower in (small, released):
        assert (tower.global_pool, tower.num_prefix_tokens, tower.norm.eps) == ("map", 0, 1e-6)
        assert {type(block.mlp.act).__name__ for block in tower.blocks} == {"GELUTanh"}
    assert (len(small.blocks), small.blocks[0].attn.num_heads, small.pos_embed.shape[1]) == (4, 4, 64)
