"""AutoAugment: one of a learned policy's pairs of operations, drawn per picture.

Cubuk et al. 2019, "AutoAugment: Learning Augmentation Strategies from Data"; the policies are in its appendix. CyCLIP
and CleanCLIP make their second view of a picture with the one for ImageNet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from bezoar.core.settings import settings
from bezoar.data.views.base import ImageView, under_seed

if TYPE_CHECKING:
    from torch import Tensor

Policy = Literal["imagenet", "cifar10", "svhn"]


@cache
def _transform(policy: Policy) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    built: Callable[[Tensor], Tensor] = v2.AutoAugment(v2.AutoAugmentPolicy(policy))
    return built


@settings
class AutoAugment(ImageView):
    """A learned policy of shears, rotations and color changes, with torchvision's operations on the uint8 picture."""

    kind: ClassVar[str] = "auto_augment"

    policy: Policy = "imagenet"
    """The data set on which the policy was learned."""

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return under_seed(_transform(self.policy), image if mark is None else mark(image), seed)
