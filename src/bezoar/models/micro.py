"""Small image towers for 32 and 64 px, registered with timm so that open_clip builds them from a JSON config.

open_clip's ModifiedResNet divides the resolution by 32 and ends at one pixel at 32 px; these keep a stem of stride 1.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer, register_model
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3×3 convolutions with batch normalization and a shortcut, as in ResNet-18 (He et al. 2016, §3)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class MicroCNN(nn.Module):
    """A narrow stem of stride ``stem`` and one residual block per width; all but the last halve the resolution."""

    def __init__(self, num_classes: int, stem: int, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.num_features = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0] // 2, 3, stem, 1, bias=False), nn.BatchNorm2d(widths[0] // 2), nn.ReLU()
        )
        before = (widths[0] // 2, *widths[:-1])
        strides = (2,) * (len(widths) - 1) + (1,)
        self.blocks = nn.Sequential(*map(Block, before, widths, strides))
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.fc(torch.mean(self.blocks(self.stem(x)), dim=(2, 3)))
        return features


@register_model
def bezoar_micro_cnn_32(pretrained: bool = False, num_classes: int = 128, **_: object) -> MicroCNN:
    """For 32 px: a stem of stride 1. timm passes more than is used here."""
    assert not pretrained
    return MicroCNN(num_classes, 1)


@register_model
def bezoar_micro_cnn_64(pretrained: bool = False, num_classes: int = 128, **_: object) -> MicroCNN:
    """For 64 px, or for 32 in half the time: a stem of stride 2."""
    assert not pretrained
    return MicroCNN(num_classes, 2)


@register_model
def bezoar_micro_siglip_32(pretrained: bool = False, num_classes: int = 0, **_: object) -> VisionTransformer:
    """SigLIP's image tower for 32 px: no class token, and a learned query that attends to the patches."""
    assert not pretrained
    assert num_classes == 0
    return VisionTransformer(
        img_size=32, patch_size=4, embed_dim=128, depth=4, num_heads=4, num_classes=0, class_token=False,
        global_pool="map", act_layer="gelu_tanh",
    )  # fmt: skip
