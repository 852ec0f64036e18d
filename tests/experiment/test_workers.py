"""Stages side by side: the same results as one after another, and only one's own processes are ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.experiment.test_run import equal

from bezoar.core.progress import Event
from bezoar.core.records import read_lines, read_records
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run
from bezoar.experiment.workers import Workers

OWN = """
from typing import ClassVar
from bezoar.core.settings import settings
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.losses import info_nce
from bezoar.training.batch import encode
from bezoar.training.method import Method


@settings
class Smoothed(Method):
    '''CLIP with a pull towards small features, in a file of its own.'''

    kind: ClassVar[str] = "smoothed"
    pull: float = 0.1

    def passes(self, state, epoch):
        return (self.whole_pass(state, (Plain(),), (PlainCaption(),), self.loss),)

    def loss(self, state, batch):
        if self.pull < 0:
            raise ValueError("pull: must not push")
        found = encode(state.model, batch)
        contrastive = info_nce(found.images[0], found.texts[0], state.model.scale)
        return {"contrastive": contrastive, "pull": self.pull * found.images[0].square().mean()}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A method of somebody's own, on the path."""
    (tmp_path / "their_method.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "their_method:Smoothed"


def experiment(own: str, **fields: Any) -> dict[str, Any]:
    plain = tiny.experiment()
    plain["stages"][1]["method"] = {"kind": own, **tiny.BRIEF, **fields}
    return plain


def test_side_by_side_equals_one_after_another(own: str, tmp_path: Path) -> None:
    """With a method from outside, whose module the processes must find too; and what it wrote can be read again."""
    events: list[Event] = []
    run(parse(experiment(own)), tmp_path / "two", jobs=2, listen=events.append)
    run(parse(experiment(own)), tmp_path / "one")
    assert equal(tmp_path / "two", tmp_path / "one")
    assert {event.task for event in events} == {"poison", "pictures", "victim", "finetune", "cleanclip"}
    assert "smoothed" not in {record.after for record in read_records(tmp_path / "two" / "records.jsonl")}
    assert own in {record.after for record in read_records(tmp_path / "two" / "records.jsonl")}
    lines = [line for line in read_lines(tmp_path / "two" / "steps.jsonl") if line["stage"] == "finetune"]
    assert set(lines[0]["terms"]) == {"contrastive", "pull"}


def test_an_error_in_a_process_is_the_error_of_the_run(own: str, tmp_path: Path) -> None:
    bystander = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    bystander.start()
    try:
        plain = experiment(own, pull=-1.0)
        plain["stages"] = [{**plain["stages"][1], "start": None, "name": name} for name in ("one", "other")]
        with pytest.raises(ValueError, match=r"^pull: must not push$"):
            run(parse(plain), tmp_path, jobs=2)
        assert multiprocessing.active_children() == [bystander], "a process was left, or another one's was ended"
        assert bystander.is_alive()
    finally:
        bystander.kill()
        bystander.join()


def test_one_job_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: pytest.fail("asked for processes"))
    tasks: list[tuple[Callable[..., int], Sequence[object]]] = [(int.__add__, (1, 2)), (int.__mul__, (3, 4))]
    with Workers(1, lambda _: None) as workers:
        assert list(workers.map(tasks)) == [3, 12]
