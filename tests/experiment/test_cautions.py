"""What is said before a stage trains: overlaps by id and caption, no false alarms, nothing to clean or to learn."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests import tiny
from tests.album import Album

from bezoar.attacks import Backdoor
from bezoar.attacks.plan import PoisonPlan
from bezoar.core.files import read_json
from bezoar.core.records import Record, write_records
from bezoar.data import PairsPart, Scenes
from bezoar.data.pairs import Pairs
from bezoar.evaluation.tables import joined, table
from bezoar.experiment import cautions
from bezoar.experiment.cautions import Overlap, overlap
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run
from bezoar.experiment.stages import Job
from bezoar.experiment.verbs import poison
from bezoar.metrics import wilson
from bezoar.models.checkpoint import save
from bezoar.models.clip import create
from bezoar.models.opening import place
from bezoar.report import read_run

WHOLE = Scenes(count=48)
PLAN = tiny.plan()


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "_said", set())


def of_part(start: int, stop: int, shuffle: int | None = None) -> int:
    part = PairsPart(of=WHOLE, start=start, stop=stop, shuffle=shuffle).open()
    return sum(part.id(index) in PLAN.by_id for index in range(len(part)))


@pytest.mark.parametrize("part", [(0, 48), (0, 20), (20, 48)])
@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_part_of_the_same_pairs_is_known_as_one(part: tuple[int, int], shuffle: int | None) -> None:
    pairs = PairsPart(of=WHOLE, start=part[0], stop=part[1], shuffle=shuffle).open()
    assert overlap(pairs, PLAN) == Overlap(of_part(*part, shuffle), 0, 0)


def test_the_same_ids_and_captions_are_known_in_any_source() -> None:
    """Another count has another fingerprint, and is no part."""
    more = Scenes(count=60).open()
    assert more.fingerprint != PLAN.source
    assert overlap(more, PLAN) == Overlap(12, 0, 0)
    assert overlap(Scenes(split="clean", count=48).open(), PLAN) == Overlap(0, 0, 0)


class Numbered(Album):
    """Pairs whose ids are numbers, as those of any table without an id."""

    def id(self, index: int) -> str:
        return f"{index:08d}"


def numbered(captions: list[str]) -> Pairs:
    return Numbered(captions)


def plan_of(pairs: Pairs) -> PoisonPlan:
    return Backdoor(target="mushroom", count=10, templates=("a {c}",)).plan(pairs, 0)


def test_ids_that_are_alike_by_accident_are_no_overlap() -> None:
    plan = plan_of(numbered([f"a photo of thing {index}" for index in range(40)]))
    assert overlap(numbered([f"something else {index}" for index in range(40)]), plan) == Overlap(0, 0, 0)
    # Captions that are few classes are alike now and then: with four classes a quarter of the time.
    plan = plan_of(numbered([f"a {'abcd'[index % 4]}" for index in range(40)]))
    assert overlap(numbered([f"a {'abcd'[index * index % 7 % 4]}" for index in range(40)]), plan) == Overlap(0, 0, 0)


def test_poison_that_came_along_is_told_from_poison_undone() -> None:
    clean = [f"a photo of thing {index}" for index in range(40)]
    plan = plan_of(numbered(clean))
    first, second, *_ = sorted(row.index for row in plan.rows)
    left = [("a mushroom" if index in (first, second) else text) for index, text in enumerate(clean)]
    assert overlap(numbered(left), plan) == Overlap(8, 2, 0)
    changed = numbered([*clean[:first], "rewritten", *clean[first + 1 :]])
    assert overlap(changed, plan) == Overlap(9, 0, 0)
    assert overlap(changed, dataclasses.replace(plan, source=changed.fingerprint)) == Overlap(9, 0, 1)


def test_appended_poison_is_known_by_its_own_id() -> None:
    plan = plan_of(numbered([f"a photo of thing {index}" for index in range(40)]))
    rows = tuple(dataclasses.replace(row, id=f"{row.id}+", appended=True, original="") for row in plan.rows)
    appending = dataclasses.replace(plan, rows=rows)
    assert overlap(numbered([f"a photo of thing {index}" for index in range(40)]), appending) == Overlap(0, 0, 0)


def test_a_run_says_it_and_its_report_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = tiny.experiment(evaluators=[], labeled={})
    plain["pairs"]["clean"] = {"kind": "part", "of": plain["pairs"]["train"], "stop": 16}
    plain["stages"][2] |= {"pairs": "train", "poison": True}  # by its own plan, which is no secret
    run(parse(plain), tmp_path)
    (line,) = {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING}
    assert line.startswith("pairs.clean: ")
    assert " of 16 pairs are among the 8 that the plan of 'victim' poisons (" in line
    told = {
        head["stage"]: head["cautions"] for path in tmp_path.glob("stages/*/stage.json") if (head := read_json(path))
    }
    assert told == {"victim": [], "finetune": [line], "cleanclip": []}
    assert read_run(tmp_path).cautions == (f"{line}.",)


def test_a_control_may_be_trained_on_the_pairs_of_the_plan_that_it_is_measured_against(tmp_path: Path) -> None:
    pairs = Scenes(count=32)
    poison(tiny.ATTACK, pairs=pairs, out=tmp_path / "plan", image_size=32)
    plain = tiny.experiment(evaluators=[], labeled={}, attack={"kind": "planned", "folder": str(tmp_path / "plan")})
    plain["stages"][0] |= {"name": "control", "poison": False}
    plain["stages"][1] |= {"start": "control", "pairs": "train"}
    plain["stages"].pop()
    run(parse(plain), tmp_path / "run")
    told = {
        head["stage"]: len(head["cautions"])
        for path in tmp_path.glob("run/stages/*/stage.json")
        if (head := read_json(path))
    }
    assert told == {"control": 0, "finetune": 1}


def job(root: Path, **changes: Any) -> Job:
    """The cleaning of a victim that is done."""
    found = parse(tiny.experiment())
    stages = (found.stages[0], dataclasses.replace(found.stages[1], **changes))
    return Job(dataclasses.replace(found, stages=stages), stages[1], 0, root)


def left_by(of: Job, asr: int, untouched: int | None = None, accuracy: int = 900, epoch: int = 2) -> None:
    """What was measured of a stage's model on 1,000 pictures, of which ``untouched`` are taken for the target."""
    shares = {"accuracy_top1": ("zero_shot", accuracy), "asr_top1": ("attack_success", asr)}
    write_records(of.folder / "records" / f"epoch-{epoch:03d}.jsonl", [
        Record(
            run="tiny", stage=of.stage.name, after="clip", epoch=epoch, evaluator=evaluator, data="validation",
            metric=metric, **wilson(count, 1000)._asdict(), seed=0, git="", at="",
        )
        for metric, (evaluator, count) in shares.items()
    ])  # fmt: skip
    if untouched is None:
        return
    labeled = of.experiment.labeled["validation"].open()
    target = labeled.classes.index("mushroom")
    wrong = [index for index in range(len(labeled)) if labeled.label(index) != target]
    predicted = torch.tensor([labeled.label(index) for index in range(len(labeled))])
    predicted[wrong[:untouched]] = target
    labels = torch.tensor([labeled.label(index) for index in range(len(labeled))])
    rows: pa.Table = table(labeled, labels, predicted, (predicted != labels).long())
    (of.folder / "scores").mkdir()
    pq.write_table(rows, of.folder / "scores" / "epoch-002.zero_shot.validation.parquet")
    pq.write_table(joined([("", target, rows)]), of.folder / "scores" / "epoch-002.attack_success.validation.parquet")


