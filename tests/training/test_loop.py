"""The loop: its counter and budgets, what it refuses, and that an interrupted training is the uninterrupted one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.cleaning import CleanCLIP
from bezoar.core.progress import Event
from bezoar.core.records import read_lines
from bezoar.core.settings import settings
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.pretraining import ClipPretraining
from bezoar.training import steplog
from bezoar.training.batch import Batch, Features
from bezoar.training.loop import Pause, train
from bezoar.training.method import Method, Pass
from bezoar.training.schedule import Schedule
from bezoar.training.state import State

Weights = dict[str, Tensor]

CLIP = ClipPretraining(epochs=2, batch_size=8, lr=1e-3, warmup_steps=3)
CLEAN = CleanCLIP(epochs=3, batch_size=8, lr=1e-3, warmup_steps=3, caption_view=Eda(wordnet="none"))


@settings
class Probe(Method):
    """Pulls one weight, so that a step costs nothing; ``script`` says what else a step does, by its number."""

    kind: ClassVar[str] = "probe"
    script: ClassVar[dict[int, Callable[[State], Mapping[str, Tensor] | None]]] = {}
    seen: ClassVar[list[Batch]] = []
    batch_size: int = 8
    epochs: int = 2
    warmup_steps: int = 0
    subset: int | None = None

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        whole = self.whole_pass(state, (Plain(),), (PlainCaption(),), self.encode, self.loss)
        if self.subset is None:
            return (whole,)
        return (dataclasses.replace(whole, name="some", indices=torch.arange(self.subset)),)

    def encode(self, state: State, batch: Batch) -> Features:
        return Features(images=(), texts=())

    def loss(self, state: State, features: Features, batch: Batch) -> Mapping[str, Tensor]:
        step = len(self.seen)
        self.seen.append(batch)
        found = self.script[step](state) if step in self.script else None
        return found or {"pull": weight(state).square().sum()}


def weight(state: State) -> Tensor:
    found: Tensor = state.model.tower.text_projection  # type: ignore[assignment]
    return found


@pytest.fixture(autouse=True)
def _fresh_probe() -> None:
    Probe.script.clear()
    Probe.seen.clear()


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step."""
    found: list[float] = []
    whole = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *words: Any) -> Any:
        assert len({group["lr"] for group in self.param_groups}) == 1
        found.append(self.param_groups[0]["lr"])
        return whole(self, *words)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return found


def weights(state: State) -> Weights:
    return {name: value.clone() for name, value in state.state_dict().items()}


def run(
    method: Method, folder: Path | None = None, seed: int = 0, count: int = 32, **changes: Any
) -> dict[str, Tensor]:
    return weights(train(method, tiny.clip(), tiny.data(count), seed=seed, folder=folder, **changes).state)


# -------------------------------------------------------------------------------------------------- counter and budget


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
def test_one_counter_over_all_epochs(shape: Any, rates: list[float]) -> None:
    method = Probe(epochs=3, lr=0.01, schedule=shape, warmup_steps=5)
    run(method, count=43)
    expected = []
    for step in range(15):
        left = (step - 5) / 10
        after = {"cosine": 0.5 * (1 + math.cos(math.pi * left)), "linear": 1 - left, "constant": 1.0}[shape]
        expected.append(0.01 * ((step + 1) / 5 if step < 5 else after))
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (4, 1), (6, 2), (8, 2), (9, 3)])
def test_a_budget_of_steps_ends_inside_an_epoch(steps: int, epochs: int, rates: list[float]) -> None:
    ends: list[tuple[int, bool]] = []
    run(
        Probe(steps=steps, lr=0.01, epochs=1, schedule="linear"),
        on_pause=lambda pause: ends.append((pause.epoch, pause.last)),
    )
    assert rates == pytest.approx([0.01 * (1 - step / steps) for step in range(steps)])
    assert ends == [(epoch, epoch == epochs) for epoch in range(1, epochs + 1)]


