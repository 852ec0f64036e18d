"""CLIP pre-training: symmetric InfoNCE over pairs (Radford et al. 2021, §2.3)."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.contrastive import Contrastive


@settings
class ClipPretraining(Contrastive):
    """Multimodal contrastive learning without augmentation; defaults are CleanCLIP's pre-training (its §4)."""

    kind: ClassVar[str] = "clip"
