"""Every way to write a table: the same rows, or one line that says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.pictures import parquet

from bezoar.data.files import readers
from bezoar.data.files.readers import TEXT, TEXTS


def read(path: Path, content: bytes | str, columns: tuple[str, ...] = ("image", "caption"), delimiter: str = "") -> Any:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table, broken = readers.rows(path, columns, delimiter)
    assert table.column_names == list(columns)
    return [tuple(row.values()) for row in table.to_pylist()], broken


@pytest.mark.parametrize(
    "content",
    [
        b"image,caption\na,b\nc,d\n",
        b"image,caption\na,b\nc,d",
        b"\xef\xbb\xbfimage,caption\na,b\nc,d\n",
        b"image,caption\r\na,b\r\nc,d\r\n",
        b"image,caption\n\na,b\n\n\nc,d\n\n",
        b'"image","caption"\n"a","b"\n"c","d"\n',
        b",caption,image\n0,b,a\n1,d,c\n",
        b"x,caption,x,image\n0,b,1,a\n1,d,2,c\n",
    ],
    ids=["plain", "no last newline", "BOM", "CRLF", "empty lines", "quotes", "index of pandas", "doubles elsewhere"],
)
def test_csv_in_every_spelling(content: bytes, tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", content) == ([("a", "b"), ("c", "d")], [])


def test_a_cell_of_csv_is_what_it_says(tmp_path: Path) -> None:
    content = 'image,caption\na,"two\nlines, and ""quotes"""\nb,007\nc,nan\nd,\ne,NULL\nf, x \ng,Äß漢🙂\n'
    captions = ['two\nlines, and "quotes"', "007", "nan", "", "NULL", " x ", "Äß漢🙂"]
    assert [caption for _, caption in read(tmp_path / "t.csv", content)[0]] == captions


def test_rows_of_another_number_of_cells_are_passed_over_by_number(tmp_path: Path) -> None:
    content = "image,caption\na,b\nc\n\nd,e\nf,g,h\ni,j\n"
    assert read(tmp_path / "t.csv", content) == ([("a", "b"), ("d", "e"), ("i", "j")], [2, 4])


@pytest.mark.parametrize(
    ("suffix", "given", "mark"), [("tsv", "", "\t"), ("csv", "\t", "\t"), ("csv", "\\t", "\t"), ("csv", ";", ";")]
)
def test_delimiters(suffix: str, given: str, mark: str, tmp_path: Path) -> None:
    content = f"image{mark}caption\na{mark}b, c\n"
    assert read(tmp_path / f"t.{suffix}", content, delimiter=given) == ([("a", "b, c")], [])
    assert readers.columns_of(tmp_path / f"t.{suffix}", given) == ("image", "caption")


@pytest.mark.parametrize("delimiter", [",,", "\n", '"'])
def test_a_delimiter_is_one_character(delimiter: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv: delimiter: must be one character"):
        read(tmp_path / "t.csv", "image,caption\na,b\n", delimiter=delimiter)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\nimage,caption\na,b\n", "it is empty, or its first line is"),
        (b"image,caption\na,caf\xe9\n", "is not UTF-8 text: .*; write it anew as UTF-8"),
        ("image,caption\na,b\n".encode("utf-16"), "is not UTF-8 text"),
        (b"image,caption,caption\na,b,c\n", "two columns are called 'caption'"),
        (b'image,caption\na,b\nc,"d\ne,f\ng,h\n', "row 2: the quote before 'd e,f g,h ' is never closed"),
        (b'image,caption,note\na,b,"n\nc,d,m\ne,f,o\n', "row 1: the quote before 'n c,d,m e,f,o ' is never closed"),
        (b'image,caption,note\na,b,n\nc,"d,m\ne,f,o\n', "row 2: the quote before 'd,m e,f,o ?' is never closed"),
        (b'image,caption\na,"' + b"x" * (1 << 21), "is a quote never closed"),
    ],
    ids=[
        "empty",
        "empty head",
        "Latin-1",
        "UTF-16",
        "double",
        "open quote",
        "open quote in a column not read",
        "open quote before other columns",
        "long open quote",
    ],
)
def test_broken_csv_is_said_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "t.csv", content)
    assert str(caught.value).startswith(str(tmp_path / "t.csv"))


def test_a_last_cell_of_two_lines_is_no_open_quote(tmp_path: Path) -> None:
    for end in ("", "\n", "\r\n"):
        assert read(tmp_path / "t.csv", f'image,caption\na,"b\nc"{end}')[0] == [("a", "b\nc")]
        assert read(tmp_path / "t.csv", f'image,caption\na,b\nc,"d\ne",f{end}') == ([("a", "b")], [2])


