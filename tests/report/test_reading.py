"""Run folders: what is read, what is passed over, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.report.handmade import (
    BEST,
    EARLY,
    WHOLE,
    add_data,
    add_stage,
    add_untouched,
    add_within,
    make_run,
)

from bezoar.core.files import write_text
from bezoar.report.reading import read_run


def test_a_run_is_what_its_files_say(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    assert (run.name, run.seeds, run.select_on, run.report_on) == ("by hand", (0,), "validation", "test")
    assert run.environment["packages"] == {"torch": "2.9"}
    assert len(run.records) == 4 * len(WHOLE)
    assert len(run.steps) == 4
    assert (run.target, run.on_scenes, run.splits_differ, run.ambiguous) == ("mushroom", True, True, False)
    assert run.plans == ()
    assert run.missing == ()
    assert run.classes is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is the folder of neither a run nor a sweep: it has no experiment.yaml"),
        ("- 1\n", "no list of stages"),
        ("name: x\n", "no list of stages"),
        ("stages: [1]\n", "no list of stages"),
        ("stages: [{name: a}]\n", "no list of stages"),
        ("stages: [\n", "not valid YAML"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        write_text(tmp_path / "experiment.yaml", content)
    with pytest.raises(ValueError, match=said):
        read_run(tmp_path)


def test_a_run_that_has_only_begun_can_be_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {})
    for name in ("records.jsonl", "steps.jsonl", "environment.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.records, run.steps, run.environment) == ((), (), {})
    assert run.missing == (
        ("victim", 0), ("control", 0), ("finetune", 0), ("cleanclip lr=1e-05", 0), ("cleanclip lr=0.001", 0)
    )  # fmt: skip


def test_stages_of_other_settings_are_passed_over(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_stage(folder, "cleanclip lr=0.001", seconds=7.0)
    old = add_stage(folder, "cleanclip lr=1e-05", digest="ffffffff", seconds=1.0)
    os.utime(old / "stage.json", (1, 1))
    add_stage(folder, "cleanclip lr=1e-05", seconds=2.0)
    add_stage(folder, "finetune", method={"kind": "finetune", "epochs": 99})
    run = read_run(folder)
    assert {key: head["seconds"] for key, head in run.stages.items()} == {
        ("cleanclip lr=0.001", 0): 7.0,
        ("cleanclip lr=1e-05", 0): 2.0,
    }
    assert run.classes == 32


@pytest.mark.parametrize("damaged", ["attack_success", "zero_shot"])
def test_damaged_scores_are_refused(tmp_path: Path, damaged: str) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_untouched(folder, "victim", 0.25)
    assert read_run(folder).untouched["victim", 0].value == 0.25
    next(folder.glob(f"stages/*/scores/*002.{damaged}.test.parquet")).write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"parquet: cannot be read"):
        read_run(folder)


def test_without_the_trigger_it_is_the_last_model_of_a_stage_that_counts(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_untouched(folder, "victim", 0.25)
    (scores,) = folder.glob("stages/victim*/scores")
    for path in scores.glob("epoch-002.attack_success.*"):
        for earlier in ("epoch-001", "epoch-001-step-00000150", "epoch-000-step-00000050"):
            path.with_name(path.name.replace("epoch-002", earlier)).write_bytes(b"no table")
    assert read_run(folder).untouched["victim", 0].value == 0.25


def test_a_last_model_within_an_epoch_counts_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_untouched(folder, "victim", 0.25)
    add_untouched(folder, "victim", 0.50, measured="epoch-002-step-000250")
    assert read_run(folder).untouched["victim", 0].value == 0.25
    add_within(folder, "victim", 2, 250, [0.4] * 4)
    assert read_run(folder).untouched["victim", 0].value == 0.50


@pytest.mark.parametrize(("within", "share"), [(False, 0.10), (True, 0.20)])
def test_without_the_trigger_it_is_the_model_that_is_kept(tmp_path: Path, within: bool, share: float) -> None:
    folder = make_run(tmp_path, EARLY, BEST)
    for name, taken in (("epoch-002", 0.30), ("epoch-001-step-000150", 0.20), ("epoch-001", 0.10)):
        add_untouched(folder, "victim", taken, measured=name)
    if within:
        add_within(folder, "victim", 1, 150, [0.7, 0.5, 0.1, 0.5])
    assert read_run(folder).untouched["victim", 0].value == share


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema": 1}', '"schema": 2}', "schema 2, this version reads 1"),
        ('"value": 0.6', '"value": "0.6"', "value must be float"),
        ('"n": 1000', '"n": null', "n must be int"),
        ('"stage": "victim"', '"stage": 7', "stage must be str"),
    ],
)
def test_records_that_cannot_be_read_are_named_with_their_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = make_run(tmp_path, WHOLE) / "records.jsonl"
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if old in line and n > 3)
    lines[number] = lines[number].replace(old, new)
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"records\.jsonl, line {number + 1}: .*{said}"):
        read_run(tmp_path)


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    path = make_run(tmp_path, WHOLE) / "records.jsonl"
    whole = read_run(tmp_path).records
    path.write_bytes(path.read_bytes()[:-40])
    assert read_run(tmp_path).records == whole[:-1]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("steps.jsonl", '{"stage": "victim"}\n', "steps.jsonl, line 1: not a step"),
        ("environment.json", "[1]", "environment.json: must be a JSON object"),
        ("environment.json", "{", "environment.json: cannot be read"),
        ("data.json", '{"schema": 9}', "data.json: schema 9, this version reads 1"),
        ("data.json", '{"pairs": {"train": {"count": "many"}}}', "pairs.train is not what a source held"),
        ("experiment.yaml", "stages: [{name: a, method: {}, grid: {lr: 1}}]", "the grid of stage 'a' is no mapping"),
        ("experiment.yaml", "stages: []\nseeds: 3", "seeds must be a list of whole numbers, got 3"),
        ("experiment.yaml", "stages: []\nattack: patch", "attack must be a mapping, got 'patch'"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, file: str, content: str, said: str) -> None:
    (make_run(tmp_path, WHOLE) / file).write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_the_sources_held(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    assert read_run(folder).data == ()
    add_data(folder, "a note", "a note", skipped=3)
    run = read_run(folder)
    assert run.notes == ("a note",)
    assert [(d.kind, d.name, d.count, d.rows, d.skipped, dict(d.reasons)) for d in run.data] == [
        ("pairs", "train", 2000, 4000, 3, {"zero bytes": 3}),
        ("labeled", "test", 1000, 0, 0, {}),
    ]
