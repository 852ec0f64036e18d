"""Exact resume: broken off after any step, within an epoch and between passes, a training ends with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.toy import Split
from torch import Tensor

from bezoar.cleaning import METHODS as CLEANING
from bezoar.cleaning import CleanCLIP
from bezoar.core.progress import Event
from bezoar.core.records import read_lines
from bezoar.data.captions import Eda
from bezoar.data.views import IMAGE_VIEWS, ImageView, Plain
from bezoar.pretraining import METHODS
from bezoar.training import loop, steplog
from bezoar.training.loop import Pause, train
from bezoar.training.method import Method
from bezoar.training.stepping import Stepper

Found = tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, Any]]]


class StopError(Exception):
    """What interrupts."""


@pytest.fixture(autouse=True)
def _each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log after every step. States only where one is ``broken``: writing them takes longer than the steps."""
    monkeypatch.setattr(steplog, "LOG_EVERY", 1)
    monkeypatch.setattr(loop, "_SAVE_SHARE", float("inf"))


def run(method: Method, folder: Path, count: int = 32, **changes: Any) -> Found:
    """What a training leaves: the state, the model that is kept, and the log without times."""
    teacher = tiny.teacher(method)
    end = train(method, tiny.clip(), tiny.fitting(method, count), seed=0, folder=folder, teacher=teacher, **changes)
    log = list(read_lines(folder / "steps.jsonl"))
    assert all(line.pop("pairs_per_second") > 0 for line in log)
    return dict(end.state.state_dict()), dict(end.model.state_dict()), log


def equal(one: Found, other: Found) -> bool:
    return tiny.same(one[0], other[0]) and tiny.same(one[1], other[1]) and one[2] == other[2]


def broken(
    method: Method, folder: Path, after: int, count: int = 32, save_seconds: float = 0.0, **changes: Any
) -> None:
    """Run and stop in the middle of the step that follows step ``after``, of which a state was written."""
    whole: Callable[..., Any] = Stepper.__call__

    def step(self: Stepper, this: Any, batch: Any, number: int) -> Any:
        found = whole(self, this, batch, number)  # the weights of this step are lost
        if number == after:
            raise StopError
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "__call__", step)
        patch.setattr(loop, "SAVE_SECONDS", save_seconds)
        with pytest.raises(StopError):
            run(method, folder, count, **changes)


BRIEF: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 3}
EDA = Eda(wordnet="none")


def _methods() -> list[Method]:
    kinds: tuple[type[Method], ...] = (*METHODS, *CLEANING)
    return [tiny.method(kind, **BRIEF) for kind in kinds]


@pytest.mark.parametrize("method", _methods(), ids=lambda method: method.kind)
def test_every_method_goes_on_within_an_epoch(method: Method, tmp_path: Path) -> None:
    whole = run(method, tmp_path / "whole")
    for after in (1, 4, 6):
        broken(method, tmp_path / f"broken{after}", after)
        kept = torch.load(tmp_path / f"broken{after}" / "training_state", weights_only=True)
        assert kept["progress"]["step"] == after
        assert equal(run(method, tmp_path / f"broken{after}"), whole)


@pytest.mark.parametrize("view", IMAGE_VIEWS.members.values(), ids=lambda view: view.kind)
def test_every_view_goes_on_within_an_epoch(view: type[ImageView], tmp_path: Path) -> None:
    method = CleanCLIP(**{**BRIEF, "epochs": 1}, image_view=view(), caption_view=EDA)
    whole = run(method, tmp_path / "whole", workers=2)
    broken(method, tmp_path / "broken", 2, workers=1)
    assert equal(run(method, tmp_path / "broken"), whole)


@pytest.mark.parametrize("after", range(1, 15))
def test_splits_and_passes_go_on_where_they_were(after: int, tmp_path: Path, whole_split: Found) -> None:
    """Three epochs of two passes of changing lengths: within the first, within the second, between them."""
    broken(Split(), tmp_path, after, 40)
    assert equal(run(Split(), tmp_path, 40), whole_split)


@pytest.fixture(scope="module")
def whole_split(tmp_path_factory: pytest.TempPathFactory) -> Found:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steplog, "LOG_EVERY", 1)
        return run(Split(), tmp_path_factory.mktemp("split"), 40)


