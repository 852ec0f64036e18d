"""Progressive removal: who is dropped and when, by loops; ties, steps, schedule, resume, and what it can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests import tiny
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor

from bezoar.cleaning import METHODS, Finetune, Progressive
from bezoar.core.records import read_lines
from bezoar.training.loop import Pause, train
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer

__all__ = ["_each_step"]
BRIEF: dict[str, Any] = {
    "epochs": 3, "schedule_epochs": 3, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32"
}  # fmt: skip


class Scores:
    """A scorer that says what it is told."""

    def __init__(self, found: list[float]) -> None:
        self.found = found

    def cosines(self) -> Tensor:
        return torch.tensor(self.found)


def test_it_is_in_the_family() -> None:
    assert Progressive in METHODS
    assert Progressive.kind == "progressive"


def test_defaults_are_the_released_parsers() -> None:
    method = Progressive()
    assert (method.epochs, method.schedule_epochs, method.remove_fraction) == (40, 64, 0.02)
    assert (method.batch_size, method.lr, method.warmup_steps, method.weight_decay) == (128, 5e-4, 10_000, 0.1)


def by_loops(scores: list[list[float]], fraction: float, epochs: list[int] | None) -> list[int]:
    """The epoch before which each pair goes, -1 for never; of equal ones the first."""
    kept, gone = list(range(len(scores[0]))), [-1] * len(scores[0])
    for epoch, found in enumerate(scores):
        if epochs is None or epoch in epochs:
            ranked = sorted(kept, key=lambda pair: (-found[pair], pair))
            for pair in ranked[: int(fraction * len(kept))]:
                gone[pair] = epoch
                kept.remove(pair)
    return gone


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("epochs", [None, (0,), (1, 3), (7,)])
def test_who_is_dropped_when(fraction: float, epochs: tuple[int, ...] | None) -> None:
    random = torch.Generator().manual_seed(3)
    scores = [(torch.randint(6, (24,), generator=random) / 6).tolist() for _ in range(4)]  # many are equal
    method = Progressive(remove_fraction=fraction, progressive_epochs=epochs, epochs=4, batch_size=2)
    state: Any = method.build(tiny.clip(), tiny.data(24).pairs, 0)
    sizes = []
    for epoch, found in enumerate(scores):
        method.begin_epoch(state, epoch, cast("Scorer", Scores(found)))
        (this,) = method.passes(state, epoch)
        sizes.append(len(this.indices))
        assert this.indices.tolist() == [i for i, gone in enumerate(state.dropped.tolist()) if gone < 0]
    assert state.dropped.tolist() == by_loops(scores, fraction, list(epochs) if epochs is not None else None)
    assert method.total_steps(24) == sum(size // 2 for size in sizes)


def trained(method: Progressive, poisoned: bool = True) -> tuple[list[Pause], dict[str, Any]]:
    pauses: list[Pause] = []
    told: list[Any] = []

    def on_pause(pause: Pause) -> None:
        pauses.append(pause)
        told.append({k: v.clone() if isinstance(v, Tensor) else v for k, v in method.diagnostics(pause.state).items()})

    train(method, tiny.clip(), tiny.data(48, tiny.plan() if poisoned else None), seed=0, on_pause=on_pause)
    return pauses, {"told": told}


def test_it_tells_whom_it_has_dropped_so_a_run_can_say_how_much_of_the_poison_that_was() -> None:
    method = Progressive(remove_fraction=0.25, **BRIEF)
    pauses, found = trained(method)
    told = found["told"]
    assert [(one["dropped"] >= 0).sum().item() for one in told] == [12, 12 + 9, 12 + 9 + 6]
    assert [one["dropped_share"] for one in told] == pytest.approx([12 / 48, 21 / 48, 27 / 48])
    assert [pause.step for pause in pauses] == [36 // 8, 36 // 8 + 27 // 8, 36 // 8 + 27 // 8 + 21 // 8]
    assert pauses[-1].step == method.total_steps(48)
    caught = (told[-1]["dropped"] >= 0) & tiny.data(48, tiny.plan()).poisoned()
    assert 0 < caught.sum() < 12


def test_before_the_first_epoch_the_model_it_starts_from_is_asked() -> None:
    data, model = tiny.data(48), tiny.clip()
    first = Scorer(model, data, autocast_for("fp32", model.device)).cosines().argsort(descending=True)[:12]
    _, found = trained(Progressive(remove_fraction=0.25, **BRIEF), poisoned=False)
    assert sorted(first.tolist()) == (found["told"][0]["dropped"] == 0).nonzero().flatten().tolist()


def test_no_pair_that_was_dropped_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, Tensor, Tensor]] = []
    inner = Progressive.loss

    def loss(self: Progressive, state: Any, features: Any, batch: Any) -> Any:
        seen.append((len(seen), batch.indices.clone(), state.dropped.clone()))
        return inner(self, state, features, batch)

    monkeypatch.setattr(Progressive, "loss", loss)
    trained(Progressive(remove_fraction=0.25, **BRIEF))
    assert len(seen) == 9
    assert all((dropped[indices] < 0).all() for _, indices, dropped in seen)


def test_with_nothing_to_remove_it_is_fine_tuning() -> None:
    brief = {name: value for name, value in BRIEF.items() if name != "schedule_epochs"}
    models = []
    for method in (Progressive(remove_fraction=0.0, schedule_epochs=3, **brief), Finetune(**brief)):
        model = tiny.clip()
        train(method, model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_the_rate_is_laid_out_over_more_epochs_than_are_trained(tmp_path: Path) -> None:
    method = Progressive(remove_fraction=0.0, **{**BRIEF, "epochs": 2, "schedule_epochs": 4, "warmup_steps": 0})
    train(method, tiny.clip(), tiny.data(32), seed=0, folder=tmp_path)
    rates = [line["lr"] for line in read_lines(tmp_path / "steps.jsonl")]
    assert rates == pytest.approx(
        [1e-3 * 0.5 * (1 + torch.tensor(step / 16 * torch.pi).cos().item()) for step in range(8)]
    )
    (this,) = method.passes(method.build(tiny.clip(), tiny.data(32).pairs, 0), 0)
    assert this.schedule.total == 16
    longer = Progressive(remove_fraction=0.0, **{**BRIEF, "epochs": 6, "schedule_epochs": 4})
    (this,) = longer.passes(longer.build(tiny.clip(), tiny.data(32).pairs, 0), 0)
    assert this.schedule.total == longer.total_steps(32) == 24


def test_a_removal_that_leaves_no_batch_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"remove_fraction: 0.5 leaves 6 of 48 pairs in the last epoch, fewer than a batch"
    ):
        train(Progressive(remove_fraction=0.5, **BRIEF), tiny.clip(), tiny.data(48), seed=0)


@pytest.mark.parametrize("after", [0, 4, 6, 8])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    method = Progressive(remove_fraction=0.25, **BRIEF)
    whole = run(method, tmp_path / "whole", 48)
    broken(method, tmp_path / "broken", after, 48)
    assert equal(run(method, tmp_path / "broken", 48), whole)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """640 pairs, 576 after a tenth has gone: 18 batches, then 16 of 518; ended after 20 steps."""
    method = Progressive(
        steps=20, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32", remove_fraction=0.1, epochs=2
    )
    tiny.golden("progressive", method, monkeypatch)
