"""The caption as it is."""

from __future__ import annotations

from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.data.captions.base import CaptionView


@settings
class Plain(CaptionView):
    """No change."""

    kind: ClassVar[str] = "plain"

    def apply(self, caption: str, seed: int) -> str:
        return caption