def test_steps_are_taken_even_if_a_pass_is_short(rates: list[float]) -> None:
    """Two steps an epoch, where the pairs would make four."""
    run(Probe(steps=7, subset=16))
    assert len(rates) == 7


def test_epochs_end_where_they_should(rates: list[float]) -> None:
    ends: list[tuple[int, bool, bool]] = []
    run(Probe(epochs=3), on_pause=lambda pause: ends.append((pause.epoch, pause.last, pause.model.training)))
    assert ends == [(1, False, False), (2, False, False), (3, True, False)]
    assert len(rates) == 12


def test_two_passes_share_the_counter(rates: list[float]) -> None:
    """Each has a schedule of its own, of the same global step."""

    @settings
    class Two(Probe):
        kind: ClassVar[str] = "two"

        def passes(self, state: State, epoch: int) -> Sequence[Pass]:
            (whole,) = super().passes(state, epoch)
            second = Schedule(shape="constant", lr=7.0, warmup=4, total=100, begin=2)
            half = dataclasses.replace(whole, name="half", indices=torch.arange(16, 32), schedule=second)
            return (dataclasses.replace(whole, indices=torch.arange(16)), half) if epoch else (half,)

    first = Schedule(shape="constant", lr=0.5, warmup=0, total=1)
    with pytest.raises(AssertionError):  # the second pass may not come before its beginning
        run(Two(epochs=2))
    rates.clear()

    @settings
    class Right(Two):
        kind: ClassVar[str] = "right"

        def passes(self, state: State, epoch: int) -> Sequence[Pass]:
            (half,) = super().passes(state, 0)
            whole = dataclasses.replace(half, name="whole", indices=torch.arange(16), schedule=first)
            return (whole, half)

    run(Right(epochs=2))
    assert rates == [0.5, 0.5, 7 / 4, 14 / 4, 0.5, 0.5, 7, 7]


def test_an_epoch_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in epoch 1 no pass has the 8 pairs of a batch \('some' has 7\)"):
        run(Probe(subset=7))


def test_fewer_pairs_than_a_batch_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    class Unbuilt(Probe):
        def build(self, *_: Any) -> State:
            raise AssertionError

    with pytest.raises(ValueError, match="batch_size: 33 is more than the 32 pairs there are"):
        run(Unbuilt(batch_size=33), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_scale_stays_in_its_bounds() -> None:
    def put(value: float) -> Callable[[State], None]:
        def here(state: State) -> None:
            with torch.no_grad():
                state.model.tower.logit_scale.fill_(value)  # type: ignore[operator]

        return here

    Probe.script.update({0: put(9.0), 4: put(-3.0)})
    found: list[float] = []
    run(Probe(max_scale=20.0), on_pause=lambda pause: found.append(pause.model.scale.item()))
    assert found == pytest.approx([20.0, 1.0])


# ------------------------------------------------------------------------------------------------------------- the log


def test_events_and_lines_tell_the_mean_of_ten_steps(tmp_path: Path) -> None:
    def climb(_: State) -> Mapping[str, Tensor]:
        return {"a": torch.tensor(len(Probe.seen) - 1.0, requires_grad=True), "b": torch.zeros(())}

    Probe.script.update(dict.fromkeys(range(24), climb))
    heard: list[Event] = []
    run(Probe(epochs=2, lr=0.25, schedule="constant"), tmp_path, count=96, listen=heard.append, task="victim")
    lines = list(read_lines(tmp_path / "steps.jsonl"))
    assert [(line["step"], line["epoch"], line["pass"], line["lr"], line["terms"]) for line in lines] == [
        (9, 0, "all", 0.25, {"a": 4.5, "b": 0.0}), (11, 0, "all", 0.25, {"a": 10.5, "b": 0.0}),
        (21, 1, "all", 0.25, {"a": 16.5, "b": 0.0}), (23, 1, "all", 0.25, {"a": 22.5, "b": 0.0}),
    ]  # fmt: skip
    assert [(event.task, event.done, event.total, event.size) for event in heard] == [
        ("victim", 10, 24, 8), ("victim", 12, 24, 8), ("victim", 22, 24, 8), ("victim", 24, 24, 8)
    ]  # fmt: skip
    assert heard[-1].facts == {"epoch": 2, "lr": 0.25, "a": 22.5, "b": 0.0}


def test_terms_that_come_and_go_are_all_logged(tmp_path: Path) -> None:
    ones = torch.ones((), requires_grad=True)
    terms = ({"a": ones}, {"a": ones, "late": 2 * ones}, {"b": ones})
    Probe.script.update(dict.fromkeys(range(3), lambda _: terms[len(Probe.seen) - 1]))
    run(Probe(epochs=1, steps=3), tmp_path)
    assert [line["terms"] for line in read_lines(tmp_path / "steps.jsonl")] == [{"a": 1}, {"a": 1, "late": 2}, {"b": 1}]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(Probe())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["pull", "late"])
