"""What a sweep takes: shared trainings and pictures counted once, every kind of training timed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.experiment.test_sweep import LEFT, LR, sweep

import bezoar.experiment.sweep_cost
from bezoar.core.frame import Frame
from bezoar.experiment.experiment import Experiment, Stage
from bezoar.experiment.sweep_cost import check_disk, sweep_costs, sweep_disk
from bezoar.experiment.sweep_works import Work, works
from bezoar.models.clip import create

FRAMES = {"micro-cnn-32": Frame(32)}


def of(*axes: object, root: Path) -> Sequence[Work]:
    found = sweep(list(axes), seeds=[0, 1])
    return works(found, found.points(), root)


def test_steps_of_all_seeds_at_the_speed_of_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def second(experiment: Experiment, stage: Stage, steps: int) -> float:
        timed.append(stage.method.kind)
        return 2.0

    monkeypatch.setattr(bezoar.experiment.sweep_cost, "seconds_per_step", second)
    costs = sweep_costs(of({"lr": LR, "left": LEFT}, root=tmp_path))
    assert timed == ["clip", "finetune", "cleanclip"]
    assert [(cost.stage, cost.steps, cost.seconds) for cost in costs[:2]] == [
        ("victim", 2 * 8, 32.0),
        ("finetune lr=0.001 left=0", 2 * 2, 8.0),
    ]
    assert len(costs) == 1 + 6 + 6


def test_disk_counts_models_once_and_pictures_once(tmp_path: Path) -> None:
    weights = 4 * sum(p.numel() for p in create("micro-cnn-32").parameters())
    few, more = of({"lr": LR}, root=tmp_path), of({"lr": LR, "pairs.clean.count": [16, 24]}, root=tmp_path)
    pictures = 3 * 32 * 32
    assert sweep_disk(few, FRAMES) == pictures * (32 + 16 + 20) + 5 * 2 * (weights + (1 << 20)) + 6 * weights
    assert sweep_disk(more, FRAMES) - sweep_disk(few, FRAMES) == pictures * 24 + 4 * 2 * (weights + (1 << 20))


def test_what_is_there_is_not_needed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = of({"lr": LR}, root=tmp_path)
    monkeypatch.setattr(bezoar.experiment.sweep_cost, "free_bytes", lambda path: sweep_disk(found, FRAMES) - 1000)
    with pytest.raises(OSError, match="are free"):
        check_disk(found, FRAMES, tmp_path)
    (tmp_path / "there").write_bytes(bytes(1000))
    check_disk(found, FRAMES, tmp_path)