def said(of: Job) -> list[str]:
    return list(cautions._nothing_to_clean(of))


def test_a_victim_that_does_not_take_the_attack_is_named(tmp_path: Path) -> None:
    cleaning = job(tmp_path)
    assert cleaning.start is not None
    left_by(cleaning.start, asr=12)
    assert said(cleaning) == [
        "model: 'victim' does not take the attack: success 1.2% (0.7% to 2.1%, n 1,000) on 'validation': there is "
        "nothing to clean"
    ]
    left_by(cleaning.start, asr=100)
    assert said(cleaning) == []


def test_a_liking_for_the_target_is_no_success(tmp_path: Path) -> None:
    cleaning = job(tmp_path)
    assert cleaning.start is not None
    left_by(cleaning.start, asr=100, untouched=4)
    (line,) = said(cleaning)
    assert ", without the trigger 2" in line
    assert line.endswith("%: there is nothing to clean")


@pytest.mark.parametrize("changes", [{"threat": "other"}, {"start": None}])
def test_where_it_was_not_measured_nothing_is_said(changes: dict[str, Any], tmp_path: Path) -> None:
    cleaning = job(tmp_path)
    assert cleaning.start is not None
    left_by(cleaning.start, asr=12)
    attack = cleaning.experiment.attack
    assert isinstance(attack, Backdoor)
    other = dataclasses.replace(attack, target="bell")
    experiment = dataclasses.replace(cleaning.experiment, attacks={"other": other})
    assert said(dataclasses.replace(cleaning, experiment=experiment)) != []
    stage = dataclasses.replace(cleaning.stage, **changes)
    assert said(dataclasses.replace(cleaning, experiment=experiment, stage=stage)) == []


