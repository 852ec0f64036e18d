"""CSV: the records again, as numbers, with nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from tests.report.handmade import WHOLE, add_data, add_records, add_within, make_run, seeded

from bezoar.core.records import read_records
from bezoar.report.pooling import read_runs
from bezoar.report.tables import every_epoch, table
from bezoar.report.values import COLUMNS, values


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_record_of_the_reported_set_is_a_line(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_records(folder, "text_recall_top1", 0.4)
    runs = read_runs([folder])
    lines = read(values(runs, every_epoch(runs[0])))
    found = {(line["stage"], line["method.lr"], int(line["epoch"]), line["metric"]): line for line in lines}
    expected = [record for record in read_records(folder / "records.jsonl") if record.data == "test"]
    assert len(lines) == len(found) == len(expected)
    for record in expected:
        stage, _, lr = record.stage.partition(" lr=")
        usual = "1e-05" if stage == "finetune" else "0.0005"
        line = found[stage, lr or usual, record.epoch, record.metric]
        assert [float(line[key]) for key in ("value", "low", "high", "n", "seed")] == [
            record.value, record.low, record.high, record.n, record.seed
        ]  # fmt: skip
        assert (line["over"], line["folder"]) == ("samples", str(folder))
    assert sum(line["chosen"] == "true" for line in lines) == 2 * 3


def test_steps_have_a_column(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_within(folder, "finetune", 1, 150, [0.1] * 4)
    runs = read_runs([folder])
    lines = [line for line in read(values(runs, every_epoch(runs[0]))) if line["stage"] == "finetune"]
    assert [(line["epoch"], line["step"]) for line in lines[::2]] == [("1", ""), ("1", "150"), ("2", "")]


def test_a_mean_is_over_seeds_and_has_what_they_share(tmp_path: Path) -> None:
    second = {**seeded(WHOLE, 1), ("cleanclip lr=0.001", 1, 1): (0.1, 0.05, 0.5, 0.05)}
    second["cleanclip lr=0.001", 1, 2] = (0.1, 0.1, 0.5, 0.05)
    runs = read_runs([make_run(tmp_path, {**WHOLE, **second}, seeds=[0, 1])])
    lines = [line for line in read(values(runs, table(runs[0]))) if line["stage"] == "cleanclip"]
    mean = lines[0]
    assert (mean["seed"], mean["over"], mean["n"], mean["method.lr"]) == ("", "seeds", "2", "")
    assert {line["method.lr"] for line in lines[2:]} == {"0.001", "1e-05"}
    assert mean["method.batch_size"] == lines[2]["method.batch_size"] != ""


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x","y")'])
def test_text_is_no_formula(tmp_path: Path, word: str) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_data(folder, word)
    runs = [dataclasses.replace(run, name=word) for run in read_runs([folder])]
    rows = [dataclasses.replace(row, notes=(word,), change=-1.5) for row in table(runs[0])]
    line = read(values(runs, rows))[0]
    for key in ("run", "notes", "data_notes"):
        assert line[key] == f"'{word}".replace("\r", " ")
    assert line["change_in_points"] == "-1.5"  # a number may begin with its sign


def test_quotes_and_newlines_stay_in_their_cell(tmp_path: Path) -> None:
    runs = [dataclasses.replace(run, name='a "b", c\nd') for run in read_runs([make_run(tmp_path, WHOLE)])]
    assert {line["run"] for line in read(values(runs, table(runs[0])))} == {'a "b", c\nd'}


def test_runs_have_their_differences_in_columns(tmp_path: Path) -> None:
    runs = read_runs([make_run(tmp_path / n, WHOLE, name=n, model=m) for n, m in (("a", "RN50"), ("b", "ViT-B-32"))])
    text = values(runs, [row for run in runs for row in table(run)])
    assert text.splitlines()[0].startswith(",".join((*COLUMNS, "run.model", "method.")))
    assert {(line["run"], line["run.model"]) for line in read(text)} == {("a", "RN50"), ("b", "ViT-B-32")}
