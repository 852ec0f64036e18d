"""Pooling: seeds of one experiment in several folders are one run, with the numbers of one folder that had them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import WHOLE, add_data, add_plan, add_stage, make_run, seeded

from bezoar.core.files import write_json
from bezoar.report.comparing import compared
from bezoar.report.pooling import read_runs
from bezoar.report.tables import every_epoch, last_epochs, table

SECOND = seeded(WHOLE, 1, 0.02)


def test_folders_of_other_seeds_are_one_run(tmp_path: Path) -> None:
    both = make_run(tmp_path / "both", {**WHOLE, **SECOND}, seeds=[0, 1])
    folders = [make_run(tmp_path / "a", WHOLE), make_run(tmp_path / "b", SECOND, seeds=[1], about="later")]
    for folder, seed in zip(folders, (0, 1), strict=True):
        add_plan(folder, seed)
        add_stage(folder, "victim", seed)
    (run,) = read_runs(folders)
    (expected,) = read_runs([both])
    assert run.seeds == (0, 1)
    assert run.folders == tuple(folders)
    for rows in (table, last_epochs, every_epoch):
        assert rows(run) == rows(expected)
    assert table(run)[0].seed is None
    assert [plan.seed for plan in run.plans] == [0, 1]
    assert run.classes == 32
    assert len(run.steps) == 8


def test_what_a_folder_holds_of_seeds_that_are_not_its_own_is_passed_over(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / "a", {**WHOLE, **seeded(WHOLE, 1, 0.3)}),
        make_run(tmp_path / "b", SECOND, seeds=[1]),
    ]
    (run,) = read_runs(folders)
    row = next(row for row in table(run) if row.group == "victim" and row.seed == 1)
    assert row.accuracy
    assert row.accuracy.value == pytest.approx(0.63)


@pytest.mark.parametrize("changes", [{"name": "other"}, {"model": "micro-vit-32"}, {"seeds": [1, 0]}])
def test_other_runs_stay_apart(tmp_path: Path, changes: dict[str, Any]) -> None:
    folders = [make_run(tmp_path / "a", WHOLE), make_run(tmp_path / "b", SECOND, **{"seeds": [1], **changes})]
    runs = read_runs(folders)
    assert [run.folder for run in runs] == folders
    assert len({run.title for run in runs}) == 2


def test_one_path_with_other_content_is_another_run(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a", WHOLE), make_run(tmp_path / "b", SECOND, seeds=[1])]
    for folder in folders:
        add_data(folder)
    assert len(read_runs(folders)) == 1
    add_data(folders[1], fingerprint="g")
    runs = read_runs(folders)
    assert [run.folder for run in runs] == folders
    text = "\n".join(compared(runs))
    assert "what differs between them is what their sources held, chance, the code and the machine" in text
    assert "not all measured on the same pictures" in text


def test_a_folder_counts_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", WHOLE)
    assert len(read_runs([folder, folder / ".." / "a"])) == 1
    with pytest.raises(ValueError, match="run: at least one run folder is needed"):
        read_runs([])


def test_machines_stand_side_by_side_where_they_differ(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a", WHOLE), make_run(tmp_path / "b", SECOND, seeds=[1])]
    write_json(folders[1] / "environment.json", {"git": "fedc", "threads": 1, "packages": {"torch": "2.8"}})
    (run,) = read_runs(folders)
    assert run.environment == {"git": "0123456789ab / fedc", "threads": 1, "packages": {"torch": "2.9 / 2.8"}}