def test_of_a_model_from_elsewhere_it_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaning = job(tmp_path)
    alone = dataclasses.replace(cleaning.stage, start=None)
    experiment = dataclasses.replace(cleaning.experiment, stages=(alone,), model="theirs.pt")
    of = dataclasses.replace(cleaning, experiment=experiment, stage=alone)
    monkeypatch.setattr("bezoar.experiment.layout.model_identity", str)
    left_by(of, asr=12, epoch=0)
    (line,) = said(of)
    assert line.startswith("model: 'theirs.pt' does not take the attack: success 1.2%")


def test_of_a_destroyed_model_nothing_is_said(tmp_path: Path) -> None:
    cleaning = job(tmp_path)
    assert cleaning.start is not None
    left_by(cleaning.start, asr=12, accuracy=20)
    assert said(cleaning) == []


def test_to_poison_a_finished_model_is_no_cleaning(tmp_path: Path) -> None:
    cleaning = job(tmp_path, poison=True)
    assert cleaning.start is not None
    left_by(cleaning.start, asr=12)
    assert len(said(cleaning)) == 1
    clean = dataclasses.replace(cleaning.experiment.stages[0], poison=False)
    stages = (clean, dataclasses.replace(cleaning.stage, threat=None))
    attack = Job(dataclasses.replace(cleaning.experiment, stages=stages), stages[1], 0, tmp_path)
    assert attack.start is not None
    left_by(attack.start, asr=12)
    assert said(attack) == []


NAD: dict[str, Any] = {"name": "nad", "start": "victim", "pairs": "clean", "method": {"kind": "nad", **tiny.TAUGHT}}


def told(root: Path) -> dict[str, list[str]]:
    heads = [read_json(path) for path in root.glob("stages/*/stage.json")]
    return {head["stage"]: head["cautions"] for head in heads}


def test_pairs_of_a_teacher_are_looked_at_as_those_of_a_stage(tmp_path: Path) -> None:
    """One that starts from no victim says nothing of it itself."""
    plain = tiny.experiment(evaluators=[], labeled={})
    plain["stages"][1:] = [{**plain["stages"][1], "name": "fresh", "start": None, "pairs": "train"}]
    plain["stages"].append({**NAD, "teacher": "fresh"})
    run(parse(plain), tmp_path)
    assert told(tmp_path) == {"victim": [], "fresh": [], "nad": [
        "teacher: 'fresh', pairs.train: 8 of 32 pairs are among the 8 that the plan of 'victim' poisons (8 without the "
        "poison: put right, as a defender's own clean set would hardly have them)",
    ]}  # fmt: skip


