"""The shares that are reported: accuracy and attack success rate, each with its Wilson interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.metrics.intervals import Interval, wilson
from bezoar.metrics.ranks import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def accuracy(ranks: Tensor, k: int) -> Interval:
    """Share of images whose true class is within the top ``k``. ``ranks``: [n], of the true class."""
    return wilson(within(ranks, k), len(ranks))


def attack_success(target_ranks: Tensor, labels: Tensor, target: int, k: int) -> Interval:
    """Share of the triggered images *not of the target class* for which the target is within the top ``k``.

    ``target_ranks``: [n], rank of the target class on each triggered image; ``labels``: [n], its true class. Images of
    the target class leave numerator and denominator alike: to call those the target is no success of the attack.
    """
    assert target_ranks.shape == labels.shape, (target_ranks.shape, labels.shape)
    others = target_ranks[labels != target]
    if not len(others):
        raise ValueError(f"target: none of the {len(labels)} triggered images is of another class than {target}")
    return wilson(within(others, k), len(others))


def pooled(parts: Sequence[Interval]) -> Interval:
    """The share over several ways to show the same images, with an interval in which every image counts once.

    The ways are not independent: Wilson's interval over all trials would be too narrow.
    """
    share = sum(part.value * part.n for part in parts) / sum(part.n for part in parts)
    images = max(part.n for part in parts)
    around = wilson(round(share * images), images)
    return Interval(share, min(around.low, share), max(around.high, share), images)


def destroyed(accuracy: Interval, classes: int) -> bool:
    """Whether a model is no better than guessing: its clean accuracy's lower end is not above 1 / ``classes``."""
    return accuracy.low <= 1 / classes


def takes(low: float, classes: int, without: float = 0.0) -> bool:
    """Whether an attack works: the lower end of its success is above guessing, 1 / ``classes``, and above ``without``.

    ``without`` is the upper end of the same share where nothing calls for it: a model may have a liking for a class.
    """
    return low > max(1 / classes, without)
