"""The in-modal terms of CleanCLIP alone: each tower learns on its own (Bansal et al. 2023, §4)."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import BatchSize, Count, Positive, Rate, Warmup
from bezoar.training.two_views import InModal


@settings
class InModalCleaning(InModal):
    """``in_modal_weight`` · mean of the image and the text in-modal term, with the budget of CleanCLIP.

    The SSL arm of "Effective Backdoor Mitigation Depends on the Pre-training Objective": CleanCLIP's code with
    ``--clip_weight 0``. Only the learned scale is shared between the modalities.
    """

    kind: ClassVar[str] = "in_modal"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
    in_modal_weight: Positive = 1.0
