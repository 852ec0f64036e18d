"""Neural Attention Distillation (Li et al. 2021, "Erasing Backdoor Triggers"): the victim learns to look where its own
fine-tuned copy looks.

In the form in which the code of the backdoor attack on DeCLIP uses it; the paper's own has one view, three stages and
weights from 500 to 5,000.
"""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.distilled import Distilled
from bezoar.training.method import Count


@settings
class NAD(Distilled):
    """A loss over clean pairs + ``beta`` · the difference of attention maps from the teacher's.

    The teacher is the victim after fine-tuning: a stage of its own. Budget and rates are those of the released code:
    2,000 steps of DeCLIP's schedule from its step 118,000 on.
    """

    kind: ClassVar[str] = "nad"
    steps: Count | None = 2000
