"""The picture as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.views.base import ImageView

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Plain(ImageView):
    """No change."""

    kind: ClassVar[str] = "plain"

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return image if mark is None else mark(image)
