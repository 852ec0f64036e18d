"""Class names and templates from lists, files and libraries; code is refused and never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bezoar.data.class_names import CLASS_LISTS, classes_of, twins, wordings_of


@pytest.mark.parametrize(
    "content",
    [
        ["cat", "dog"],
        {"0": "cat", "1": "dog"},
        {"1": "dog", "0": "cat"},
        {"classes": ["cat", "dog"], "templates": ["a {}"]},
        {"classes": {"0": "cat", "1": "dog"}},
        [{"name": "cat", "index": 0}, {"name": "dog"}],
        [{"wnid": "n1", "class_name": "cat"}, {"wnid": "n2", "class_name": "dog"}],
    ],
    ids=str,
)
def test_json_in_every_layout(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    assert classes_of(str(path)) == ("cat", "dog")


def test_many_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({str(k): f"class {k}" for k in range(12)}))
    assert classes_of(str(tmp_path / "c.json")) == tuple(f"class {k}" for k in range(12))


def test_text_has_a_name_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.txt").write_bytes("\ufeffcat\r\n\n  Käfer \n".encode())
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert classes_of("$SOME_DATA/c.txt") == ("cat", "Käfer")


def test_a_list_stays_and_nothing_is_nothing() -> None:
    assert classes_of(("b", "a")) == ("b", "a")
    assert classes_of("") == wordings_of("") == ()


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_lists_of_libraries(name: str) -> None:
    found = classes_of(name)
    counts = {"imagenet": 1000, "imagenet_torchvision": 1000, "coco": 91, "voc": 21, "kinetics400": 400}
    assert len(found) == counts.get(name, 10)
    assert all(one.strip() for one in found)


def test_names_that_stand_twice() -> None:
    assert twins(("a", "b", "a", "c", "c", "a")) == ["a", "c"]
    assert twins(classes_of("imagenet")) == ["missile", "sunglasses"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "classes.py",
            "import os; os.abort()",
            "classes: .*classes.py is code, which is never run; write its names as JSON",
        ),
        ("c.json", "[1, 2]", "must hold a list of names"),
        ("c.json", "[]", "classes: the list is empty"),
        ("c.json", '["a", " "]', "classes.1: the name is empty"),
        ("c.json", '{"0": "a", "2": "b"}', "must number its names from 0 without gaps"),
        ("c.json", '{"cat": 0, "dog": 1}', "must number its names from 0"),
        ("c.json", '[{"x": "a"}]', "must hold a list of names, or of objects with 'name'"),
        ("c.json", '["a", ["b"]]', "must hold a list of names"),
        ("c.json", "{torn", "c.json: cannot be read"),
        ("c.json", "3", "must hold a list of names"),
        ("c.txt", b"caf\xe9", "classes: .*c.txt cannot be read: .*utf-8"),
        ("c.csv", "a,b", "is no .json or .txt file and no list by name"),
    ],
)
def test_what_cannot_be_class_names(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        classes_of(str(tmp_path / name))


def test_a_missing_file_and_a_wrong_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.json: cannot be read"):
        classes_of(str(tmp_path / "nowhere.json"))
    with pytest.raises(
        ValueError, match=r"'imagnet' is no .json or .txt file and no list by name; did you mean 'imagenet'"
    ):
        classes_of("imagnet")
    with pytest.raises(ValueError, match="classes: the list is empty"):
        classes_of(())


class TestTemplates:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.json", '["a {}", "the {c}"]'),
            ("t.json", '{"classes": ["x"], "templates": ["a {}", "the {c}"]}'),
            ("t.txt", "a {}\n\nthe {c}\n"),
        ],
    )
    def test_files(self, name: str, content: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(content)
        assert wordings_of(str(tmp_path / name)) == ("a {c}", "the {c}")

    def test_names_lists_and_one(self) -> None:
        assert (len(wordings_of("openai")), len(wordings_of("simple"))) == (80, 7)
        assert wordings_of(("a {c}",)) == wordings_of("a {c}") == ("a {c}",)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.py", "x", "templates: .*t.py is code, which is never run"),
            ("t.json", '["a photo"]', r"templates.0: must hold \{c\} exactly once, got 'a photo'"),
            ("t.json", '["{} and {}"]', r"templates.0: must hold \{c\} exactly once"),
            ("t.json", "[3]", r"must hold a list of sentences with \{c\}"),
            ("t.json", "[]", "templates: need at least one template"),
        ],
    )
    def test_what_cannot_be(self, name: str, content: str, message: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            wordings_of(str(tmp_path / name))

    def test_a_wrong_name(self) -> None:
        with pytest.raises(ValueError, match=r"templates: 'opnai' is no .json or .txt file .* did you mean 'openai'"):
            wordings_of("opnai")
