"""Axes: three ways to write one, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from bezoar.experiment.axes import Axis, axis_of


def test_one_setting() -> None:
    axis = axis_of("stages.a.method.lr", [1e-3, 0.01])
    assert axis.changes == {1e-3: {"stages.a.method.lr": 1e-3}, 0.01: {"stages.a.method.lr": 0.01}}
    assert axis.paths == ("stages.a.method.lr",)


def test_settings_that_take_the_same_value() -> None:
    axis = axis_of("lr", {"paths": ["a.lr", "b.lr"], "values": [1, 2]})
    assert axis.changes == {1: {"a.lr": 1, "b.lr": 1}, 2: {"a.lr": 2, "b.lr": 2}}


def test_settings_that_change_together() -> None:
    given = {0: {"stages.clean.poison": False}, 5: {"attacks.left.count": 5}}
    axis = axis_of("left", given)
    assert axis.changes == given
    assert axis.paths == ("stages.clean.poison", "attacks.left.count")


def test_a_value_of_many_settings_goes_by_its_kind() -> None:
    axis = axis_of("attack.trigger", ["patch", {"kind": "warp", "size": 4}, None])
    assert list(axis.changes) == ["patch", "warp", "none"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "axes.x: must be a list of values, {paths: […], values: […]} or {value: {path: setting}}, got 3"),
        ({}, "axes.x: must be a list of values"),
        ([], "axes.x: has no values"),
        ({"paths": ["x"], "values": []}, "axes.x: has no values"),
        ({"paths": "x", "values": [1]}, "axes.x.paths: must be a list of settings paths, got 'x'"),
        ({"paths": [], "values": [1]}, "axes.x.paths: must be a list of settings paths, got []"),
        ({"paths": ["x"], "values": 1}, "axes.x.values: must be a list, got 1"),
        ([1, 2, 1], "axes.x: two values are called 1; name them"),
        ([{"kind": "patch", "size": 1}, {"kind": "patch"}], "axes.x: two values are called 'patch'; name them"),
        ([[1, 2]], "axes.x: [1, 2] needs a name: {name: {path: value}, …}"),
        ({"a": {}}, "axes.x: 'a' must name the settings that it stands for, as path: value"),
        ({"a": 3}, "axes.x: must be a list of values"),
    ],
)
def test_what_is_no_axis(given: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        axis_of("x", given)
    assert str(caught.value).startswith(said)


def test_two_grids_may_share_an_axis_if_they_agree() -> None:
    one, other = Axis("n", {1: {"a": 1}, 2: {"a": 2}}), Axis("n", {2: {"a": 2}, 3: {"a": 3}})
    assert list(one.joined(other).changes) == [1, 2, 3]
    with pytest.raises(ValueError, match=r"^axes.n: 2 stands for two things in two grids$"):
        one.joined(Axis("n", {2: {"a": 4}}))
