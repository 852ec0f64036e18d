"""Each verb's way on a few scenes: from pairs to a poisoned model, a cleaned one, numbers and a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests import tiny
from tests.cli.conftest import Bezoar

from bezoar.attacks.applied import Applied
from bezoar.attacks.plan_files import load_plan
from bezoar.core import yaml
from bezoar.core.frame import Frame
from bezoar.core.records import read_records
from bezoar.data import LABELED_SOURCES, PAIRS_SOURCES
from bezoar.data.images import to_tensor
from bezoar.experiment.experiment import parse
from bezoar.models.checkpoint import read_card

PAIRS, CLEAN, VAL = "{kind: scenes, count: 32}", "{kind: scenes, split: clean, count: 16}", "{kind: scenes, count: 20}"
ALL = "{kind: scenes, count: 64}"
TRIGGER = "{kind: patch, size: 8, reference: 32}"
PLAN = ("poison", "backdoor", "--target", "mushroom", "--pairs", PAIRS, "--image-size", 32)
BRIEF = ("--epochs", 1, "--batch-size", 8, "--lr", 1e-3, "--warmup-steps", 2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the verbs of the story leave their folders; each is done once, by the first test that needs it."""
    return tmp_path_factory.mktemp("home")


def poison(bezoar: Bezoar, home: Path) -> Path:
    if not (home / "poison").exists():
        found = bezoar(
            "poison", "backdoor", "--target", "mushroom", "--count", 8, "--trigger", TRIGGER, "--pairs", PAIRS,
            "--out", home / "poison", "--image-size", 32,
        )  # fmt: skip
        assert found.code == 0, found.err
        (home / "poison.txt").write_text(found.out)
    return home / "poison"


def train(bezoar: Bezoar, home: Path) -> Path:
    """The folder of the poisoned model."""
    if not (home / "train.txt").exists():
        found = bezoar(
            "train", "clip", *BRIEF, "--pairs", PAIRS, "--model", "micro-cnn-32", "--poison", poison(bezoar, home),
            "--val", VAL, "--out", home / "train", "--threads", 1,
        )  # fmt: skip
        assert found.code == 0, found.err
        (home / "train.txt").write_text(found.out)
    (model,) = (home / "train" / "stages").glob("*/model")
    return model


def test_poison_says_what_it_did(bezoar: Bezoar, home: Path) -> None:
    folder = poison(bezoar, home)
    plan = load_plan(folder)
    lines = (home / "poison.txt").read_text().splitlines()
    assert lines[0] == f"8 of 32 pairs poisoned (25.000%), plan {plan.digest}"
    assert re.fullmatch(
        r"of the trigger's area a model of 32 px gets 100\.0% on average, 100\.0% at least, nothing on 0\.0% of 8 "
        r"images; "
        r"PSNR \d+\.\d dB, SSIM 0\.\d{3}, L∞ \d+",
        lines[1],
    )
    assert lines[-1] == f"wrote {folder}"


