"""Tables as text: every number is there, and hostile names stay in their cells."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.report.handmade import WHOLE, make_run, seeded

from bezoar.report.grid import grid
from bezoar.report.markdown import aligned, markdown
from bezoar.report.reading import read_run
from bezoar.report.tables import every_epoch, table


def test_every_cell_is_in_the_table(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1]))
    for rows in (table(run), every_epoch(run)):
        lines = markdown(rows).splitlines()
        assert len(lines) == 2 + len(rows)
        expected = grid(rows)
        assert all(line.count("|") == len(expected.head) + 1 for line in lines)
        for line, cells in zip(lines[2:], expected.lines, strict=True):
            found = [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")]
            assert found == [cell.strip() for cell in cells]


def test_names_cannot_break_out_of_a_cell(tmp_path: Path) -> None:
    row = table(read_run(make_run(tmp_path, WHOLE)))[0]
    hostile = dataclasses.replace(row, group="a|b\n<script> *x* [y](z) `c`")
    line = markdown([hostile]).splitlines()[2]
    assert line.startswith("| a\\|b \\<script\\> \\*x\\* \\[y\\](z) \\`c\\` |")


def test_no_rows() -> None:
    assert markdown([]) == "Nothing has been measured yet.\n"


def test_columns_of_a_terminal_begin_together(tmp_path: Path) -> None:
    lines = aligned(table(read_run(make_run(tmp_path, WHOLE)))).splitlines()
    assert len(lines) == 5
    at = lines[0].index("Clean accuracy")
    assert [line[at : at + 5].strip().replace("\u00a0", " ") for line in lines[1:]] == ["61.0", "63.0", "57.0", "59.0"]
    assert "chosen" in lines[-1]
    assert "Notes" not in aligned(table(read_run(tmp_path))[:1])


def test_notes_stand_below(tmp_path: Path) -> None:
    text = markdown(table(read_run(make_run(tmp_path, WHOLE))), ["captions are <templates>"])
    assert text.endswith("|\n\nNote: captions are \\<templates\\>\n")


def test_a_name_cannot_steer_a_terminal(tmp_path: Path) -> None:
    row = table(read_run(make_run(tmp_path, WHOLE)))[0]
    assert "\x1b" not in aligned([dataclasses.replace(row, group="\x1b[2Jgone")])
