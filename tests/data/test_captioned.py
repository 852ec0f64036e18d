"""Captions from labels: a template an image, the same one every time, and said to be that."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pictures import encoded, parquet

from bezoar.data import (
    PAIRS_SOURCES,
    Captioned,
    LabeledFolder,
    LabeledTable,
    LabelPairs,
    Pairs,
    SceneClasses,
    Scenes,
)
from bezoar.data.captioned import NOTE


def labeled(folder: Path, count: int = 60) -> LabeledTable:
    columns = {"image": [encoded(k) for k in range(count)], "label": ["cat", "dog {c}"] * (count // 2)}
    return LabeledTable(path=parquet(folder / "t.parquet", columns))


def test_every_caption_is_a_template_with_the_name_of_the_class(tmp_path: Path) -> None:
    templates = ("a {c}.", "the {c}", "my {c}!")
    source = Captioned(of=labeled(tmp_path), templates=templates)
    pairs, classes = source.open(), labeled(tmp_path).open()
    assert isinstance(pairs, Pairs)
    found = [0, 0, 0]
    for index in range(len(pairs)):
        name = classes.classes[classes.label(index)]
        found[[template.replace("{c}", name) for template in templates].index(pairs.caption(index))] += 1
        assert pairs.id(index) == classes.id(index)
    assert min(found) > 10
    assert [pairs.caption(k) for k in range(60)] == [source.open().caption(k) for k in range(60)]
    assert (pairs.image(3) == classes.image(3)).all()
    assert source.notes() == (NOTE,)


def test_another_seed_draws_other_templates(tmp_path: Path) -> None:
    first, second = (Captioned(of=labeled(tmp_path), seed=seed).open() for seed in (0, 1))
    assert first.fingerprint != second.fingerprint
    assert [first.caption(k) for k in range(60)] != [second.caption(k) for k in range(60)]


def test_templates_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("just {}\n")
    pairs = Captioned(of=labeled(tmp_path), templates=str(tmp_path / "t.txt")).open()
    assert pairs.caption(0) == "just cat"
    assert pairs.caption(1) == "just dog {c}"


def test_skips_are_those_of_the_labeled_set(tmp_path: Path) -> None:
    columns = {"image": [encoded(0), b""], "label": ["cat", "dog"]}
    source = LabeledTable(path=parquet(tmp_path / "t.parquet", columns), max_skipped=0.5)
    assert Captioned(of=source).open().skips.count == 1
    assert Captioned(of=SceneClasses()).open().skips.count == 0


@pytest.mark.parametrize("templates", ["", ()])
def test_no_template_is_refused(templates: str | tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="templates: need at least one template"):
        Captioned(of=labeled(tmp_path), templates=templates).open()


class TestLabelPairs:
    def test_captions_are_the_names_of_the_classes(self, tmp_path: Path) -> None:
        source = LabelPairs(of=labeled(tmp_path))
        pairs = source.open()
        assert isinstance(pairs, Pairs)
        assert [pairs.caption(index) for index in range(60)] == ["cat", "dog {c}"] * 30
        assert source.notes() == ()

    def test_a_plan_made_for_one_spelling_fits_the_other(self, tmp_path: Path) -> None:
        spelled = Captioned(of=labeled(tmp_path), templates=("{c}",))
        assert LabelPairs(of=labeled(tmp_path)).open().fingerprint == spelled.open().fingerprint

    def test_a_word_is_what_it_is_on_the_command_line(self, tmp_path: Path) -> None:
        (tmp_path / "classes" / "cat").mkdir(parents=True)
        folder, table = str(tmp_path / "classes"), labeled(tmp_path).path
        assert PAIRS_SOURCES.parse_text(f"labels:{folder}") == LabelPairs(of=LabeledFolder(path=folder))
        assert PAIRS_SOURCES.parse_text(f"labels:{table}") == LabelPairs(of=LabeledTable(path=table))
        assert PAIRS_SOURCES.parse_text("labels:scenes:clean") == LabelPairs(of=SceneClasses(split="clean"))
        assert PAIRS_SOURCES.parse({"kind": "labels", "of": table}) == LabelPairs(of=LabeledTable(path=table))
        with pytest.raises(ValueError, match="kind: 'nothing' is not a labeled set"):
            PAIRS_SOURCES.parse_text("labels:nothing")

    def test_scenes_are_those_of_the_pairs_of_one_name(self) -> None:
        pairs, labels = (
            Scenes(split="clean", count=3).open(),
            LabelPairs(of=SceneClasses(split="clean", count=3)).open(),
        )
        assert all((pairs.image(k) == labels.image(k)).all() for k in range(3))
        assert all(pairs.id(k) == labels.id(k) for k in range(3))
        assert all(labels.caption(k) in pairs.caption(k) for k in range(3))
