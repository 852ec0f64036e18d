"""One step: chunks, scaled losses, clipping, locks, averages; what each does to gradients, weights and statistics."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn
from torch.nn import functional as F

from bezoar.cleaning import Finetune
from bezoar.core.records import read_lines
from bezoar.core.rows import rows
from bezoar.pretraining import ClipPretraining
from bezoar.training import steplog
from bezoar.training.batch import Batch, Features, together
from bezoar.training.loader import batches
from bezoar.training.loop import Pause, train
from bezoar.training.method import Method, Pass
from bezoar.training.optimizer import adamw
from bezoar.training.peers import ALONE
from bezoar.training.precision import autocast_for
from bezoar.training.state import State
from bezoar.training.stepping import Stepper

BRIEF: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 0, "precision": "fp32"}
Grads = dict[str, Tensor]


def stepper(method: Method, tower: str = "micro-vit-32", scaler: torch.amp.GradScaler | None = None) -> Stepper:
    state = State(tiny.clip(tower), 32).train()
    return Stepper(
        method=method, state=state, optimizer=adamw(state, method), peers=ALONE, seed=0,
        scaler=scaler or torch.amp.GradScaler("cpu", enabled=False), autocast=autocast_for("fp32", torch.device("cpu")),
    )  # fmt: skip


def first(method: Method, step: Stepper) -> tuple[Pass, Batch]:
    (this,) = method.passes(step.state, 0)
    stream = batches(tiny.data(32), step.state.model.tokenize, this, batch_size=8, seed=0, epoch=0)
    return this, next(stream)


def grads(step: Stepper) -> Grads:
    return {name: weights.grad.clone() for name, weights in step.state.named_parameters() if weights.grad is not None}


def taken(method: Method, tower: str = "micro-vit-32", scaler: torch.amp.GradScaler | None = None) -> Stepper:
    """A stepper that has taken its first step."""
    step = stepper(method, tower, scaler)
    step(*first(method, step), 0)
    return step


def close(one: Grads, other: Grads) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], rtol=1e-3, atol=1e-5) for n in one)


# -------------------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_chunks_give_the_gradient_of_the_whole_batch(size: int) -> None:
    assert close(grads(taken(Finetune(**BRIEF, chunk_size=size))), grads(taken(Finetune(**BRIEF))))


def test_with_batch_normalization_chunks_give_another_gradient() -> None:
    """The caveat: pairs of a chunk are normalized by themselves."""
    whole = grads(taken(Finetune(**BRIEF), "micro-cnn-32"))
    assert not close(grads(taken(Finetune(**BRIEF, chunk_size=4), "micro-cnn-32")), whole)
    assert close(grads(taken(Finetune(**BRIEF, chunk_size=8), "micro-cnn-32")), whole)


def test_running_statistics_see_every_chunk_once() -> None:
    step = taken(Finetune(**BRIEF, chunk_size=4), "micro-cnn-32")
    norms = [layer for layer in step.state.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {int(layer.num_batches_tracked) for layer in norms if layer.num_batches_tracked is not None} == {2}
    assert all(layer.track_running_stats for layer in norms)


def test_chunks_of_batch_normalization_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train(Finetune(**BRIEF, chunk_size=4), tiny.clip("micro-vit-32"), tiny.data(8), seed=0)
        assert not caplog.records
        train(Finetune(**BRIEF, chunk_size=4), tiny.clip(), tiny.data(8), seed=0)
    (record,) = caplog.records
    assert "method.chunk_size: batch normalization sees 4 pairs at a time" in record.getMessage()


def test_a_chunk_draws_the_same_both_times() -> None:
    """What a tower drops out is what it dropped when its features were cached, or the gradient is of nothing."""
    seen: list[Tensor] = []

    def dropping(state: State, batch: Batch) -> Features:
        features = together(state, batch)
        dropped = F.dropout(features.images[0].own, 0.5)
        seen.append(dropped.detach())
        return Features(images=(rows(dropped),), texts=features.texts)

    method = Finetune(**BRIEF, chunk_size=4)
    step = stepper(method)
    this, batch = first(method, step)
    step(Pass(**{**vars(this), "encode": dropping}), batch, 0)
    torch.testing.assert_close(seen[0], seen[2])
    torch.testing.assert_close(seen[1], seen[3])
    assert (seen[0] == 0).any()
    assert not torch.equal(seen[0] == 0, seen[1] == 0)


def test_chunks_take_what_is_no_number_as_it_is() -> None:
    """An encoder may add anything with a row a pair, as which words are masked."""

    def adding(state: State, batch: Batch) -> Features:
        features = together(state, batch)
        return Features(images=features.images, texts=features.texts, others={"masked": batch.texts[0] > 3})

    found = []
    for size in (None, 3):
        method = Finetune(**BRIEF, chunk_size=size)
        step = stepper(method)
        this, batch = first(method, step)
        step(Pass(**{**vars(this), "encode": adding}), batch, 0)
        found.append(grads(step))
    assert close(*found)


def test_normalizations_that_hold_an_activation_keep_it_when_ranks_share_them() -> None:
    """torch's own conversion drops it without a word; its forward needs a GPU only where several ranks train."""
    from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm

    norm = BatchNormAct2d(3).eval()
    shared: nn.Module = convert_sync_batchnorm(nn.Sequential(norm)).eval()  # type: ignore[no-untyped-call]
    seen = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert isinstance(shared[0], nn.SyncBatchNorm)  # type: ignore[index]
    assert torch.equal(shared(seen), norm(seen))
    assert float(shared(seen).detach().min()) == 0


