"""The arms of a robust-… run, and what was published of RoCLIP and SafeCLIP held against them; to stdout.

python results/robust.py results/robust-scenes > results/robust-scenes/claims.md

Numbers are of the last epoch on the test set; seeds make a t-interval, one seed Wilson's or Newcombe's over pictures;
where nothing, or everything, succeeds in all seeds, Wilson's over the pictures of all.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from arms import difference, last_epochs, over, share
from time_per_epoch import stages

from bezoar.core.records import Record
from bezoar.metrics import Interval

ARMS = {"clip": "CLIP", "views": "CLIP, augmented", "roclip": "RoCLIP", "safeclip": "SafeCLIP"}
ATTACKS = ("control", "patch", "blended", "targeted")
SUCCESS = {"patch": "asr_top1", "blended": "asr_top1", "targeted": "targeted_top1", "control": "asr_top1"}
PROBE = "linear_probe_accuracy_top1"
NOTHING = 0.05
"""The largest success that is taken for none, were it the whole interval."""
CONTROLLED = "patch"
"""The attack under which the models of clean pairs are measured too."""
HARM = 0.01
"""The largest loss of accuracy that is taken for no harm, were it the whole interval."""
HALF = 0.5
"""How much of a published change must be seen for it to appear, by the whole interval."""
APPEARS, UNKNOWN, ABSENT = "appears", "cannot tell", "does not appear"

Found = Mapping[tuple[str, str, str], Mapping[int, Record]]
"""By arm, attack and metric the record of each seed."""


class Claim(NamedTuple):
    """What was published of an arm under an attack."""

    arm: str
    attack: str
    metric: str
    said: str
    change: float | Literal["nothing", "harm"]
    """By how much it changes, or that it falls to ``nothing`` or takes no ``harm``."""


CLAIMS = (
    Claim("roclip", "targeted", "targeted_top1", "targeted success falls (93.75 → 12.5 %)", -0.8125),
    Claim("safeclip", "targeted", "targeted_top1", "targeted success falls (93.75 → 0 %)", -0.9375),
    *(
        Claim(arm, attack, "asr_top1", f"backdoor ({attack}): ASR falls to nothing", "nothing")
        for arm in ("roclip", "safeclip")
        for attack in ("patch", "blended")
    ),
    Claim("safeclip", "targeted", "targeted_top1", "targeted success falls to nothing", "nothing"),
    Claim("roclip", "control", PROBE, "the linear probe gains (some 10 points)", 0.1),
    Claim("safeclip", "control", "accuracy_top1", "no harm to clean accuracy (disputed: 15 to 20 points)", "harm"),
)


def read(folder: Path) -> Found:
    """The last epoch of every stage on the test set, and what was held for safe."""
    found: dict[tuple[str, str, str], dict[int, Record]] = defaultdict(dict)
    for record in last_epochs(folder):
        found[*named(record.stage), record.metric][record.seed] = record
    return found


def named(stage: str) -> tuple[str, str]:
    """Its arm and its attack."""
    one, _, other = stage.partition("-")
    return (other, "control") if one == "control" else (one, other)


def epoch_times(folder: Path) -> Mapping[tuple[str, str], Mapping[int, float]]:
    """By arm and attack the processor seconds of a mean epoch of each seed, evaluation not counted."""
    took: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for stage in stages(folder):
        took[named(stage["stage"])][stage["seed"]] = stage["training_processor_seconds"] / stage["epochs"]
    return took


def times_clip(took: Mapping[tuple[str, str], Mapping[int, float]], arm: str, attack: str) -> str:
    """The mean over seeds of how many times CLIP's epoch on the same pairs one of ``arm`` takes."""
    plain = took.get(("clip", attack), {})
    ratios = [seconds / plain[seed] for seed, seconds in took.get((arm, attack), {}).items() if seed in plain]
    return f"{sum(ratios) / len(ratios):.2f}" if ratios else "–"


