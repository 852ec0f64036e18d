"""What a word on the command line means: a table, a folder, or one of the kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bezoar.data import (
    LABELED_SOURCES,
    PAIRS_SOURCES,
    ImageFolder,
    LabeledFolder,
    LabeledPart,
    LabeledTable,
    Scenes,
    Table,
)


def test_tables_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.parquet").touch()
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("x.csv", "x.TSV", "../x.parquet", "x.jsonl", "x.ndjson", "shards", "shards/*.parquet", "~/x.csv"):
        assert PAIRS_SOURCES.parse_text(name) == Table(path=name)
        assert LABELED_SOURCES.parse_text(name) == LabeledTable(path=name)
    for name in ("images", "./images", "not/there"):
        assert PAIRS_SOURCES.parse_text(name) == ImageFolder(path=name)
        assert LABELED_SOURCES.parse_text(name) == LabeledFolder(path=name)


def test_labels_beside_their_images(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    assert LABELED_SOURCES.parse_text(str(tmp_path)) == LabeledTable(path=f"{tmp_path}/labels.csv")
    assert PAIRS_SOURCES.parse_text(str(tmp_path)) == ImageFolder(path=str(tmp_path))


def test_a_file_that_is_no_table_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path: notes.txt is not a table.*choices: .csv"):
        PAIRS_SOURCES.parse_text("notes.txt").open()


def test_kinds_with_a_word_and_in_braces() -> None:
    assert PAIRS_SOURCES.parse_text("table:x.csv") == Table(path="x.csv")
    assert PAIRS_SOURCES.parse_text("folder:x") == ImageFolder(path="x")
    assert PAIRS_SOURCES.parse_text("scenes") == Scenes()
    part = LABELED_SOURCES.parse_text("{kind: part, stop: 3, of: {kind: table, path: x.csv, where: {n: [1, a]}}}")
    assert part == LabeledPart(of=LabeledTable(path="x.csv", where={"n": (1, "a")}), stop=3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tabel", r"kind: 'tabel' is not a source of pairs; did you mean 'table'"),
        (
            "{kind: part, of: a/x.csv}",
            r"kind: 'a/x.csv' is not a source of pairs; as a path it is {kind: table, path: a/x.csv}",
        ),
        ("part:x", "source of pairs: 'part' takes no word after it"),
        ("{kind: table, path: x.csv, captoin_key: y}", "unknown key 'captoin_key'; did you mean 'caption_key'"),
        ("{kind: table, path: x.csv, max_skipped: 5}", "less than or equal to 1"),
        ("{kind: part, of: {kind: folder, path: x}, start: -1}", "greater than or equal to 0"),
    ],
)
def test_what_is_nothing(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PAIRS_SOURCES.parse_text(word)
