"""The contract: a method with splits, a head, two passes and diagnostics, through the loop and an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests import tiny
from tests.toy import Halves, Split, Told
from torch import Tensor

from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.core import yaml
from bezoar.core.records import Record, read_lines
from bezoar.core.settings import validate
from bezoar.experiment.experiment import METHODS, parse
from bezoar.experiment.run import run
from bezoar.models.clip import Clip
from bezoar.pretraining import ClipPretraining
from bezoar.training.loop import train
from bezoar.training.method import Method
from bezoar.training.scorer import Scorer


def ready(folder: Path | None = None, **changes: Any) -> Halves:
    state = train(Split(**changes), tiny.clip(), tiny.data(40), seed=0, folder=folder).state
    assert isinstance(state, Halves)
    return state


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Halves, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("done")
    return ready(folder), list(read_lines(folder / "steps.jsonl"))


def test_every_pass_sees_its_pairs_with_its_rate(done: tuple[Halves, list[dict[str, Any]]]) -> None:
    """40 pairs in batches of 8: one easy batch and four hard ones, then two and three, then three and two."""
    state, log = done
    assert state.seen.tolist() == [1 + 2 + 3, 4 + 3 + 2]
    assert [(line["epoch"], line["pass"], line["step"]) for line in log] == [
        (0, "easy", 0), (0, "hard", 4), (1, "easy", 6), (1, "hard", 9), (2, "easy", 12), (2, "hard", 14)
    ]  # fmt: skip
    hard = [1e-4 * (1 - (step - 1 - 2) / 38) for step in (4, 9, 14)]
    assert [line["lr"] for line in log] == pytest.approx([5e-4, hard[0], 5e-4, hard[1], 5e-4, hard[2]])
    assert [set(line["terms"]) for line in log] == [{"contrastive", "head"}, {"in_modal"}] * 3


def test_the_head_learns_and_the_split_is_kept(done: tuple[Halves, list[dict[str, Any]]]) -> None:
    state, _ = done
    assert len(state.easy) == 24
    first, last = (line["terms"]["head"] for line in (done[1][0], done[1][4]))
    assert last < first


@pytest.mark.parametrize("at", [(1, "begin"), (1, "hard"), (2, "easy")])
def test_a_resume_keeps_everything(
    at: tuple[int, str], done: tuple[Halves, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The split has another length every epoch, and the state on disk has that of the epoch before."""
    with monkeypatch.context() as patch:
        seen: list[int] = []

        def begin(self: Split, state: Halves, epoch: int, scorer: Scorer, inner: Any = Split.begin_epoch) -> None:
            inner(self, state, epoch, scorer)
            seen.append(epoch)
            if (epoch, "begin") == at:
                raise KeyboardInterrupt

        def broken(name: str, inner: Any) -> Callable[..., Any]:
            def loss(self: Split, *given: Any) -> Any:
                if (seen[-1], name) == at:
                    raise KeyboardInterrupt
                return inner(self, *given)

            return loss

        patch.setattr(Split, "begin_epoch", begin)
        for name in ("easy", "hard"):
            patch.setattr(Split, name, broken(name, getattr(Split, name)))
        with pytest.raises(KeyboardInterrupt):
            ready(tmp_path)
    saved = torch.load(tmp_path / "training_state", weights_only=True)
    assert saved["progress"]["epoch"] == at[0]
    assert len(saved["state"]["easy"]) == 8 * at[0]
    state = ready(tmp_path)
    assert tiny.same(dict(state.state_dict()), dict(done[0].state_dict()))
    times = {"pairs_per_second"}
    assert [{k: v for k, v in line.items() if k not in times} for line in read_lines(tmp_path / "steps.jsonl")] == [
        {k: v for k, v in line.items() if k not in times} for line in done[1]
    ]


def test_an_evaluator_reads_what_the_method_tells(tmp_path: Path) -> None:
    experiment = parse(
        tiny.experiment(
            stages=[{"name": "split", "pairs": "train", "method": {"kind": "tests.toy:Split", "epochs": 2}}],
            evaluators=[{"kind": "tests.toy:Told"}],
        )
    )
    assert experiment.stages[0].method == Split(epochs=2)
    assert experiment.evaluators == (Told(),)
    records = run(experiment, tmp_path)
    found = {(record.epoch, record.metric): record.value for record in records}
    assert found == {(1, "easy_share"): 8 / 32, (1, "batches"): 4, (2, "easy_share"): 16 / 32, (2, "batches"): 8}
    assert {(record.after, record.evaluator, record.n) for record in records} == {
        ("tests.toy:Split", "tests.toy:Told", 20)
    }
    assert all(isinstance(record, Record) for record in records)
    assert parse(yaml.read(tmp_path / "experiment.yaml")) == experiment


