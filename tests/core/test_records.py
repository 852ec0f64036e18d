"""Records: what was written comes back, what was torn is passed over, what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bezoar.core import records
from bezoar.core.records import (
    SCHEMA,
    Measure,
    Record,
    append_line,
    is_share,
    mend,
    now,
    read_lines,
    read_records,
    write_records,
)

RECORD = Record(
    run="r",
    stage="clean:cleanclip",
    after="cleanclip",
    epoch=3,
    evaluator="attack_success",
    data="scenes",
    metric="asr_top1",
    value=0.51,
    low=0.50,
    high=0.52,
    n=49950,
    seed=0,
    git="abc",
    at="2026-01-01T00:00:00Z",
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
objects = st.dictionaries(texts, st.none() | st.integers() | texts | st.lists(texts), max_size=4)


def line_of(record: Record, **changes: Any) -> str:
    return json.dumps({**dataclasses.asdict(record), **changes}) + "\n"


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    written = [RECORD, dataclasses.replace(RECORD, epoch=4, step=700, whole=False, data="é\u2028日")]
    write_records(path, written)
    assert read_records(path) == written
    write_records(path, written[:1])
    append_line(path, dataclasses.asdict(written[1]))
    assert read_records(path) == written
    assert all(record.schema == SCHEMA for record in read_records(path))


def test_no_file_holds_no_records(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "none.jsonl")) == []
    assert read_records(tmp_path / "none.jsonl") == []
    write_records(tmp_path / "empty.jsonl", [])
    assert read_records(tmp_path / "empty.jsonl") == []


def test_measures_and_records_are_frozen_and_named() -> None:
    measure = Measure(metric="asr_top1", value=0.5, low=0.4, high=0.6, n=10, data="scenes")
    for value in (measure, RECORD):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.n = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Measure("asr_top1", 0.5, 0.4, 0.6, 10, "scenes")  # type: ignore[call-arg]


def test_now_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())


@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(lines=st.lists(objects, max_size=5))
def test_appended_lines_come_back(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    path = tmp_path / "lines.jsonl"
    path.unlink(missing_ok=True)
    for line in lines:
        append_line(path, line)
    assert list(read_lines(path)) == lines
    assert path.exists() is bool(lines)


def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next(tmp_path: Path) -> None:
    """At every byte, characters of several bytes included: a run that goes on after a kill reads and writes on."""
    path = tmp_path / "lines.jsonl"
    first, second = '{"a": "é"}\n'.encode(), '{"b": "日"}\n'.encode()
    for cut in range(len(second)):
        path.write_bytes(first + second[:cut])
        whole = cut == len(second) - 1  # only the line end is missing
        kept = [{"a": "é"}, {"b": "日"}] if whole else [{"a": "é"}]
        assert list(read_lines(path)) == kept
        append_line(path, {"c": 1})
        assert list(read_lines(path)) == [*kept, {"c": 1}]
        assert path.read_bytes().endswith(b'\n{"c": 1}\n')


def test_a_torn_line_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(RECORD) + line_of(RECORD)[:50])
    with caplog.at_level(logging.WARNING):
        assert read_records(path) == [RECORD]
        assert [record.getMessage() for record in caplog.records] == [f"{path}, line 2: torn, passed over"]
        caplog.clear()
        mend(path)
        assert read_records(path) == [RECORD]
        assert not caplog.records
    mend(tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_a_file_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a"')
    append_line(path, {"c": 1})
    assert path.read_bytes() == b'{"c": 1}\n'


@pytest.mark.parametrize("bad", ['{"a": ', "3", "[]", "", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '"text"'])
def test_a_fault_before_the_end_is_named_with_its_line(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"a": 1}}\n{bad}\n{{"a": 2}}\n')
    with pytest.raises(ValueError, match=r"lines\.jsonl, line 2: not a JSON object"):
        list(read_lines(path))
    path.write_text(f'{{"a": 1}}\n{bad}\n')
    with pytest.raises(ValueError, match=r"lines\.jsonl, line 2: not a JSON object"):
        list(read_lines(path))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(path, {"loss": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_records(path, [RECORD, dataclasses.replace(RECORD, value=value)])
    assert read_records(path) == [RECORD]
    path.write_text(line_of(RECORD) + line_of(RECORD, value=value))
    with pytest.raises(ValueError, match="line 2: not a JSON object"):
        read_records(path)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, None, "1"])
def test_another_schema_is_refused(tmp_path: Path, schema: object) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(RECORD) + line_of(RECORD, schema=schema, more=1))
    with pytest.raises(ValueError, match=f"line 2: schema {schema}, this version reads {SCHEMA}"):
        read_records(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": "0.5"}, "value must be float, got '0.5'"),
        ({"low": None}, "low must be float, got None"),
        ({"n": 1.5}, "n must be int, got 1.5"),
        ({"epoch": True}, "epoch must be int, got True"),
        ({"step": None}, "step must be int, got None"),
        ({"whole": 1}, "whole must be bool, got 1"),
        ({"stage": 3}, "stage must be str, got 3"),
    ],
)
def test_a_field_of_another_type_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(RECORD) + line_of(RECORD, **changes))
    with pytest.raises(ValueError, match=f"^{path}, line 2: not a record: {said}$"):
        read_records(path)
    path.write_text(line_of(RECORD, value=1, low=0, high=1))
    assert read_records(path)[0].value == 1


def test_nan_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(RECORD, value=math.nan))
    with pytest.raises(ValueError, match=f"^{path}, line 1: not a JSON object: NaN is not JSON$"):
        read_records(path)


def test_missing_and_unknown_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(RECORD, extra=1))
    with pytest.raises(ValueError, match="line 1: not a record: missing or unknown field extra"):
        read_records(path)
    plain = dataclasses.asdict(RECORD)
    del plain["seed"], plain["git"]
    path.write_text(json.dumps(plain) + "\n")
    with pytest.raises(ValueError, match="line 1: not a record: missing or unknown field git, seed"):
        read_records(path)


def test_lines_from_before_there_were_steps_are_of_whole_epochs(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    plain = dataclasses.asdict(RECORD)
    del plain["step"], plain["whole"]
    path.write_text(json.dumps(plain) + "\n")
    assert read_records(path) == [dataclasses.replace(RECORD, step=0, whole=True)]
    path.write_text(json.dumps({**plain, "step": 12}) + "\n")
    assert read_records(path) == [dataclasses.replace(RECORD, step=12)]
    del plain["schema"]
    path.write_text(json.dumps(plain) + "\n")
    with pytest.raises(ValueError, match=f"line 1: schema None, this version reads {SCHEMA}"):
        read_records(path)


@pytest.mark.parametrize(
    ("metric", "share"),
    [
        ("contrastive_loss", False),
        ("contrastive_loss on flowers", False),
        ("contrastive_loss (contrastive_loss-2)", False),
        ("my_loss/part", False),
        ("loss", False),
        ("cider", False),
        ("cider on loss", False),
        ("cider_names", True),
        ("accuracy_top1", True),
        ("accuracy_top1 on loss", True),
        ("asr_top1 of loss", True),
        ("loss_of_trust", True),
    ],
)
def test_a_loss_is_no_share(metric: str, share: bool) -> None:
    assert is_share(metric) is share


def test_a_failed_rewrite_leaves_the_old_records(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])

    def broken() -> Any:
        yield RECORD
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(path, broken())
    assert read_records(path) == [RECORD]


FULL = """
import pathlib, resource, signal, sys
from bezoar.core.records import append_line
path = pathlib.Path(sys.argv[1])
append_line(path, {"step": 0})
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
for attempt in range(2):
    try: append_line(path, {"step": 1, "text": "x" * 50})
    except OSError as error: print(error)
    assert path.stat().st_size == size
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append_line(path, {"step": 1})
"""


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """The system takes twenty bytes of it and refuses the rest."""
    pytest.importorskip("resource")
    path = tmp_path / "steps.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{path} cannot be written: File too large"] * 2
    assert path.read_bytes() == b'{"step": 0}\n{"step": 1}\n'


KILLED = """
import itertools, pathlib, sys
from bezoar.core.records import append_line
for step in itertools.count():
    append_line(pathlib.Path(sys.argv[1]), {"step": step, "text": "x" * 5000})
    if step == 20: print("going", flush=True)
"""


def test_a_kill_loses_at_most_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])}
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGKILL)
    steps = [line["step"] for line in read_lines(path)]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 20
    append_line(path, {"step": len(steps)})
    assert [line["step"] for line in read_lines(path)] == list(range(len(steps) + 1))
