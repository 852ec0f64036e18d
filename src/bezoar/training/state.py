"""Everything that changes while a method trains."""

from __future__ import annotations

from torch import nn

from bezoar.models.clip import Clip


class State(nn.Module):
    """The model in training; a method with heads, queues, pools or splits derives from it and registers them.

    Checkpointed whole by its ``state_dict``: what must survive a resume is a parameter or a persistent buffer.
    """

    def __init__(self, model: Clip, pairs: int) -> None:
        super().__init__()
        self.model = model
        self.pairs = pairs
        """How many pairs the method trains on."""