# ------------------------------------------------------------------------------------------- the fields they share


@pytest.mark.parametrize("kind", ["clip", "finetune", "cleanclip"])
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("epochs", 0, "epochs: Input should be greater than or equal to 1, got 0"),
        ("steps", 0, "steps: Input should be greater than or equal to 1, got 0"),
        ("batch_size", 1, "batch_size: Input should be greater than or equal to 2, got 1"),
        ("warmup_steps", -1, "warmup_steps: Input should be greater than or equal to 0, got -1"),
        ("lr", -1e-9, "lr: Input should be greater than or equal to 0, got -1e-09"),
        ("max_scale", 1, "max_scale: Input should be greater than 1, got 1"),
        ("beta2", 1, "beta2: Input should be less than 1, got 1"),
        ("weight_decay", -0.1, "weight_decay: Input should be greater than or equal to 0, got -0.1"),
        ("schedule", "cosin", "schedule: Input should be 'cosine', 'constant' or 'linear', got 'cosin'"),
        ("precision", "fp8", "precision: Input should be 'auto', 'bf16', 'fp16' or 'fp32', got 'fp8'"),
        ("chunk_size", 0, "chunk_size: Input should be greater than or equal to 1, got 0"),
        ("clip_norm", 0, "clip_norm: Input should be greater than 0, got 0"),
        ("ema", 1, "ema: Input should be less than 1, got 1"),
        ("batch_norm", "sync", "batch_norm: Input should be 'local' or 'synchronized', got 'sync'"),
    ],
)
def test_no_method_loosens_what_a_field_may_be(kind: str, field: str, value: object, said: str) -> None:
    """A batch of one has nothing to tell apart, and a negative warm-up would shift the whole schedule."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        validate(METHODS.members[kind], {field: value})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (ClipPretraining(), (64, 128, 5e-4, 10_000)),
        (Finetune(), (10, 64, 1e-5, 50)),
        (CleanCLIP(), (10, 64, 1e-5, 50)),
    ],
)
def test_defaults_are_the_papers(method: Method, expected: tuple[Any, ...]) -> None:
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == expected
    assert (method.weight_decay, method.beta1, method.beta2, method.eps) == (0.1, 0.9, 0.999, 1e-8)
    assert (method.schedule, method.max_scale, method.steps) == ("cosine", 100.0, None)


def test_steps_are_counted_in_whole_batches() -> None:
    method = ClipPretraining(epochs=3, batch_size=10)
    assert [method.steps_per_epoch(pairs) for pairs in (9, 10, 19, 20)] == [0, 1, 1, 2]
    assert method.total_steps(29) == 6
    assert ClipPretraining(epochs=3, batch_size=10, steps=100).total_steps(29) == 100


def test_a_method_must_say_its_passes() -> None:
    state = Method().build(tiny.clip(), tiny.data().pairs, 0)
    assert Method().diagnostics(state) == {}
    with pytest.raises(NotImplementedError):
        Method().passes(state, 0)


def test_the_whole_pass_spans_the_budget() -> None:
    method = ClipPretraining(epochs=2, batch_size=8, warmup_steps=1, lr=1.0)
    (whole,) = method.passes(method.build(tiny.clip(), tiny.data(33).pairs, 0), 0)
    assert torch.equal(whole.indices, torch.arange(33))
    assert [round(whole.schedule(step), 4) for step in (0, 1, 7, 8)] == [1.0, 1.0, 0.0495, 0.0]


def test_states_keep_the_model_in_their_weights() -> None:
    model: Clip = tiny.clip()
    state = Halves(model, 3)
    names = set(state.state_dict())
    assert {"easy", "seen", "head.weight"} < names
    kept: dict[str, Tensor] = {name.removeprefix("model."): value for name, value in state.state_dict().items()}
    assert tiny.same({name: kept[name] for name in model.state_dict()}, dict(model.state_dict()))


def test_bounds_of_the_scale_that_cross() -> None:
    with pytest.raises(ValidationError, match=r"min_scale: 20 is more than max_scale, 10"):
        Finetune(min_scale=20.0, max_scale=10.0)
    assert Finetune(min_scale=20.0, max_scale=None).min_scale == 20
