"""MMCL+SSL pre-training: CLIP with an in-modal term for each tower (the stronger objective of Verma et al. 2025)."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import BatchSize, Rate
from bezoar.training.two_views import TwoViews


@settings
class ClipSSL(TwoViews):
    """``clip_weight`` · multimodal + ``in_modal_weight`` · mean of the image and the text in-modal term.

    The loss of CleanCLIP from random weights; defaults are those of "Effective Backdoor Mitigation Depends on the
    Pre-training Objective". Each pair goes through the towers twice.
    """

    kind: ClassVar[str] = "clip_ssl"
    batch_size: BatchSize = 1024
    lr: Rate = 1e-3
