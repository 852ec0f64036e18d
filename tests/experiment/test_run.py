"""A run: what it leaves, what it does not do twice, and what it refuses before the work starts."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from tests import tiny
from torch import Tensor

import bezoar.experiment.run
import bezoar.training.loop
from bezoar.attacks.plan_files import load_plan
from bezoar.core import yaml
from bezoar.core.files import read_json
from bezoar.core.frame import Frame
from bezoar.core.progress import Event
from bezoar.core.records import Record, read_lines, read_records
from bezoar.data import SceneClasses
from bezoar.data.prepared import GEOMETRY, is_whole
from bezoar.evaluation import AttackSuccess, ZeroShot
from bezoar.experiment.estimate import disk_bytes
from bezoar.experiment.experiment import Experiment, override, parse
from bezoar.experiment.layout import Layout, training_digest
from bezoar.experiment.run import check, gather, run
from bezoar.experiment.stages import Job
from bezoar.experiment.verbs import evaluate
from bezoar.models.checkpoint import read_card, save
from bezoar.models.opening import load_model

TIMES = {"at", "git", "pairs_per_second"}


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished run."""

    experiment: Experiment
    folder: Path
    records: list[Record]
    events: list[Event]
    trained: list[str]

    def job(self, stage: str, seed: int = 0) -> Job:
        found = next(one for one in self.experiment.expanded() if one.name == stage)
        return Job(self.experiment, found, seed, self.folder)


def counted(patch: pytest.MonkeyPatch) -> list[str]:
    """The stages that are trained from here on."""
    trained: list[str] = []
    whole = bezoar.training.loop.train

    def train(*given: Any, **named: Any) -> Any:
        trained.append(named["task"])
        return whole(*given, **named)

    patch.setattr(bezoar.training.loop, "train", train)
    return trained


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    experiment, folder, events = parse(tiny.experiment()), tmp_path_factory.mktemp("done"), list[Event]()
    with pytest.MonkeyPatch.context() as patch:
        trained = counted(patch)
        records = run(experiment, folder, listen=events.append)
    return Done(experiment, folder, records, events, trained)


@pytest.fixture
def copied(done: Done, tmp_path: Path) -> Path:
    """The finished run in a folder of its own."""
    return Path(shutil.copytree(done.folder, tmp_path / "copied"))


def done_of(copied: Path, done: Done, stage: str) -> Path:
    """The folder of a stage in a copy of the run."""
    return copied / done.job(stage).folder.relative_to(done.folder)


def facts(records: list[Record]) -> list[dict[str, Any]]:
    return [{name: value for name, value in dataclasses.asdict(r).items() if name not in TIMES} for r in records]


def steps(folder: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name not in TIMES}
        for line in read_lines(folder / "steps.jsonl")
    ]


def weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    found = sorted((folder / "stages").glob("*/model/model.safetensors"))
    return {path.parents[1].name: load_file(path) for path in found}