# ----------------------------------------------------------------------------------- scaled losses, clipping, the scale


def test_a_scaled_loss_makes_the_same_step() -> None:
    scaled = taken(Finetune(**BRIEF), scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    plain = taken(Finetune(**BRIEF))
    for one, other in zip(scaled.state.parameters(), plain.state.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)


def test_a_step_whose_scaled_gradient_overflows_is_left_out_and_the_scale_halved() -> None:
    method = Finetune(**BRIEF)
    step = stepper(method, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1))
    before = copy.deepcopy(step.state.state_dict())
    step(*first(method, step), 0)
    assert tiny.same(before, dict(step.state.state_dict()))
    assert step.scaler.get_scale() == 2.0**126


@pytest.mark.parametrize("scaler", [None, 1024.0])
def test_a_gradient_is_clipped_to_its_norm_after_it_was_scaled_back(scaler: float | None) -> None:
    given = torch.amp.GradScaler("cpu", init_scale=scaler) if scaler else None
    free, bound = grads(taken(Finetune(**BRIEF))), grads(taken(Finetune(**BRIEF, clip_norm=0.01), scaler=given))

    def norm(found: Grads) -> float:
        return math.sqrt(sum(float(grad.square().sum()) for grad in found.values()))

    assert norm(free) > 0.1
    assert norm(bound) == pytest.approx(0.01, rel=1e-3)
    assert close(bound, {name: grad * 0.01 / norm(free) for name, grad in free.items()})


@pytest.mark.parametrize(("most", "expected"), [(20.0, 20.0), (None, math.exp(9.0))])
def test_the_scale_is_clamped_unless_nobody_wants_it(most: float | None, expected: float) -> None:
    method = Finetune(**{**BRIEF, "lr": 1e-9}, max_scale=most)
    step = stepper(method)
    with torch.no_grad():
        step.state.model.tower.logit_scale.fill_(9.0)  # type: ignore[operator]
    step(*first(method, step), 0)
    assert float(step.state.model.scale.detach()) == pytest.approx(expected)


# --------------------------------------------------------------------------------------------- locks, averages, the log