def test_a_dry_run_of_poison_writes_nothing(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    words = (
        "poison",
        "backdoor",
        "--target",
        "mushroom",
        "--pairs",
        PAIRS,
        "--image-size",
        32,
        "--out",
        tmp_path / "p",
    )
    found = bezoar(*words, "--dry-run")
    assert (found.code, found.err) == (0, "")
    assert found.out.endswith("nothing written (--dry-run)\n")
    told = json.loads(bezoar(*words, "--dry-run", "--json").out)
    assert told.keys() == {"digest", "count", "total", "roles", "survival", "out", "copy"}
    assert (told["count"], told["total"], told["out"], told["copy"]) == (1, 32, None, None)
    assert told["roles"] == {"backdoor": 1}
    assert not list(tmp_path.iterdir())


def test_poison_as_json_is_one_object(bezoar: Bezoar, tmp_path: Path) -> None:
    words = (
        "poison",
        "backdoor",
        "--target",
        "mushroom",
        "--pairs",
        PAIRS,
        "--image-size",
        32,
        "--out",
        tmp_path / "p",
    )
    told = json.loads(bezoar(*words, "--json").out)
    assert told["digest"] == load_plan(tmp_path / "p").digest
    assert told["out"] == str(tmp_path / "p")


SMALL = ("poison", "backdoor", "--target", "mushroom", "--count", 8, "--trigger", TRIGGER, "--pairs", PAIRS,
         "--image-size", 32)  # fmt: skip


def test_a_contact_sheet_and_a_copy_of_the_pairs(bezoar: Bezoar, tmp_path: Path) -> None:
    """The copy holds what training on the plan sees, and nothing that tells who is poisoned."""
    copy = tmp_path / "elsewhere"
    found = bezoar(*SMALL, "--out", tmp_path / "p", "--preview", "--materialize", "csv", "--copy", copy)
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[-2:] == [f"wrote {tmp_path / 'p'}", f"wrote the poisoned copy to {copy}"]
    assert {path.name for path in (tmp_path / "p").iterdir()} >= {"preview.png", "preview.parquet", "copy-ids.parquet"}
    plan = load_plan(tmp_path / "p")
    (table,) = copy.glob("*.csv")
    applied = Applied(PAIRS_SOURCES.parse_text(PAIRS).open(), plan)
    opened = PAIRS_SOURCES.parse_text(str(table)).open()
    captions = sorted(opened.caption(index) for index in range(len(opened)))
    assert captions == sorted(applied.caption(index) for index in range(32))
    expected = {applied.stored(index, Frame(32)).numpy().tobytes() for index in range(32)}
    held = {to_tensor(opened.image(index)).contiguous().numpy().tobytes() for index in range(32)}
    assert held == expected
    # The same command finds its work done.
    again = bezoar(*SMALL, "--out", tmp_path / "p", "--preview", "--materialize", "csv", "--copy", copy, "--json")
    assert json.loads(again.out)["copy"] == str(copy)


def test_a_copy_lies_in_the_poison_folder_by_default(bezoar: Bezoar, tmp_path: Path) -> None:
    found = bezoar(*SMALL, "--out", tmp_path / "p", "--materialize", "webdataset")
    assert found.code == 0, found.err
    assert list((tmp_path / "p" / "copy").glob("*.tar"))
    assert not (tmp_path / "p" / "preview.png").exists()


LABELS = ("poison", "labels", "--target", "mushroom", "--count", 4, "--trigger", TRIGGER, "--labeled", ALL,
          "--image-size", 32)  # fmt: skip


def test_labels_are_poisoned_in_a_labeled_set(bezoar: Bezoar, tmp_path: Path) -> None:
    found = bezoar(*LABELS, "--out", tmp_path / "p", "--materialize", "csv", "--json")
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert (told["count"], told["total"], told["roles"]) == (4, 64, {"labels": 4})
    assert Path(told["copy"]) == tmp_path / "p" / "copy"
    evaluated = bezoar("evaluate", "--model", "micro-cnn-32", "--data", tmp_path / "p" / "copy", "--json")
    assert evaluated.code == 0, evaluated.err
    assert {one["n"] for one in json.loads(evaluated.out)["measures"]} == {64}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*PLAN, "--copy", "c"), "copy: names the folder of a copy: choose its form with --materialize"),
        ((*PLAN, "--dry-run", "--preview"), "preview: writes files, and a dry run writes none"),
        ((*PLAN, "--dry-run", "--materialize", "csv"), "materialize: writes files, and a dry run writes none"),
        ((*PLAN[:-1], 0), "image-size: must be at least 1, got 0"),
        ((*PLAN, "--labeled", VAL), "pairs: give pairs to poison, or a labeled set with --labeled, one of them"),
        (
            ("poison", "backdoor", "--target", "cup"),
            "pairs: give pairs to poison, or a labeled set with --labeled, one",
        ),
        (
            ("poison", "backdoor", "--target", "cup", "--labeled", VAL),
            "labeled: attack 'backdoor' poisons pairs; labels are poisoned by 'labels'",
        ),
        (
            (*LABELS, "--materialize", "parquet"),
            "materialize: a labeled set is written as csv (labels.csv), not as parq",
        ),
    ],
)
def test_what_cannot_be_poisoned_is_said_before_anything_is_written(
    words: tuple[object, ...], said: str, bezoar: Bezoar, tmp_path: Path
) -> None:
    found = bezoar(*words, "--out", tmp_path / "p")
    assert found.code != 0
    assert said in found.err
    assert found.out == ""
    assert not list(tmp_path.glob("p/poison*"))


def test_train_says_where_everything_is(bezoar: Bezoar, home: Path) -> None:
    model = train(bezoar, home)
    assert read_card(model).poison is not None
    out = (home / "train.txt").read_text()
    assert out.splitlines()[-2:] == [f"model   {model}", f"report  {home / 'train' / 'report.html'}"]
    assert "%" in out, "the table of the run"
    assert (home / "train" / "report.html").exists()
    assert {record.metric for record in read_records(home / "train" / "records.jsonl")} >= {"accuracy_top1", "asr_top1"}


