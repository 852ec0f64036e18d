"""Labels as numbers, as text, as floats, as names: the same classes, or a refusal with row and choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.pictures import encoded, parquet, put

from bezoar.data import LabeledTable

CLASSES = ("cat", "dog", "eel")


def table(folder: Path, labels: list[Any] | pa.Array, **settings: Any) -> LabeledTable:
    columns: dict[str, Any] = {"image": [encoded(k) for k in range(len(labels))], "label": labels}
    if "beside" in settings:
        columns["label_name"] = settings.pop("beside")
    return LabeledTable(path=parquet(folder / "t.parquet", columns), **settings)


def found(source: LabeledTable) -> list[int]:
    labeled = source.open()
    return [labeled.label(index) for index in range(len(labeled))]


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1, 0],
        ["0", "2", "1", "0"],
        ["0.0", "2.0", "1.", "0.00"],
        [0.0, 2.0, 1.0, 0.0],
        ["cat", "eel", "dog", "cat"],
        [" cat", "eel ", "1", "+0"],
        pa.array([0, 2, 1, 0], pa.uint8()),
        pa.array(["cat", "eel", "dog", "cat"]).dictionary_encode(),
        pa.array([0, 2, 1, 0], pa.int8()).dictionary_encode(),
    ],
    ids=str,
)
def test_every_spelling_of_one_label(labels: Any, tmp_path: Path) -> None:
    assert found(table(tmp_path, labels, classes=CLASSES)) == [0, 2, 1, 0]


def test_the_order_of_classes_is_that_of_the_list(tmp_path: Path) -> None:
    labels = ["cat", "eel", "dog"]
    assert found(table(tmp_path, labels, classes=("eel", "dog", "cat"))) == [2, 0, 1]
    source = table(tmp_path, ["eel", "cat", "dog"])
    assert source.open().classes == ("cat", "dog", "eel")
    assert found(source) == [2, 0, 1]


def test_in_text_a_name_goes_before_a_number(tmp_path: Path) -> None:
    assert found(table(tmp_path, ["2", "0", "1"], classes=("0", "2", "1"))) == [1, 0, 2]
    assert found(table(tmp_path, [2, 0, 1], classes=("0", "2", "1"))) == [2, 0, 1]


def test_a_class_without_images_stays(tmp_path: Path) -> None:
    labeled = table(tmp_path, [0, 2], classes=CLASSES).open()
    assert (labeled.classes, [labeled.label(0), labeled.label(1)]) == (CLASSES, [0, 2])


def test_names_beside_the_numbers_are_the_classes(tmp_path: Path) -> None:
    source = table(tmp_path, [1, 0, 1], beside=["dog", "cat", "dog"])
    assert source.open().classes == ("cat", "dog")
    assert found(source) == [1, 0, 1]


@pytest.mark.parametrize("missing", [None, "", " ", "nan", "NaN"])
def test_rows_without_a_label_are_passed_over_and_counted(missing: str | None, tmp_path: Path) -> None:
    labeled = table(tmp_path, ["cat", missing, "dog"], classes=CLASSES, max_skipped=0.5).open()
    assert [labeled.id(0), labeled.id(1)] == ["00000001", "00000003"]
    assert labeled.skips.reasons == {"no label": 1}


def test_none_may_be_a_class(tmp_path: Path) -> None:
    assert table(tmp_path, ["none", "cat"]).open().classes == ("cat", "none")


def test_numbers_with_a_gap_of_pandas(tmp_path: Path) -> None:
    labeled = table(tmp_path, pa.array([1.0, float("nan"), None, 0.0]), classes=CLASSES, max_skipped=0.5).open()
    assert ([labeled.label(0), labeled.label(1)], labeled.skips.count) == ([1, 0], 2)


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (["cat", "dgo"], {"classes": CLASSES}, r"row 2: label: 'dgo' is not a class; did you mean 'dog'"),
        ([0, 3], {"classes": CLASSES}, r"row 2: label: 3 is not the number of a class \(0 to 2\)"),
        ([0, -1], {"classes": CLASSES}, r"row 2: label: -1 is not the number of a class"),
        (["0", "-1.0"], {"classes": CLASSES}, r"label: -1.0 is not the number of a class"),
        (["0", "2.5"], {"classes": CLASSES}, r"label: '2.5' is not a class"),
        ([0.5, 1.0], {"classes": CLASSES}, r"label_key: column 'label' of .* holds double, not text"),
        ([[0], [1]], {"classes": CLASSES}, r"label_key: column 'label' of .* holds list"),
        ([True, False], {"classes": CLASSES}, r"label_key: column 'label' of .* holds bool"),
        ([0, 1], {}, r"classes: the labels of .* say the class names .* as in {kind: table, path: .*, classes"),
        (["0", "1.0"], {}, r"classes: the labels of .* are numbers"),
        ([0, 2], {"beside": ["cat", "eel"]}, r"classes: no row of .* says how class 1 is called"),
        ([0, 0], {"beside": ["cat", "dog"]}, r"label 0 is called 'cat' and 'dog' in label_name"),
        (["cat", "dog"], {"classes": ("cat", "dog", "cat")}, r"row 1: label: 'cat' is the name of two classes"),
        ([0, 1], {"beside": ["cat", "dog"], "classes": ("dog", "cat")},
         r"row 1: label: 0 is called 'cat' in the table, and 'dog' among classes: they are in another order"),
        ([None, None], {}, r"no row of .* has a label"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(labels: Any, settings: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        table(tmp_path, labels, **settings).open()
    assert "\n" not in str(caught.value)


def test_two_classes_may_have_one_name_where_labels_are_numbers(tmp_path: Path) -> None:
    labeled = table(tmp_path, [0, 1, 2], beside=["missile", "dog", "missile"]).open()
    assert (labeled.classes, labeled.label(2)) == (("missile", "dog", "missile"), 2)


def test_other_names_for_the_same_classes_are_no_fault(tmp_path: Path) -> None:
    assert found(table(tmp_path, [0, 1], beside=["tabby cat", None], classes=CLASSES)) == [0, 1]


def test_the_layout_of_cleanclip(tmp_path: Path) -> None:
    """``labels.csv`` as pandas writes it, index and all, with the paths of another machine."""
    put(tmp_path, ["images/0.png", "images/1.png", "images/2.png"])
    rows = "".join(f"{k},/data/val/images/{k}.png,{label}\n" for k, label in enumerate((2, 0, 2)))
    (tmp_path / "labels.csv").write_text(",image,label\n" + rows)
    (tmp_path / "classes.json").write_text('["cat", "dog", "eel"]')
    labeled = LabeledTable(path=str(tmp_path / "labels.csv"), classes=str(tmp_path / "classes.json")).open()
    assert [labeled.label(k) for k in range(3)] == [2, 0, 2]
    assert [labeled.image(k).shape for k in range(3)] == [(7, 9, 3)] * 3
    assert not np.array_equal(labeled.image(0), labeled.image(2))
