"""CleanCLIP of a DeCLIP model: the loss that has trained it stands in the place of the multimodal one."""

from __future__ import annotations

from typing import ClassVar

from bezoar.cleaning.declip_finetune import DeclipFinetune
from bezoar.core.settings import settings
from bezoar.training.method import Weight


@settings
class DeclipCleanCLIP(DeclipFinetune):
    """DeCLIP's loss + ``in_modal_weight`` · the mean of CleanCLIP's image and text term between DeCLIP's two views."""

    kind: ClassVar[str] = "declip_cleanclip"
    in_modal_weight: Weight = 1.0
