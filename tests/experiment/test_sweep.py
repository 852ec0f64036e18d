"""A sweep as a value: which points it has, what may be chosen, and what is refused before any work."""

from __future__ import annotations

from typing import Any

import pytest
from tests import tiny

from bezoar.experiment.sweep import Sweep, parse_sweep, with_seeds

LR = {"paths": ["stages.finetune.method.lr", "stages.cleanclip.method.lr"], "values": [1e-3, 1e-2]}


def plain() -> dict[str, Any]:
    """The tiny experiment, with poison left in the pairs of its cleanings."""
    found = tiny.experiment()
    found["attacks"] = {"left": {**found["attack"], "count": 1}}
    for stage in found["stages"][1:]:
        stage |= {"poison": "left", "threat": "left"}
    return found


LEFT = {0: {"stages.finetune.poison": False, "stages.cleanclip.poison": False}, 1: {}, 2: {"attacks.left.count": 2}}
LEFT[1] = {"attacks.left.count": 1}


def sweep(axes: Any, **more: Any) -> Sweep:
    return parse_sweep({"experiment": plain(), "axes": axes, **more})


def test_the_points_of_a_grid_are_all_combinations() -> None:
    points = sweep({"lr": LR, "left": LEFT}).points()
    assert [dict(p.axes) for p in points] == [{"lr": lr, "left": n} for lr in (1e-3, 1e-2) for n in (0, 1, 2)]
    first, last = points[0].experiment, points[-1].experiment
    assert [stage.poison for stage in first.stages] == [True, False, False]
    assert [stage.method.lr for stage in last.stages] == [1e-3, 1e-2, 1e-2]
    assert last.poisoning(last.stages[1]) == last.attacks["left"]
    assert last.attacks["left"].count == 2  # type: ignore[attr-defined]


def test_several_grids_are_one_list_of_points_each_once() -> None:
    found = sweep([{"lr": LR}, {"lr": LR, "left": LEFT}, {"pairs.clean.count": [16, 24]}])
    assert [list(axis.changes) for axis in found.axes] == [[1e-3, 1e-2], [0, 1, 2], [16, 24]]
    at = [tuple(point.axes.values()) for point in found.points()]
    # What a grid does not name stands where the experiment has it: lr 1e-3, one poison, 16 pairs.
    assert at == [
        (1e-3, 1, 16),
        (1e-2, 1, 16),
        (1e-3, 0, 16),
        (1e-3, 2, 16),
        (1e-2, 0, 16),
        (1e-2, 2, 16),
        (1e-3, 1, 24),
    ]


def test_an_axis_at_none_of_its_values_has_that_of_the_experiment() -> None:
    bundle = {"few": {"pairs.clean.count": 8, "stages.cleanclip.method.epochs": 2}}
    found = sweep([{"stages.cleanclip.method.epochs": [3]}, {"size": bundle}])
    assert [tuple(point.axes.values()) for point in found.points()] == [(3, "base"), (1, "few")]


@pytest.mark.parametrize("axes", [{"seeds": [3, 4], "lr": LR}, [{"lr": LR}, {"seeds": [3, 4], "left": LEFT}]])
def test_seeds_are_an_axis_that_every_point_has(axes: Any) -> None:
    found = sweep(axes)
    assert found.base.seeds == (3, 4)
    assert all(point.experiment.seeds == (3, 4) for point in found.points())
    assert sweep({"lr": LR}, seeds=[3, 4]).base.seeds == (3, 4)
    assert with_seeds(found, (7,)).points()[0].experiment.seeds == (7,)


def test_a_defender_chooses_the_method_and_nothing_of_the_attack() -> None:
    axes = {"lr": LR, "left": LEFT, "pairs.clean.count": [16], "stages.2.method.lr": [1]}
    assert sweep(axes).choose == ("lr", "stages.2.method.lr")
    assert sweep(axes, choose=["lr"]).choose == ("lr",)
    assert sweep(axes, choose=[]).choose == ()
    assert sweep({"stages.cleanclip.keep": ["none", "last"]}).choose == ()
    assert sweep({"stages.cleanclip.keep": ["none"]}, choose=["stages.cleanclip.keep"]).choose


