"""Caption triggers, one file each."""

from bezoar.attacks.caption_triggers.phrase import Phrase
from bezoar.attacks.families import CAPTION_TRIGGERS

CAPTION_TRIGGERS.add(Phrase)

__all__ = ["CAPTION_TRIGGERS", "Phrase"]