def verdict(
    published: float | Literal["nothing", "harm"], left: Interval, change: Interval, more: Interval | None
) -> str:
    """``left`` is what the defended model has, ``change`` what it has more than the undefended one.

    ``more`` is what it has more than the same method's model of clean pairs, where that was measured: a classifier of
    few classes makes so many errors without any attack that more than nothing is left of none.
    """
    if published == "harm":
        return _told(-change.high, -change.low, HARM)
    if isinstance(published, str):
        told = _told(left.low, left.high, NOTHING)
        if told == ABSENT and more is not None and more.low <= NOTHING:
            told = UNKNOWN
    elif published < 0:
        told = _told(change.low, change.high, HALF * published)
    else:
        told = _told(-change.high, -change.low, -HALF * published)
    moved = "falls" if change.high < 0 else "rises" if change.low > 0 else "may not have changed"
    return told if told == APPEARS else f"{told} ({moved})"


def _told(low: float, high: float, most: float) -> str:
    """Whether what lies from ``low`` to ``high`` is ``most`` at most."""
    return APPEARS if high <= most else ABSENT if low > most else UNKNOWN


def beyond_control(found: Found, arm: str, claim: Claim) -> Interval | None:
    """What ``arm`` has more than its model of clean pairs under the same trigger."""
    if claim.attack != CONTROLLED:
        return None
    return difference(found[arm, "control", claim.metric], found[arm, claim.attack, claim.metric])


def main() -> None:
    folder = Path(sys.argv[1])
    found, took = read(folder), epoch_times(folder)
    seeds = sorted({seed for records in found.values() for seed in records})
    print(f"Seeds {', '.join(map(str, seeds))}; percent, with 95 % intervals.\n")
    print(
        "| model | pairs | clean accuracy | linear probe | attack success | poison in the safe set | poison held safe "
        "| epoch, times CLIP's |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for arm, name in ARMS.items():
        for attack in ATTACKS:
            metrics = ("accuracy_top1", PROBE, SUCCESS[attack], "poison_in_safe", "poison_called_safe")
            if not any((arm, attack, metric) in found for metric in metrics):
                continue
            cells = [share(over(found[arm, attack, metric].values())) for metric in metrics]
            shown = "clean, measured under the patch" if attack == "control" else attack
            print(f"| {name} | {shown} | {' | '.join(cells)} | {times_clip(took, arm, attack)} |")
    print(
        "\n| published | model | left | more than without poison, points | change against CLIP, points "
        "| against CLIP, augmented | verdict |"
    )
    print("|---|---|---:|---:|---:|---:|---|")
    for claim in CLAIMS:
        arms = {arm: found[arm, claim.attack, claim.metric] for arm in ("clip", "views", claim.arm)}
        left, alone = over(arms[claim.arm].values()), over(arms["views"].values())
        changes = [difference(arms[arm], arms[claim.arm]) for arm in ("clip", "views")]
        more, more_alone = (beyond_control(found, arm, claim) for arm in (claim.arm, "views"))
        said = verdict(claim.change, left, changes[0], more) if left and changes[0] else "not measured"
        drop = difference(arms["clip"], arms["views"])
        if said == APPEARS and alone and drop and verdict(claim.change, alone, drop, more_alone) == said:
            said += ", with augmentation alone too"
        also = ", one seed" if len(seeds) == 1 else ""
        print(f"| {claim.said} | {ARMS[claim.arm]} | {share(left)} | {share(more, '+')} | {share(changes[0], '+')} | "
              f"{share(changes[1], '+')} | {said}{also} |")  # fmt: skip
    few = "No success on 64 pictures has an interval up to 5.7%: one seed cannot show that a targeted attack is gone. "
    targeted = few if any(attack == "targeted" and records for (_, attack, _), records in found.items()) else ""
    print(
        f"\nTo nothing: the whole interval lies at {NOTHING:.0%} or below; where it lies above, it cannot be told "
        "unless what is left beyond the same method's model of clean pairs under the same trigger lies above, too. No "
        f"harm: the whole interval of the change lies above −{HARM:.0%}. Falls, gains by as much: it lies beyond "
        f"{HALF:.0%} of what was published. "
        f"{targeted}Epochs: processor time, the mean of all phases."
    )


if __name__ == "__main__":
    main()