def _kept(tower: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tower.state_dict().items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("lock", "still", "moves"), [("image", "visual.", "transformer."), ("text", "ln_final", "visual.")]
)
def test_what_is_locked_keeps_its_bits_through_a_training(lock: str, still: str, moves: str) -> None:
    model = tiny.clip()
    kept, free = _kept(model.tower, still), _kept(model.tower, moves)
    assert kept
    assert free
    seen: list[bool] = []
    train(
        Finetune(**BRIEF, lock=(lock,)), model, tiny.data(16), seed=0,
        on_pause=lambda pause: seen.append(all(weights.requires_grad for weights in pause.model.parameters())),
    )  # fmt: skip
    assert tiny.same(kept, _kept(model.tower, still))  # weights, and the running statistics of its normalizations
    assert not tiny.same(free, _kept(model.tower, moves))
    assert seen == [True]
    assert all(weights.requires_grad for weights in model.parameters())


def test_a_locked_scale_is_not_clamped() -> None:
    model = tiny.clip()
    with torch.no_grad():
        model.tower.logit_scale.fill_(9.0)  # type: ignore[operator]
    train(Finetune(**BRIEF, lock=("logit_scale",)), model, tiny.data(16), seed=0)
    assert float(model.tower.logit_scale.detach()) == 9.0  # type: ignore[operator]


def test_the_average_is_what_is_measured_and_returned() -> None:
    """After each step a = 0.5 a + 0.5 w, from the weights at the start; the training itself goes on with w."""
    found: list[Pause] = []
    model, method = tiny.clip("micro-vit-32"), Finetune(**{**BRIEF, "epochs": 1, "steps": 2}, ema=0.5)
    name = "text_projection"
    before = model.tower.get_parameter(name).detach().clone()
    steps: list[Tensor] = []
    whole: Callable[..., Any] = Stepper.__call__

    def note(self: Stepper, *words: Any) -> Any:
        terms = whole(self, *words)
        steps.append(self.state.model.tower.get_parameter(name).detach().clone())
        return terms

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "__call__", note)
        end = train(method, model, tiny.data(16), seed=0, on_pause=found.append)
    expected = 0.5 * (0.5 * before + 0.5 * steps[0]) + 0.5 * steps[1]
    assert end.model is found[-1].model is not model
    torch.testing.assert_close(end.model.tower.get_parameter(name).detach(), expected)
    assert torch.equal(end.state.model.tower.get_parameter(name).detach(), steps[1])
    plain = tiny.clip("micro-vit-32")
    train(Finetune(**{**BRIEF, "epochs": 1, "steps": 2}), plain, tiny.data(16), seed=0)
    assert torch.equal(plain.tower.get_parameter(name).detach(), steps[1])


def test_every_group_stands_in_the_log_with_its_rate_and_decay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steplog, "LOG_EVERY", 1)
    method = Finetune(**BRIEF, weight_decay=0.3, decay_embeddings=False, schedule="linear")
    train(method, tiny.clip(), tiny.data(16), seed=0, folder=tmp_path)
    lines = list(read_lines(tmp_path / "steps.jsonl"))
    assert [line["groups"]["decayed"] for line in lines] == [
        {"lr": 1e-3, "weight_decay": 0.3}, {"lr": 5e-4, "weight_decay": 0.3}
    ]  # fmt: skip
    assert {name: group["weight_decay"] for name, group in lines[0]["groups"].items()} == {
        "decayed": 0.3, "plain": 0.0, "embeddings": 0.0
    }  # fmt: skip


def test_the_released_codes_schedule_runs_one_epoch_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RoCLIP logged 1.0745e-05 at index 194 of its first epoch; here two steps an epoch, warm-up over five steps."""
    monkeypatch.setattr(steplog, "LOG_EVERY", 1)
    method = ClipPretraining(**{**BRIEF, "epochs": 4, "lr": 1.0, "warmup_steps": 5}, legacy_schedule=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", lambda self, *words: None)
        train(method, tiny.clip(), tiny.data(16), seed=0, folder=tmp_path)
    rates = [line["lr"] for line in read_lines(tmp_path / "steps.jsonl")]
    expected = [(step + 1) / 5 if step < 5 else 0.5 * (1 + math.cos(math.pi * (step - 5) / 3)) for step in range(2, 10)]
    assert rates == pytest.approx(expected)
    assert rates[-1] > rates[-2]
