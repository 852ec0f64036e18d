"""Pairs in two, the safe and the risky, by the cosines of their pictures and captions: what SafeCLIP goes by."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bezoar.core.seeds import torch_generator
from bezoar.training.head import width_of
from bezoar.training.mixture import APART, Mixture, fit
from bezoar.training.pool import Pool, PoolEnd, PoolStart
from bezoar.training.state import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bezoar.models.clip import Clip

    Values = NDArray[np.float64]


class Parted(State):
    """A model, the split of its pairs, and the features it has lately seen of each modality."""

    safe: Tensor
    """``bool [pairs]``; meaningless before the first split, as the next three."""
    dropped: Tensor
    """The epoch (from 0) before which a pair was last put among the risky, -1 while it is not: ``int64 [pairs]``."""
    cosine: Tensor
    """What the last split was made from, ``float32 [pairs]``."""
    mixture: Tensor
    """Weight, mean and variance of each component, the one of larger mean last: ``float64 [2, 3]``."""
    first: Tensor
    """How many pairs the first split found safe, 0 before it: every later split follows from this number."""

    def __init__(self, model: Clip, pairs: int, seed: int, bank: int, start: PoolStart, end: PoolEnd) -> None:
        super().__init__(model, pairs)
        self.seed = seed
        self.register_buffer("safe", torch.zeros(pairs, dtype=torch.bool))
        self.register_buffer("dropped", torch.full((pairs,), -1))
        self.register_buffer("cosine", torch.zeros(pairs, dtype=torch.float32))
        self.register_buffer("mixture", torch.zeros(2, 3, dtype=torch.float64))
        self.register_buffer("first", torch.tensor(0))
        self.image_bank = self._bank("image bank", bank, start, end)
        self.text_bank = self._bank("text bank", bank, start, end)

    def _bank(self, name: str, size: int, start: PoolStart, end: PoolEnd) -> Pool | None:
        if not size:
            return None
        return Pool(size, width_of(self.model), generator=torch_generator(self.seed, name), start=start, end=end)

    def part(self, split: Split, cosines: Tensor, epoch: int) -> None:
        """Go on with ``split``, made before ``epoch`` from ``cosines``."""
        safe = split.safe.to(self.safe.device)
        if not self.first:
            self.first.fill_(int(safe.sum()))
        newly = ~safe & (self.dropped < 0)
        self.dropped[newly] = epoch
        self.dropped[safe] = -1
        self.safe.copy_(safe)
        self.cosine.copy_(cosines)
        self.mixture.copy_(split.mixture)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Who is safe, ``bool [pairs]``, and the mixture by which, as ``Parted`` has them."""

    safe: Tensor
    mixture: Tensor


def first_split(cosines: Tensor, seed: int, *, posterior: float, least: int, fallback: int) -> Split:
    """Safe is who comes from the component of larger mean with a probability of ``posterior`` at least.

    Where these are fewer than ``least``, or all, the ``fallback`` of highest cosine are taken instead. A mixture that
    does not separate is warned of, with its numbers and with what was done; so are pairs below the lower component.
    """
    values = _checked(cosines)
    mixture = fit(values, seed)
    safe = np.zeros(len(values), bool) if mixture is None else mixture.posterior(values) >= posterior
    count = int(safe.sum())
    instead = count < least or count == len(values)
    if instead or mixture is None or mixture.separation < APART:
        few = f", fewer than a batch of {least:,}" if count < least else ""
        done = f"the {fallback:,} pairs of highest cosine" if instead else "these"
        logging.getLogger(__name__).warning(
            "the first split is not sharp: %s; %s of %s pairs come from the upper one with a probability of %g or "
            "more%s: %s are taken as safe",
            _told(mixture), f"{count:,}", f"{len(values):,}", posterior, few, done,
        )  # fmt: skip
    if instead:
        safe = _highest(fallback, values)
    elif mixture is not None and (below := int((safe & (values < mixture.means[0])).sum())):
        logging.getLogger(__name__).warning(
            "%s of the %s pairs taken as safe lie at the low end, below %.3g, the mean of the lower component: the "
            "upper one is so much wider that these are likelier to be its own; poison may be among them",
            f"{below:,}", f"{count:,}", mixture.means[0],
        )  # fmt: skip
    return Split(safe=torch.from_numpy(safe), mixture=_numbers(mixture, values))


def later_split(cosines: Tensor, seed: int, count: int, before: Tensor) -> Split:
    """Safe are the first ``count`` by posterior, then by cosine, then by position.

    A mixture that does not separate, where that of the split ``before`` did, is warned of.
    """
    values = _checked(cosines)
    mixture = fit(values, seed)
    log = logging.getLogger(__name__)
    if mixture is None:
        log.warning("%s: the first %s pairs are taken as safe", _told(mixture), f"{count:,}")
    elif mixture.separation < APART <= _separation(before):
        log.warning(
            "the split is no longer sharp: %s; the %s pairs most likely from the upper one are taken as safe",
            _told(mixture), f"{count:,}",
        )  # fmt: skip
    ranks = (values,) if mixture is None else (mixture.posterior(values), values)
    return Split(safe=torch.from_numpy(_highest(count, *ranks)), mixture=_numbers(mixture, values))


def _checked(cosines: Tensor) -> Values:
    values: Values = cosines.double().numpy()
    broken = len(values) - int(np.isfinite(values).sum())
    if broken:
        raise FloatingPointError(f"{broken:,} of {len(values):,} cosines of pairs are not finite: nothing to split by")
    return values


def _highest(count: int, *ranks: Values) -> NDArray[np.bool_]:
    """The ``count`` with the highest first rank; among equal ones by the next, and the first in order."""
    order = np.lexsort([-rank for rank in reversed(ranks)])  # by the last key first; stable
    safe = np.zeros(len(order), bool)
    safe[order[:count]] = True
    return safe


def _numbers(mixture: Mixture | None, values: Values) -> Tensor:
    """A mixture as numbers; without one, both halves of it are the one value there is."""
    found = mixture or Mixture((0.5, 0.5), (float(values[0]),) * 2, (0.0, 0.0))
    return torch.tensor([found.weights, found.means, found.variances], dtype=torch.float64).T.contiguous()


def _separation(numbers: Tensor) -> float:
    """Of a mixture as numbers; 0 where all cosines were the same."""
    _, means, variances = (tuple(part) for part in numbers.T.tolist())
    return Mixture((0.5, 0.5), means, variances).separation if any(variances) else 0.0


def _told(mixture: Mixture | None) -> str:
    if mixture is None:
        return "all cosines of pictures and captions are the same"
    low, high = (
        f"{mean:.3g} ± {variance**0.5:.2g} ({weight:.0%})"
        for weight, mean, variance in zip(mixture.weights, mixture.means, mixture.variances, strict=True)
    )
    apart = f"{mixture.separation:.3g} deviations from each other, where {APART:g} would be apart"
    return f"the cosines of pictures and captions are a mixture of {low} and {high}, {apart}"
