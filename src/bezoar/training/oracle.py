"""Methods that are told who is poisoned: what no defender knows, for baselines whose papers grant it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bezoar.core.settings import settings
from bezoar.training.method import Method

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Oracle(Method):
    """A method that the loop tells, once, which of its pairs are poisoned. A stage must grant it: ``oracle: true``."""

    def reveal(self, state: Any, poisoned: Tensor) -> None:
        """Take note of the answer key, ``bool [n]`` by position in the pairs; called once after ``build``.

        Called again, with the same, where a training goes on: nothing of it needs to be kept on disk.
        """
        raise NotImplementedError