def test_a_loss_that_is_not_finite_stops_with_step_and_rate(value: float, name: str, tmp_path: Path) -> None:
    Probe.script[7] = lambda state: {"pull": weight(state).sum() * 0, name: weight(state).sum() * value}
    said = rf"not finite at step 7 \(learning rate 0\.0005\): .*{name} (nan|-?inf)"
    with pytest.raises(FloatingPointError, match=said):
        run(Probe(epochs=4, warmup_steps=16, lr=1e-3), tmp_path)
    assert all(line["step"] < 7 for line in read_lines(tmp_path / "steps.jsonl"))
    kept = torch.load(tmp_path / "training_state", weights_only=True)
    assert (kept["progress"]["epoch"], kept["progress"]["step"]) == (1, 4)
    assert all(torch.isfinite(value).all() for value in kept["state"].values())


def test_a_gradient_that_is_not_finite_does_not_end_as_a_model(tmp_path: Path) -> None:
    """The loss of the last step is fine, what it did to the weights is not: the root has no slope at zero."""
    Probe.script[3] = lambda state: {"root": (weight(state) * 0).sum().sqrt() * 0}
    with pytest.raises(FloatingPointError, match="weights are not finite after epoch 1"):
        run(Probe(epochs=1), tmp_path)
    assert not (tmp_path / "training_state").exists()


# ------------------------------------------------------------------------------------------------------ same and again


def test_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    first = run(CLEAN)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    torch.rand(3)
    assert tiny.same(first, run(CLEAN))
    assert not tiny.same(first, run(CLEAN, seed=1))


def test_workers_and_folders_do_not_matter(tmp_path: Path) -> None:
    assert tiny.same(run(CLIP), run(CLIP, tmp_path, workers=2))


class StopError(Exception):
    """What interrupts."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steplog, "LOG_EVERY", 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, list[dict[str, Any]], dict[int, Any]]:
    """Three epochs without interruption: weights, step log, and what was measured after each epoch."""
    folder, told = tmp_path_factory.mktemp("whole"), dict[int, Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steplog, "LOG_EVERY", 2)
        found = run(CLEAN, folder, on_pause=lambda pause: told.update({pause.epoch: look(pause.state)}))
    return found, log_of(folder), told


def look(state: State) -> list[float]:
    with torch.no_grad():
        return [float(x) for x in state.model.encode_image(tiny.data(32).image(0)[None])[0, :5]]


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = list(read_lines(folder / "steps.jsonl"))
    assert all(line.pop("pairs_per_second") > 0 for line in lines)
    return lines


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("where", "error"), [("loss", KeyboardInterrupt), ("on_pause", StopError), ("log", StopError)])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    where: str, error: type[BaseException], whole: tuple[Any, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in the middle of epoch 2: at a loss, when its steps are done, or while the log is written."""
    told: dict[int, Any] = {}
    count = 0

    def measure(pause: Pause) -> None:
        if where == "on_pause" and pause.epoch == 2 and 2 not in told:
            told[2] = "half"
            raise error
        told[pause.epoch] = look(pause.state)

    def loss(self: CleanCLIP, state: State, features: Features, batch: Batch, inner: Any = CleanCLIP.loss) -> Any:
        nonlocal count
        count += 1
        if where == "loss" and count == 7:
            raise error
        return inner(self, state, features, batch)

    def hear(event: Event) -> None:
        if where == "log" and event.done == 6 and 3 not in told:
            told[3] = "torn"
            with (tmp_path / "steps.jsonl").open("a") as stream:
                stream.write('{"step": 6, "torn')
            raise error

    monkeypatch.setattr(CleanCLIP, "loss", loss)
    with pytest.raises(error):
        run(CLEAN, tmp_path, on_pause=measure, listen=hear)
    assert torch.load(tmp_path / "training_state", weights_only=True)["progress"]["epoch"] == 1
    torch.manual_seed(5)
    again = run(CLEAN, tmp_path, on_pause=measure, listen=hear)
    assert tiny.same(again, whole[0])
    assert log_of(tmp_path) == whole[1]
    assert told == whole[2]


