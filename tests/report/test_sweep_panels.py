"""Which panel a model is in, which points there are, and what an axis may be called."""

from __future__ import annotations

import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, made, records, victims, work

from bezoar.report.looks import COLORS, MARKS
from bezoar.report.sweep_choice import across, arms, pareto
from bezoar.report.sweep_panels import Place, axis_of, inside, mean, panels, singles, styles, told
from bezoar.report.sweep_panels import cleaning as what
from bezoar.report.sweeps import Swept


def two() -> Swept:
    works, found = victims()
    return made(works, found, seeds=[0, 1])


def test_a_panel_a_victim() -> None:
    sweep = two()
    shown, left = panels(sweep)
    assert [(panel.victim, panel.value, [arm.group for arm in panel.arms]) for panel in shown] == [
        ("victim", None, ["victim+a", "victim+b"]), ("other", None, ["other+a", "other+b"]),
    ]  # fmt: skip
    assert left == ()
    arm = shown[0].arms[0]
    assert len(list(singles(sweep, arm))) == 8  # two learning rates, two epochs, two seeds
    assert mean(sweep, arm, arm.points[0]) == pytest.approx(Place(57.5, 37.5))


def test_a_panel_a_value_of_an_axis_for_each_victim() -> None:
    sweep = two()
    shown, _ = panels(sweep, LR)
    assert [(panel.victim, panel.value) for panel in shown] == [
        ("victim", 1e-4), ("victim", 1e-3), ("other", 1e-4), ("other", 1e-3),
    ]  # fmt: skip
    assert {t.axes[LR] for panel in shown if panel.value == 1e-3 for arm in panel.arms for t in arm.trainings} == {1e-3}
    assert all(len(arm.points) == 2 for panel in shown for arm in panel.arms)


def test_victims_that_an_axis_makes_are_one_row_of_it() -> None:
    far = {**VICTIM, "axes": {"attack": "warp"}}
    near = {**VICTIM, "axes": {"attack": "patch"}}
    works = [near, far, work("c", start=0, axes={"attack": "patch"}), work("c", start=1, axes={"attack": "warp"})]
    works.append(work("d", start=0))
    parts = [records(one, 1, validation=(0.5, 0.5), test=(0.5, 0.5)) for one in works]
    sweep = made(works, parts)
    assert [panel.victim for panel in panels(sweep)[0]] == ["victim attack=patch", "victim attack=warp"]
    shown = panels(sweep, "attack")[0]
    assert [(panel.victim, panel.value) for panel in shown] == [
        ("victim", "patch"), ("victim", "warp"), ("victim", None),
    ]  # fmt: skip
    assert [told("a.attack", panel.value) for panel in shown] == ["attack patch", "attack warp", "no attack"]
    assert told(None, None) == ""


def test_what_was_not_attacked_has_no_panel() -> None:
    works, found = victims()
    kept = [[r for r in part if r.metric != "asr_top1" or r.stage.startswith("victim")] for part in found]
    shown, left = panels(made(works, kept, seeds=[0, 1]))
    assert [panel.victim for panel in shown] == ["victim"]
    assert left == ("other",)


def test_a_cleaning_looks_the_same_for_every_victim() -> None:
    sweep = two()
    assert [what(arm) for arm in arms(sweep)] == ["a", "b", "a", "b"]
    assert styles(sweep) == {"a": (COLORS[0], MARKS[0]), "b": (COLORS[1], MARKS[1])}
    other = made([VICTIM, work("cleanclip-victim", start=0), work("victims", start=0), work("victim-", start=0)], [])
    assert [what(arm) for arm in arms(other)] == ["cleanclip", "s", "victim-"]


def test_the_axis_that_is_meant() -> None:
    sweep = made(
        [VICTIM, cleaning(**{LR: 1e-4, "left": 0}), {**cleaning(**{"b.x": 1, "c.x": 2}), "grid": {"k": 1}}], []
    )
    assert (axis_of(sweep, "lr"), axis_of(sweep, LR), axis_of(sweep, "left"), axis_of(sweep, "k")) == (
        LR,
        LR,
        "left",
        "k",
    )
    with pytest.raises(ValueError, match=r"^by: no axis is called 'lefd'; did you mean 'left'\?$"):
        axis_of(sweep, "lefd")
    with pytest.raises(ValueError, match=r"^by: no axis is called 'zzz'; the axes are .*left"):
        axis_of(sweep, "zzz")
    with pytest.raises(ValueError, match=r"^by: 'x' is the end of several axes: b\.x, c\.x$"):
        axis_of(sweep, "x")


def test_the_best_region_has_its_borders() -> None:
    assert inside([Place(50, 10), Place(50, 10.1), Place(49.9, 0), Place(99, 0)], 50) == 2


def test_arms_taken_apart_and_together() -> None:
    sweep = two()
    apart = arms(sweep, LR)
    assert [arm.facets for arm in apart[:2]] == [{LR: 1e-4}, {LR: 1e-3}]
    assert all(len(arm.points) == 2 for arm in apart)
    a, b = arms(sweep)[:2]
    both = {at for pick in pareto(sweep, a, b) for at in pick.chosen.values()}
    alone = {at for arm in (a, b) for pick in pareto(sweep, arm) for at in pick.chosen.values()}
    assert both <= alone
    assert across(sweep, a)[0].by_seed == {}