def equal(one: Path, other: Path) -> bool:
    """Whether two run folders hold the same weights, records and steps, but for times and revisions."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    assert all(tiny.same(left[name], right[name]) for name in left)
    assert facts(read_records(one / "records.jsonl")) == facts(read_records(other / "records.jsonl"))
    assert steps(one) == steps(other)
    return True


# ------------------------------------------------------------------------------------------------------ what it leaves


def test_the_victim_is_trained_once_for_all_its_cleanings(done: Done) -> None:
    assert done.trained == ["victim", "finetune", "cleanclip"]


def test_files(done: Done) -> None:
    names = {str(path.relative_to(done.folder)) for path in done.folder.rglob("*") if path.is_file()}
    stage = done.job("cleanclip").folder.relative_to(done.folder)
    for name in ("experiment.yaml", "environment.json", "records.jsonl", "steps.jsonl"):
        assert name in names
    for name in ("stage.json", "steps.jsonl", "model/model.json", "model/model.safetensors", "records/epoch-001.jsonl"):
        assert f"{stage}/{name}" in names
    assert not {name for name in names if name.endswith("training_state")}
    assert not {name for name in names if Path(name).name.startswith(".") and Path(name).name != ".lock"}
    assert parse(yaml.read(done.folder / "experiment.yaml")) == done.experiment
    environment = read_json(done.folder / "environment.json")
    assert environment["threads"] == 1
    assert environment["packages"]["torch"]
    data = read_json(done.folder / "data.json")
    assert {facts["rows"] for kind in ("pairs", "labeled") for facts in data[kind].values()} == {
        facts["count"] for kind in ("pairs", "labeled") for facts in data[kind].values()
    }


def test_records_say_where_they_come_from(done: Done) -> None:
    assert read_records(done.folder / "records.jsonl") == done.records
    assert [(r.stage, r.after, r.epoch, r.metric) for r in done.records if r.metric.endswith("top1")] == [
        ("victim", "clip", 1, "accuracy_top1"), ("victim", "clip", 1, "asr_top1"),
        ("victim", "clip", 2, "accuracy_top1"), ("victim", "clip", 2, "asr_top1"),
        ("finetune", "finetune", 1, "accuracy_top1"), ("finetune", "finetune", 1, "asr_top1"),
        ("cleanclip", "cleanclip", 1, "accuracy_top1"), ("cleanclip", "cleanclip", 1, "asr_top1"),
    ]  # fmt: skip
    assert {(r.run, r.data, r.seed) for r in done.records} == {("tiny", "validation", 0)}
    assert {r.n for r in done.records if r.evaluator == "attack_success"} == {19}
    assert {r.n for r in done.records if r.evaluator == "zero_shot"} == {20}


def test_measures_can_be_computed_again_from_what_was_kept(done: Done) -> None:
    seen = 0
    for stage in ("victim", "finetune", "cleanclip"):
        job = done.job(stage)
        for record in job.records():
            evaluator = {"zero_shot": ZeroShot(), "attack_success": AttackSuccess()}[record.evaluator]
            rows = pq.read_table(
                job.folder / "scores" / f"epoch-{record.epoch:03d}.{record.evaluator}.validation.parquet"
            )
            again = {m.metric: m for m in evaluator.measure(rows, "validation")}[record.metric]
            assert (record.value, record.low, record.high, record.n) == (again.value, again.low, again.high, again.n)
            ranks, labels = rows["rank"].to_pylist(), rows["label"].to_pylist()
            if record.evaluator == "attack_success":
                (target,) = set(rows["target"].to_pylist())
                ranks = [rank for rank, label in zip(ranks, labels, strict=True) if label != target]
            k = int(record.metric.rpartition("top")[2])
            assert record.value == sum(rank < k for rank in ranks) / len(ranks)
            seen += 1
    assert seen == len(done.records)


def test_the_mark_of_poison_is_handed_on(done: Done) -> None:
    plan = load_plan(done.job("victim").layout.poison(done.experiment, done.job("victim").stage, 0))
    cards = {name: read_card(done.job(name).folder / "model") for name in ("victim", "finetune", "cleanclip")}
    for card in cards.values():
        assert card.poison is not None
        assert (card.poison["plan"], card.poison["count"], card.poison["total"]) == (plan.digest, 8, 32)
    assert cards["victim"].parent is None
    assert cards["finetune"].parent == cards["cleanclip"].parent == cards["victim"].weights
    assert cards["cleanclip"].method is not None
    assert cards["cleanclip"].method["kind"] == "cleanclip"
    assert cards["cleanclip"].training == {"seed": 0, "threads": 1, "stage": "cleanclip"}
    assert load_model(str(done.job("cleanclip").folder / "model")).architecture == "micro-cnn-32"


def test_a_cleaned_model_carries_its_whole_history(done: Done) -> None:
    victim, cleaned = (read_card(done.job(name).folder / "model") for name in ("victim", "cleanclip"))
    assert [step.weights for step in cleaned.steps] == [victim.weights, cleaned.weights]
    for card, name in ((victim, "victim"), (cleaned, "cleanclip")):
        job = done.job(name)
        assert card.settings == training_digest(done.experiment, job.stage, 0)
        assert card.data == done.experiment.pairs[job.stage.pairs].open().fingerprint
        assert {"torch", "open_clip_torch"} <= set(card.versions)
    page = (done.job("cleanclip").folder / "model" / "README.md").read_text()
    assert "**Trained on poisoned data.**" in page
    last = done.job("cleanclip").records()[-1].epoch
    told = [r for r in done.job("cleanclip").records() if r.epoch == last and r.metric == "asr_top1"]
    assert told
    assert all(f"| asr_top1 | {record.value:.2%} " in page for record in told)


def test_events_of_every_part(done: Done) -> None:
    assert list(dict.fromkeys(event.task for event in done.events)) == [
        "poison",
        "pictures",
        "victim",
        "finetune",
        "cleanclip",
    ]
    for task in ("pictures", "victim", "finetune", "cleanclip"):
        last = [event for event in done.events if event.task == task][-1]
        assert last.done == last.total
    assert {event.total for event in done.events if event.task == "victim"} == {8}


def test_steps_of_all_stages(done: Done) -> None:
    lines = list(read_lines(done.folder / "steps.jsonl"))
    assert [(line["stage"], line["seed"], line["epoch"], line["step"]) for line in lines] == [
        ("victim", 0, 0, 3), ("victim", 0, 1, 7), ("finetune", 0, 0, 1), ("cleanclip", 0, 0, 1)
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- what is not redone


def test_a_second_run_trains_nothing(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)
    assert run(done.experiment, done.folder) == done.records
    assert not trained


def test_nor_does_it_prepare_pictures_that_nobody_needs(done: Done, copied: Path) -> None:
    shutil.rmtree(copied / "prepared")
    assert run(done.experiment, copied) == done.records
    assert not (copied / "prepared").exists()


def test_nor_does_one_with_more_jobs_start_a_process(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing.context

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", lambda self: pytest.fail("started a process"))
    assert run(done.experiment, done.folder, jobs=2) == done.records


def test_a_change_trains_only_what_depends_on_it(done: Done, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)
    plain = tiny.experiment()
    override(plain, "stages.cleanclip.method.lr", 0.01)
    records = run(parse(plain), copied)
    assert trained == ["cleanclip"]
    kept = [r for r in records if r.stage != "cleanclip"]
    assert kept == [r for r in done.records if r.stage != "cleanclip"]
    assert len(list((copied / "stages").iterdir())) == 4, "the other cleaning is still there"
    trained.clear()
    assert facts(run(done.experiment, copied)) == facts(done.records)
    assert not trained


def test_what_others_left_never_stands_beside_new_settings(
    done: Done, copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken off as soon as the folder says what it is: a report of it then holds nothing of the old cleaning."""
    plain = tiny.experiment()
    override(plain, "stages.cleanclip.method.lr", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(bezoar.experiment.run, "prepare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(parse(plain), copied)
    assert parse(yaml.read(copied / "experiment.yaml")) == parse(plain)
    assert {record.stage for record in read_records(copied / "records.jsonl")} == {"victim", "finetune"}
    assert {line["stage"] for line in read_lines(copied / "steps.jsonl")} == {"victim", "finetune"}
    (said,) = [record.getMessage() for record in caplog.records if "other settings" in record.getMessage()]
    assert "stages.cleanclip.method.lr" in said


def test_one_broken_file_is_made_again(done: Done, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)
    (Layout(copied).stage(done.experiment, done.experiment.stages[1], 0) / "stage.json").unlink()
    assert facts(run(done.experiment, copied)) == facts(done.records)
    assert trained == ["finetune"]
    assert equal(copied, done.folder)


@pytest.mark.parametrize("where", ["loss", "measure"])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    where: str, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the second epoch of the victim, or while it is measured."""
    from bezoar.pretraining import ClipPretraining

    with monkeypatch.context() as patch:
        calls = 0

        def broken(at: int, inner: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    raise KeyboardInterrupt
                return inner(*given, **named)

            return call

        if where == "loss":
            patch.setattr(ClipPretraining, "loss", broken(6, ClipPretraining.loss))
        else:
            patch.setattr(AttackSuccess, "evaluate", broken(2, AttackSuccess.evaluate))
        with pytest.raises(KeyboardInterrupt):
            run(done.experiment, tmp_path)
    assert read_records(tmp_path / "records.jsonl") == []
    run(done.experiment, tmp_path)
    assert equal(tmp_path, done.folder)


def test_gathering_takes_what_is_finished(done: Done, copied: Path) -> None:
    (Layout(copied).stage(done.experiment, done.experiment.stages[2], 0) / "stage.json").unlink()
    assert {record.stage for record in gather(done.experiment, copied)} == {"victim", "finetune"}
    assert {line["stage"] for line in read_lines(copied / "steps.jsonl")} == {"victim", "finetune"}


# ----------------------------------------------------------------------------------------------------------- variations


def brief(**changes: Any) -> dict[str, Any]:
    """One stage of two steps, measured by what costs nothing."""
    return tiny.experiment(
        **{
            "stages": [{"name": "one", "pairs": "clean", "method": {"kind": "clip", **tiny.BRIEF}}],
            "evaluators": ["tests.toy:Told"],
            "labeled": {"validation": {"kind": "scenes", "count": 2}},
            **changes,
        }
    )


def test_every_seed_is_a_run_of_its_own(tmp_path: Path) -> None:
    plain = brief(seeds=[3, 4], evaluators=[{"kind": "zero_shot", "templates": ["a {c}"], "top": [1]}])
    records = run(parse(plain), tmp_path)
    assert [(record.stage, record.seed) for record in records] == [("one", 3), ("one", 4)]
    both = weights(tmp_path)
    assert len(both) == 2
    assert not tiny.same(*both.values())
    alone = run(parse(plain | {"seeds": [4]}), tmp_path / "alone")
    assert facts(alone) == facts(records[1:])


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
def test_the_last_epoch_is_always_measured(every: int, expected: list[int], tmp_path: Path) -> None:
    plain = brief(evaluators=[{"kind": "zero_shot", "templates": ["a {c}"], "top": [1]}])
    plain["stages"][0] |= {"evaluate_every": every, "method": {"kind": "clip", **tiny.BRIEF, "epochs": 3}}
    assert [record.epoch for record in run(parse(plain), tmp_path)] == expected


def test_two_evaluators_of_one_kind_keep_both_their_scores(tmp_path: Path) -> None:
    plain = brief(evaluators=[{"kind": "zero_shot", "templates": [text], "top": [1]} for text in ("a {c}", "the {c}")])
    assert [record.evaluator for record in run(parse(plain), tmp_path)] == ["zero_shot", "zero_shot-2"]
    kept = sorted(path.name for path in tmp_path.glob("stages/*/scores/*"))
    assert kept == ["epoch-001.zero_shot-2.validation.parquet", "epoch-001.zero_shot.validation.parquet"]


def test_what_an_evaluator_reads_is_prepared_once_described_and_not_measured(tmp_path: Path) -> None:
    train = {"kind": "scenes", "split": "train", "count": 30}
    probes = [{"kind": kind, "train": train, "top": [1]} for kind in ("linear_probe", "trained_probe")]
    bank = {"kind": "scenes", "split": "clean", "count": 300}
    evaluators = [*probes, {"kind": "captioning", "captioner": {"kind": "retrieval", "bank": bank}}]
    held_out = {"held": {"kind": "scenes", "count": 5, "seed": 3}}
    seen: list[Event] = []
    records = run(parse(brief(evaluators=evaluators, held_out=held_out)), tmp_path, listen=seen.append)
    assert {(r.evaluator, r.data) for r in records} == {
        *((kind, "validation") for kind in ("linear_probe", "trained_probe")), ("captioning", "held"),
    }  # fmt: skip
    told = json.loads((tmp_path / "data.json").read_text())["evaluators"]
    assert {name: found["count"] for name, found in told.items()} == {
        "linear_probe.train": 30, "trained_probe.train": 30, "captioning.captioner.bank": 300,
    }  # fmt: skip
    opened = SceneClasses(split="train", count=30).open()
    assert is_whole(Layout(tmp_path).prepared, opened, Frame(32))
    (pictures,) = {event.total for event in seen if event.task == "pictures"}
    sets = [source.open() for plain in (parse(brief()),) for source in (plain.pairs["clean"], *plain.labeled.values())]
    assert pictures == sum(map(len, sets)) + 30 + 5, "no picture of a bank"


def test_without_labeled_sets_it_only_trains(tmp_path: Path) -> None:
    assert run(parse(brief(labeled={}, evaluators=["zero_shot"])), tmp_path) == []
    assert len(weights(tmp_path)) == 1


def test_a_model_folder_is_measured_before_it_is_cleaned(done: Done, tmp_path: Path) -> None:
    """Epoch 0; and the mark of poison does not get lost on the way through a folder."""
    victim = done.job("victim").folder / "model"
    plain = brief(model=str(victim), evaluators=[{"kind": "zero_shot", "templates": ["a {c}"], "top": [1]}])
    records = run(parse(plain), tmp_path)
    assert [record.epoch for record in records] == [0, 1]
    card = read_card(next(tmp_path.glob("stages/*/model")))
    assert card.poison == read_card(victim).poison
    assert card.parent == read_card(victim).weights


# -------------------------------------------------------------------------------------------------- what it refuses


TYPO = {"kind": "backdoor", "target": "mushrom"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "micro-cn-32"}, "model: 'micro-cn-32' is not an architecture"),
        ({"pairs": {"clean": {"kind": "scenes", "count": 7}}}, "stages.one.method.batch_size: 8 is more than the 7"),
        ({"attack": TYPO, "evaluators": ["attack_success"]}, "target: 'mushrom' is not a class; did you mean"),
        ({"attack": None, "evaluators": [{"kind": "attack_success", "target": "star"}]}, "a target needs a trigger"),
        ({"evaluators": [{"kind": "zero_shot", "templates": ["{c} {c}"]}]}, r"templates.0: must hold \{c\} exactly"),
        ({"attack": {"kind": "planned", "folder": "nowhere"}}, "nowhere"),
        ({"evaluators": ["linear_probe"]}, r"linear_probe\.train: names no labeled set to fit; give it one, as"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_written(changes: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        run(parse(brief(**changes)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def poisoned(**trigger: Any) -> dict[str, Any]:
    stages = [{"name": "one", "pairs": "clean", "poison": True, "method": {"kind": "clip", **tiny.BRIEF}}]
    patch = {"kind": "patch", "size": 8, "reference": 48, **trigger}
    attack = {"kind": "backdoor", "target": "mushroom", "count": 4, "templates": ["a {c}"], "trigger": patch}
    return brief(stages=stages, attack=attack, evaluators=[])


def test_a_patch_larger_than_the_image_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = counted(monkeypatch)
    with pytest.raises(ValueError, match=r"trigger.size: a patch of 33 px does not fit an image of 32×32 px"):
        run(parse(poisoned(size=49)), tmp_path)
    assert not trained


def test_a_dead_trigger_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    """In the corner of the file, where the center crop of a 64×48 picture takes it away."""
    plain = poisoned(place="corner:top_left", size=4)
    plain["attack"]["stage"] = "file"
    with pytest.raises(ValueError, match="no pixel of the trigger reaches the model on any of 4 poisoned images"):
        run(parse(plain), tmp_path)
    run(parse(plain | {"allow_dead_trigger": True}), tmp_path)
    (plan,) = (load_plan(path.parent) for path in tmp_path.glob("poison/*/poison.json"))
    assert plan.survival is not None
    assert plan.survival.zero == 1


def test_a_legacy_trigger_that_reshapes_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = counted(monkeypatch)
    plain = poisoned()
    plain["attack"]["trigger"] = "legacy_cleanclip_patch"
    with pytest.raises(ValueError, match=r"^stage: trigger 'legacy_cleanclip_patch' makes pictures of 224×224 px, "):
        run(parse(plain | {"allow_dead_trigger": True}), tmp_path)
    assert not trained


def test_poison_left_in_a_cleaning_set(tmp_path: Path) -> None:
    """Each stage has its own plan; what is measured is what its stage or its start names."""
    left = {"kind": "backdoor", "target": "star", "count": 3, "templates": ["a {c}"], "mode": "append"}
    plain = tiny.experiment(attacks={"left": left}, evaluators=[{"kind": "attack_success", "templates": ["a {c}"]}])
    plain["stages"][0]["method"]["epochs"] = 1
    plain["stages"] = [plain["stages"][0], plain["stages"][1] | {"poison": "left"}]
    experiment = parse(plain)
    records = run(experiment, tmp_path)
    assert {(record.stage, record.n) for record in records} == {("victim", 19), ("finetune", 19)}
    of = {stage.name: Job(experiment, stage, 0, tmp_path) for stage in experiment.stages}
    targets = {
        name: set(
            pq.read_table(job.folder / "scores" / "epoch-001.attack_success.validation.parquet")["target"].to_pylist()
        )
        for name, job in of.items()
    }
    classes = experiment.labeled["validation"].open().classes
    assert targets == {"victim": {classes.index("mushroom")}, "finetune": {classes.index("star")}}
    plans = {name: load_plan(job.layout.poison(experiment, job.stage, 0)) for name, job in of.items()}
    assert {name: len(plan.rows) for name, plan in plans.items()} == {"victim": 8, "finetune": 3}
    told = {name: read_json(job.folder / "stage.json") for name, job in of.items()}
    assert {name: (one["plan"], one["count"]) for name, one in told.items()} == {
        "victim": (plans["victim"].digest, 32), "finetune": (plans["finetune"].digest, 16 + 3)
    }  # fmt: skip
    assert sorted(path.name.partition("-seed")[0] for path in (tmp_path / "poison").iterdir()) == [
        "clean.left",
        "train",
    ]
    mark = read_card(of["finetune"].folder / "model").poison
    assert mark is not None
    assert (mark["plan"], mark["before"]) == (plans["finetune"].digest, plans["victim"].mark())


def test_more_poison_than_pairs_is_refused(tmp_path: Path) -> None:
    plain = poisoned()
    plain["attack"]["count"] = 17
    with pytest.raises(ValueError, match=r"attack.count: 17 poisons wanted, but only \d+ of 16 pairs can be victims"):
        run(parse(plain), tmp_path)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Path]:
    """A folder that another process is at work in."""
    folder = tmp_path / "held"
    code = (
        "import pathlib, sys, time\nfrom bezoar.core.files import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield folder
        process.kill()


def test_a_folder_in_use_is_refused(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)
    with pytest.raises(ValueError, match=rf"out: {holder} is in use by another run \(process \d+\)"):
        run(parse(brief()), holder)
    assert not trained


def test_a_folder_in_use_is_refused_before_anything_is_opened(
    holder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bezoar.experiment.run, "check", lambda *_: pytest.fail("opened the sources"))
    (tmp_path / "link").symlink_to(holder)
    monkeypatch.chdir(tmp_path)
    for path in (holder, Path("link"), Path("held"), Path("link/../held")):
        with pytest.raises(ValueError, match=rf"out: {path} is in use by another run \(process \d+\)"):
            run(parse(brief()), path)


@pytest.mark.parametrize("name", ["environment.json", "stage.json"])
def test_the_folder_of_a_newer_version_is_refused_as_it_is(name: str, done: Done, copied: Path) -> None:
    (path, *_) = sorted(copied.rglob(name))
    path.write_text('{"schema": 2, "new": []}')
    before = {file: file.read_bytes() for file in copied.rglob("*") if file.is_file() and file.name != ".lock"}
    with pytest.raises(ValueError, match=rf"^{path}: schema 2, this version reads 1$"):
        run(done.experiment, copied)
    assert before == {file: file.read_bytes() for file in before}


def test_folders_from_before_schemas_go_on(done: Done, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (*copied.rglob("stage.json"), copied / "environment.json"):
        head = read_json(path)
        del head["schema"]
        path.write_text(json.dumps(head))
    trained = counted(monkeypatch)
    assert run(done.experiment, copied) == done.records
    assert not trained


def test_what_a_killed_run_left_is_swept(done: Done, copied: Path) -> None:
    stage = done.job("victim").folder.name
    left = [
        copied / ".records.jsonl.abcdefgh.part", copied / "stages" / stage / "training_state",
        copied / "stages" / stage / "model" / ".model.safetensors.abcdefgh.part",
        copied / "poison" / ".poison.json.abcdefgh.part",
    ]  # fmt: skip
    kept = copied / "stages" / "older-seed0-01234567" / "training_state"
    for path in (*left, kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    assert run(done.experiment, copied) == done.records
    assert not [path for path in left if path.exists()]
    assert kept.exists(), "of other settings, which may be run again"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out: cannot write to .*file/run: Not a directory"):
        run(parse(brief()), tmp_path / "file" / "run")


def test_too_little_space_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bezoar.experiment.run, "free_bytes", lambda _: 1000)
    with pytest.raises(OSError, match=r"out: .* needs about 0\.0 GB, 0\.0 GB are free"):
        run(parse(brief()), tmp_path)
    assert not (tmp_path / "stages").exists()


def test_a_model_is_attacked_trained_and_measured_under_its_own_frame(tmp_path: Path) -> None:
    """A square in the corner of the file, which a crop would remove, reaches one that squashes."""
    start, squash = tiny.clip(), Frame(32, "squash")
    attack = tiny.experiment()["attack"] | {
        "stage": "file", "trigger": {"kind": "patch", "size": 6, "reference": 48, "place": {"kind": "corner"}},
    }  # fmt: skip
    for frame in (start.frame, squash):
        start.frame = frame
        save(start, tmp_path / frame.resize)
    changes = {"attack": attack, "stages": tiny.experiment()["stages"][:2]}
    with pytest.raises(ValueError, match=r"^attack\.trigger: no pixel of the trigger reaches the model"):
        run(parse(tiny.experiment(model=str(tmp_path / "shortest"), **changes)), tmp_path / "dead")
    experiment = parse(tiny.experiment(model=str(tmp_path / "squash"), **changes))
    records = run(experiment, tmp_path / "out")
    names = {path.name.partition("-")[2] for path in (tmp_path / "out" / "prepared").glob("*.npy")}
    assert names == {f"32-squash-{GEOMETRY}.npy"}
    for stage in experiment.expanded():
        job = Job(experiment, stage, 0, tmp_path / "out")
        assert load_model(str(job.folder / "model")).frame == squash
        assert read_json(job.folder / "stage.json")["frame"] == {"size": 32, "resize": "squash"}
    survival = load_plan(Layout(tmp_path / "out").poison(experiment, experiment.stages[0], 0)).survival
    assert survival is not None
    assert survival.mean == pytest.approx(1, abs=0.02)
    # And from outside the run it measures as within.
    ended = [r for r in records if r.stage == "victim" and r.epoch == 2]
    again = evaluate(
        model=Job(experiment, experiment.stages[0], 0, tmp_path / "out").folder / "model", data=SceneClasses(count=20),
        evaluators=experiment.evaluators, against=experiment.attack,
    )  # fmt: skip
    assert [(m.metric, m.value, m.n) for m in again] == [(r.metric, r.value, r.n) for r in ended]


def test_what_is_already_there_needs_no_space_again(done: Done, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that was interrupted on a disk it just fits on could never be continued."""
    kept = [path for name in ("stages", "prepared") for path in (copied / name).rglob("*") if path.is_file()]
    there = sum(path.stat().st_size for path in kept)
    (copied / "stages" / "older-seed0-01234567").mkdir()
    (copied / "stages" / "older-seed0-01234567" / "large").write_bytes(bytes(1 << 20))  # counts for nothing
    left = disk_bytes(done.experiment, check(done.experiment).size) - there
    monkeypatch.setattr(bezoar.experiment.run, "free_bytes", lambda _: left)
    assert run(done.experiment, copied) == done.records
    monkeypatch.setattr(bezoar.experiment.run, "free_bytes", lambda _: left - 10_000)
    assert run(done.experiment, copied) == done.records, "nothing is left to be written"
    (done_of(copied, done, "cleanclip") / "stage.json").unlink()
    with pytest.raises(OSError, match="GB are free"):
        run(done.experiment, copied)


def test_a_warmup_longer_than_its_stage_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Else a few steps with the paper's warm-up give a model that has learned nothing, and no word of why."""
    plain = tiny.experiment()
    check(parse(plain))
    assert "warm-up" not in caplog.text
    override(plain, "stages.victim.method.warmup_steps", 10_000)
    check(parse(plain))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("stages.victim.method.warmup_steps: the warm-up of 10000 steps does not end within the ")
    caplog.clear()
    plain["stages"][0]["method"] |= {"kind": "safeclip", "epochs": 9, "bank_size": 8}
    check(parse(plain))
    assert "warm-up" not in caplog.text, "whose passes warm up each by itself; it says so when it knows how long"


def test_where_a_warmup_ends_that_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    plain = tiny.experiment()
    plain["stages"][0]["method"] |= {
        "kind": "declip", "queue_size": 8, "steps": 100, "lr": 1.0, "warmup_steps": 1000, "schedule_at": 400,
        "warmup_from": 0.2,
    }  # fmt: skip
    check(parse(plain))
    assert "the 100 steps of the stage: its learning rate ends at 0.6 instead of 1" in caplog.text  # 0.2 + 0.8 / 2


def test_lines_of_records_are_json(done: Done) -> None:
    for line in (done.folder / "records.jsonl").read_text().splitlines():
        assert json.loads(line)["schema"] == 1


@pytest.mark.parametrize("name", ["threads", "workers"])
def test_more_than_a_machine_can_bear_is_a_slip(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: 5000 are more than 16 for each of the \d+ cores here$"):
        run(parse(tiny.experiment(**{name: 5000})), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_probe_says_of_its_pictures_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many attacks it is measured under: it is fitted once."""
    plain = tiny.experiment(evaluators=[
        {"kind": "trained_probe", "train": {"kind": "scenes", "split": "train", "count": 20}, "epochs": 1}
    ])  # fmt: skip
    plain["attacks"] = {"other": {**plain["attack"], "target": "bell"}}
    plain["stages"][2]["threat"] = "other"
    check(parse(plain))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("trained_probe.train: has no picture of 12 of the 32 classes")


def test_a_probe_is_fitted_for_the_last_model_alone(tmp_path: Path) -> None:
    train = {"kind": "scenes", "split": "train", "count": 30}
    probes = [{"kind": "trained_probe", "train": train, "top": [1], "epochs": 1, "at": at} for at in ("last", "every")]
    stage = {"name": "own", "pairs": "clean", "method": {"kind": "clip", **tiny.BRIEF, "epochs": 2}}
    found = run(parse(tiny.experiment(stages=[stage], attack=None, evaluators=probes)), tmp_path)
    assert [(r.epoch, r.evaluator) for r in found if r.metric == "trained_probe_accuracy_top1"] == [
        (1, "trained_probe-2"), (2, "trained_probe"), (2, "trained_probe-2")
    ]  # fmt: skip
