"""A sweep in sentences: what became of each victim, how to read the tables, and what is missing in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bezoar.report.fronts import CRITERIA, AtMost, Near
from bezoar.report.sweep_choice import Arm, Pick, across, arms, before
from bezoar.report.sweep_effect import NOTHING_TO_CLEAN, clean_already, dropped, effect, told
from bezoar.report.sweeps import Swept, Training
from bezoar.report.text import DASH, count, measured, quoted, setting

Choose = Callable[[Swept, Arm], tuple[Pick, ...]]
_MANY = 12
"""Victims that are told of one by one, and failures."""
_GOAL, _NEAR = AtMost(0.10), Near(0.03)


def story(sweep: Swept, choose: Choose = across) -> tuple[str, ...]:
    """Of each victim whether it takes the attack, and what the best of its arms leaves."""
    by_victim: dict[int | None, list[Arm]] = {}
    for arm in arms(sweep):
        by_victim.setdefault(arm.victim.number if arm.victim else None, []).append(arm)
    found = [sentence for of in list(by_victim.values())[:_MANY] for sentence in _fate(sweep, of, choose)]
    if len(by_victim) > _MANY:
        found.append(f"{len(by_victim) - _MANY} more victims stand in the table alone.")
    return tuple(found)


def _fate(sweep: Swept, of: Sequence[Arm], choose: Choose) -> Iterator[str]:
    start, name = before(sweep, of[0]), quoted(called(of[0].victim))
    if start.reported is None:
        yield f"Of {name} no attack success was measured before cleaning."
    else:
        several = len(start.by_seed) > 1
        asr, accuracy = (measured(start.reported[place], several) for place in (1, 0))
        lacking = clean_already(sweep, start)
        yield (
            f"{name} has an ASR of {asr} at a clean accuracy of {accuracy} on {sweep.report_on}."
            + (f" Beware: {lacking}." if lacking else "")
        )
        if lacking == NOTHING_TO_CLEAN:
            return
    whole = f"{len(of)} arm{'s' if len(of) > 1 else ''} of {name}"
    names = [criterion.name for criterion in CRITERIA]
    picks = [(arm, choose(sweep, arm)) for arm in of]
    good = [(arm, found[names.index(_GOAL.name)]) for arm, found in picks]
    good = [(arm, pick) for arm, pick in good if pick.selected]
    if good:
        arm, pick = max(good, key=lambda each: each[1].selected.accuracy.value if each[1].selected else 0.0)
        have = "has" if len(good) == 1 else "have"
        yield (
            f"{len(good)} of {whole} {have} a point at ASR ≤ {100 * _GOAL.limit:g} % on "
            f"{sweep.select_on}; the most accurate is {_point(sweep, arm, pick, start)}."
        )
        return
    near = [(arm, pick) for arm, found in picks if (pick := found[names.index(_NEAR.name)]).selected]
    if near:
        arm, pick = min(near, key=lambda each: each[1].selected.asr.value if each[1].selected else 1.0)
        yield (
            f"None of {whole} has a point at ASR ≤ {100 * _GOAL.limit:g} % on "
            f"{sweep.select_on}; the lowest within 3 points of an arm's best accuracy is "
            f"{_point(sweep, arm, pick, start)}."
        )
    else:
        yield f"Of {whole} nothing was measured on both splits."


def _point(sweep: Swept, arm: Arm, pick: Pick, start: Pick) -> str:
    """A choice with what it gives, in words."""
    assert pick.reported is not None
    several, change = len(pick.by_seed) > 1, effect(start, pick)
    at = chosen_setting(sweep, arm, pick)
    facets = ", ".join(f"{short(sweep, key)} {value}" for key, value in arm.facets.items())
    where = "; ".join(part for part in (facets, at) if part and part != DASH)
    gives = f"{quoted(arm.group)} ({where}): ASR {measured(pick.reported.asr, several)} at a clean accuracy of "
    gives += ", ".join([f"{measured(pick.reported.accuracy, several)} on {sweep.report_on}", *pick.notes])
    if change is None:
        return gives
    moved = f"the ASR drops by {dropped(change.asr)} and the accuracy changes by {told(change.accuracy)}"
    return f"{gives}; in points, {moved}"


def remarks(sweep: Swept, choose: Choose) -> tuple[str, ...]:
    """Without which the tables would be misread, and what is missing in them."""
    return (*rules(sweep, choose), *missing(sweep))


def rules(sweep: Swept, choose: Choose) -> tuple[str, ...]:
    """How the numbers came about."""
    how = "by the mean over seeds" if choose is across else "for each seed by itself"
    said = [
        f"Every measured epoch of every training of an arm is a point. Points are chosen {how} on {sweep.select_on}, "
        f"and reported on {sweep.report_on}; the choice uses the trigger, which a real defender does not have.",
        "Intervals are Student's over seeds where there are several, else Wilson's over pictures, at 95 %. Drops and "
        "changes are paired: each seed's model after less the same seed's before.",
    ]
    if sweep.select_on == sweep.report_on:
        said.append("Chosen and reported on the same pictures: the numbers are optimistic.")
    return tuple(said)


def missing(sweep: Swept) -> Iterator[str]:
    """What failed and what is not finished."""
    lost = [(t, seed, why) for t in sweep.trainings for seed, why in t.failed.items()]
    for training, seed, why in lost[:5]:
        yield f"No numbers of {called(training)}, seed {seed}: {why}."
    if len(lost) > 5:
        yield f"Nor of {len(lost) - 5} other trainings that failed."
    open_ = [
        t for t in sweep.trainings if any(not sweep.models(t.number, s) and s not in t.failed for s in sweep.seeds)
    ]
    if open_:
        yield f"Not finished: {count(len(open_))} of {count(len(sweep.trainings))} stages lack a seed at least."


def called(training: Training | None, without: str | None = None) -> str:
    """A training by its stage and axes, but for one of these; ``None`` is the model that was given."""
    if training is None:
        return "the given model"
    words = (f"{name.rpartition('.')[2]}={value}" for name, value in training.axes.items() if name != without)
    return " ".join([training.stage, *words])


def short(sweep: Swept, name: str) -> str:
    """The end of a path, where no other axis ends so."""
    end = name.rpartition(".")[2]
    return end if sum(other.rpartition(".")[2] == end for other in sweep.axes) <= 1 else name


def chosen_setting(sweep: Swept, arm: Arm, pick: Pick) -> str:
    """The chosen settings that are not conditions of the arm, and the epoch; by seed where they differ."""
    said = {}
    for seed, at in pick.chosen.items():
        training = sweep.trainings[at.training]
        free = without(training.settings, arm.facets)
        said[seed] = setting({short(sweep, k): v for k, v in free.items()}, at.epoch, None if at.whole else at.step)
    if len(set(said.values())) > 1:
        return "; ".join(f"seed {seed}: {text}" for seed, text in said.items())
    return next(iter(said.values()), DASH)


def without(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for those that are named elsewhere."""
    return {key: value for key, value in settings.items() if key not in others}
