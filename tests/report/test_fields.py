"""Settings by their path: what they are called, how runs differ, what they are named for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import CLEANINGS, TRAINED, WHOLE, batches, make_run, seeded

from bezoar.report.fields import check, differences, flat, labeled, of_row, value_of
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.tables import every_epoch


def run_of(folder: Path, batch: int = 128, **changes: Any) -> Run:
    return read_run(make_run(folder, WHOLE, batches(batch), **changes))


def test_paths() -> None:
    tree = {"a": {"b": 1, "c": [1, 2], "e": {}}, "s": [{"name": "x", "lr": 0.1}, {"kind": "y"}, 3], "n": None}
    assert flat(tree) == {
        "a.b": 1, "a.c": "1, 2", "a.e": "none", "s.x.name": "x", "s.x.lr": 0.1, "s.y.kind": "y", "s.2": 3, "n": "none"
    }  # fmt: skip


def test_a_model_has_its_own_point_of_the_grid(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    found = {(row.stage, value_of("lr", of_row(run, row))) for row in every_epoch(run)}
    assert ("cleanclip lr=0.001", 0.001) in found
    assert ("finetune", 1e-5) in found
    row = next(row for row in every_epoch(run) if row.group == "cleanclip")
    settings = of_row(run, row)
    assert value_of("stages.cleanclip.method.lr", settings) == value_of("cleanclip.method.lr", settings) == 1e-5
    assert value_of("stages.finetune.method.lr", settings) is None
    assert (value_of("method", settings), value_of("seed", settings), value_of("stage", settings)) == (
        "cleanclip", 0, "cleanclip"
    )  # fmt: skip
    assert value_of("kind", {"a.kind": 1, "b.c.kind": 2}) == 1
    assert value_of("r", settings) is None  # an end of a path begins at a dot


def test_an_unknown_field_is_refused() -> None:
    check(["lr", "a.b"], [{"x.method.lr": 1}, {"a.b": 2}])
    with pytest.raises(ValueError, match=r"^by: no setting is called 'batchsize'; did you mean 'batch_size'\?$"):
        check(["batchsize"], [{"x.method.batch_size": 1}])
    with pytest.raises(ValueError, match=r"'attack\.triger'; did you mean 'attack\.trigger'"):
        check(["attack.triger"], [{"attack.trigger": 1}])
    with pytest.raises(ValueError, match="name a path of experiment"):
        check(["zzz"], [{"lr": 1}])
    check(["lr"], [])


def test_a_setting_that_differs_alike_everywhere_is_one_difference(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a"), run_of(tmp_path / "b", 64, about="other", seeds=[5])]
    assert differences(runs) == {"batch_size": (128, 64)}
    assert [run.title for run in labeled(runs)] == ["batch_size 128", "batch_size 64"]


def test_a_grid_stands_for_the_default_that_it_replaces(tmp_path: Path) -> None:
    """A default that no model was made with is no difference, and never shown as one."""
    method = CLEANINGS[0]["method"]
    wide = {**CLEANINGS[0], "method": {**method, "lr": 1e-5}, "grid": {"lr": [0.25, 0.5]}}
    narrow = {**CLEANINGS[0], "method": {**method, "lr": 1e-4}, "grid": {"lr": [0.25]}}
    runs = [read_run(make_run(tmp_path / n, {}, [TRAINED[0], s])) for n, s in (("a", wide), ("b", narrow))]
    assert differences(runs) == {"lr": ("0.25, 0.5", "0.25")}


def test_two_settings_of_one_name_are_told_apart(tmp_path: Path) -> None:
    stages = [TRAINED[0], {**CLEANINGS[0], "method": {"kind": "finetune", "lr": 0.5}}]
    other = [{**TRAINED[0], "method": {"kind": "clip", "lr": 0.25, "epochs": 2}}, CLEANINGS[0]]
    runs = [read_run(make_run(tmp_path / n, {}, s)) for n, s in (("a", stages), ("b", other))]
    assert {"victim.lr", "finetune.lr"} <= set(differences(runs))


def test_runs_of_other_stages_and_attacks_differ_in_few_lines(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a"), read_run(make_run(tmp_path / "b", {}, TRAINED[1:], attack=None))]
    found = differences(runs)
    assert found["attack"] == ("backdoor", "none")
    assert found["stages"] == ("victim, control, finetune, cleanclip", "control")
    assert len(found) < 5


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (("x", "y"), ["x", "y"]),
        (("x", "x"), ["a", "b"]),  # the same settings and the same seeds: their folders
    ],
)
def test_labels(tmp_path: Path, names: tuple[str, str], titles: list[str]) -> None:
    runs = [run_of(tmp_path / at, name=name) for at, name in zip("ab", names, strict=True)]
    assert [run.title for run in labeled(runs)] == titles


def test_labels_of_some_that_share_a_name(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a"), run_of(tmp_path / "b", 64), run_of(tmp_path / "c", name="other")]
    assert [run.title for run in labeled(runs)] == ["by hand: batch_size 128", "by hand: batch_size 64", "other"]


def test_labels_are_never_shared(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / at / "same") for at in "ab"]
    assert [run.title for run in labeled(runs)] == ["same (1)", "same (2)"]


def test_a_run_alone_has_its_name(tmp_path: Path) -> None:
    assert labeled([read_run(make_run(tmp_path, seeded(WHOLE, 3), seeds=[3]))])[0].title == "by hand"
