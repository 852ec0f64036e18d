"""What is asked of a cleaning is what it does: the decay is the optimizer's, and a rate of zero moves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.cleaning import METHODS
from bezoar.core.records import read_lines
from bezoar.models.checkpoint import save
from bezoar.models.opening import load_model
from bezoar.pretraining import ClipPretraining
from bezoar.training.loop import train
from bezoar.training.method import Method
from bezoar.training.optimizer import adamw

BRIEF: dict[str, Any] = {"epochs": 2, "batch_size": 8, "warmup_steps": 3, "precision": "fp32"}


def asked(kind: type[Method], **changes: Any) -> Method:
    return tiny.method(kind, **BRIEF, **changes)


def data(method: Method) -> Any:
    return tiny.fitting(method, 32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model with the decay of pre-training, as a folder."""
    folder = tmp_path_factory.mktemp("victim")
    end = train(ClipPretraining(**BRIEF, lr=1e-3), tiny.clip(), tiny.data(32), seed=0)
    save(end.model, folder)
    return folder


every = pytest.mark.parametrize("kind", METHODS, ids=lambda kind: str(kind.kind))


@every
def test_the_decay_that_is_asked_for_is_in_the_optimizer(
    kind: type[Method], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Released code restored the optimizer of the checkpoint, and with it the decay of pre-training: 0.1."""
    made: list[torch.optim.AdamW] = []

    def kept(*given: Any) -> torch.optim.AdamW:
        made.append(adamw(*given))
        return made[-1]

    monkeypatch.setattr("bezoar.training.loop.adamw", kept)
    method = asked(kind, weight_decay=50.0, lr=1e-4)
    train(method, load_model(str(checkpoint)), data(method), seed=0, folder=tmp_path, teacher=tiny.teacher(method))
    (optimizer,) = made
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert decays["decayed"] == 50.0
    assert decays["plain"] == 0.0
    logged = [line["groups"]["decayed"]["weight_decay"] for line in read_lines(tmp_path / "steps.jsonl")]
    assert set(logged) == {50.0}


@every
def test_the_decay_shrinks_the_weights_by_what_it_says(kind: type[Method], checkpoint: Path) -> None:
    """Beside Adam's step, each step leaves 1 - rate · decay of a weight: a third after 8 steps, two of warm-up."""
    norms = []
    for decay in (0.0, 1500.0):
        model, method = load_model(str(checkpoint)), asked(kind, weight_decay=decay, lr=1e-4, schedule="constant")
        train(method, model, data(method), seed=0, teacher=tiny.teacher(method))
        norms.append(model.tower.get_parameter("visual.trunk.fc.weight").detach().norm().item())
    assert norms[1] / norms[0] == pytest.approx(0.95 * 0.9 * 0.85**6, rel=0.1)


@every
def test_a_learning_rate_of_zero_leaves_every_parameter_bit_for_bit(kind: type[Method], checkpoint: Path) -> None:
    """Parameters, not running statistics: batch normalization in training takes notice of what it sees."""
    model, before = load_model(str(checkpoint)), load_model(str(checkpoint))
    method = asked(kind, lr=0.0, weight_decay=50.0)
    train(method, model, data(method), seed=0, teacher=tiny.teacher(method))
    buffers = {name for name, _ in model.named_buffers()}
    after = model.state_dict()  # heads that begin anew are no part of what was there before
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    assert moved <= buffers
    assert moved
    assert all("running_" in name or "num_batches" in name for name in moved)


def test_without_batch_normalization_nothing_at_all_changes() -> None:
    from bezoar.cleaning import CleanCLIP

    model, method = tiny.clip("micro-vit-32"), asked(CleanCLIP, lr=0.0)
    train(method, model, tiny.data(32), seed=0)
    assert tiny.same(dict(model.state_dict()), dict(tiny.clip("micro-vit-32").state_dict()))