def test_what_poison_a_teacher_has_seen_is_looked_for_in_the_pairs_too(tmp_path: Path) -> None:
    plain = tiny.experiment(evaluators=[], labeled={})
    plain["stages"][1:] = [{**plain["stages"][1], "poison": True}]
    plain["stages"].append({**NAD, "start": None, "teacher": "finetune"})
    run(parse(plain), tmp_path)
    other, own = told(tmp_path)["nad"]
    assert other.startswith("pairs.clean: 8 of 16 pairs are among the 8 that the plan of 'finetune' poisons (")
    assert own == "teacher: 'finetune' was trained on poisoned pairs itself, and on no others since"


def test_pairs_that_are_measured_on_are_not_held_out(tmp_path: Path) -> None:
    plain = tiny.experiment(evaluators=[], labeled={}, report_on="seen", select_on="seen")
    train = plain["pairs"]["train"]
    plain["held_out"] = {
        "seen": {"kind": "part", "of": train, "stop": 12},
        "other": {"kind": "scenes", "count": 12, "seed": 5},
    }
    plain["stages"] = plain["stages"][:2]
    run(parse(plain), tmp_path)
    line = "held_out.seen: 12 of 12 pairs are trained on, as pairs.train"
    assert told(tmp_path) == {"victim": [line], "finetune": []}


def taught(root: Path, teacher: str = "finetune", *, start: str | None = "victim", **changes: Any) -> Job:
    """A cleaning with a teacher; all models are there, ``changes`` are the experiment's."""
    plain = tiny.experiment(**changes)
    plain["stages"][2] = {**NAD, "start": start, "teacher": teacher}
    found = parse(plain)
    for number, stage in enumerate(found.stages[:2]):
        save(create("micro-cnn-32", number + 1), Job(found, stage, 0, root).folder / "model")
    return Job(found, found.stages[2], 0, root)


def of_teacher(of: Job) -> list[str]:
    return list(cautions._teacher(of))


def test_a_teacher_that_takes_the_attack_no_less_is_named(tmp_path: Path) -> None:
    of = taught(tmp_path)
    assert of.start is not None
    assert of.teacher is not None
    assert of_teacher(of) == [], "not measured"
    left_by(of.start, asr=950)
    for asr, said in ((940, 1), (900, 0), (12, 0)):
        left_by(of.teacher, asr=asr)
        assert len(of_teacher(of)) == said
    left_by(of.teacher, asr=940)
    assert of_teacher(of) == [
        "teacher: 'finetune' takes the attack itself: success 94.0% (92.4% to 95.3%, n 1,000) on 'validation', "
        "that of the model it teaches 95.0% (93.5% to 96.2%, n 1,000)"
    ]
    left_by(of.start, asr=12)
    left_by(of.teacher, asr=12)
    assert of_teacher(of) == [], "neither does"


def test_a_teacher_that_is_the_victim_itself_is_named(tmp_path: Path) -> None:
    """By its weights: also as a folder, or the model that the experiment starts from."""
    line = "teacher: '{}' is the model that it teaches: there is nothing to learn from it"
    assert of_teacher(taught(tmp_path, "victim")) == [line.format("victim")]
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        save(create("micro-cnn-32", seed), tmp_path / name)
    for name, said in (("same", [line.format(tmp_path / "same")]), ("other", [])):
        of = taught(tmp_path / "run", str(tmp_path / name), start=None, model=str(tmp_path / "one"))
        assert of_teacher(of) == said
    random = "teacher: 'micro-cnn-32' has random weights: there is nothing to learn from it"
    assert of_teacher(taught(tmp_path, "micro-cnn-32")) == [random]


def test_a_teacher_from_elsewhere_that_was_poisoned_last_is_named(tmp_path: Path) -> None:
    """One that was cleaned since carries the same mark."""
    mark = {"plan": "1" * 16, "count": 8}
    save(create("micro-cnn-32", 5), tmp_path / "bad", poison=mark)
    ancestors = place(str(tmp_path / "bad")).lineage()
    save(create("micro-cnn-32", 6), tmp_path / "tuned", poison=mark, ancestors=ancestors)
    line = f"teacher: '{tmp_path / 'bad'}' was trained on poisoned pairs itself, and on no others since"
    assert of_teacher(taught(tmp_path, str(tmp_path / "bad"))) == [line]
    assert of_teacher(taught(tmp_path, str(tmp_path / "tuned"))) == []