def test_averages_clipping_and_chunks_go_on_too(tmp_path: Path) -> None:
    method = CleanCLIP(**BRIEF, caption_view=EDA, image_view=Plain(), ema=0.8, clip_norm=0.1, chunk_size=3)
    whole = run(method, tmp_path / "whole")
    assert not tiny.same(whole[1], {name.removeprefix("model."): value for name, value in whole[0].items()})
    broken(method, tmp_path / "broken", 5)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_the_log_is_read_in_the_same_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States are written only where the log has just been read: a mean is over the same steps after a resume."""
    monkeypatch.setattr(steplog, "LOG_EVERY", 3)
    method = CleanCLIP(**BRIEF, caption_view=EDA)
    whole = run(method, tmp_path / "whole", 40)
    assert [line["step"] for line in whole[2]] == [2, 4, 7, 9]
    broken(method, tmp_path / "broken", 4, 40)
    assert torch.load(tmp_path / "broken" / "training_state", weights_only=True)["progress"]["step"] == 3
    assert equal(run(method, tmp_path / "broken", 40), whole)


@pytest.mark.parametrize("steps", [3, 4, 6])
def test_a_budget_of_steps_that_was_interrupted_at_its_end_still_ends(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step's state is on disk while the epoch it lies in is still open, or has just closed."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    method = CleanCLIP(**BRIEF, caption_view=EDA, steps=steps)
    told: list[tuple[int, int, bool]] = []

    def stop(pause: Pause) -> None:
        if pause.last:
            raise StopError

    with pytest.raises(StopError):
        run(method, tmp_path / "broken", on_pause=stop)
    kept = torch.load(tmp_path / "broken" / "training_state", weights_only=True)
    assert kept["progress"]["step"] == steps
    again = run(method, tmp_path / "broken", on_pause=lambda p: told.append((p.epoch, p.step, p.last)))
    assert told == [(-(-steps // 4), steps, True)]
    assert equal(again, run(method, tmp_path / "whole"))


def test_a_loss_scale_goes_on_too(tmp_path: Path) -> None:
    """As of fp16 on a GPU: with the scaler of the CPU."""
    from bezoar.training import saved
    from bezoar.training.optimizer import adamw
    from bezoar.training.peers import ALONE
    from bezoar.training.precision import autocast_for
    from bezoar.training.state import State

    def stepper(scale: float) -> Stepper:
        state = State(tiny.clip(), 32)
        return Stepper(
            method=CleanCLIP(), state=state, optimizer=adamw(state, CleanCLIP()), peers=ALONE, seed=0,
            scaler=torch.amp.GradScaler("cpu", init_scale=scale), autocast=autocast_for("fp32", torch.device("cpu")),
        )  # fmt: skip

    (tmp_path / "steps.jsonl").touch()
    first = stepper(64.0)
    first.scaler.scale(torch.zeros(()))  # a scaler is made with its first loss
    saved.write(tmp_path, first, saved.Progress(step=3), {})
    other, at = stepper(2.0), saved.Progress()
    saved.resume(tmp_path, other, at, {})
    assert (other.scaler.get_scale(), at.step) == (64.0, 3)


def test_pauses_within_an_epoch_come_once(tmp_path: Path) -> None:
    told: list[tuple[int, int, bool, bool, bool]] = []

    def note(pause: Pause) -> None:
        told.append((pause.epoch, pause.step, pause.whole, pause.last, pause.model.training))

    method = CleanCLIP(**BRIEF, caption_view=EDA)
    run(method, tmp_path / "even", on_pause=note, pause_steps=2)
    # Not once more within the epoch where it ends.
    assert [one[:3] for one in told] == [(0, 2, False), (1, 4, True), (1, 6, False), (2, 8, True)]
    told.clear()
    run(method, tmp_path / "whole", on_pause=note, pause_steps=3)
    expected = [(0, 3, False), (1, 4, True), (1, 6, False), (2, 8, True)]
    assert told == [(*one, one[1] == 8, False) for one in expected]
    told.clear()
    broken(method, tmp_path / "broken", 6, on_pause=note, pause_steps=3)
    assert told.pop() == (1, 6, False, False, False)
    run(method, tmp_path / "broken", on_pause=note, pause_steps=3)
    assert [one[:3] for one in told] == expected[:2] + expected[3:]


def test_a_pause_changes_nothing(tmp_path: Path) -> None:
    method = CleanCLIP(**BRIEF, caption_view=EDA)
    plain = run(method, tmp_path / "plain")
    paused = run(method, tmp_path / "paused", on_pause=lambda pause: None, pause_steps=1)
    assert equal(plain, paused)


def test_a_state_is_written_when_a_minute_is_over_and_not_before(tmp_path: Path) -> None:
    broken(CleanCLIP(**BRIEF, caption_view=EDA), tmp_path, 3, save_seconds=1e9)
    assert not (tmp_path / "training_state").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 2e-3}, "method.lr was 0.001 and is 0.002"),
        (
            {"epochs": 3, "in_modal_weight": 2.0},
            "method.epochs was 2 and is 3; method.in_modal_weight was 1.0 and is 2.0",
        ),
        ({"image_view": Plain()}, "method.image_view.kind was 'auto_augment' and is 'plain'"),
    ],
)
def test_other_settings_are_refused_and_told(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    broken(CleanCLIP(**BRIEF, caption_view=EDA), tmp_path, 3)
    with pytest.raises(ValueError, match="was begun with other settings") as caught:
        run(CleanCLIP(**{**BRIEF, "caption_view": EDA, **changes}), tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_seed_and_other_pairs_are_refused(tmp_path: Path) -> None:
    method = CleanCLIP(**BRIEF, caption_view=EDA)
    broken(method, tmp_path, 3)
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        train(method, tiny.clip(), tiny.data(32), seed=1, folder=tmp_path)
    with pytest.raises(ValueError, match="pairs was '"):
        train(method, tiny.clip(), tiny.data(40), seed=0, folder=tmp_path)
    with pytest.raises(ValueError, match="plan was None and is '"):
        train(method, tiny.clip(), tiny.data(32, tiny.plan(32)), seed=0, folder=tmp_path)


def test_a_state_of_an_older_version_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "step": 4, "threads": 1, "state": {}, "optimizer": {}}, tmp_path / "training_state")
    with pytest.raises(ValueError, match="was written by another version of Bezoar"):
        run(CleanCLIP(**BRIEF, caption_view=EDA), tmp_path)


def test_the_callers_generator_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(CleanCLIP(**BRIEF, caption_view=EDA), tiny.clip(), tiny.data(32), seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_progress_goes_on_counting(tmp_path: Path) -> None:
    method = CleanCLIP(**BRIEF, caption_view=EDA)
    broken(method, tmp_path, 5)
    heard: list[Event] = []
    run(method, tmp_path, listen=heard.append)
    assert [(event.done, event.total) for event in heard] == [(6, 8), (7, 8), (8, 8)]
