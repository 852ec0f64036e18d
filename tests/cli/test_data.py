"""``bezoar data``, as a newcomer uses it: on good sources, wrong ones, and the columns of several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests import tiny
from tests.cli.conftest import Bezoar
from tests.pictures import encoded, parquet, put

from bezoar.cli.data import Keys
from bezoar.core.machine import cache_folder
from bezoar.data import Captioned, LabeledTable, PairsPart, Scenes, Table
from bezoar.models.checkpoint import save


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEZOAR_CACHE", str(tmp_path / "cache"))


def table(folder: Path) -> str:
    columns = {
        "picture": [encoded(k) for k in range(3)] + [b""], "said": ["a cat", "two cats sit", "a dog", "x"],
        "animal": ["cat", "cat", "dog", "dog"],
    }  # fmt: skip
    return parquet(folder / "t.parquet", columns)


PAIRS = ("--image-key", "picture", "--caption-key", "said")


def test_inspect_pairs(tmp_path: Path, bezoar: Bezoar) -> None:
    source = f"{{kind: table, path: {table(tmp_path)}, max_skipped: 0.3}}"
    found = bezoar("data", "inspect", source, *PAIRS, "--sheet", tmp_path / "sheet.png")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[0].startswith("holds       3 pairs, fingerprint ")
    assert lines[1] == "passed over 1 of 4 rows: 1 not an image: zero bytes"
    assert lines[2].startswith("            listed in ")
    assert (
        Path(lines[2].partition("listed in ")[2]).read_text()
        == "row,name,reason\n4,00000004,not an image: zero bytes\n"
    )
    assert lines[3:5] == ["pictures    9 px wide, 7 px high (3 looked at)", "captions    2 to 3 (median 2) words"]
    assert lines[5:8] == [
        f"            0000000{k}: {text!r}" for k, text in ((1, "a cat"), (2, "two cats sit"), (3, "a dog"))
    ]
    assert lines[8:] == [f"sheet       {tmp_path}/sheet.png"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_inspect_a_labeled_set(tmp_path: Path, bezoar: Bezoar) -> None:
    path = parquet(tmp_path / "t.parquet", {"image": [encoded(k) for k in range(3)], "label": [0, 2, 0]})
    source = f"{{kind: table, path: {path}, classes: [cat, dog, cat]}}"
    lines = bezoar("data", "inspect", source, "--labeled").out.splitlines()
    assert lines[0].startswith("holds       3 labeled images, fingerprint ")
    assert lines[1:6] == [
        "passed over none of 3 rows", "pictures    9 px wide, 7 px high (3 looked at)",
        "classes     3, of 0 to 2 (median 1) images each", "            without an image: dog",
        "            one name for two, which zero-shot cannot tell apart: cat",
    ]  # fmt: skip


def test_inspect_as_json(tmp_path: Path, bezoar: Bezoar) -> None:
    found = bezoar("data", "inspect", "{kind: scenes, count: 40}", "--json")
    told = json.loads(found.out)
    assert (found.code, told["count"], told["skips"], told["classes"]) == (
        0,
        40,
        {"rows": 40, "reasons": {}, "listed": None},
        None,
    )
    found = bezoar("data", "inspect", "scenes:test", "--labeled", "--json")
    assert sum(count for _, count in json.loads(found.out)["classes"]) == json.loads(found.out)["count"]


def test_notes_are_shown(bezoar: Bezoar) -> None:
    found = bezoar("data", "inspect", "{kind: part, stop: 9, of: {kind: captioned, of: {kind: scenes}}}")
    assert "note        The captions are templates filled with class names" in found.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.csv",), "bezoar: path: nowhere.csv does not exist"),
        (("no/where",), "bezoar: path: no/where cannot be read: No such file"),
        (("tabel",), "bezoar: kind: 'tabel' is not a source of pairs; did you mean 'table'?"),
        (("scenes:trian",), "split: Input should be 'train' or 'clean', got 'trian'"),
        (("scenes:train", "--caption-key", "x"), "bezoar: caption-key: no source here takes it: Scenes takes none"),
        (("t.csv", "--label-key", "x"), "label-key: no source here takes it: Table takes image-key and caption-key"),
        (("t.csv",), "it has labels, in 'label': to read it as a labeled set, say --labeled"),
        (
            ("t.csv", "--labeled", "--label-key", "lable"),
            "label_key: t.csv has no column 'lable'; did you mean 'label'?",
        ),
        (("scenes:train", "--sheet", "x.jpg"), "sheet: must be a .png file"),
        (("$BEZOAR_UNSET/t.csv",), "$BEZOAR_UNSET is not set in the environment"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bezoar: Bezoar
) -> None:
    (tmp_path / "t.csv").write_text("image,label\na.png,cat\n")
    monkeypatch.chdir(tmp_path)
    found = bezoar("data", "inspect", *words)
    assert (found.code, found.out) == (2, "")
    assert message in found.err
    assert found.err.count("\n") == 1


def test_a_sheet_of_another_kind_is_refused_before_the_source_is_read(tmp_path: Path, bezoar: Bezoar) -> None:
    put(tmp_path, ["a.png"])
    (tmp_path / "t.csv").write_text("image,caption\na.png,x\n")
    assert bezoar("data", "inspect", tmp_path / "t.csv", "--sheet", "x.jpg").code == 2
    assert not (cache_folder() / "sources").exists()


class TestKeys:
    def test_they_name_columns_of_tables(self) -> None:
        keys = Keys(image_key="i", caption_key="c", label_key="l")
        assert keys.of(Table(path="x")) == Table(path="x", image_key="i", caption_key="c")
        assert keys.of(LabeledTable(path="x")) == LabeledTable(path="x", image_key="i", label_key="l")
        assert keys.of(Scenes()) == Scenes()
        assert Keys().of(Table(path="x", image_key="j")) == Table(path="x", image_key="j")

    def test_also_of_tables_that_others_are_made_of(self) -> None:
        keys = Keys(label_key="l")
        wrapped = PairsPart(of=Captioned(of=LabeledTable(path="x")), stop=3)
        assert keys.of(wrapped) == PairsPart(of=Captioned(of=LabeledTable(path="x", label_key="l")), stop=3)
        keys.refuse_idle(wrapped)

    def test_what_a_source_names_itself_stays(self) -> None:
        assert Keys(image_key="i").of(Table(path="x", image_key="own")).image_key == "own"

    def test_one_that_no_source_takes_is_refused(self) -> None:
        keys = Keys(label_key="l")
        keys.refuse_idle(Table(path="x"), LabeledTable(path="y"))
        keys.refuse_idle(None, LabeledTable(path="y"))
        with pytest.raises(
            ValueError,
            match="label-key: no source here takes it: Table takes image-key and caption-key; Scenes takes none",
        ):
            keys.refuse_idle(Table(path="x"), None, Scenes())
        Keys().refuse_idle(Scenes())


class TestOtherVerbs:
    """The flags, on every verb that reads sources."""

    def test_poison(self, tmp_path: Path, bezoar: Bezoar) -> None:
        source = f"{{kind: table, path: {table(tmp_path)}, max_skipped: 0.3}}"
        words = (
            "poison",
            "backdoor",
            "--target",
            "frog",
            "--count",
            "1",
            "--pairs",
            source,
            "--out",
            tmp_path / "p",
            "--dry-run",
        )
        found = bezoar(*words, *PAIRS)
        assert found.code == 0, found.err
        assert found.out.startswith("1 of 3 pairs poisoned")
        assert "image_key: " in bezoar(*words).err
        found = bezoar(*words, *PAIRS, "--label-key", "x")
        assert (found.code, found.err) == (
            2,
            "bezoar: label-key: no source here takes it: Table takes image-key and caption-key\n",
        )

    @pytest.mark.parametrize(
        "words",
        [
            ("train", "clip", "--model", "micro-cnn-32", "--pairs", "scenes:train", "--out", "never"),
            (
                "clean",
                "finetune",
                "--model",
                "micro-cnn-32",
                "--pairs",
                "scenes:clean",
                "--val",
                "scenes:validation",
                "--out",
                "never",
            ),
            ("evaluate", "--model", "micro-cnn-32", "--data", "scenes:test"),
        ],
    )
    def test_a_flag_without_use_is_refused_first(
        self, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bezoar: Bezoar
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = bezoar(*words, "--image-key", "x")
        assert found.code == 2
        assert found.err.startswith("bezoar: image-key: no source here takes it: Scene")
        assert not (tmp_path / "never").exists()

    def test_evaluate(self, tmp_path: Path, bezoar: Bezoar) -> None:
        source = f"{{kind: table, path: {table(tmp_path)}, max_skipped: 0.3}}"
        found = bezoar(
            "evaluate", "--model", "micro-cnn-32", "--data", source, "--image-key", "picture", "--label-key", "animal",
            "--templates", "plain", "--json",
        )  # fmt: skip
        assert found.code == 0, found.err
        assert [measure["n"] for measure in json.loads(found.out)["measures"]] == [3]


class TestCache:
    def test_what_is_kept_and_deleting_it(self, tmp_path: Path, bezoar: Bezoar) -> None:
        assert bezoar("data", "cache").out == f"       0.0 MB   in {cache_folder()}/sources\n"
        put(tmp_path, ["a.png"])
        (tmp_path / "my t.csv").write_text("image,caption\na.png,x\n")
        bezoar("data", "inspect", tmp_path / "my t.csv")
        (tmp_path / "bad.csv").write_text("image,caption\nb.png,x\n")
        assert bezoar("data", "inspect", tmp_path / "bad.csv").code == 2
        lines = bezoar("data", "cache").out.splitlines()
        assert [line.split("   ")[-1][:5] for line in lines[:-1]] == ["not r", "my_t-"]
        found = bezoar("data", "cache", "--clear")
        assert found.out.endswith("deleted\n")
        assert not (cache_folder() / "sources").exists()
        assert bezoar("data", "inspect", tmp_path / "my t.csv").code == 0


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    save(tiny.clip(), folder)
    return folder


class TestLabel:
    """``bezoar data label``."""

    def test_it_labels_and_says_what(self, teacher: Path, tmp_path: Path, bezoar: Bezoar) -> None:
        (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
        words = ("data", "label", "{kind: scenes, count: 12}", "--model", teacher, "--classes", tmp_path / "names.txt")
        found = bezoar(*words, "--templates", "plain", "--out", tmp_path / "l.parquet")
        assert found.code == 0, found.err
        lines = found.out.splitlines()
        assert lines[0].startswith("labeled     12 images, as ")
        assert lines[0].endswith(" of 3 classes")
        assert lines[-1] == f"written to  {tmp_path / 'l.parquet'}"
        assert "label: 12/12 images" in found.err
        again = bezoar(*words, "--templates", "plain", "--out", tmp_path / "l.parquet", "--json")
        told = json.loads(again.out)
        assert (told["images"], told["classes"], sum(told["counts"].values())) == (12, 3, 12)

    def test_its_columns_and_the_classes_of_a_set(self, teacher: Path, tmp_path: Path, bezoar: Bezoar) -> None:
        source = f"{{kind: table, path: {table(tmp_path)}, max_skipped: 0.3}}"
        words = ("--model", teacher, "--classes", "scenes:test", "--templates", "own", "--out", tmp_path / "l.parquet")
        found = bezoar("data", "label", source, *PAIRS, *words)
        assert found.code == 0, found.err
        assert found.out.startswith("labeled     3 images, as ")

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("imagnet", "classes: 'imagnet' is no .json or .txt file and no list by name; did you mean 'imagenet'"),
            ("no.txt", "classes: no.txt cannot be read"),
            ("scene:test", "classes: 'scene:test' is no .json or .txt file"),
        ],
    )
    def test_classes_that_are_none(self, word: str, said: str, teacher: Path, tmp_path: Path, bezoar: Bezoar) -> None:
        words = ("--model", teacher, "--classes", word, "--out", tmp_path / "l.parquet")
        found = bezoar("data", "label", "{kind: scenes, count: 12}", *words)
        assert found.code == 2
        assert found.err.splitlines()[-1].startswith(f"bezoar: {said}")
