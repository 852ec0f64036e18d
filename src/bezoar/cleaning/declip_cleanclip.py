"""CleanCLIP of a DeCLIP model: the loss that has trained it stands in the place of the multimodal one."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.declip_method import DeclipMethod
from bezoar.training.method import BatchSize, Count, Rate, Warmup, Weight


@settings
class DeclipCleanCLIP(DeclipMethod):
    """DeCLIP's loss + ``in_modal_weight`` · the mean of CleanCLIP's image and text term between DeCLIP's two views.

    Budget and learning rate are CleanCLIP's; pictures are normalized as the model has it.
    """

    kind: ClassVar[str] = "declip_cleanclip"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
    in_modal_weight: Weight = 1.0
