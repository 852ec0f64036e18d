"""What ``bezoar poison`` tells of a plan, as lines and as plain values."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bezoar.attacks import Attack
from bezoar.data import PairsSource

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.attacks.survival import Survival


class Facts(NamedTuple):
    """An attack and what it is planned on."""

    attack: Attack
    source: PairsSource
    image_size: int

    def plain(self, plan: PoisonPlan, out: Path | None, copy: Path | None) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "digest": plan.digest, "count": len(plan.rows), "total": plan.length, "roles": dict(_roles(plan)),
            "survival": dataclasses.asdict(plan.survival) if plan.survival else None,
            "out": str(out) if out else None, "copy": str(copy) if copy else None,
        }  # fmt: skip

    def lines(self, plan: PoisonPlan, out: Path | None, copy: Path | None) -> Iterator[str]:
        """For people."""
        yield f"{len(plan.rows)} of {plan.length} pairs poisoned ({plan.share:.3%}), plan {plan.digest}"
        if len(_roles(plan)) > 1:
            yield ", ".join(f"{count} {role}" for role, count in _roles(plan).items())
        left = plan.survival
        if left is not None:
            yield from self._left("", left)
            for number, one in enumerate(left.each):
                yield from self._left(f"  {plan.marks[number].trigger.kind} {number + 1}: ", one)
        for row in plan.rows[:3]:
            before = repr(row.original) if row.original else f"picture for '{row.target}'"
            yield f"  {row.image}: {before} -> {row.caption!r}"
        yield f"wrote {out}" if out else "nothing written (--dry-run)"
        if copy:
            yield f"wrote the poisoned copy to {copy}"

    def _left(self, of: str, left: Survival) -> Iterator[str]:
        if left.mean is not None and left.minimum is not None and left.zero is not None:
            seen = f"; PSNR {left.psnr:.1f} dB, SSIM {left.ssim:.3f}, L∞ {left.linf:.0f}" if left.psnr else ""
            yield (f"{of}of the trigger's area a model of {self.image_size} px gets {left.mean:.1%} on average, "
                   f"{left.minimum:.1%} at least, nothing on {left.zero:.1%} of {left.n} images{seen}")  # fmt: skip
        if left.words is not None:
            yield f"{of}words whole after the cut in {left.words:.1%} of {left.captions} captions"


def _roles(plan: PoisonPlan) -> Counter[str]:
    return Counter(row.role for row in plan.rows)
