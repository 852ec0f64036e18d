"""The stages of every kind of image tower, and what is collected of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import nn

from bezoar.models.architecture import on_meta
from bezoar.models.clip import Clip
from bezoar.models.compared import registered
from bezoar.models.stages import stages, watched


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("RN50", ["visual.layer1", "visual.layer2", "visual.layer3", "visual.layer4"]),
        ("ViT-B-32", [f"visual.transformer.resblocks.{number}" for number in (2, 5, 8, 11)]),
        ("convnext_base", [f"visual.trunk.stages.{number}" for number in range(4)]),
        ("ViT-B-16-SigLIP", [f"visual.trunk.blocks.{number}" for number in (2, 5, 8, 11)]),
        ("micro-cnn-32", [f"visual.trunk.blocks.{number}" for number in range(4)]),
        ("micro-vit-32", None),
        ("micro-siglip-32", [f"visual.trunk.blocks.{number}" for number in range(4)]),
    ],
)
def test_which_they_are(name: str, names: list[str] | None) -> None:
    model: Any = nn.Module()
    model.tower, model.architecture = on_meta(registered(name)), name
    called = {module: path for path, module in model.tower.named_modules()}
    found = [called[module] for module in stages(model)]
    assert names is None or found == names
    assert len(found) == 4


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32", "micro-siglip-32"])
def test_what_is_collected(name: str) -> None:
    model = tiny.clip(name).eval()
    pictures = torch.stack([tiny.data().image(index) for index in range(3)])
    with torch.no_grad():
        with watched(model) as kept:
            together = model.encode_image(pictures)
            model.encode_image(pictures[:1])
        after = model.encode_image(pictures)
    assert [[len(batch) for batch in stage] for stage in kept] == [[3, 1]] * 4
    assert all(stage[0].ndim in (3, 4) for stage in kept)
    assert torch.equal(together, after)


def test_a_tower_without_stages_is_refused() -> None:
    model: Clip = tiny.clip()
    model.tower.visual = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="kind: looks at the stages of an image tower; micro-cnn-32 shows none"):
        stages(model)
