"""The tables of a sweep as files and on a terminal: every number with its n, caveats beside them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, index, made, records

from bezoar.core.files import write_json
from bezoar.core.records import write_records
from bezoar.report.sweep_choice import across, before, within
from bezoar.report.sweep_remarks import remarks
from bezoar.report.sweep_tables import COLUMNS, document, shown, summary, values, write_tables
from bezoar.report.sweeps import Swept, read_sweep

LOW, HIGH = cleaning(**{LR: 1e-4, "left": 0}), cleaning(**{LR: 1e-3, "left": 0})
PARTS = [
    *(records(VICTIM, 1, seed, validation=(0.6, 0.99), test=(0.61, 0.98)) for seed in (0, 1)),
    *(records(LOW, 1, seed, validation=(0.58, 0.3), test=(0.57 + 0.01 * seed, 0.29)) for seed in (0, 1)),
    *(records(HIGH, 2, seed, validation=(0.5, 0.04), test=(0.49, 0.05)) for seed in (0, 1)),
]


def sweep(**changes: Any) -> Swept:
    return made([VICTIM, LOW, HIGH], PARTS, **{"seeds": [0, 1], **changes})


def test_a_line_a_rule_after_what_it_began_with() -> None:
    found = summary(sweep(), across)
    assert found.head[4:10] == (
        "Rule", "Chosen", "Accuracy, validation", "ASR, validation", "Accuracy, test", "ASR, test",
    )  # fmt: skip
    assert [line[:6] for line in found.lines[:3]] == [
        ("victim", "c", "cleanclip", "left\u00a00", "before cleaning", "–"),
        ("victim", "c", "cleanclip", "left\u00a00", "best accuracy at ASR ≤ 5 %", "lr\u00a00.001, epoch\u00a02"),
        ("victim", "c", "cleanclip", "left\u00a00", "best accuracy at ASR ≤ 10 %", "lr\u00a00.001, epoch\u00a02"),
    ]
    assert found.lines[1][8:13] == (
        "49.0\u00a0% (49.0–49.0, 2 seeds)", "5.0\u00a0% (5.0–5.0, 2 seeds)", "93.0 (93.0 to 93.0, 2 seeds)",
        "−12.0 (−12.0 to −12.0, 2 seeds)", "2",
    )  # fmt: skip
    assert found.lines[3][8] == "57.5\u00a0% (51.1–63.9, 2 seeds)"


def test_every_number_is_a_line_of_the_csv() -> None:
    found = sweep()
    lines = list(csv.DictReader(io.StringIO(values(found, lambda arm: (before(found, arm), *across(found, arm))))))
    assert tuple(lines[0]) == COLUMNS
    ours = [line for line in lines if line["rule"] == "best accuracy at ASR ≤ 5 %"]
    told = [(line["seed"], line["data"], line["metric"], line["value"], line["n"], line["over"]) for line in ours]
    assert told == [
        ("", "validation", "accuracy_top1", "0.5", "2", "seeds"),
        ("", "validation", "asr_top1", "0.04", "2", "seeds"),
        ("", "test", "accuracy_top1", "0.49", "2", "seeds"),
        ("", "test", "asr_top1", "0.05", "2", "seeds"),
        ("", "test", "accuracy_change", "-0.12", "2", "seeds"),
        ("", "test", "asr_drop", "0.9299999999999999", "2", "seeds"),
        *((seed, "test", *rest) for seed in "01" for rest in (
            ("accuracy_top1", "0.49", "1000", "samples"), ("asr_top1", "0.05", "1000", "samples"),
        )),
    ]  # fmt: skip
    assert {(line["settings"], line["epoch"], line["facets"]) for line in ours} == {("lr 0.001, left 0", "2", "left 0")}
    assert {line["rule"] for line in lines} >= {"before cleaning", "lowest ASR within 3 points of the best accuracy"}


def test_remarks_say_how_to_read_it() -> None:
    first, *_ = remarks(sweep(), across)
    assert "by the mean over seeds on validation, and reported on test" in first
    assert "for each seed by itself" in remarks(sweep(), within)[0]
    assert not any("optimistic" in remark for remark in remarks(sweep(), across))
    assert any("optimistic" in remark for remark in remarks(sweep(select_on="test"), across))
    assert any("Not finished: 3 of 3 stages lack a seed at least" in r for r in remarks(sweep(seeds=[0, 1, 2]), across))


def test_what_failed_is_named() -> None:
    failed = {**HIGH, "failed": {"1": "the loss is not finite at step 3"}}
    told = remarks(made([VICTIM, LOW, failed], PARTS, seeds=[0, 1]), across)
    assert "No numbers of c lr=0.001 left=0, seed 1: the loss is not finite at step 3." in told


def test_files_are_written_and_shown(tmp_path: Path) -> None:
    write_json(tmp_path / "sweep.json", index(VICTIM, LOW, HIGH, seeds=[0, 1], notes=["closed-set supervision"]))
    write_records(tmp_path / "records.jsonl", [record for part in PARTS for record in part])
    found = read_sweep(tmp_path)
    write_tables(tmp_path, found, across)
    text = (tmp_path / "summary.md").read_text()
    assert text == document(read_sweep(tmp_path), across)
    assert text.count("Note: closed-set supervision") == 2
    assert "## Pareto fronts" in text
    assert "Accuracy, test" in shown(found, across)
    assert "Accuracy, validation" not in shown(found, across)
    assert "- Every measured epoch" in shown(found, across)
    assert {line["rule"] for line in csv.DictReader(io.StringIO((tmp_path / "front.csv").read_text()))} == {
        "Pareto front"
    }
    assert shown(found, within) != shown(found, across)


def test_a_sweep_of_no_records_says_so(tmp_path: Path) -> None:
    write_json(tmp_path / "sweep.json", index())
    found = read_sweep(tmp_path)
    write_tables(tmp_path, found, across)
    assert "Nothing has been measured yet." in (tmp_path / "summary.md").read_text()
    assert "Nothing has been measured yet." in shown(found, across)


def test_what_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not the folder of a sweep: it has no sweep\.json"):
        read_sweep(tmp_path)
    write_json(tmp_path / "sweep.json", {"schema": 1, "works": [{}]})
    with pytest.raises(ValueError, match=r"sweep\.json is not what a sweep was: KeyError"):
        read_sweep(tmp_path)
    write_json(tmp_path / "sweep.json", {"schema": 9})
    with pytest.raises(ValueError, match=r"schema 9, this version reads 1"):
        read_sweep(tmp_path)
