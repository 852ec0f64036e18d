"""Labels by another model: those that evaluation would give, once a picture, resumable, and said what they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tests import tiny
from tests.pictures import encoded, parquet

from bezoar.core.progress import Event
from bezoar.data import Captioned, SceneClasses, Scenes, Table
from bezoar.data.images import Exact
from bezoar.data.label_file import facts_of, read
from bezoar.data.prepared import Prepared
from bezoar.evaluation import ZeroShot
from bezoar.experiment import labeling
from bezoar.experiment.labeling import label
from bezoar.experiment.verbs import evaluate
from bezoar.models.checkpoint import save
from bezoar.models.opening import place


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    save(tiny.clip(), folder)
    return folder


SET = SceneClasses(count=70)
PAIRS = Captioned(of=SET)


def test_labels_are_what_evaluation_takes_the_pictures_for(teacher: Path, tmp_path: Path) -> None:
    found = label(PAIRS, model=teacher, classes=SET, out=tmp_path / "l.parquet")
    evaluate(model=teacher, data=SET, evaluators=[ZeroShot()], scores=tmp_path / "scores")
    (scores,) = (tmp_path / "scores").glob("*.parquet")
    rows, classes = pq.read_table(scores).to_pylist(), SET.open().classes
    written = {row["id"]: row for row in pq.read_table(tmp_path / "l.parquet").to_pylist()}
    assert {row["id"]: classes[row["predicted"]] for row in rows} == {one: row["label"] for one, row in written.items()}
    assert (found.images, found.classes, sum(found.counts.values())) == (70, 32, 70)
    assert found.probability == pytest.approx(sum(row["probability"] for row in written.values()) / 70)


def test_the_probability_is_that_of_the_softmax_with_the_models_own_scale(teacher: Path, tmp_path: Path) -> None:
    names = ("cat", "dog", "owl")
    label(Scenes(count=5), model=teacher, classes=names, templates=("a {c}",), out=tmp_path / "l.parquet")
    model, pairs = tiny.clip().eval(), Scenes(count=5).open()
    pictures = Prepared(Exact(pairs), model.frame)
    with torch.no_grad():
        head = model.encode_captions([f"a {name}" for name in names])
        for index, row in enumerate(pq.read_table(tmp_path / "l.parquet").to_pylist()):
            expected = (model.scale * model.encode_image(pictures[index][None]) @ head.T).softmax(1)[0]
            assert row["id"] == pairs.id(index)
            assert row["label"] == names[int(expected.argmax())]
            assert row["probability"] == pytest.approx(float(expected.max()), abs=2e-3)  # computed in bf16


def test_the_file_says_what_it_is_of(teacher: Path, tmp_path: Path) -> None:
    label(PAIRS, model=teacher, classes=SET, out=tmp_path / "l.parquet")
    facts = facts_of(tmp_path / "l.parquet")
    assert facts["source"] == PAIRS.open().fingerprint
    assert facts["model"] == {"name": str(teacher), "weights": place(str(teacher)).lineage()[-1].weights}
    assert tuple(facts["classes"]) == SET.open().classes
    assert tuple(facts["templates"]) == SET.open().templates
    assert facts["scale"] == pytest.approx(float(tiny.clip().scale.detach()))
    found = read(str(tmp_path / "l.parquet"))
    assert found.of(PAIRS.open()).shape == (70,)


def test_an_interrupted_work_goes_on_and_ends_with_the_same_file(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeling, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(labeling, "_STACK", 16)
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    label(PAIRS, model=teacher, classes=SET, out=whole)
    heard: list[Event] = []

    def stop(event: Event) -> None:
        heard.append(event)
        if event.done == 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(PAIRS, model=teacher, classes=SET, out=broken, listen=stop)
    assert not broken.exists()
    heard.clear()
    label(PAIRS, model=teacher, classes=SET, out=broken, listen=heard.append, workers=1)
    assert [(event.done, event.total, event.unit) for event in heard] == [
        (48, 70, "images"), (64, 70, "images"), (70, 70, "images")
    ]  # fmt: skip
    assert pq.read_table(broken).equals(pq.read_table(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.parquet", "whole.parquet"]


def test_notes_of_other_work_are_not_taken_up(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeling, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(labeling, "_STACK", 16)

    def stop(event: Event) -> None:
        if event.done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(PAIRS, model=teacher, classes=SET, out=tmp_path / "l.parquet", listen=stop)
    heard: list[Event] = []
    label(PAIRS, model=teacher, classes=("x", "y"), out=tmp_path / "l.parquet", listen=heard.append)
    assert heard[0].done == 16


def test_done_is_done_and_other_labels_are_left_alone(teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "l.parquet"
    first = label(PAIRS, model=teacher, classes=SET, out=out)
    before = out.read_bytes()
    heard: list[Event] = []
    assert label(PAIRS, model=teacher, classes=SET, out=out, listen=heard.append) == first
    assert not heard
    with pytest.raises(ValueError, match=r"out: .*l.parquet holds other labels, or something else; name another file"):
        label(PAIRS, model=teacher, classes=("x", "y"), out=out)
    assert out.read_bytes() == before


def test_a_picture_of_several_pairs_is_looked_at_once(teacher: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    columns = {"image": [encoded(k) for k in range(3)], "captions": [["a", "b"], ["c"], ["d", "e", "f"]]}
    pairs = Table(path=parquet(tmp_path / "t.parquet", columns))
    found = label(pairs, model=teacher, classes=("x", "y"), out=tmp_path / "l.parquet", listen=heard.append)
    assert found.images == 6
    assert heard[-1].total == 3
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "l.parquet").to_pylist()
    assert [row["id"] for row in rows] == [pairs.open().id(index) for index in range(6)]
    assert [rows[0][name] for name in ("label", "probability")] == [rows[1][name] for name in ("label", "probability")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model": "micro-cnn-32"},
            "model: micro-cnn-32 is an architecture with random weights, which knows no cl",
        ),
        ({"out": "l.csv"}, "out: must be a .parquet file, got l.csv"),
        ({"classes": ("x",)}, r"classes: two are needed at least, got \['x'\]"),
        ({"classes": ("x", "y"), "templates": "own"}, "templates: there are none of its own"),
        (
            {"classes": "imagnet"},
            "classes: 'imagnet' is no .json or .txt file and no list by name; did you mean 'im",
        ),
        ({"templates": ("a",)}, r"templates.0: must hold \{c\} exactly once"),
    ],
)
def test_mistakes(changes: dict[str, Any], said: str, teacher: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": teacher, "classes": SET, "out": tmp_path / "l.parquet"} | changes
    with pytest.raises(ValueError, match=said) as caught:
        label(PAIRS, **given)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