def test_the_same_command_again_says_the_same(bezoar: Bezoar, home: Path) -> None:
    train(bezoar, home)
    again = bezoar(
        "train", "clip", *BRIEF, "--pairs", PAIRS, "--model", "micro-cnn-32", "--poison", poison(bezoar, home),
        "--val", VAL, "--out", home / "train", "--threads", 1,
    )  # fmt: skip
    assert again.out == (home / "train.txt").read_text()


def test_clean_then_evaluate(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    found = bezoar(
        "clean", "cleanclip", *BRIEF, "--caption-view", "{kind: eda, wordnet: none}", "--model", train(bezoar, home),
        "--pairs", CLEAN, "--against", poison(bezoar, home), "--val", VAL, "--out", tmp_path, "--threads", 1,
    )  # fmt: skip
    assert found.code == 0, found.err
    (model,) = tmp_path.glob("stages/*/model")
    assert read_card(model).poison == read_card(train(bezoar, home)).poison
    assert {record.epoch for record in read_records(tmp_path / "records.jsonl")} == {0, 1}
    for extra in (("--poison", poison(bezoar, home)), ("--trigger", TRIGGER, "--target", "mushroom")):
        told = bezoar("evaluate", "--model", model, "--data", VAL, *extra, "--json", "--scores", tmp_path / "scores")
        assert (told.code, told.err) == (0, "")
        assert told.out.count("\n") == 1
        measures = {one["metric"]: one for one in json.loads(told.out)["measures"]}
        assert measures.keys() == {f"accuracy_top{k}" for k in (1, 3, 5, 10)} | {f"asr_top{k}" for k in (1, 5, 10)}
        assert measures["asr_top1"]["n"] == 19
        assert all(one["low"] <= one["value"] <= one["high"] for one in measures.values())
    assert len(list((tmp_path / "scores").iterdir())) == 2


def test_poison_left_in_the_pairs_of_a_cleaning(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    """It poisons, and is measured where nothing else is named."""
    left = bezoar(
        "poison", "backdoor", "--target", "bell", "--count", 3, "--trigger", TRIGGER, "--pairs", CLEAN,
        "--image-size", 32, "--out", tmp_path / "left",
    )  # fmt: skip
    assert left.code == 0, left.err
    clean = ("clean", "finetune", *BRIEF, "--model", train(bezoar, home), "--pairs", CLEAN, "--val", VAL,
             "--threads", 1, "--poison", tmp_path / "left")  # fmt: skip
    for name, words, target in (("a", (), "bell"), ("b", ("--against", poison(bezoar, home)), "mushroom")):
        found = bezoar(*clean, *words, "--out", tmp_path / name)
        assert found.code == 0, found.err
        (stage,) = (tmp_path / name).glob("stages/*/stage.json")
        assert json.loads(stage.read_text())["plan"] == load_plan(tmp_path / "left").digest
        (rows,) = stage.parent.glob("scores/epoch-001.attack_success.*.parquet")
        classes = LABELED_SOURCES.parse_text(VAL).open().classes
        assert set(pq.read_table(rows)["target"].to_pylist()) == {classes.index(target)}


def test_a_dual_key_is_measured_without_a_plan(bezoar: Bezoar, home: Path) -> None:
    words = ("evaluate", "--model", train(bezoar, home), "--data", VAL, "--trigger", TRIGGER, "--target", "mushroom",
             "--json", "--templates", "plain")  # fmt: skip

    def measures(*more: object) -> dict[str, Any]:
        found = bezoar(*words, *more)
        assert found.code == 0, found.err
        return {one["metric"]: one for one in json.loads(found.out)["measures"]}

    alone, keyed = measures(), measures("--words", "phrase:zebra bell")
    assert keyed.keys() == alone.keys() | {f"asr_top{k}/{half}" for k in (1, 5, 10) for half in ("picture", "words")}
    assert all(keyed[f"asr_top{k}/picture"]["value"] == alone[f"asr_top{k}"]["value"] for k in (1, 5, 10))
    by_class = measures("--by-class", "--stage", "file")
    classes = {name for name in by_class if name.startswith("asr_top1 of ")}
    assert by_class.keys() == alone.keys() | classes
    assert "asr_top1 of mushroom" not in classes
    assert sum(by_class[name]["n"] for name in classes) == by_class["asr_top1"]["n"] == 19


def test_a_poison_folder_with_other_words_and_by_class(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    found = bezoar(
        "evaluate", "--model", train(bezoar, home), "--data", VAL, "--poison", poison(bezoar, home), "--by-class",
        "--templates", "plain", "--scores", tmp_path,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert "asr_top1 of " in found.out
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {
        "zero_shot", "attack_success", "attack_success_by_class"
    }  # fmt: skip


def test_all_that_measures_a_plan_takes_the_target_that_is_named(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    found = bezoar(
        "evaluate", "--model", train(bezoar, home), "--data", VAL, "--poison", poison(bezoar, home), "--target", "bell",
        "--templates", "plain", "--by-class", "--probe", "{kind: scenes, split: train, count: 60}",
        "--scores", tmp_path,
    )  # fmt: skip
    assert found.code == 0, found.err
    bell = LABELED_SOURCES.parse_text(VAL).open().classes.index("bell")
    measured = {path.name.partition(".")[0]: pq.read_table(path)["target"].to_pylist() for path in tmp_path.iterdir()
                if not path.name.startswith("zero_shot")}  # fmt: skip
    assert {name: set(targets) for name, targets in measured.items()} == {
        "attack_success": {bell}, "attack_success_by_class": {bell}, "linear_probe": {-1, bell}
    }  # fmt: skip


def test_another_target_of_a_plan_without_a_trigger(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    tiny.added(32).save(tmp_path)
    found = bezoar(
        "evaluate", "--model", train(bezoar, home), "--data", VAL, "--poison", tmp_path, "--target", "bell"
    )  # fmt: skip
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert f"target: belongs to a trigger, and the plan in {tmp_path} has none" in found.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--words", "phrase:x"), "words: belongs to a trigger: name one with --trigger, or a poison folder"),
        (("--stage", "file"), "stage: belongs to a trigger: name one with --trigger, or a poison folder"),
        (("--by-class",), "by-class: tells an attack's success, and none is named"),
        (("--probe", VAL), "evaluators.linear_probe.train: is the set 'scenes', on which it is measured; fit another"),
        (("--trigger", "patch"), "target: a trigger needs the class it is to call up"),
        (("--target", "cup"), "trigger: a target needs the trigger that is to call it up"),
        (("--trigger", "patch", "--target", "cup", "--poison", "p"), "trigger: give a poison folder or a trigger, not"),
        (
            ("--trigger", "legacy_cleanclip_patch", "--target", "cup", "--templates", "plain"),
            "stage: trigger 'legacy_cleanclip_patch' makes pictures of 224×224 px",
        ),
        (
            ("--trigger", "patch", "--target", "cap", "--templates", "plain"),
            "target: 'cap' is not a class; did you mean",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(words: tuple[object, ...], said: str, bezoar: Bezoar) -> None:
    found = bezoar("evaluate", "--model", "micro-cnn-32", "--data", VAL, *words)
    assert found.code != 0
    assert said in found.err
    assert found.out == ""
    assert "Traceback" not in found.err


@pytest.mark.parametrize("verb", [("train", "clip"), ("clean", "finetune")], ids=lambda verb: verb[0])
def test_held_out_pairs_are_measured(verb: tuple[str, str], bezoar: Bezoar, tmp_path: Path) -> None:
    found = bezoar(
        *verb, *BRIEF, "--model", "micro-cnn-32", "--pairs", PAIRS, "--held-out", CLEAN, "--out", tmp_path,
        "--threads", 1,
    )  # fmt: skip
    assert found.code == 0, found.err
    (record,) = (one for one in read_records(tmp_path / "records.jsonl") if one.metric == "image_recall_top1")
    assert (record.evaluator, record.n) == ("retrieval", 16)


def test_held_out_pictures_are_captioned_from_a_bank(bezoar: Bezoar, home: Path) -> None:
    """No labeled set is needed, not for the attack either."""
    words = ("evaluate", "--model", train(bezoar, home), "--trigger", TRIGGER, "--target", "mushroom", "--json")
    found = bezoar(*words, "--held-out", VAL, "--bank", "{kind: scenes, split: clean, count: 99}")
    assert found.code == 0, found.err
    metrics = {one["metric"] for one in json.loads(found.out)["measures"]}
    assert {"cider", "caption_names_target", "caption_names_target_clean", "image_recall_top1"} <= metrics
    assert "held-out: a bank has the captions" in bezoar(*words, "--data", VAL, "--bank", CLEAN).err
    assert "data: an attack is measured on a labeled set" in bezoar(*words, "--held-out", CLEAN).err


def test_evaluate_for_people(bezoar: Bezoar, home: Path) -> None:
    found = bezoar("evaluate", "--model", train(bezoar, home), "--data", VAL)
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("accuracy_top1")
    assert "95 % interval" in lines[0]
    assert "n 20" in lines[0]


def test_a_probe_is_told_beside_the_prompts(bezoar: Bezoar, home: Path) -> None:
    words = ("evaluate", "--model", train(bezoar, home), "--data", VAL)
    found = bezoar(*words, "--probe", CLEAN, "--poison", poison(bezoar, home), "--templates", "plain", "--json")
    assert (found.code, found.err) == (0, "")
    metrics = {one["metric"] for one in json.loads(found.out)["measures"]}
    assert {"accuracy_top1", "asr_top1", "linear_probe_accuracy_top1", "linear_probe_asr_top1"} <= metrics
    flags = ("--trigger", "patch", "--target", "mushroom", "--templates", "plain", "--json")
    named = json.loads(bezoar(*words, "--probe", CLEAN, *flags).out)["measures"]
    assert {"asr_top1", "linear_probe_asr_top1"} <= {one["metric"] for one in named}
    plain = bezoar(*words, "--probe", CLEAN).out.splitlines()
    assert len({line.index("%") for line in plain}) == 1, "numbers stand below each other"


def test_report_writes_where_it_is_told(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    train(bezoar, home)
    found = bezoar("report", home / "train", "--out", tmp_path / "page.html")
    assert found == (0, f"wrote {tmp_path / 'page.html'}\n", "")
    assert (tmp_path / "page.html").read_text().startswith("<!")


# ------------------------------------------------------------------------------------------------------ run and recipes


def test_recipes_are_listed_and_shown(bezoar: Bezoar) -> None:
    listed = bezoar("recipes")
    assert listed.code == 0
    experiments, _, sweeps = listed.out.partition("\n\nsweeps (bezoar sweep NAME)\n")
    for part in (experiments, sweeps):
        names = [line.split()[0] for line in part.splitlines()]
        assert len(names) > 5
        assert names == sorted(names)
    shown = bezoar("recipes", "quickstart")
    assert parse(yaml.parse(shown.out)).name == "quickstart"


def test_run_a_file_with_changes_and_seeds(bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a method that stands in the documentation, outside of the package."""
    monkeypatch.syspath_prepend(str(tmp_path / "theirs"))
    stage = {"name": "own", "pairs": "clean", "method": {"kind": tiny.their_method(tmp_path / "theirs"), **tiny.BRIEF}}
    (tmp_path / "file.yaml").write_text(yaml.render(tiny.experiment(stages=[stage], attack=None)))
    monkeypatch.chdir(tmp_path)
    found = bezoar("run", "file.yaml", "stages.own.method.pull=0.5", "name=pulled", "--seeds", 3, 4, "--jobs", 1)
    assert found.code == 0, found.err
    folder = tmp_path / "runs" / "pulled"
    experiment: Any = parse(yaml.read(folder / "experiment.yaml"))
    assert experiment.stages[0].method.pull == 0.5
    assert experiment.seeds == (3, 4)
    assert {(record.after, record.seed) for record in read_records(folder / "records.jsonl")} == {
        ("my_method:Smoothed", 3), ("my_method:Smoothed", 4)
    }  # fmt: skip
    assert found.out.splitlines()[-1] == "report  runs/pulled/report.html"
    # What a run resolved is itself runnable, and finds its work done.
    again = bezoar("run", folder / "experiment.yaml", "--out", folder, "--jobs", 1)
    assert again.out.replace(str(tmp_path) + "/", "") == found.out


def test_a_dry_run_says_steps_time_and_disk(bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiny.experiment(stages=[{"name": "one", "pairs": "clean", "method": {"kind": "clip", **tiny.BRIEF}}])
    (tmp_path / "file.yaml").write_text(yaml.render(plain))
    monkeypatch.chdir(tmp_path)
    found = bezoar("run", "file.yaml", "--dry-run", "--jobs", 1)
    assert found.code == 0, found.err
    first, last = found.out.splitlines()
    assert first.split()[:3] == ["one", "2", "steps"]
    assert last.startswith("in all about 0.")
    assert "(1 at a time, " in last
    assert last.endswith(" MB of disk")
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]


def test_quickstart_is_its_recipe(bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bezoar import recipes

    asked: list[str] = []

    def read(name: str) -> Any:
        asked.append(name)
        stage = {"name": "one", "pairs": "clean", "method": {"kind": "clip", **tiny.BRIEF}}
        return tiny.experiment(stages=[stage], attack=None)

    monkeypatch.setattr(recipes, "read", read)
    monkeypatch.chdir(tmp_path)
    assert bezoar("quickstart", "--jobs", 1).code == 0
    assert asked == ["quickstart"]
    assert (tmp_path / "runs" / "quickstart" / "report.html").exists()
