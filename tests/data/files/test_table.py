"""Tables of pairs end to end: what is kept, under which ids, what is passed over, what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from PIL import Image
from tests.pictures import bad, encoded, odd, parquet, put

from bezoar.data import LabeledTable, Table
from bezoar.data.files.store import StoredPairs


def write(
    folder: Path, rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ("image", "caption"), name: str = "t.csv"
) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([head, *rows])
    (folder / name).write_text(stream.getvalue(), newline="")
    return str(folder / name)


def ids(pairs: StoredPairs) -> list[str]:
    return [pairs.id(index) for index in range(len(pairs))]


def captions(pairs: StoredPairs) -> list[str]:
    return [pairs.caption(index) for index in range(len(pairs))]


def listed(pairs: StoredPairs) -> list[list[str]]:
    assert pairs.skips.listed is not None
    with open(pairs.skips.listed, newline="") as stream:
        return list(csv.reader(stream))


class TestPictures:
    def test_every_readable_kind_is_kept(self, tmp_path: Path) -> None:
        for name, content in odd().items():
            (tmp_path / name).write_bytes(content)
        pairs = Table(path=write(tmp_path, [(name, f"a {name}") for name in odd()])).open()
        assert ids(pairs) == list(odd())
        for index, name in enumerate(odd()):
            assert pairs.image(index).dtype == np.uint8
            assert pairs.image(index).shape == ((9, 7, 3) if name == "turned.jpg" else (7, 9, 3)), name
        assert pairs.image(list(odd()).index("deep.png")).max() > 200
        red = pairs.image(list(odd()).index("moving.gif"))
        assert red[0, 0, 0] > 200 > red[0, 0, 2]

    def test_every_other_is_passed_over_counted_and_listed(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        for name, content in bad().items():
            (tmp_path / name).write_bytes(content)
        (tmp_path / "folder.png").mkdir()
        names = ["a.png", *bad(), "folder.png", "gone.png", "b.png"]
        pairs = Table(path=write(tmp_path, [(name, "text") for name in names]), max_skipped=0.8).open()
        assert ids(pairs) == ["a.png", "b.png"]
        assert (pairs.skips.rows, pairs.skips.count) == (7, 5)
        assert pairs.skips.reasons == {
            "not an image: zero bytes": 1, "not an image: truncated": 1, "missing file": 1,
            "not an image: cannot be identified as an image": 1, "cannot read file: Is a directory": 1,
        }  # fmt: skip
        assert [row[:2] for row in listed(pairs)] == [["row", "name"], *([str(k), names[k - 1]] for k in range(2, 7))]

    def test_names_with_spaces_and_other_letters(self, tmp_path: Path) -> None:
        names = ["two words.png", "Größe/漢字 🙂.PNG", "a,b.png", 'it\'s "q".png', "x%20y#1.png"]
        put(tmp_path, names)
        pairs = Table(path=write(tmp_path, [(name, "text") for name in names])).open()
        assert ids(pairs) == names
        assert all(pairs.image(index).shape == (7, 9, 3) for index in range(5))

    def test_a_name_with_a_zero_byte_is_passed_over(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png"])
        path = parquet(tmp_path / "t.parquet", {"image": ["a.png", "b\0.png"], "caption": ["x", "y"]})
        pairs = Table(path=path, max_skipped=0.5).open()
        assert pairs.skips.reasons == {"cannot read file: embedded null byte": 1}

    def test_all_missing_fails_before_all_are_looked_at(self, tmp_path: Path) -> None:
        path = write(tmp_path, [(f"{k}.png", "text") for k in range(5000)])
        message = (
            r"1,024 or more of 5,000 rows cannot be used, more than max_skipped: 0.05 of them; the first is row 1, "
            r"'0.png': missing file; listed in "
        )
        with pytest.raises(ValueError, match=message) as caught:
            Table(path=path).open()
        assert Path(str(caught.value).rpartition("listed in ")[2]).read_text().count("missing file") == 1024

    def test_rows_of_one_missing_picture_count_each(self, tmp_path: Path) -> None:
        put(tmp_path, [f"{k}.png" for k in range(30)])
        path = write(tmp_path, [(f"{k}.png", "text") for k in range(30)] + [("gone.png", "one"), ("gone.png", "two")])
        with pytest.raises(ValueError, match="2 or more of 32 rows"):
            Table(path=path).open()
        assert Table(path=path, max_skipped=0.07).open().skips.reasons == {"missing file": 2}

    def test_five_percent_may_be_passed_over_and_no_more(self, tmp_path: Path) -> None:
        put(tmp_path, [f"{k}.png" for k in range(19)])
        rows = [(f"{k}.png", "text") for k in range(20)]
        assert len(Table(path=write(tmp_path, rows)).open()) == 19
        with pytest.raises(ValueError, match="2 or more of 21 rows"):
            Table(path=write(tmp_path, [*rows, ("a.png", "text")])).open()

    def test_all_but_one_may_be_passed_over_on_request(self, tmp_path: Path) -> None:
        put(tmp_path, ["3.png"])
        path = write(tmp_path, [(f"{k}.png", "text") for k in range(20)])
        assert ids(Table(path=path, max_skipped=1.0).open()) == ["3.png"]
        os.unlink(tmp_path / "3.png")
        with pytest.raises(ValueError, match="holds no picture that can be used"):
            Table(path=write(tmp_path, [("x.png", "text")]), max_skipped=1.0).open()

    def test_the_limit_holds_for_what_is_kept_already(self, tmp_path: Path) -> None:
        put(tmp_path, ["0.png"])
        path = write(tmp_path, [("0.png", "text"), ("1.png", "text")])
        assert len(Table(path=path, max_skipped=0.5).open()) == 1
        with pytest.raises(
            ValueError, match=r"1 of 2 rows cannot be used, more than max_skipped: 0.4 of them; listed in"
        ):
            Table(path=path, max_skipped=0.4).open()

    def test_through_a_link_to_the_table(self, tmp_path: Path) -> None:
        put(tmp_path, ["real/images/a.png"])
        write(tmp_path / "real", [("images/a.png", "text"), ("/else/images/a.png", "moved")])
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "t.csv").symlink_to(tmp_path / "real" / "t.csv")
        assert ids(Table(path=str(tmp_path / "links" / "t.csv")).open()) == ["images/a.png", "/else/images/a.png"]

    def test_a_root_of_its_own(self, tmp_path: Path) -> None:
        put(tmp_path, ["pictures/a.png"])
        (tmp_path / "tables").mkdir()
        path = write(tmp_path / "tables", [("a.png", "text")])
        assert len(Table(path=path, root=str(tmp_path / "pictures")).open()) == 1

    def test_tables_of_several_folders_need_a_root(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            put(tmp_path, [f"{name}/x.png"])
            write(tmp_path / name, [("x.png", "text")])
        with pytest.raises(ValueError, match="root: the tables lie in 2 folders"):
            Table(path=f"{tmp_path}/*/t.csv").open()


class TestHuggingFaceLayout:
    LAYOUT = pa.struct({"bytes": pa.binary(), "path": pa.string()})

    def table(self, folder: Path, cells: list[Any]) -> Table:
        columns = {"image": pa.array(cells, self.LAYOUT), "text": [f"text {k}" for k in range(len(cells))]}
        return Table(path=parquet(folder / "t.parquet", columns), max_skipped=0.7)

    def test_bytes(self, tmp_path: Path) -> None:
        cells = [
            {"bytes": encoded(0), "path": "gone.png"},
            None,
            {"bytes": None, "path": None},
            {"bytes": b"x", "path": ""},
        ]
        pairs = self.table(tmp_path, [*cells, cells[0]]).open()
        assert ids(pairs) == ["00000001", "00000005"]
        assert pairs.skips.reasons == {"no image": 2, "not an image: cannot be identified as an image": 1}

    def test_paths(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        cells = [{"bytes": None, "path": f"{name}.png"} for name in "aba"]
        pairs = self.table(tmp_path, cells).open()
        assert ids(pairs) == ["a.png#0", "b.png", "a.png#1"]
        assert pairs.pictures == 2

    def test_some_of_each(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        cells = [{"bytes": encoded(7), "path": None}, {"bytes": None, "path": "b.png"}]
        pairs = self.table(tmp_path, cells).open()
        os.unlink(tmp_path / "b.png")  # it was taken in
        expected = [encoded(7), encoded(1)]
        assert [pairs.content(index) for index in range(2)] == expected


class TestCaptions:
    @pytest.mark.parametrize(
        "nothing", ["", " ", "\t\n", "nan", "NaN", " nan ", "None", "null", "<NA>", "\u2003", "\x1c", None]
    )
    def test_no_caption(self, nothing: str | None, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        path = parquet(tmp_path / "t.parquet", {"image": ["a.png", "b.png"], "caption": [nothing, "text"]})
        pairs = Table(path=path, max_skipped=0.5).open()
        assert (ids(pairs), pairs.skips.reasons) == (["b.png"], {"no caption": 1})
        assert listed(pairs)[1] == ["1", "a.png", "no caption"]

    def test_other_captions_stay_as_they_are(self, tmp_path: Path) -> None:
        texts = [
            "nannies",
            " x ",
            "0",
            "['a', 'b']",
            "array(['a'], dtype=object)",
            "two\nlines\r\n",
            '"q"',
            "-",
            "nan nan",
        ]
        put(tmp_path, [f"{k}.png" for k in range(len(texts))])
        pairs = Table(path=write(tmp_path, [(f"{k}.png", text) for k, text in enumerate(texts)])).open()
        assert captions(pairs) == texts

    def test_lists_give_a_pair_for_each_caption(self, tmp_path: Path) -> None:
        put(tmp_path, [f"{k}.png" for k in range(5)])
        lists = [["a", "b"], [], [None, "", "c", "nan"], None, ["d"]]
        columns = {"image": [f"{k}.png" for k in range(5)], "captions": lists}
        path = parquet(tmp_path / "t.parquet", columns)
        pairs = Table(path=path, max_skipped=0.5).open()
        assert list(zip(ids(pairs), captions(pairs), strict=True)) == [
            ("0.png#0", "a"), ("0.png#1", "b"), ("2.png#2", "c"), ("4.png#0", "d"),
        ]  # fmt: skip
        assert (pairs.skips.reasons, pairs.skips.rows, pairs.pictures) == ({"no caption": 2}, 5, 3)
        first = Table(path=path, captions="first", max_skipped=0.5).open()
        assert list(zip(ids(first), captions(first), strict=True)) == [("0.png", "a"), ("2.png", "c"), ("4.png", "d")]

    def test_lists_in_json_lines(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        lines = [{"image": "a.png", "captions": ["x", {"no": 1}, 7, "y"]}, {"image": "b.png", "captions": "z"}]
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
        pairs = Table(path=str(tmp_path / "t.jsonl")).open()
        assert list(zip(ids(pairs), captions(pairs), strict=True)) == [
            ("a.png#0", "x"),
            ("a.png#3", "y"),
            ("b.png#0", "z"),
        ]

    @pytest.mark.parametrize("cells", [[1.5], [[["a"]]], [[{"raw": "a"}]], [True]])
    def test_other_columns_are_refused(self, cells: list[Any], tmp_path: Path) -> None:
        path = parquet(tmp_path / "t.parquet", {"image": ["a.png"], "caption": cells})
        with pytest.raises(ValueError, match=r"caption_key: column 'caption' of .* holds .*, not text"):
            Table(path=path).open()

    @how(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=5))
    def test_any_text_comes_back_from_every_kind_of_table(self, tmp_path: Path, texts: list[str]) -> None:
        texts = [f"{text}." for text in texts]  # never empty, never nan
        names = [f"{k}.png" for k in range(len(texts))]
        put(tmp_path, names)
        rows = list(zip(names, texts, strict=True))
        lines = "".join(json.dumps({"image": name, "caption": text}, ensure_ascii=False) + "\n" for name, text in rows)
        (tmp_path / "t.jsonl").write_text(lines, newline="")
        paths = [
            write(tmp_path, rows), str(tmp_path / "t.jsonl"),
            parquet(tmp_path / "t.parquet", {"image": names, "caption": texts}),
        ]  # fmt: skip
        opened = [Table(path=path).open() for path in paths]
        assert [captions(pairs) for pairs in opened] == [texts] * 3
        assert len({pairs.fingerprint for pairs in opened}) == 1


class TestIds:
    def test_rows_that_share_a_picture(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        rows = [("b.png", "1"), ("a.png", "2"), ("a.png", ""), ("b.png", "3"), ("b.png", "4")]
        pairs = Table(path=write(tmp_path, rows), max_skipped=0.5).open()
        assert ids(pairs) == ["b.png#0", "a.png", "b.png#1", "b.png#2"]
        assert [pairs.picture(index) for index in range(4)] == [0, 1, 0, 0]
        assert [pairs.first(picture) for picture in range(pairs.pictures)] == [0, 1]

    def test_a_column_of_ids(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png"])
        rows = [("a.png", "1", "x"), ("a.png", "2", ""), ("a.png", "3", "y")]
        pairs = Table(path=write(tmp_path, rows, ("image", "caption", "key")), id_key="key", max_skipped=0.4).open()
        assert (ids(pairs), pairs.skips.reasons) == (["x", "y"], {"no id": 1})

    def test_ids_of_numbers_with_lists(self, tmp_path: Path) -> None:
        columns = {"image": [encoded(0), encoded(1)], "caption": [["a", "b"], ["c"]], "key": [7, 12]}
        pairs = Table(path=parquet(tmp_path / "t.parquet", columns), id_key="key").open()
        assert ids(pairs) == ["7#0", "7#1", "12#0"]
        assert ids(Table(path=str(tmp_path / "t.parquet"), id_key="key", captions="first").open()) == ["7", "12"]

    @pytest.mark.parametrize(
        ("rows", "key", "twin"),
        [
            ([("a.png", "1", "x"), ("a.png", "2", "x")], "key", "x"),
            ([("a.png", "1", ""), ("a.png", "2", ""), ("a.png#1", "3", "")], "", "a.png#1"),
        ],
    )  # fmt: skip
    def test_ids_that_repeat_are_refused(
        self, rows: list[tuple[str, ...]], key: str, twin: str, tmp_path: Path
    ) -> None:
        put(tmp_path, ["a.png", "a.png#1"])
        path = write(tmp_path, rows, ("image", "caption", "key"))
        with pytest.raises(ValueError, match=f"id_key: .*t.csv names '{twin}' twice: ids must be unique"):
            Table(path=path, id_key=key).open()

    def test_an_image_with_two_labels_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png"])
        path = write(tmp_path, [("a.png", "cat"), ("a.png", "dog")], ("image", "label"))
        with pytest.raises(ValueError, match=r"id_key: .* names 'a.png' twice"):
            LabeledTable(path=path).open()

    def test_numbers_of_rows_skip_those_that_are_passed_over(self, tmp_path: Path) -> None:
        columns = {"image": [encoded(0), b"", encoded(2)], "caption": ["a", "b", "c"]}
        pairs = Table(path=parquet(tmp_path / "t.parquet", columns), max_skipped=0.5).open()
        assert ids(pairs) == ["00000001", "00000003"]


class TestColumns:
    def test_usual_names_and_names_given(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        path = write(tmp_path, [("a.png", "b.png", "one", "two")], ("filepath", "thumb", "title", "alt"))
        pairs = Table(path=path).open()
        assert (ids(pairs), captions(pairs)) == (["a.png"], ["one"])
        pairs = Table(path=path, image_key="thumb", caption_key="alt").open()
        assert (ids(pairs), captions(pairs)) == (["b.png"], ["two"])

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"image_key": "imgae"},
                r"image_key: .* has no column 'imgae'; did you mean 'image'\? \(choices: caption, image\)",
            ),
            ({"caption_key": "x"}, r"caption_key: .* has no column 'x' \(choices: caption, image\)"),
            ({"id_key": "x"}, "id_key: .* has no column 'x'"),
            ({"where": {"split": "train"}}, "where.split: .* has no column 'split'"),
        ],
    )
    def test_missing_columns(self, settings: dict[str, Any], message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            Table(path=write(tmp_path, [("a", "b")]), **settings).open()

    @pytest.mark.parametrize(("mark", "shown"), [("\t", r"\\t"), (";", ";"), ("|", r"\|")])
    def test_another_delimiter_is_suggested(self, mark: str, shown: str, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(f"image{mark}caption\na.png{mark}text\n")
        with pytest.raises(ValueError, match=f'its only column is called .*: is delimiter: "{shown}" missing'):
            Table(path=str(tmp_path / "t.csv")).open()
        put(tmp_path, ["a.png"])
        assert ids(Table(path=str(tmp_path / "t.csv"), delimiter=mark).open()) == ["a.png"]

    def test_a_table_of_the_other_kind_says_so(self, tmp_path: Path) -> None:
        path = write(tmp_path, [("a.png", "cat")], ("image", "label"))
        said = r"caption_key: .*; it has labels, in 'label': .* --labeled .*labels:PATH; .*kind: captioned"
        with pytest.raises(ValueError, match=said):
            Table(path=path).open()
        path = write(tmp_path, [("a.png", "a cat")])
        with pytest.raises(ValueError, match=r"label_key: .*; it has captions, in 'caption': .*kind: mined"):
            LabeledTable(path=path).open()

    def test_a_head_without_rows(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"path: .*t.csv has no row"):
            Table(path=write(tmp_path, [])).open()

    def test_broken_rows_are_listed_with_their_numbers(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        (tmp_path / "t.csv").write_text("image,caption\na.png,one\nb.png,two, three\nb.png,four\n")
        pairs = Table(path=str(tmp_path / "t.csv"), max_skipped=0.4).open()
        assert captions(pairs) == ["one", "four"]
        assert listed(pairs)[1:] == [["2", "", "broken row"]]

    def test_shards_with_other_orders_and_types(self, tmp_path: Path) -> None:
        def shard(name: str, **columns: Any) -> None:
            pq.write_table(pa.table(columns), tmp_path / name)

        shard("a.parquet", image=[encoded(0)], caption=["a"], n=pa.array([1], pa.int32()))
        shard(
            "b.parquet",
            more=[0],
            n=pa.array([None], pa.float64()),
            caption=pa.array(["b"]).dictionary_encode(),
            image=[encoded(1)],
        )
        shard(
            "c.parquet",
            caption=pa.array(["c"], pa.large_string()),
            image=pa.array([encoded(2)], pa.large_binary()),
            n=pa.nulls(1),
        )
        source = Table(path=str(tmp_path))
        assert (ids(source.open()), captions(source.open())) == (["00000001", "00000002", "00000003"], ["a", "b", "c"])
        assert captions(Table(path=str(tmp_path), where={"n": 1}).open()) == ["a"]
        shard("d.parquet", image=["x.png"], caption=["d"], n=[1])
        with pytest.raises(
            ValueError, match="image_key: column 'image' holds pictures in some files and their paths in others"
        ):
            source.open()
        shard("d.parquet", image=[encoded(3)], caption=[["d"]], n=[1])
        with pytest.raises(ValueError, match=r"path: .*a.parquet and the files after it have other columns"):
            source.open()


class TestWhere:
    @pytest.mark.parametrize(
        ("column", "value", "expected"),
        [
            ("split", "train", [0, 1]),
            ("split", ("val", "test"), [2, 3]),
            ("fold", 3, [1]),
            ("fold", "3", [1]),
            ("fold", (1, 3), [0, 1]),
            ("score", 2, [1]),
            ("score", "2.5", [2]),
            ("use", True, [0, 2]),
            ("use", False, [1, 3]),
            ("word", True, [0, 1]),
        ],
    )
    def test_values_and_lists(self, column: str, value: Any, expected: list[int], tmp_path: Path) -> None:
        columns = {
            "image": [encoded(k) for k in range(4)], "caption": list("abcd"),
            "split": ["train", "train", "val", "test"], "fold": [1, 3, 2, None], "score": [1.0, 2.0, 2.5, None],
            "use": [True, False, True, False], "word": ["true", "True", "false", None],
        }  # fmt: skip
        pairs = Table(path=parquet(tmp_path / "t.parquet", columns), where={column: value}).open()
        assert captions(pairs) == ["abcd"[k] for k in expected]
        assert ids(pairs) == [f"{k + 1:08d}" for k in expected]
        assert pairs.skips.rows == len(expected)

    def test_several_columns_in_csv(self, tmp_path: Path) -> None:
        put(tmp_path, ["a.png"])
        rows = [("a.png", "1", "train", "3"), ("a.png", "2", "train", "4"), ("a.png", "3", "val", "3")]
        path = write(tmp_path, rows, ("image", "caption", "split", "fold"))
        assert captions(Table(path=path, where={"split": "train", "fold": 3}).open()) == ["1"]

    def test_what_no_row_has(self, tmp_path: Path) -> None:
        columns = {"image": [encoded(0)], "caption": ["a"], "split": ["train"], "tags": [["x"]]}
        path = parquet(tmp_path / "t.parquet", columns)
        with pytest.raises(
            ValueError, match=r"where.split: no row of .* has trian or tset there; did you mean 'train'"
        ):
            Table(path=path, where={"split": ("trian", "tset")}).open()
        with pytest.raises(
            ValueError, match=r"where.tags: column 'tags' holds .*: only text and numbers can be asked for"
        ):
            Table(path=path, where={"tags": "x"}).open()


class TestFingerprint:
    def test_it_is_that_of_the_content_wherever_it_lies(self, tmp_path: Path) -> None:
        found = set()
        for name in ("one", "two"):
            put(tmp_path / name, ["a.png", "b.png"])
            found.add(Table(path=write(tmp_path / name, [("a.png", "x"), ("b.png", "y")])).open().fingerprint)
        assert len(found) == 1

    def test_it_is_this_one(self, tmp_path: Path) -> None:
        """Plans and stages are kept under it: it may not change with a machine or a library."""
        (tmp_path / "a.ppm").write_bytes(b"P6 2 1 255 abcdef")
        (tmp_path / "b.ppm").write_bytes(b"P6 1 1 255 xyz")
        rows = [("a.ppm", "eine Katze", "0"), ("b.ppm", "猫", "1"), ("a.ppm", "a cat", "0")]
        path = write(tmp_path, rows, ("image", "caption", "label"))
        assert Table(path=path).open().fingerprint == "76782aee1746384b"
        labeled = LabeledTable(path=path, id_key="caption", classes=("x", "y"))
        assert labeled.open().fingerprint == "b9660bcc9b8e4eae"

    @pytest.mark.parametrize(
        "rows",
        [
            [("b.png", "y"), ("a.png", "x")],
            [("a.png", "x"), ("b.png", "z")],
            [("a.png", "x"), ("c.png", "y")],
            [("a.png", "x")],
            [("a.png", "x"), ("b.png", "y"), ("b.png", "y")],
        ],
    )
    def test_it_changes_with_rows_captions_and_pictures(self, rows: list[tuple[str, ...]], tmp_path: Path) -> None:
        put(tmp_path, ["a.png", "b.png"])
        (tmp_path / "c.png").write_bytes(encoded(1))
        before = Table(path=write(tmp_path, [("a.png", "x"), ("b.png", "y")])).open().fingerprint
        assert Table(path=write(tmp_path, rows, name="other.csv")).open().fingerprint != before
        (tmp_path / "b.png").write_bytes(encoded(9))
        same = Table(path=write(tmp_path, [("a.png", "x"), ("b.png", "y")], name="again.csv"))
        assert same.open().fingerprint != before

    def test_it_changes_with_labels_classes_and_templates(self, tmp_path: Path) -> None:
        path = parquet(tmp_path / "t.parquet", {"image": [encoded(0), encoded(1)], "label": [0, 1], "other": [1, 0]})
        sources = [
            LabeledTable(path=path, classes=("a", "b")), LabeledTable(path=path, classes=("a", "c")),
            LabeledTable(path=path, classes=("a", "b"), templates=("the {c}",)),
            LabeledTable(path=path, classes=("a", "b"), label_key="other"),
        ]  # fmt: skip
        assert len({source.open().fingerprint for source in sources}) == 4
        assert sources[2].open().templates == ("the {c}",)


def test_an_opened_table_goes_to_another_process_without_its_rows(tmp_path: Path) -> None:
    columns = {"image": [encoded(k) for k in range(200)], "caption": [f"text {k}" for k in range(200)]}
    pairs = Table(path=parquet(tmp_path / "t.parquet", columns)).open()
    sent = pickle.dumps(pairs)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert (ids(again), captions(again)) == (ids(pairs), captions(pairs))
    assert np.array_equal(again.image(150), pairs.image(150))


def test_training_may_read_a_picture_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (400, 320), "red").save(path)
    pairs = Table(path=write(tmp_path, [("a.jpg", "red")])).open()
    assert pairs.image(0).shape == (320, 400, 3)
    assert 32 <= min(pairs.shrunk(0, 32).shape[:2]) < 320
