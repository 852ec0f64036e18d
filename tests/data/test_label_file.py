"""Files of labels: joined by id in any order, in any format, and every fault in one line with its count."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bezoar.data import Scenes
from bezoar.data.label_file import FACTS, facts_of, file_of, read, write

PAIRS = Scenes(count=9).open()
IDS = [PAIRS.id(index) for index in range(9)]
NAMES = ["cat", "dog", "owl"]
WANTED = [NAMES[index % 3] for index in range(9)]


def written(path: Path, order: list[int], **facts: Any) -> Path:
    write(path, [IDS[i] for i in order], [WANTED[i] for i in order], [0.5] * len(order), facts)
    return path


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    path.write_text("id,label\n" + "".join(f"{one},{other}\n" for one, other in rows))
    return str(path)


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_found_by_id_in_whatever_order_they_stand(seed: int, tmp_path: Path) -> None:
    order = list(range(9))
    random.Random(seed).shuffle(order)
    found = read(str(written(tmp_path / "l.parquet", order, classes=["owl", "dog", "cat"], source="abc")))
    assert found.classes == ("owl", "dog", "cat")
    assert found.source == "abc"
    assert [found.classes[number] for number in found.of(PAIRS)] == WANTED
    fewer = Scenes(count=4).open()
    assert [found.classes[number] for number in found.of(fewer)] == WANTED[:4]


@pytest.mark.parametrize("form", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_of_others(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"l{form}"
    rows = list(zip(IDS, WANTED, strict=True))[::-1]
    if form == ".parquet":
        pq.write_table(pa.table({"label": [b for _, b in rows], "id": [a for a, _ in rows]}), path)
    elif form == ".jsonl":
        path.write_text("".join(json.dumps({"label": b, "id": a}) + "\n" for a, b in rows))
    else:
        comma = "\t" if form == ".tsv" else ","
        path.write_text(f"label{comma}id\n" + "".join(f"{b}{comma}{a}\n" for a, b in rows))
    found = read(str(path))
    assert found.classes == ("cat", "dog", "owl")
    assert found.source == ""
    assert [found.classes[number] for number in found.of(PAIRS)] == WANTED


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    class Numbered:
        fingerprint = ""

        def __len__(self) -> int:
            return 3

        def id(self, index: int) -> str:
            return str(index)

        def image(self, index: int) -> Any: ...

    pq.write_table(pa.table({"id": [2, 0, 1], "label": ["x", "y", "x"]}), tmp_path / "l.parquet")
    assert read(str(tmp_path / "l.parquet")).of(Numbered()).tolist() == [1, 0, 0]


def test_other_classes_may_be_named(tmp_path: Path) -> None:
    path = str(written(tmp_path / "l.parquet", list(range(9)), classes=NAMES))
    assert read(path, ("dog", "owl", "cat", "dog", "bat")).classes == ("dog", "owl", "cat", "bat")


def test_missing_ids_are_counted(tmp_path: Path) -> None:
    found = read(table(tmp_path / "l.csv", list(zip(IDS, WANTED, strict=True))[:6]))
    with pytest.raises(
        ValueError, match=f"labels: .*l.csv has none for 3 of the 9 pairs, as for '{IDS[6]}'; label thes"
    ):
        found.of(PAIRS)


@pytest.mark.parametrize(
    ("rows", "classes", "said"),
    [
        (
            [("1", "cat"), ("2", "dgo"), ("3", "dgo")],
            ("cat", "dog"),
            "2 of 3 are outside the 2 classes, as 'dgo' of '2'",
        ),
        ([("1", "cat"), ("2", "dog"), ("1", "owl")], (), "id '1' stands twice"),
        ([("1", "cat"), ("2", "cat")], (), r"two classes are needed at least, there is \['cat'\]"),
        ([], (), r"two classes are needed at least, there is \[\]"),
    ],
)
def test_faults_are_one_line(rows: list[tuple[str, str]], classes: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(table(tmp_path / "l.csv", rows), classes)
    assert str(caught.value).startswith("labels: ")
    assert "\n" not in str(caught.value)


def test_labels_outside_the_list_of_the_file_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "l.parquet", list(range(9)), classes=["cat", "dog"])
    with pytest.raises(ValueError, match=f"3 of 9 are outside the 2 classes, as 'owl' of '{IDS[2]}'"):
        read(str(path))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: .*l.csv does not exist"):
        file_of(str(tmp_path / "l.csv"))
    (tmp_path / "l.png").write_text("")
    with pytest.raises(ValueError, match=r"labels: .*l.png is not a table"):
        file_of(str(tmp_path / "l.png"))
    for name in "ab":
        table(tmp_path / f"{name}.csv", [])
    with pytest.raises(ValueError, match="are 2 files; name one"):
        file_of(str(tmp_path / "*.csv"))
    (tmp_path / "c.csv").write_text("ids,label\n1,x\n")
    with pytest.raises(ValueError, match=r"labels: .*c.csv has no column 'id'; did you mean 'ids'"):
        read(str(tmp_path / "c.csv"))
    broken = pa.table({"id": ["1"], "label": ["x"]}).replace_schema_metadata({FACTS: b"{"})
    pq.write_table(broken, tmp_path / "d.parquet")
    with pytest.raises(ValueError, match=r"labels: .*what it says of itself is damaged"):
        read(str(tmp_path / "d.parquet"))
    (tmp_path / "e.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="labels: "):
        read(str(tmp_path / "e.parquet"))
    with pytest.raises(ValueError, match=r"e\.parquet: cannot be read as Parquet: "):
        facts_of(tmp_path / "e.parquet")


def test_an_empty_cell_is_no_class_and_no_id(tmp_path: Path) -> None:
    rows = [("a", "cat"), ("b", ""), ("c", "dog")]
    with pytest.raises(ValueError, match=r"1 of 3 are outside the 2 classes, as '' of 'b'"):
        read(table(tmp_path / "l.csv", rows))
    nobody = pa.table({"id": pa.array(["a", None], pa.string()), "label": ["cat", "dog"]})
    pq.write_table(nobody, tmp_path / "n.parquet")
    with pytest.raises(ValueError, match=r"labels: .*n\.parquet: row 2 has no id"):
        read(str(tmp_path / "n.parquet"))


def test_a_file_says_what_it_was_made_of(tmp_path: Path) -> None:
    path = written(tmp_path / "l.parquet", [0, 1], classes=NAMES, source="abc", scale=4.5)
    assert facts_of(path) == {"classes": NAMES, "source": "abc", "scale": 4.5}
    assert pq.read_table(path).column_names == ["id", "label", "probability"]
