"""The quickstart on a few hundred scenes: poison, train, measure, clean, measure again, report; then the same, done."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from bezoar.attacks.plan_files import load_plan
from bezoar.cli.main import main
from bezoar.core import yaml
from bezoar.core.records import read_lines, read_records
from bezoar.experiment.experiment import Experiment, parse
from bezoar.models.checkpoint import read_card

SMALL = [
    "pairs.train.count=256", "pairs.clean.count=128", "labeled.validation.count=64", "labeled.test.count=64",
    "attack.rate=0.05",
    *(f"stages.{name}.method.epochs=2" for name in ("victim", "control", "finetune", "cleanclip")),
    *(f"stages.{name}.method.batch_size=64" for name in ("victim", "control", "finetune", "cleanclip")),
]  # fmt: skip


class Told(NamedTuple):
    """What a run left and printed."""

    folder: Path
    out: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("bezoar.cli.commands.say", lambda text="": said.append(text))
        assert main(["run", "quickstart", *SMALL, "--jobs", "1", "--out", str(folder)]) == 0
    return Told(folder, "\n".join(said))


def experiment(told: Told) -> Experiment:
    return parse(yaml.read(told.folder / "experiment.yaml"))


def test_every_stage_was_trained_and_measured_on_both_sets(told: Told) -> None:
    assert experiment(told).name == "quickstart"
    records = read_records(told.folder / "records.jsonl")
    found = {(r.stage, r.epoch, r.data, r.metric) for r in records if r.metric.endswith("_top1")}
    assert found == {
        (stage.name, epoch, data, metric)
        for stage in experiment(told).expanded()
        for epoch in (1, 2)
        if epoch == 2 or stage.evaluate_every == 1
        for data in ("validation", "test")
        for metric in ("accuracy_top1", "asr_top1")
    }
    assert all(0 <= r.low <= r.value <= r.high <= 1 for r in records)


def test_the_plan_and_who_carries_its_mark(told: Told) -> None:
    (folder,) = (path.parent for path in told.folder.glob("poison/*/poison.json"))
    plan = load_plan(folder)
    assert (len(plan.rows), plan.total) == (13, 256)
    assert plan.survival is not None
    assert plan.survival.zero == 0
    cards = [read_card(path.parent) for path in told.folder.glob("stages/*/model/model.json")]
    marks = {card.training["stage"]: card.poison for card in cards}
    assert marks.keys() == {stage.name for stage in experiment(told).expanded()}
    assert marks.pop("control") is None
    assert {mark["plan"] for mark in marks.values() if mark is not None} == {plan.digest}
    assert all(marks.values())


def test_every_stage_learns(told: Told) -> None:
    lines = list(read_lines(told.folder / "steps.jsonl"))
    for stage in ("victim", "control"):
        losses = [line["terms"]["contrastive"] for line in lines if line["stage"] == stage]
        assert losses[-1] < losses[0]
    terms = {"contrastive", "in_modal_image", "in_modal_text"}
    assert all(set(line["terms"]) == terms for line in lines if line["stage"] == "cleanclip")


def test_the_report_tells_it(told: Told) -> None:
    page, table = told.folder / "report.html", told.folder / "table.md"
    for stage in ("victim", "control", "finetune", "cleanclip"):
        assert stage in page.read_text("utf-8")
        assert stage in table.read_text("utf-8")
        assert stage in told.out
    links = [line for line in page.read_text("utf-8").splitlines() if "src=" in line or "href=" in line]
    assert not [line for line in links if "http" in line], "it works offline"
    assert told.out.endswith(f"report  {page}")


def test_what_was_resolved_runs_again_and_trains_nothing(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    import bezoar.training.loop

    monkeypatch.setattr(bezoar.training.loop, "train", lambda *_, **__: pytest.fail("trained"))
    before = (told.folder / "records.jsonl").read_bytes()
    assert main(["run", str(told.folder / "experiment.yaml"), "--jobs", "1", "--out", str(told.folder)]) == 0
    assert (told.folder / "records.jsonl").read_bytes() == before