def test_what_is_finished_is_left_alone(tmp_path: Path, rates: list[float]) -> None:
    first = run(CLIP, tmp_path)
    log = (tmp_path / "steps.jsonl").read_bytes()
    rates.clear()
    assert tiny.same(first, run(CLIP, tmp_path, on_pause=lambda _: pytest.fail("trained again")))
    assert not rates
    assert (tmp_path / "steps.jsonl").read_bytes() == log


def test_a_log_without_a_state_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text(json.dumps({"step": 3}) + "\n")
    run(CLIP, tmp_path)
    assert [line["step"] for line in read_lines(tmp_path / "steps.jsonl")] == [3, 7]
    assert all("terms" in line for line in read_lines(tmp_path / "steps.jsonl"))


def test_another_number_of_threads_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(CLIP, tmp_path)
    with caplog.at_level(logging.WARNING):
        run(CLIP, tmp_path)
    assert not caplog.records
    kept = torch.load(tmp_path / "training_state", weights_only=True)
    torch.save({**kept, "threads": 64}, tmp_path / "training_state")
    with caplog.at_level(logging.WARNING):
        run(CLIP, tmp_path)
    (record,) = caplog.records
    assert f"resuming with {torch.get_num_threads()} threads what began with 64" in record.getMessage()


def test_a_state_is_read_as_data_only(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("ran code from a file",))

    torch.save({"progress": Hostile()}, tmp_path / "training_state")
    with pytest.raises(Exception, match="Weights only load failed"):
        run(CLIP, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of a state", None])
def test_a_damaged_state_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    run(CLIP, tmp_path)
    path = tmp_path / "training_state"
    if content is None:
        kept = torch.load(path, weights_only=True)
        torch.save({**kept, "state": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"^{path}: cannot be continued from \(delete it to begin the stage anew\): "
    ) as caught:
        run(CLIP, tmp_path)
    assert "\n" not in str(caught.value)
    path.unlink()
    run(CLIP, tmp_path)


def test_memory_that_runs_out_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(CLIP, tmp_path)

    def load(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(torch.OutOfMemoryError):
        run(CLIP, tmp_path)


def test_every_training_begins_with_a_fresh_optimizer() -> None:
    """Adam's first stride is as long as the rate, whatever the slope, and the next one with moments is not."""
    at: list[float] = []

    def note(state: State) -> None:
        at.append(float(weight(state).detach()[0, 0]))

    Probe.script.update(dict.fromkeys(range(8), note))
    model, method = tiny.clip(), Probe(epochs=1, lr=0.01, schedule="constant", weight_decay=0.0)
    with torch.no_grad():
        weight(State(model, 32))[0, 0] = 0.015
    for _ in range(2):
        train(method, model, tiny.data(32), seed=0)
    strides = [abs(after - before) for before, after in itertools.pairwise(at)]
    assert strides[0] == pytest.approx(0.01, rel=1e-3)
    assert strides[4] == pytest.approx(0.01, rel=1e-3)
    assert strides[2] != pytest.approx(0.01, rel=1e-1)
