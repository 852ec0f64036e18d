"""What the points of a sweep share: each training once, known by the axes that change it and by no other."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from tests.experiment.test_sweep import LEFT, LR, plain, sweep

from bezoar.core.files import write_json
from bezoar.experiment.run import check
from bezoar.experiment.stages import Job
from bezoar.experiment.sweep import parse_sweep
from bezoar.experiment.sweep_check import merged
from bezoar.experiment.sweep_works import FAILED, Work, works


def of(axes: Any, root: Path, **more: Any) -> tuple[Work, ...]:
    found = sweep(axes, **more)
    return works(found, found.points(), root)


def at(found: tuple[Work, ...]) -> list[tuple[str, dict[str, Any]]]:
    return [(work.stage.name, dict(work.axes)) for work in found]


def test_a_victim_is_one_however_many_points_clean_it(tmp_path: Path) -> None:
    found = of({"lr": LR, "left": LEFT, "stages.cleanclip.method.in_modal_weight": [1, 2]}, tmp_path, seeds=[0, 1])
    assert [name for name, _ in at(found)].count("victim") == 1
    assert at(found)[0] == ("victim", {})
    # Fine-tuning has no in-modal weight: six of it, and twelve of CleanCLIP.
    assert [axes for name, axes in at(found) if name == "finetune"] == [
        {"lr": lr, "left": n} for lr in (1e-3, 1e-2) for n in (0, 1, 2)
    ]
    assert [name for name, _ in at(found)].count("cleanclip") == 12
    assert all(len(work.jobs) == 2 and {job.seed for job in work.jobs} == {0, 1} for work in found)
    assert len({job.folder for work in found for job in work.jobs}) == 2 * len(found)
    assert {work.start for work in found[1:]} == {0}


def test_what_changes_the_victim_is_told_of_all_that_start_from_it(tmp_path: Path) -> None:
    found = of({"attack.count": [4, 8], "stages.finetune.method.lr": [1e-3, 1e-2]}, tmp_path)
    assert at(found)[0] == ("victim", {"attack.count": 4})
    assert [(work.axes.get("attack.count"), found[work.start].axes) for work in found if work.start is not None] == [
        (work.axes["attack.count"], {"attack.count": work.axes["attack.count"]})
        for work in found
        if work.start is not None
    ]
    assert [name for name, _ in at(found)].count("victim") == 2


def test_grids_of_one_sweep_share_too(tmp_path: Path) -> None:
    """What the second grid leaves as it is, it has in common with the first, and says so with the same axes."""
    found = of([{"lr": LR}, {"stages.cleanclip.method.in_modal_weight": [1, 4]}], tmp_path)
    weight = "stages.cleanclip.method.in_modal_weight"
    assert at(found) == [
        ("victim", {}),
        ("finetune", {"lr": 1e-3}), ("cleanclip", {"lr": 1e-3, weight: 1}),
        ("finetune", {"lr": 1e-2}), ("cleanclip", {"lr": 1e-2, weight: 1}),
        ("cleanclip", {"lr": 1e-3, weight: 4}),
    ]  # fmt: skip


def test_a_grid_of_the_experiment_goes_with_the_axes(tmp_path: Path) -> None:
    base = plain()
    base["stages"][1]["grid"] = {"weight_decay": [0.1, 1.0]}
    found = parse_sweep({"experiment": base, "axes": {"lr": LR}})
    fine = [work for work in works(found, found.points(), tmp_path) if work.group == "finetune"]
    assert [(work.stage.name, dict(work.grid), dict(work.axes)) for work in fine] == [
        (f"finetune weight_decay={decay}", {"weight_decay": decay}, {"lr": lr})
        for lr in (1e-3, 1e-2)
        for decay in (0.1, 1.0)
    ]


def test_folders_are_those_of_a_run(tmp_path: Path) -> None:
    """So a stage that a run of one point would find is the one that the sweep finds."""
    found = sweep({"lr": LR})
    for work in works(found, found.points(), tmp_path):
        for job in work.jobs:
            assert job.folder == Job(work.experiment, work.stage, job.seed, tmp_path).folder
            assert pickle.loads(pickle.dumps(job)).folder == job.folder
    assert [job.label for work in works(found, found.points(), tmp_path)[:2] for job in work.jobs] == [
        "victim",
        "finetune lr=0.001",
    ]
    assert works(with_two := sweep({"lr": LR}, seeds=[0, 5]), with_two.points(), tmp_path)[1].jobs[1].label == (
        "finetune lr=0.001, seed 5"
    )


def test_what_starts_from_a_failure_has_failed(tmp_path: Path) -> None:
    victim, fine, _, *_ = of({"lr": LR}, tmp_path)
    assert not fine.jobs[0].over
    write_json(victim.jobs[0].folder / FAILED, {"schema": 1, "error": "the loss is not finite"})
    assert (fine.jobs[0].failed, fine.jobs[0].over, fine.jobs[0].done) == ("the loss is not finite", True, False)


def test_a_sweep_is_checked_in_few_experiments(tmp_path: Path) -> None:
    """One for each difference beside the stages; each has every stage, and those it starts from, once."""
    found = of({"lr": LR, "left": LEFT, "pairs.clean.count": [16, 24]}, tmp_path)
    parts = merged(found)
    assert len(parts) == 4  # attacks.left of 1 and of 2 poisons, by sizes; 0 poisons change stages alone
    for part in parts:
        assert part.stages[0].name == "victim"
        assert all(stage.start == "victim" for stage in part.stages[1:])
        assert check(part).size == 32
    assert sum(len(part.stages) - 1 for part in parts) == len(found) - 1
    assert "cleanclip lr=0.01 left=0 count=16" in [stage.name for part in parts for stage in part.stages]


def test_long_and_odd_values_are_still_names(tmp_path: Path) -> None:
    axis = {"a/very*long" * 9: {"pairs.clean.count": 8}, "b/é": {"pairs.clean.count": 12}}
    for part in merged(of({"size": axis}, tmp_path)):
        assert {stage.name for stage in part.stages} <= {
            "victim",
            "cleanclip 3",
            "finetune 2",
            "finetune size=b__",
            "cleanclip size=b__",
        }
