"""Plain fine-tuning on clean pairs: the baseline every cleaning method is measured against."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.contrastive import Contrastive
from bezoar.training.method import BatchSize, Count, Rate, Warmup


@settings
class Finetune(Contrastive):
    """The multimodal contrastive loss alone, with the budget and learning rate of CleanCLIP."""

    kind: ClassVar[str] = "finetune"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
