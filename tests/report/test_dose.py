"""Attacks that differ in one number: which are found, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.report.handmade import HEAD, PATCH, Measured, add_plan, add_untouched, attacked, make_run, many_attacks

from bezoar.report.dose import AMOUNT, doses, draw
from bezoar.report.reading import read_run
from bezoar.report.svg import inline

COUNTS = {"dose-3": 3, "dose-300": 300, "dose-30": 30}


def backdoor(**changes: Any) -> dict[str, Any]:
    return {"kind": "backdoor", "target": "mushroom", "trigger": PATCH, **changes}


def found(names: tuple[str, ...]) -> Measured:
    return {(name, 0, 2): (0.6, 0.1 * n, 0.6, 0.1 * n) for n, name in enumerate(names, 1)}


def test_counts_and_rates_are_doses_of_poisoned_pairs(tmp_path: Path) -> None:
    attacks = {name: backdoor(count=count) for name, count in COUNTS.items()}
    attacks |= {"share": backdoor(rate=0.25), "other": backdoor(rate=0.25, trigger="sinusoidal")}
    folder = many_attacks(tmp_path, found(tuple(attacks)), attacks)
    for name, count in {**COUNTS, "share": 1000}.items():
        add_plan(folder, name=name, count=count, **HEAD)
    (dose,) = doses(read_run(folder))
    assert dose.field == AMOUNT
    assert [(x, row.stage) for x, row in dose.points] == [
        (3, "dose-3"), (30, "dose-30"), (300, "dose-300"), (1000, "share")
    ]  # fmt: skip
    assert dose.names == "“dose-3”, “dose-30”, “dose-300”, and “share”"


def test_numbers_of_methods_and_pairs_are_doses_too(tmp_path: Path) -> None:
    names = tuple(f"e{epochs}" for epochs in (1, 2, 4))
    stages = [
        {**stage, "poison": True, "method": {"kind": "clip", "epochs": int(stage["name"][1:])}}
        for stage in attacked(names)
    ]
    grid = {"name": "g", "pairs": "train", "poison": True, "method": {"kind": "clip"}, "grid": {"lr": [0.1, 0.2, 0.3]}}
    measured = {**found(names), **found(("g lr=0.1", "g lr=0.2", "g lr=0.3"))}
    folder = make_run(tmp_path, measured, [*stages, grid])
    told = {dose.field: [x for x, _ in dose.points] for dose in doses(read_run(folder))}
    assert told == {"method.epochs": [1, 2, 4], "method.lr": [0.1, 0.2, 0.3]}


def test_two_points_or_two_differences_are_no_dose(tmp_path: Path) -> None:
    attacks = {name: backdoor(count=count) for name, count in COUNTS.items()}
    two = dict(list(attacks.items())[:2])
    folder = many_attacks(tmp_path / "a", found(tuple(two)), two)
    assert doses(read_run(folder)) == ()
    attacks["dose-30"]["target"] = "tree"
    folder = many_attacks(tmp_path / "b", found(tuple(attacks)), attacks)
    for name, count in COUNTS.items():
        add_plan(folder, name=name, count=count, **HEAD)
    assert doses(read_run(folder)) == ()


def test_what_is_drawn(tmp_path: Path) -> None:
    attacks = {name: backdoor(count=count) for name, count in COUNTS.items()}
    folder = many_attacks(tmp_path, found(tuple(attacks)), attacks)
    for name, count in COUNTS.items():
        add_plan(folder, name=name, count=count, **HEAD)
    add_untouched(folder, "dose-3", 0.02)
    (dose,) = doses(read_run(folder))
    plot = draw(dose, "dose0")
    (axes,) = plot.figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", AMOUNT)
    assert len(plot.spots) == 3 + 3 + 1
    assert "poisoned pairs 300" in plot.spots[2].text
    assert 'id="dose0-' in inline(plot)
