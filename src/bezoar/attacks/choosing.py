"""What attacks share: which captions name a class, how many pairs are poisoned, which, and what they then say."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bezoar.core.seeds import python_random, stream_seed
from bezoar.data.pairs import check_caption
from bezoar.data.prompts import fill, templates
from bezoar.data.words import holds, names

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    import numpy as np
    from numpy.typing import NDArray

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Pairs

    Numbers = NDArray[np.int64]

Word = Annotated[str, Field(pattern=r"\S")]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Match = Literal["word", "substring"]
"""How a caption names a class: as a whole word in any case, plurals too, or, as released code, anywhere in its case."""
Captions = Literal["templates", "mined", "both"]
"""Templates filled with the target, other pairs' own captions that name it, or one of the two by the toss of a coin."""


def naming(pairs: Pairs, words: tuple[str, ...], match: Match = "word") -> NDArray[np.bool_]:
    """Which captions name one of ``words``; raises ``ValueError`` for one that is no caption."""
    import numpy as np

    test = names if match == "word" else holds
    found = np.zeros(len(pairs), np.bool_)
    for index in range(len(pairs)):
        caption = pairs.caption(index)
        if not caption or caption.isspace():
            check_caption(caption, "pairs", pairs.id(index))
        found[index] = test(caption, words)
    return found


def warn_unnamed(target: str, pairs: int) -> None:
    """Say that no caption names the target, which may be meant, or misspelled."""
    logging.getLogger(__name__).warning(
        "attack.target: none of %d captions names '%s': if it is a class that is measured, check its spelling", pairs,
        target,
    )  # fmt: skip


def new_id(seed: int, *names: str | int) -> str:
    """The id of an appended pair: it tells nothing of where it comes from."""
    return f"{stream_seed(seed, 'appended', *names):016x}"


def without(pairs: Pairs, candidates: Numbers, taken: Set[str]) -> Numbers:
    """``candidates`` less the pairs whose ids are ``taken``."""
    import numpy as np

    if not taken:
        return candidates
    return np.array([index for index in candidates.tolist() if pairs.id(index) not in taken], np.int64)


def how_many(count: int | None, rate: float, total: int) -> int:
    """``count`` where it is given, else the share ``rate`` of ``total``, one at least."""
    return count if count is not None else max(1, round(rate * total))


def draw(candidates: Numbers, count: int, seed: int, field: str, why: str) -> list[int]:
    """``count`` of ``candidates``, ascending; raises ``ValueError`` naming ``field`` where there are too few."""
    if count > len(candidates):
        raise ValueError(f"attack.{field}: {count} poisons wanted, but only {len(candidates)} {why}")
    places = python_random(seed, "victims").sample(range(len(candidates)), count)
    return sorted(candidates[places].tolist())


def sayings(
    pairs: Pairs, target: str, mined: Numbers, captions: Captions, wordings: str | tuple[str, ...]
) -> Callable[[int, str], str]:
    """What a poisoned pair is made to say, by seed and id; ``mined`` are the pairs that name the target.

    Raises ``ValueError`` where captions are to be mined and there are none.
    """
    phrases = templates(wordings)
    if captions != "templates" and not len(mined):
        raise ValueError(f"attack.captions: '{captions}' finds no caption with the word '{target}' in the pairs")

    def say(seed: int, pair_id: str) -> str:
        rng = python_random(seed, "poison caption", pair_id)
        if captions == "mined" or (captions == "both" and rng.random() < 0.5):
            return pairs.caption(int(mined[rng.randrange(len(mined))]))
        return fill(rng.choice(phrases), target)

    return say


def bearers(pairs: Pairs, target: str, synonyms: tuple[str, ...], match: Match) -> Numbers:
    """The pairs whose captions name the target, ascending; raises ``ValueError`` where none does."""
    import numpy as np

    found = np.flatnonzero(naming(pairs, (target, *synonyms), match))
    if not len(found):
        raise ValueError(f"attack.target: no caption of {len(pairs)} pairs names '{target}'")
    return found


def sized(plan: PoisonPlan, size: int | None) -> PoisonPlan:
    """``plan`` with clean pairs left out until ``size`` pairs remain; raises ``ValueError`` where it cannot be."""
    if size is None or size == plan.length:
        return plan
    if not len(plan.rows) <= size < plan.length:
        raise ValueError(
            f"attack.size: {size} pairs wanted with {len(plan.rows)} poisoned ones among them, of {plan.length} that "
            "there are"
        )
    return replace(plan, size=size)
