"""Numbers as people read them: percent, intervals, signed points, counts, settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bezoar.core.records import is_share
from bezoar.metrics import Interval

DASH = "–"
_CAPTIONS = {
    "cider": "CIDEr-D", "caption_names_target": "captions that name the target",
    "caption_names_target_clean": "the same of clean pictures",
}  # fmt: skip
_SHARES = {"accuracy": "clean accuracy", "asr": "attack success"}


def percent(share: float) -> str:
    """``61.2 %``."""
    return f"{100 * share:.1f}\u00a0%"


def bounds(interval: Interval) -> str:
    """``59.1–63.3``, cut at 0 and 100: an interval over seeds knows nothing of shares."""
    low, high = (100 * min(1.0, max(0.0, end)) for end in (interval.low, interval.high))
    return f"{low:.1f}{DASH}{high:.1f}"


def points(change: float) -> str:
    """``+0.4`` or ``−1.2``, with a real minus sign and no sign at zero."""
    text = f"{change:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def count(n: int) -> str:
    """``32,000``."""
    return f"{n:,}"


def basis(interval: Interval, seeds: bool) -> str:
    """What an interval rests on: ``n 2,048``, or ``3 seeds``."""
    return f"{interval.n} seeds" if seeds else f"n\u00a0{count(interval.n)}"


def amount(value: float, of: str) -> str:
    """A number of metric ``of``: ``61.2 %``, or of a loss ``4.852``."""
    return percent(value) if is_share(of) else f"{value:.3f}"


def reach(interval: Interval, of: str) -> str:
    """The ends of an interval of metric ``of``: ``59.1–63.3``, or of a loss ``4.803–4.901``."""
    return bounds(interval) if is_share(of) else f"{interval.low:.3f}{DASH}{interval.high:.3f}"


def measured(interval: Interval | None, seeds: bool = False, of: str = "accuracy") -> str:
    """``61.2 % (59.1–63.3, n 2,048)``, or a dash; ``of`` is the metric."""
    return f"{amount(interval.value, of)} ({reach(interval, of)}, {basis(interval, seeds)})" if interval else DASH


def metric(name: str) -> str:
    """``clean accuracy, top-3`` of ``accuracy_top3``, ``text recall@1`` of ``text_recall_top1``; others as they are."""
    found = re.fullmatch(r"(\w+)_top(\d+)(.*)", name)
    if not found:
        word = re.match(r"\w*", name)[0]  # type: ignore[index]
        return (_CAPTIONS.get(word, word) + name[len(word) :]).replace("_", " ")
    what, k, rest = found.groups()
    if what.endswith("recall"):
        return f"{what.replace('_', ' ')}@{k}{rest}"
    words = re.sub(r" asr$", " attack success", what.replace("_", " "))
    return f"{_SHARES.get(what, words)}, top-{k}{rest}"


def title(words: str) -> str:
    """``words`` with a capital letter first, and the rest as it is: ``CIDEr-D on flowers``."""
    return words[:1].upper() + words[1:]


def setting(at: Mapping[str, Any], epoch: int | None, step: int | None = None) -> str:
    """``lr 0.001, epoch 3``, and ``step 1,200`` in the middle of an epoch; a dash where nothing is one for all."""
    parts = [f"{key}\u00a0{value}" for key, value in at.items()]
    parts += [f"epoch\u00a0{epoch}"] * (epoch is not None) + [f"step\u00a0{count(step or 0)}"] * (step is not None)
    return ", ".join(parts) or DASH


def listing(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b, and c``."""
    if len(words) > 2:
        return f"{', '.join(words[:-1])}, and {words[-1]}"
    return " and ".join(words)


def quoted(word: str) -> str:
    """A name in a sentence."""
    return f"“{word}”"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min``, ``5.1 h``."""
    if seconds < 120:
        return f"{seconds:.0f}\u00a0s"
    return f"{seconds / 60:.0f}\u00a0min" if seconds < 7200 else f"{seconds / 3600:.1f}\u00a0h"
