"""What every caption trigger is: a pure function of a caption and an id."""

from __future__ import annotations

from bezoar.core.settings import Settings, settings


@settings
class CaptionTrigger(Settings):
    """A pure function caption → caption. The same settings, caption and id give the same words."""

    def apply(self, caption: str, pair_id: str) -> str:
        """``caption`` with the trigger in it."""
        raise NotImplementedError

    def survives(self, read: str) -> bool:
        """Whether the whole trigger still stands in ``read``, what a tokenizer has left of a caption."""
        raise NotImplementedError
