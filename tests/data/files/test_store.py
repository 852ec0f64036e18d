"""Rows by arithmetic: those that were written, whatever pieces they came in."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bezoar.data.files.store import CHUNK, FEW, Rows, write_rows

SCHEMA = pa.schema({"text": pa.string(), "number": pa.int64()})


def piece(start: int, count: int) -> pa.Table:
    span = range(start, start + count)
    return pa.table([[f"text {k}" for k in span], list(span)], schema=SCHEMA)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.sampled_from([0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW, CHUNK, CHUNK + 1, 2500]), max_size=5),
    few=st.booleans(),
)
def test_every_row_is_found(tmp_path: Path, counts: list[int], few: bool) -> None:
    starts = [sum(counts[:k]) for k in range(len(counts))]
    write_rows(tmp_path / "rows.arrow", SCHEMA, map(piece, starts, counts), few=few)
    rows = Rows(tmp_path / "rows.arrow")
    assert len(rows) == sum(counts)
    for row in {
        *range(0, len(rows), 97),
        *(k for k in (0, FEW - 1, FEW, CHUNK - 1, CHUNK, len(rows) - 1) if 0 <= k < len(rows)),
    }:
        assert (rows("text", row), rows("number", row)) == (f"text {row}", row)


def test_rows_are_opened_anew_in_another_process(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.arrow", SCHEMA, [piece(0, 5000)])
    sent = pickle.dumps(Rows(tmp_path / "rows.arrow"))
    assert len(sent) < 300
    assert pickle.loads(sent)("number", 4321) == 4321


@pytest.mark.parametrize("content", [b"", b"not Arrow", None])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "rows.arrow").write_bytes(content)
    with pytest.raises(ValueError, match=r"rows.arrow cannot be read, delete its folder"):
        Rows(tmp_path / "rows.arrow")


def test_values_are_found_in_one_look(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.arrow", SCHEMA, [piece(0, 2500)])
    rows = Rows(tmp_path / "rows.arrow")
    assert rows.find("text", ["text 2499", "text 7", "no such", "text 1024"]) == {
        "text 7": 7,
        "text 1024": 1024,
        "text 2499": 2499,
    }
    assert rows.find("text", []) == {}
    write_rows(tmp_path / "none.arrow", SCHEMA, [])
    assert Rows(tmp_path / "none.arrow").find("text", ["text 7"]) == {}