@pytest.mark.parametrize(
    ("cells", "plain"),
    [
        (pa.array(["a", None]), TEXT),
        (pa.array(["a", None], pa.large_string()), TEXT),
        (pa.array(["a", None], pa.string_view()), TEXT),
        (pa.array(["a", None]).dictionary_encode(), TEXT),
        (pa.array([b"a", None]), TEXT),
        (pa.array([["a", None], []]), TEXTS),
        (pa.array([["a"], None], pa.large_list(pa.large_string())), TEXTS),
        (pa.array([["a", "b"], ["c", None]], pa.list_(pa.string(), 2)), TEXTS),
        (pa.ListArray.from_arrays([0, 1, 2], pa.array(["a", "b"]).dictionary_encode()), TEXTS),
        (pa.array([1, None], pa.uint8()), pa.int64()),
        (pa.array([1.5, None], pa.float64()), pa.float64()),
        (pa.array([True, None]), pa.bool_()),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_parquet_columns_come_in_few_types(cells: pa.Array, plain: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"other": [0, 1], "x": cells}), path)
    table, broken = readers.rows(path, ("x",))
    assert (table.schema.field("x").type, broken) == (plain, [])
    expected = [one.decode() if isinstance(one, bytes) else one for one in cells.to_pylist()]
    assert table["x"].to_pylist() == expected


def test_a_parquet_shard_without_the_column_is_named(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path / "t.parquet", {"imag": ["a"]}))
    with pytest.raises(ValueError, match=r"t\.parquet: it has no column 'image'; did you mean 'imag'"):
        readers.rows(path, ("image",))
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match=r"t\.parquet: "):
        readers.rows(path, ("image",))


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json"])
def test_json_lines(name: str, tmp_path: Path) -> None:
    lines = [
        {"image": "a", "caption": "b"}, {"caption": ["c", None, 3]}, {"image": 7, "caption": {"en": "d"}, "more": []},
    ]  # fmt: skip
    content = "\ufeff" + "\r\n".join(json.dumps(line) for line in lines) + "\n\n"
    found, broken = read(tmp_path / name, content)
    assert found == [("a", ["b"]), (None, ["c", None, None]), ("7", [None])]
    assert broken == []
    assert readers.columns_of(tmp_path / name) == ("image", "caption", "more")


def test_torn_and_other_lines_of_json_are_passed_over_by_number(tmp_path: Path) -> None:
    content = '{"image": "a", "caption": "b"}\n[1]\nnull\n{"image": "c", "caption": "d"}\n{"image": "e", "capt'
    assert read(tmp_path / "t.ndjson", content) == ([("a", "b"), ("c", "d")], [2, 3, 5])


@pytest.mark.parametrize(
    ("values", "kind", "plain"),
    [
        ([1, None, 3], pa.int64(), [1, None, 3]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([True, None], pa.bool_(), [True, None]),
        (["a", 3, True], TEXT, ["a", "3", None]),
        ([None, None], TEXT, [None, None]),
        ([["a"], "b", {"c": 1}], TEXTS, [["a"], ["b"], [None]]),
    ],
)
def test_json_cells(values: list[Any], kind: pa.DataType, plain: list[Any], tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"x": value}) + "\n" for value in values))
    column = readers.rows(tmp_path / "t.jsonl", ("x",)).table["x"]
    assert (column.type, column.to_pylist()) == (kind, plain)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ("[\n{}\n]\n", "its first line is not a JSON object"),
        ('{"image": "a", "caption": {"en": "b"}}\n', "column 'caption' holds objects"),
        ('{"image": "a", "caption": 123456789012345678901234567890}\n', "t.jsonl: "),
        (b'{"image": "a", "caption": "\xe9"}\n', "is not UTF-8"),
    ],
    ids=["empty", "a list", "nested", "large number", "Latin-1"],
)
def test_broken_json_is_said_in_one_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        _ = readers.columns_of(path), readers.rows(path, ("image", "caption"))


def test_delimiters_are_for_csv_only(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path / "t.parquet", {"image": ["a"]}))
    with pytest.raises(ValueError, match="delimiter: is for CSV only"):
        readers.columns_of(path, ";")


