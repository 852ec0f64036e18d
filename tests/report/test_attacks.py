"""Attacks beside each other: what the rows hold, and when an attack is said to take."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.handmade import (
    ATTACKS,
    CLEANINGS,
    TRAINED,
    WHOLE,
    Measured,
    add_records,
    add_stage,
    add_untouched,
    make_run,
    many_attacks,
    seeded,
    share,
)

from bezoar.metrics import Interval
from bezoar.report.attacks import NOT, TAKES, UNKNOWN, UNMEASURED, attacks, rule, several
from bezoar.report.reading import read_run
from bezoar.report.tables import DESTROYED

FOUND: Measured = {
    ("patch", 0, 2): (0.6, 0.9, 0.6, 0.9),
    ("sine", 0, 2): (0.6, 0.06, 0.6, 0.06),
    ("dual", 0, 2): (0.6, 0.5, 0.6, 0.5),
    ("phrase", 0, 2): (0.6, None, 0.6, None),
}


def test_a_row_holds_what_the_plan_and_the_records_say(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    patch, sine, dual, phrase = attacks(read_run(folder))
    assert [row.stage for row in (patch, sine, dual, phrase)] == list(ATTACKS)
    assert patch.about == "backdoor: patch, binary, random"
    assert (patch.attack, patch.targets, sine.targets) == ("patch", ("mushroom",), ("tree",))
    assert (patch.count, patch.total, patch.seeds) == (40, 4000, 1)
    assert patch.survival == {"mean": 0.875, "psnr": 20.0, "ssim": 0.9, "linf": 200.0}
    assert (patch.metric, patch.success, patch.accuracy) == ("asr_top1", share(0.9), share(0.6))
    assert dual.halves == {}
    assert phrase.success is None
    assert phrase.verdict == UNMEASURED


def test_several_are_more_than_one(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    assert len(attacks(run)) == 1
    assert several(run) == ()


def test_an_attack_takes_where_it_adds_to_what_the_model_does_by_itself(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    add_stage(folder, "patch")
    by_guess = {row.stage: row.verdict for row in attacks(read_run(folder))}
    assert by_guess == {"patch": TAKES, "sine": TAKES, "dual": TAKES, "phrase": UNMEASURED}
    add_untouched(folder, "sine", 0.05)
    add_untouched(folder, "patch", 0.02)
    found = {row.stage: row for row in attacks(read_run(folder))}
    assert found["sine"].without == share(0.05)
    assert (found["sine"].verdict, found["patch"].verdict) == (NOT, TAKES)


@pytest.mark.parametrize(("asr", "said"), [(0.042, NOT), (0.045, TAKES), (0.0, NOT)])
def test_without_untouched_pictures_the_bar_is_guessing(tmp_path: Path, asr: float, said: str) -> None:
    """Which is 3.125 %: the lower end of 45 of 1,000 is above it, that of 42 is not."""
    folder = many_attacks(tmp_path, {**FOUND, ("patch", 0, 2): (0.6, asr, 0.6, asr)})
    add_stage(folder, "sine")
    assert attacks(read_run(folder))[0].verdict == said


def test_nothing_is_said_without_classes_or_of_a_destroyed_model(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, {**FOUND, ("patch", 0, 2): (0.03, 0.9, 0.03, 0.9)})
    run = read_run(folder)
    assert {row.verdict for row in attacks(run)} == {UNKNOWN, UNMEASURED}
    assert "above guessing, and above" in rule(run)
    add_untouched(folder, "patch", 0.0)
    run = read_run(folder)
    assert attacks(run)[0].verdict == DESTROYED
    assert ", 1 in 32, and above" in rule(run)


def test_less_than_guessing_is_no_success(tmp_path: Path) -> None:
    """Ten times what the model does by itself, and still less than a coin with 32 sides."""
    folder = many_attacks(tmp_path, {**FOUND, ("patch", 0, 2): (0.6, 0.02, 0.6, 0.02)})
    add_untouched(folder, "patch", 0.002)
    assert attacks(read_run(folder))[0].verdict == NOT


def test_words_are_held_against_the_same_prompts_without_them(tmp_path: Path) -> None:
    only = {("phrase", 0, 2): FOUND["phrase", 0, 2]}
    for value, said in ((0.5, TAKES), (0.22, NOT)):
        folder = many_attacks(tmp_path / said, only)
        add_records(folder, "caption_asr_top1", value)
        add_records(folder, "caption_rate_top1", 0.2)
        add_stage(folder, "phrase")
        (row,) = attacks(read_run(folder))
        assert (row.metric, row.verdict, row.without) == ("caption_asr_top1", said, share(0.2))


def test_chosen_pictures_are_held_against_guessing(tmp_path: Path) -> None:
    only = {("phrase", 0, 2): FOUND["phrase", 0, 2]}
    folder = many_attacks(tmp_path, only)
    add_records(folder, "targeted_top1", 0.5)
    add_untouched(folder, "phrase", 0.9)
    (row,) = attacks(read_run(folder))
    assert (row.metric, row.verdict, row.without) == ("targeted_top1", TAKES, None)


def test_halves_of_a_dual_key(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, {("dual", 0, 2): FOUND["dual", 0, 2]})
    add_records(folder, "asr_top1/picture", 0.1)
    add_records(folder, "asr_top1/words", 0.02)
    (row,) = attacks(read_run(folder))
    assert {name: half.value for name, half in row.halves.items()} == {"asr_top1/picture": 0.1, "asr_top1/words": 0.02}


def test_over_seeds(tmp_path: Path) -> None:
    second = {**seeded(FOUND, 1), ("patch", 1, 2): (0.6, 0.01, 0.6, 0.01)}
    folder = many_attacks(tmp_path, {**FOUND, **second}, seeds=[0, 1])
    for seed in (0, 1):
        add_untouched(folder, "patch", 0.02 + 0.02 * seed, seed)
    patch, sine, *_ = attacks(read_run(folder))
    assert (patch.seeds, patch.verdict, sine.verdict) == (2, "takes for 1 of 2 seeds", TAKES)
    assert patch.without
    assert patch.without.n == 2
    assert patch.without.value == pytest.approx(0.03)
    assert patch.success
    assert patch.success.value == pytest.approx(0.455)


def test_poison_left_in_a_cleaning_makes_no_victim(tmp_path: Path) -> None:
    left = {**CLEANINGS[0], "name": "leaky", "poison": True}
    run = read_run(make_run(tmp_path, {**WHOLE, ("leaky", 0, 2): (0.6, 0.5, 0.6, 0.5)}, (*TRAINED, *CLEANINGS, left)))
    assert [row.stage for row in attacks(run)] == ["victim"]


def test_several_targets_are_held_against_all_of_them(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = many_attacks(tmp_path, FOUND)
    add_untouched(folder, "patch", 0.1)
    path = next(folder.glob("stages/patch-*/scores/epoch-002.attack_success.test.parquet"))
    cases = pa.array(["tree", "cup"]).dictionary_encode()
    pq.write_table(pa.table({"label": [0, 0], "case": cases, "target": [3, 4]}), path)
    assert read_run(folder).untouched["patch", 0].value == pytest.approx(0.05, abs=1e-3)
    assert isinstance(read_run(folder).untouched["patch", 0], Interval)
