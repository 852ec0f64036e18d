"""Fine-tuning of a DeCLIP model with the loss that has trained it, on clean pairs."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.declip_method import DeclipMethod
from bezoar.training.method import BatchSize, Count, Rate, Warmup


@settings
class DeclipFinetune(DeclipMethod):
    """DeCLIP's loss with the budget and learning rate of ``finetune``; pictures are normalized as the model has it."""

    kind: ClassVar[str] = "declip_finetune"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
