"""CleanCLIP: fine-tuning with in-modal terms that make each tower learn on its own (Bansal et al. 2023, §4)."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import BatchSize, Count, Rate, Warmup
from bezoar.training.two_views import TwoViews


@settings
class CleanCLIP(TwoViews):
    """``clip_weight`` · multimodal + ``in_modal_weight`` · mean of the image and the text in-modal term.

    The optimizer is fresh: no moments, decay or step count come over from pre-training. Caption views are drawn anew
    each epoch; the released code drew them once for the whole run.
    """

    kind: ClassVar[str] = "cleanclip"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