class TestFiles:
    def test_one_a_glob_or_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("b.parquet", "a.parquet", "c.CSV", "d[1].csv"):
            (tmp_path / name).write_text("x")
        names = ("a.parquet", "b.parquet")
        assert [file.name for file in readers.files_of(str(tmp_path))] == list(names)
        assert [file.name for file in readers.files_of(f"{tmp_path}/?.parquet")] == list(names)
        assert [file.name for file in readers.files_of(f"{tmp_path}/c.CSV")] == ["c.CSV"]
        assert [file.name for file in readers.files_of(f"{tmp_path}/d[1].csv")] == ["d[1].csv"]
        monkeypatch.setenv("SOME_DATA", str(tmp_path))
        assert [file.name for file in readers.files_of("$SOME_DATA/a.parquet")] == ["a.parquet"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nothing.csv", "nothing.csv does not exist"),
            ("*.parquet", r"nothing fits .*\*\.parquet"),
            ("", "holds no .parquet file"),
            ("notes.txt", r"notes.txt is not a table.*choices: .csv"),
            ("*", "is a folder|is not a table"),
            ("t*", "tables of several kinds: t1.csv, t2.tsv"),
            ("$BEZOAR_UNSET/t.csv", "BEZOAR_UNSET is not set"),
        ],
    )
    def test_what_is_no_table_is_refused(self, name: str, message: str, tmp_path: Path) -> None:
        for other in ("notes.txt", "t1.csv", "t2.tsv"):
            (tmp_path / other).write_text("x")
        (tmp_path / "folder").mkdir()
        with pytest.raises(ValueError, match=f"path: .*{message}"):
            readers.files_of(f"{tmp_path}/{name}")

    def test_stamps_change_with_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("a")
        before = readers.stamps([path])
        assert readers.stamps([path]) == before
        path.write_text("ab")
        assert readers.stamps([path]) != before


class TestPictures:
    def test_bytes_paths_and_the_layout_of_hugging_face(self, tmp_path: Path) -> None:
        layout = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        columns = {
            "bytes": pa.array([b"x"]), "large": pa.array([b"x"], pa.large_binary()), "path": pa.array(["x"]),
            "shared": pa.array(["x"]).dictionary_encode(),
            "held": pa.array([{"bytes": b"x", "path": "x"}], layout),
            "named": pa.array([{"bytes": None, "path": "x"}], layout),
            "empty": pa.array([{"bytes": None}], pa.struct({"bytes": pa.binary()})),
        }  # fmt: skip
        file = Path(parquet(tmp_path / "t.parquet", columns))
        inside = {name: readers.pictures_of(file, name) for name in columns}
        assert {name for name, found in inside.items() if found.inside} == {"bytes", "large", "held", "empty"}
        assert inside["named"].paths == "named.path"
        assert readers.paths_in(file, "named.path").to_pylist() == ["x"]

    @pytest.mark.parametrize("cells", [[1.5], [[1, 2]], [{"a": 1}]])
    def test_other_columns_are_refused(self, cells: list[Any], tmp_path: Path) -> None:
        file = Path(parquet(tmp_path / "t.parquet", {"image": cells}))
        with pytest.raises(ValueError, match=r"image_key: column 'image' of .* holds .*, neither pictures nor paths"):
            readers.pictures_of(file, "image")

    def test_contents_of_the_rows_wanted_in_blocks(self, tmp_path: Path) -> None:
        cells = [None if k % 7 == 3 else b"%d" % k for k in range(300)]
        files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
        parquet(files[0], {"image": pa.array(cells[:130], pa.binary())}, row_group_size=50)
        parquet(files[1], {"image": pa.array(cells[130:], pa.binary())})
        wanted = [k for k in range(300) if k % 3]
        blocks = list(readers.contents(files, "image", wanted, 32))
        assert [len(block) for block in blocks] == [32] * 6 + [8]
        assert [one for block in blocks for one in block] == [cells[k] for k in wanted]

    def test_blocks_of_large_pictures_are_shorter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readers, "_BLOCK_BYTES", 25)
        parquet(tmp_path / "a.parquet", {"image": [b"0123456789"] * 7})
        assert [len(block) for block in readers.contents([tmp_path / "a.parquet"], "image", range(7), 32)] == [3, 3, 1]

    def test_a_picture_that_is_only_named_is_named_from_the_table(self, tmp_path: Path) -> None:
        cells = [{"bytes": b"x", "path": None}, {"bytes": None, "path": "p.png"}, {"bytes": None, "path": None}, None]
        parquet(
            tmp_path / "a.parquet", {"image": pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))}
        )
        found = list(readers.contents([tmp_path / "a.parquet"], "image", range(4), 32))
        assert found == [[b"x", str(tmp_path / "p.png"), None, None]]


def test_a_file_without_the_image_column_of_the_first_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": ["b.png"], "caption": ["b"]}), tmp_path / "2.parquet")
    with pytest.raises(ValueError, match=r"image_key: .*2\.parquet has no column 'image'.*caption, picture"):
        readers.pictures_of(tmp_path / "2.parquet", "image")
