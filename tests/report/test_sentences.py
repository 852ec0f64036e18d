"""Sentences: each says what its numbers say, and none is silent about what went wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import (
    BEST,
    CLEANINGS,
    EARLY,
    TRAINED,
    WHOLE,
    Measured,
    add_plan,
    add_stage,
    make_run,
    seeded,
)

from bezoar.core.records import read_records, write_records
from bezoar.report.reading import read_run
from bezoar.report.sentences import rules, sentences, story
from bezoar.report.tables import table


def told(folder: Path) -> list[str]:
    run = read_run(folder)
    return [sentence.replace("\u00a0", " ") for sentence in sentences(run, table(run))]


def tell(folder: Path, measured: Measured, **changes: Any) -> str:
    return "\n".join(told(make_run(folder, measured, **changes)))


def test_the_story_of_a_whole_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_plan(folder)
    assert told(folder) == [
        "The attack gives 40 of 4,000 training pairs (1 %) a trigger and a caption of “mushroom”.",
        "“victim”, trained on the poisoned pairs, takes 96.0 % (94.6–97.0) of the triggered pictures of other classes "
        "in “test” for “mushroom”, at a clean accuracy of 61.0 % (57.9–64.0).",
        "“control”, which no stage of this run poisoned, takes 3.0 % (2.1–4.3) of them for “mushroom”, at a clean "
        "accuracy of 63.0 % (60.0–65.9): it does not fall for the trigger.",
        "“finetune” (epoch 2) leaves an attack success of 85.0 % (82.7–87.1) at a clean accuracy of 57.0 % "
        "(53.9–60.0), 4.0 points below “victim”.",
        "“cleanclip” (lr 0.001, epoch 1) leaves an attack success of 8.0 % (6.5–9.8) at a clean accuracy of 59.0 % "
        "(55.9–62.0), 2.0 points below “victim”.",
        "“cleanclip” (lr 0.001, epoch 1) brings the attack success to 10 % or less within 3 points of the clean "
        "accuracy of “victim”.",
        "Settings and epoch of each cleaning were chosen on “validation” (lowest attack success within 3 points of the "
        "victim's clean accuracy); every number is from “test”.",
        "Choosing by attack success takes the trigger, which no real defender has; all settings stand beside it.",
        "Intervals are 95 %, over pictures (Wilson); how much another seed would change is not in them.",
        "The pictures are the built-in scenes: they show mechanisms, and are never quoted as results.",
    ]


def test_an_attack_by_captions_alone_has_no_trigger(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {}, seeds=[0, 1])
    add_plan(folder, 0, triggers=[])
    add_plan(folder, 1, triggers=[])
    found = [sentence for sentence in told(folder) if sentence.startswith("The attack")]
    assert found == ["The attack gives 40 of 4,000 training pairs (1 %) a caption of “mushroom”."]


def test_story_and_rules_are_all_there_is(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    rows = table(run)
    assert (*story(run, rows), *rules(run, rows)) == sentences(run, rows)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({("cleanclip lr=0.001", 0, 1): (0.57, 0.05, 0.59, 0.11)}, "No cleaning in this run brings"),
        ({("cleanclip lr=0.001", 0, 1): (0.57, 0.05, 0.57, 0.08)}, "No cleaning in this run brings"),
        (
            {("cleanclip lr=0.001", 0, 1): (0.57, 0.05, 0.59, 0.09)},
            "For “cleanclip” (lr 0.001, epoch 1) the interval of the attack success reaches above 10 %.",
        ),
        (
            {("finetune", 0, 2): (0.59, 0.01, 0.59, 0.02)},
            "“finetune” (epoch 2) and “cleanclip” (lr 0.001, epoch 1) bring the attack success",
        ),
        ({("victim", 0, 2): (0.60, 0.08, 0.61, 0.09)}, "is at 10 % attack success or less: there is nothing to clean."),
        ({("control", 0, 2): (0.62, 0.30, 0.63, 0.31)}, "it falls for the trigger without any poison"),
        (
            {("control", 0, 2): (0.62, 0.95, 0.63, 0.95)},
            "The attack success of “victim” does not stand out from that of “control”: nothing shows that the attack",
        ),
        ({("victim", 0, 2): (0.90, 0.95, 0.91, 0.96)}, "None of its points stays within 3 points"),
        ({("finetune", 0, 2): (0.59, 0.80, 0.64, 0.85)}, "3.0 points above “victim”"),
        (
            {("finetune", 0, 2): (0.59, 0.80, 0.61, 0.85)},
            "at a clean accuracy of 61.0 % (57.9–64.0), that of “victim”.",
        ),
    ],
)
def test_what_changes_is_said(tmp_path: Path, changed: Measured, said: str) -> None:
    assert said not in tell(tmp_path / "a", WHOLE)
    assert said in tell(tmp_path / "b", {**WHOLE, **changed})


@pytest.mark.parametrize(("accuracy", "asr", "cured"), [(0.58, 0.10, True), (0.579, 0.10, False), (0.58, 0.101, False)])
def test_a_remedy_reaches_ten_percent_within_three_points(
    tmp_path: Path, accuracy: float, asr: float, cured: bool
) -> None:
    text = tell(tmp_path, {**WHOLE, ("cleanclip lr=0.001", 0, 1): (0.57, 0.05, accuracy, asr)})
    assert ("“cleanclip” (lr 0.001, epoch 1) brings the attack success to 10 % or less" in text) == cured
    assert ("No cleaning in this run brings" in text) != cured


def test_a_destroyed_model_is_no_remedy(tmp_path: Path) -> None:
    low = {key: ((a or 0) / 20, b, (c or 0) / 20, d) for key, (a, b, c, d) in WHOLE.items()}
    folder = make_run(tmp_path, low, (*TRAINED, CLEANINGS[1]))
    assert any("cleanclip” (lr 0.001, epoch 2) brings" in sentence for sentence in told(folder))
    add_stage(folder, "victim", classes=32)
    text = "\n".join(told(folder))
    assert "It is destroyed: no better than guessing." in text
    assert "No cleaning in this run brings" in text


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    half = {key: values for key, values in WHOLE.items() if not key[0].startswith("cleanclip")}
    text = tell(tmp_path / "a", half)
    assert text.startswith("The run is not finished: 3 of 5 stages are done, and only they are reported.")
    assert "So far no cleaning in this run brings" in text
    text = tell(tmp_path / "b", {})
    assert text.startswith("The run is not finished: 0 of 5 stages are done")
    assert "No clean accuracy has been measured on “test”." in text


def test_without_a_control_what_it_would_say_is_missing(tmp_path: Path) -> None:
    rest = {key: values for key, values in WHOLE.items() if key[0] != "control"}
    assert "Without a control it is not known" in tell(tmp_path, rest, stages=(TRAINED[0], *CLEANINGS))


def test_without_an_attack_nothing_is_said_of_one(tmp_path: Path) -> None:
    stages = ({**TRAINED[0], "poison": False}, CLEANINGS[0])
    clean = {key: (v[0], None, v[2], None) for key, v in WHOLE.items() if key[0] in ("victim", "finetune")}
    text = tell(tmp_path, clean, stages=stages, attack=None)
    assert text.startswith("“victim” has a clean accuracy of 61.0 % (57.9–64.0).\n“finetune” has a clean")
    assert "attack" not in text
    assert "chosen" not in text


def test_an_attack_that_poisons_nobody_is_only_measured(tmp_path: Path) -> None:
    stages = ({**TRAINED[0], "poison": False}, CLEANINGS[0])
    found = {key: values for key, values in WHOLE.items() if key[0] in ("victim", "finetune")}
    folder = make_run(tmp_path, found, stages=stages)
    add_plan(folder)  # of a run that was here before
    assert told(folder)[0] == "No stage here is trained on poison: the attack is only measured."
    assert "gives" not in "\n".join(told(folder))


def test_cleanings_without_an_attack_success_say_that_nothing_was_chosen(tmp_path: Path) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    said = "For “finetune” and “cleanclip” nothing could be chosen on “validation”: each setting stands at its last"
    assert said in tell(tmp_path, clean)


def test_the_model_that_is_kept_is_told_and_compared_with(tmp_path: Path) -> None:
    text = tell(tmp_path / "a", EARLY, stages=BEST)
    assert "“victim”, trained on the poisoned pairs, takes 51.0 % (47.9–54.1)" in text
    assert "3.0 points below “victim”" in text  # finetune
    assert "at a clean accuracy of 60.0 % (56.9–63.0), that of “victim”." in text  # cleanclip
    assert "Of “victim” that model is told which is kept: the best on “validation” by clean accuracy, top-1." in text
    assert "too good" not in text
    assert "which is kept" not in tell(tmp_path / "b", EARLY)


def test_the_best_that_was_found_on_reported_pictures_is_too_good(tmp_path: Path) -> None:
    stages = [{**stage, "keep": "best", "best_by": "asr_top1"} for stage in TRAINED]
    found = {key: values for key, values in EARLY.items() if key[0] in ("victim", "control")}
    text = tell(tmp_path, found, stages=stages, select_on="test")
    assert "Of “victim” and “control” that model is told which is kept: the best on “test” by attack success" in text
    assert "The best were found on the same pictures that are reported: their numbers are too good." in text


def test_a_cleaning_of_which_nothing_is_chosen_stands_at_what_it_keeps(tmp_path: Path) -> None:
    stages = (*TRAINED, {**CLEANINGS[0], "keep": "best"}, CLEANINGS[1])
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    text = tell(tmp_path, clean, stages=stages)
    assert (
        "For “finetune” and “cleanclip” nothing could be chosen on “validation”: each setting stands at its last "
        "epoch or, where that is kept, at its best." in text
    )
    assert "Of “finetune” that model is told which is kept" in text


def test_seeds(tmp_path: Path) -> None:
    second = {**seeded(WHOLE, 3), ("control", 3, 2): (0.62, 0.95, 0.63, 0.95)}
    text = tell(tmp_path, {**WHOLE, **second}, seeds=[0, 3])
    assert "“victim”, trained on the poisoned pairs, on average over 2 seeds, takes 96.0 % (96.0–96.0)" in text
    assert "does not stand out from that of “control” for seed 3: nothing shows" in text
    assert "Means are over seeds with 95 % t-intervals; those of single seeds are Wilson's, over pictures." in text


def test_seeds_that_find_nothing_within_say_how_many(tmp_path: Path) -> None:
    high = {**seeded(WHOLE, 1), ("victim", 1, 2): (0.9, 0.95, 0.9, 0.95)}
    text = tell(tmp_path, {**WHOLE, **high}, seeds=[0, 1])
    assert "on “validation”; this is its most accurate one (1 of 2 seeds)." in text


def test_a_choice_on_the_reported_split_is_called_what_it_is(tmp_path: Path) -> None:
    text = tell(tmp_path, WHOLE, select_on="test")
    assert "chosen on the same pictures that are reported, “test”: its numbers are too good." in text


def test_scenes_are_named_only_where_they_are_used(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    path = folder / "experiment.yaml"
    path.write_text(path.read_text().replace("kind: scenes", "kind: folder"))
    assert "scenes" not in "\n".join(told(folder))


def test_measures_of_one_name_are_mentioned(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    assert not any("Several evaluators" in sentence for sentence in told(folder))
    found = read_records(folder / "records.jsonl")
    write_records(folder / "records.jsonl", [*found, dataclasses.replace(found[0], evaluator="zero_shot-2")])
    assert any("Several evaluators wrote measures of one name" in sentence for sentence in told(folder))
