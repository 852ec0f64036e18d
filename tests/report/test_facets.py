"""Small multiples: who stands in which panel."""

from __future__ import annotations

from pathlib import Path

from tests.report.handmade import CLEANINGS, TRAINED, WHOLE, make_run, seeded

from bezoar.report.facets import facets, sheet, split
from bezoar.report.fields import labeled
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.scene import gathered

TWO = {**WHOLE, **seeded(WHOLE, 1, 0.02)}


def by(run: Run | tuple[Run, ...], field: str) -> dict[str, tuple[set[str], set[tuple[str, int | None]], int]]:
    runs = run if isinstance(run, tuple) else (run,)
    found = split(gathered(runs), field)
    return {
        value: ({row.stage for row in paths}, {(row.group, row.seed) for row in ends}, len(means))
        for value, (paths, ends, means) in found.items()
    }


def test_a_setting_of_the_method(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    ends = {("victim", 0), ("control", 0)}
    assert by(run, "lr") == {
        "1e-05": ({"finetune", "cleanclip lr=1e-05"}, ends, 0),
        "0.001": ({"cleanclip lr=0.001"}, ends, 0),
    }
    assert list(by(run, "lr")) == ["1e-05", "0.001"]  # by size, not by first sight
    assert by(run, "method").keys() == {"finetune", "cleanclip"}


def test_models_without_the_setting_stand_last(tmp_path: Path) -> None:
    found = by(read_run(make_run(tmp_path, WHOLE)), "in_modal_weight")
    assert list(found) == ["1.0", "no in_modal_weight"]
    assert found["no in_modal_weight"][0] == {"finetune"}


def test_a_seed_has_its_own_victim_and_no_mean(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, TWO, seeds=[0, 1]))
    found = by(run, "seed")
    assert [ends for _, ends, _ in found.values()] == [{("victim", s), ("control", s)} for s in (0, 1)]
    assert [means for *_, means in found.values()] == [0, 0]
    assert [means for *_, means in by(run, "method").values()] == [1, 1]


def test_runs_that_only_train_stand_beside_runs_that_clean(tmp_path: Path) -> None:
    measured = {key: values for key, values in WHOLE.items() if key[0] in ("victim", "control")}
    runs = labeled([
        read_run(make_run(tmp_path / "a", measured, TRAINED, name="trained")),
        read_run(make_run(tmp_path / "b", WHOLE, name="cleaned")),
    ])  # fmt: skip
    found = by(tuple(runs), "run")
    assert list(found) == ["trained", "cleaned"]
    assert found["trained"] == (set(), {("victim", 0), ("control", 0)}, 0)
    assert len(found["cleaned"][0]) == 3


def test_panels_share_their_axes_and_are_counted(tmp_path: Path) -> None:
    grid = {"lr": [n / 1000 for n in range(1, 28)]}
    stages = (*TRAINED, {**CLEANINGS[1], "grid": grid})
    measured = {("victim", 0, 2): (0.6, 0.9, 0.6, 0.9)}
    measured |= {(f"cleanclip lr={lr}", 0, 2): (0.5, 0.5, lr * 30, 0.5) for lr in grid["lr"]}
    run = read_run(make_run(tmp_path, measured, stages))
    found = facets([run], "lr")
    assert (len(found.panels), found.left_out) == (24, 3)
    assert len({plot.figure.axes[0].get_xlim() for _, plot in found.panels}) == 1
    assert len({plot.name for _, plot in found.panels}) == 24
    assert [len(plot.spots) for _, plot in found.panels] == [2] * 24


def test_a_sheet_for_a_file_has_all_panels(tmp_path: Path) -> None:
    plot = sheet([read_run(make_run(tmp_path, WHOLE))], "lr")
    assert plot
    assert [axes.get_title() for axes in plot.figure.axes] == ["lr: 1e-05", "lr: 0.001"]
    assert sheet([read_run(make_run(tmp_path / "none", {}))], "lr") is None
