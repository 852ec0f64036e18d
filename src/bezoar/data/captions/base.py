"""What a caption view is: a caption said another way, the same way for the same seed."""

from __future__ import annotations

from typing import NamedTuple

from bezoar.core.settings import Settings, settings


class Resource(NamedTuple):
    """Something outside the settings on which a view's results depend."""

    path: str
    digest: str
    """Sixteen hexadecimal digits of the content, wherever it lies."""


@settings
class CaptionView(Settings):
    """A random change of a caption; its verb is ``apply``."""

    def apply(self, caption: str, seed: int) -> str:
        """A pure function of ``caption`` and ``seed``; a caption with nothing to change in it comes back as it is."""
        raise NotImplementedError

    def drawn_in(self, epoch: int) -> int:
        """The epoch whose draw stands in ``epoch``: that epoch itself, or always 0 in a view drawn once for the run.

        Who derives the seed of ``apply`` from the epoch derives it from this.
        """
        return epoch

    def resources(self) -> dict[str, Resource | None]:
        """What the view reads besides its settings, by name; ``None`` for what it looked for and did not find.

        A run records it, and a cache key takes the digests. Called before worker processes start, it also spares each
        of them the looking and the reading.
        """
        return {}