def test_what_it_was_made_of_makes_it_again() -> None:
    found = sweep([{"lr": LR}, {"left": LEFT}], name="mine", about="why", seeds=[1, 2], choose=["lr"])
    again = parse_sweep(found.plain)
    assert again == found
    assert (again.name, again.about, again.base.seeds) == ("mine", "why", (1, 2))
    assert again.points() == found.points()


def test_a_part_that_is_not_there_begins_with_its_first_setting() -> None:
    (point,) = sweep({"stages.finetune.method.shrink_perturb.shrink": [0.5]}).points()
    assert point.experiment.stages[1].method.shrink_perturb.shrink == 0.5  # type: ignore[union-attr]


METHOD = "stages.cleanclip.method"


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (
            {f"{METHOD}.lrr": [1]},
            f"axes.{METHOD}.lrr: stages.2.method: unknown key 'lrr'; did you mean 'lr'? (choices: ",
        ),
        (
            {"stages.claenclip.lr": [1]},
            "axes.stages.claenclip.lr: stages.claenclip: no such entry; did you mean 'cleanclip'? (choices: ",
        ),
        (
            {"pairs.claen.n": [3]},
            "axes.pairs.claen.n: pairs.claen: no such key; did you mean 'clean'? (choices: clean, train)",
        ),
        ({"pair": [3]}, "axes.pair: unknown key 'pair'; did you mean 'pairs'? (choices: "),
        ({"model.x": [1]}, "axes.model.x: model: is 'micro-cnn-32', it has no 'x'"),
        (
            {"attacks.left.count": [1, 0]},
            "axes.attacks.left.count: attacks.left.count: Input should be greater than or equal to 1, got 0",
        ),
        (
            {"lr": {"paths": ["stages.x.method.lr"], "values": [1]}},
            "axes.lr: stages.x: no such entry (choices: cleanclip, finetune, victim)",
        ),
        (
            [{"seeds": [1], "lr": LR}, {"seeds": [2], "lr": LR}],
            "axes.seeds: stands once: every point is run with all seeds",
        ),
        ({"seeds": [1, 1], "lr": LR}, "seeds: each stands once, got [1, 1]"),
        ({}, "axes: must be a mapping of axes and their values, or a list of such, got {}"),
        ([{"lr": LR}, 3], "axes: must be a mapping of axes and their values, or a list of such, got "),
        (
            {f"stages.{n}.method.epochs": list(range(1, 101)) for n in (0, 1, 2)},
            "axes: they span 1,000,000 points, more than 10,000; split them",
        ),
    ],
)
def test_what_is_refused_in_one_line(axes: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sweep(axes).points()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"axis": 1},
            "unknown key 'axis'; did you mean 'axes'? (choices: about, axes, choose, experiment, name, seeds)",
        ),
        ({"seeds": []}, "seeds: Tuple should have at least 1 item after validation, not 0"),
        ({"name": ""}, "name: String should match pattern"),
        ({"choose": "lr"}, "choose: must be a list of axes, got 'lr'"),
        ({"choose": ["lrr"]}, "choose: no axis is called 'lrr'; did you mean 'lr'? (choices: left, lr)"),
        ({"choose": ["left"]}, "choose: 'left' changes attacks.left.count, which is no setting of a cleaning"),
    ],
)
def test_other_keys(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sweep({"lr": LR, "left": LEFT}, **more)
    assert str(caught.value).startswith(said)


def test_a_sweep_needs_an_experiment() -> None:
    with pytest.raises(ValueError, match=r"^experiment: a sweep needs one: a recipe, a file, or its settings$"):
        parse_sweep({"axes": {"lr": LR}})
    with pytest.raises(ValueError, match=r"^mine\.yaml: must be a mapping of experiment and axes, got list$"):
        parse_sweep([], source="mine.yaml")
