"""``bezoar poison`` from end to end: a plan, its sheet, a poisoned copy that bezoar reads back; and what it refuses."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.cli.conftest import Bezoar
from tests.pictures import encoded
from torch import Tensor

from bezoar.attacks.applied import Applied
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.plan_files import load_plan
from bezoar.core.frame import Frame
from bezoar.core.records import read_lines
from bezoar.data.families import LABELED_SOURCES, PAIRS_SOURCES
from bezoar.data.images import fit, load, to_tensor
from bezoar.data.pairs import LabeledSet, Pairs
from bezoar.data.prepared import Prepared

SIZE = 32
WORDS = ("mushroom", "rocket", "dog", "cat")
TRIGGER = "{kind: patch, size: 8, reference: 32}"
BRIEF = ("--steps", 1, "--batch-size", 8, "--warmup-steps", 0, "--threads", 1, "--model", "micro-cnn-32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 48 pairs, and one of 12 held-out pictures with their classes."""
    folder = tmp_path_factory.mktemp("poison")
    write(folder / "pairs.csv", "caption", [f"a {WORDS[n % 4]} of kind {n}" for n in range(48)])
    write(folder / "held.csv", "label", [WORDS[n % 4] for n in range(12)], first=100)
    return folder


def write(path: Path, key: str, texts: list[str], first: int = 0) -> None:
    """A table of PNG files beside it, each another."""
    folder = path.with_suffix("")
    folder.mkdir()
    rows = [f"image,{key}"]
    for number, text in enumerate(texts):
        (folder / f"{number}.png").write_bytes(encoded(first + number, size=(40, 36)))
        rows.append(f"{folder.name}/{number}.png,{text}")
    path.write_text("\n".join(rows) + "\n")


def attacks(home: Path) -> dict[str, tuple[object, ...]]:
    """Every attack on pairs, as it is typed."""
    backdoor = ("backdoor", "--target", "mushroom", "--count", 6, "--trigger", TRIGGER)
    square = "{kind: backdoor, target: mushroom, count: 4, trigger: {kind: patch, size: 8, reference: 32}}"
    sine = "{kind: backdoor, target: dog, count: 4, trigger: sinusoidal}"
    return {
        "backdoor": backdoor,
        "appended": (*backdoor, "--mode", "append"),
        "on files": (*backdoor, "--stage", "file"),
        "fewer pairs": (*backdoor, "--size", 40),
        "targeted": (
            "targeted", "--images", home / "held.csv", "--targets", "mushroom", "rocket", "--captions-per-image", 3,
        ),
        "dual_key": ("dual_key", "--target", "mushroom", "--count", 4, "--trigger", TRIGGER),
        "label_consistent": ("label_consistent", "--target", "mushroom", "--count", 4, "--trigger", TRIGGER),
        "caption_backdoor": ("caption_backdoor", "--target", "mushroom", "--count", 4),
        "several": ("several", "--attacks", f"[{square}, {sine}]"),
    }  # fmt: skip


class Sample(NamedTuple):
    """A pair as a copy holds it."""

    caption: str
    picture: Tensor


def samples(copy: Path, form: str) -> dict[str, Sample]:
    """What a copy holds by the ids in it, read as bezoar reads it; tars, which it does not, by the standard library."""
    if form == "webdataset":
        return dict(in_tars(copy))
    path = copy / "pairs.csv" if form == "csv" else copy
    pairs = PAIRS_SOURCES.parse({"kind": "table", "path": str(path), "id_key": "id"}).open()
    return {pairs.id(index): Sample(pairs.caption(index), to_tensor(pairs.image(index))) for index in range(len(pairs))}


def in_tars(copy: Path) -> Iterator[tuple[str, Sample]]:
    for path in sorted(copy.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}
        for name in sorted({Path(file).stem for file in files}):
            assert json.loads(files[f"{name}.json"]) == {"id": name}
            pixels = np.array(Image.open(io.BytesIO(files[f"{name}.png"])))
            yield name, Sample(files[f"{name}.txt"].decode(), to_tensor(pixels))


def on_the_fly(pairs: Pairs, plan: PoisonPlan) -> dict[str, Sample]:
    """What training sees of the pairs under the plan, by the plan's ids."""
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(SIZE))
    return {
        applied.id(index): Sample(applied.caption(index), applied.picture(index, prepared))
        for index in range(len(applied))
    }


def same(copied: Mapping[str, Sample], ids: Mapping[str, str], expected: Mapping[str, Sample]) -> None:
    """Every pair of the copy is the pair on the fly, byte for byte."""
    assert copied.keys() == ids.keys()
    assert sorted(ids.values()) == sorted(expected)
    for name, found in copied.items():
        wanted = expected[ids[name]]
        assert found.caption == wanted.caption
        assert torch.equal(fit(found.picture, Frame(SIZE)), wanted.picture)


FORMS = ("csv", "parquet", "webdataset")
CASES = [
    *(("backdoor", form) for form in FORMS),
    *(
        (name, FORMS[number % 2])
        for number, name in enumerate(
            ("appended", "on files", "fewer pairs", "targeted", "dual_key", "label_consistent", "caption_backdoor",
             "several")
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_copy_holds_what_training_would_see(name: str, form: str, bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    out, copy = tmp_path / "poison", tmp_path / "copy"
    said = bezoar(
        "poison", *attacks(home)[name], "--pairs", home / "pairs.csv", "--image-size", SIZE, "--out", out, "--preview",
        "--materialize", form, "--copy", copy, "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    told = json.loads(said.out)
    plan = load_plan(out)
    assert (told["digest"], told["count"], told["total"]) == (plan.digest, len(plan.rows), plan.length)
    assert (told["out"], told["copy"]) == (str(out), str(copy))
    assert sum(told["roles"].values()) == len(plan.rows)
    with Image.open(out / "preview.png") as sheet:
        assert min(sheet.size) > SIZE
    ids = {row["copy"]: row["id"] for row in pq.read_table(out / "copy-ids.parquet").to_pylist()}
    assert len(ids) == plan.length
    expected = on_the_fly(PAIRS_SOURCES.parse_text(str(home / "pairs.csv")).open(), plan)
    same(samples(copy, form), ids, expected)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_copy_is_inspected_and_trained_on(form: str, bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    """The copy and the plan on the fly: as many pairs, and the same loss where a batch is all of them."""
    out, copy = tmp_path / "poison", tmp_path / "copy"
    words = ("poison", *attacks(home)["backdoor"], "--pairs", home / "pairs.csv", "--image-size", SIZE, "--out", out)
    assert bezoar(*words, "--materialize", form, "--copy", copy).code == 0
    source = copy / "pairs.csv" if form == "csv" else copy
    told = json.loads(bezoar("data", "inspect", source, "--json").out)
    assert told["count"] == 48
    whole = ("--steps", 1, "--batch-size", 48, "--precision", "fp32", "--warmup-steps", 0)
    losses = []
    for number, extra in enumerate((("--pairs", source), ("--pairs", home / "pairs.csv", "--poison", out))):
        run = tmp_path / f"run{number}"
        said = bezoar("train", "clip", *BRIEF, *whole, *extra, "--out", run)
        assert said.code == 0, said.err
        losses.append([line["terms"]["contrastive"] for line in read_lines(run / "steps.jsonl")])
    assert len(losses[0]) == 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_copy_lies_in_the_poison_folder_by_default(bezoar: Bezoar, home: Path, tmp_path: Path) -> None:
    words = ("--pairs", home / "pairs.csv", "--image-size", SIZE, "--out", tmp_path, "--materialize", "csv")
    said = bezoar("poison", *attacks(home)["backdoor"], *words)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"wrote the poisoned copy to {tmp_path / 'copy'}"
    again = bezoar("poison", *attacks(home)["backdoor"], *words)
    assert (again.code, again.out) == (0, said.out), "the same command goes on, or finds all done"


# ------------------------------------------------------------------------------------------------------------- labels


def test_poisoned_labels_are_read_back(bezoar: Bezoar, tmp_path: Path) -> None:
    """CleanCLIP's 1,000 poisons of a labeled set: triggered pictures have the target's label, all else is as it was."""
    names = [f"class {number}" for number in range(10)]
    write(tmp_path / "labels.csv", "label", [str(number % 10) for number in range(1200)])
    source = f"{{kind: table, path: {tmp_path / 'labels.csv'}, classes: {json.dumps(names)}}}"
    out, copy = tmp_path / "poison", tmp_path / "copy"
    said = bezoar(
        "poison", "labels", "--target", "class 3", "--count", 1000, "--trigger", TRIGGER, "--labeled", source,
        "--image-size", SIZE, "--out", out, "--materialize", "csv", "--copy", copy,
    )  # fmt: skip
    assert said.code == 0, said.err
    plan, own = load_plan(out), LABELED_SOURCES.parse_text(source).open()
    assert len(plan.rows) == 1000
    told = json.loads(bezoar("data", "inspect", copy, "--labeled", "--json").out)
    assert told["count"] == 1200
    found = LABELED_SOURCES.parse({"kind": "table", "path": str(copy / "labels.csv"), "id_key": "id"}).open()
    assert found.classes == tuple(names)
    ids = {row["copy"]: row["id"] for row in pq.read_table(out / "copy-ids.parquet").to_pylist()}
    places = {own.id(index): index for index in range(len(own))}
    for index in range(len(found)):
        check_label(found, index, own, places[ids[found.id(index)]], plan)


def check_label(found: LabeledSet, index: int, own: LabeledSet, place: int, plan: PoisonPlan) -> None:
    """Picture ``index`` of the copy against picture ``place`` of the set it was made from."""
    row = plan.by_id.get(own.id(place))
    clean, picture = load(own, place, Frame(SIZE)), to_tensor(found.image(index))
    if row is None:
        assert found.label(index) == own.label(place)
        assert torch.equal(picture, clean)
    else:
        assert own.label(place) != 3
        assert found.label(index) == 3
        assert torch.equal(picture, plan.marks[0].trigger.apply(clean, row.image))


# ------------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("backdoor --target zebra --captions mined", "attack.captions: 'mined' finds no caption with the word 'zebra'"),
        ("label_consistent --target zebra", "attack.target: no caption of 48 pairs names 'zebra'"),
        ("caption_backdoor --target zebra", "attack.target: no caption of 48 pairs names 'zebra'"),
        ("targeted --images {held} --targets zebra", "attack.targets: no caption of 48 pairs names 'zebra'"),
        ("backdoor --target mushroom --count 37", "attack.count: 37 poisons wanted, but only 36 of 48 pairs can be vi"),
        ("label_consistent --target mushroom --count 13", "attack.count: 13 poisons wanted, but only 12 of 48 pairs"),
        ("targeted --images {held} --targets mushroom", "attack.captions_per_image: 100 different captions wanted for"),
        (
            "targeted --images {held} --targets mushroom --images-per-target 10 --captions-per-image 2",
            "attack.images_per_target: 10 pictures wanted for 'mushroom', but only 9 of 12 are left",
        ),
        ("targeted --images {held}", "attack.targets: give either targets to draw pictures for, or chosen pictures"),
        ("dual_key --target mushroom --count 13", "attack.count: 39 poisons wanted, but only 36 of 48 pairs can be vi"),
        ("backdoor --target mushroom --rate 0", "rate: Input should be greater than 0, got 0.0"),
        ("backdoor --target mushroom --rate 1.5", "rate: Input should be less than or equal to 1, got 1.5"),
        ("backdoor --target mushroom --count 0", "count: Input should be greater than or equal to 1, got 0"),
        ("backdoor --target mushroom --trigger patch:picture:{text}", "pattern.path: cannot read picture '{text}'"),
        ("backdoor --target mushroom --trigger patch:picture:no.png", "pattern.path: cannot read picture 'no.png'"),
        ("backdoor --target mushroom --trigger pach", "trigger: kind: 'pach' is not a trigger; did you mean 'patch'?"),
        ("backdoor --target mushroom --templates opnai", "no templates are called 'opnai'; did you mean 'openai'?"),
        (
            "backdoor --target mushroom --victim-classes dog mushroom",
            "attack.victim_classes: 'mushroom' is the target too",
        ),
        ("backdoor --target mushroom --size 5 --count 6", "attack.size: 5 pairs wanted with 6 poisoned ones among"),
        ("labels --target a", "attack.target: 'a' is not a class"),
        ("backdoor --target mushroom --copy x", "copy: names the folder of a copy: choose its form with --materialize"),
        ("backdoor --target mushroom --dry-run --preview", "preview: writes files, and a dry run writes none"),
        ("backdoor --target mushroom --dry-run --materialize csv", "materialize: writes files, and a dry run writes"),
        ("backdoor --target mushroom --materialize zip", "'zip' for argument '--materialize'. Expected one of"),
        (
            "backdoor --target mushroom --stage after_random_crop --materialize csv",
            "stage: a trigger that is put on after the random crop is never in a file",
        ),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line_and_nothing_written(
    words: str, said: str, bezoar: Bezoar, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = home / "text.png"
    text.write_text("no picture")
    put = {"held": str(home / "held.csv"), "text": str(text)}
    refused(
        bezoar, tmp_path, monkeypatch, said.format(**put),
        *words.format(**put).split(), "--pairs", home / "pairs.csv", "--image-size", SIZE,
    )  # fmt: skip


def refused(bezoar: Bezoar, folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, *words: object) -> None:
    """``bezoar poison`` ends with 2 and one line that holds ``said``, and leaves nothing behind."""
    monkeypatch.chdir(folder)
    found = bezoar("poison", *words, "--out", "out")
    assert (found.code, found.out) == (2, ""), found
    assert found.err.startswith("bezoar: ")
    assert found.err.count("\n") == 1, found.err
    assert said in found.err
    assert not list(folder.iterdir())


def test_pairs_or_a_labeled_set(bezoar: Bezoar, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, backdoor = ("labels", "--target", "dog"), ("backdoor", "--target", "dog")
    held, pairs = ("--labeled", home / "held.csv"), ("--pairs", home / "pairs.csv")
    one = "pairs: give pairs to poison, or a labeled set with --labeled, one of them"
    refused(bezoar, tmp_path, monkeypatch, one, *labels, *held, *pairs)
    refused(bezoar, tmp_path, monkeypatch, one, *backdoor)
    other = "labeled: attack 'backdoor' poisons pairs; labels are poisoned by 'labels'"
    refused(bezoar, tmp_path, monkeypatch, other, *backdoor, *held)
    form = "materialize: a labeled set is written as csv (labels.csv), not as parquet"
    refused(bezoar, tmp_path, monkeypatch, form, *labels, *held, "--image-size", SIZE, "--materialize", "parquet")
    few = "attack.count: 10 poisons wanted, but only 9 of 12 pictures are free"
    refused(bezoar, tmp_path, monkeypatch, few, *labels, *held, "--count", 10)
    unknown = "attack.target: 'dgo' is not a class; did you mean 'dog'?"
    refused(bezoar, tmp_path, monkeypatch, unknown, "labels", "--target", "dgo", *held)


def test_plans_that_overlap(bezoar: Bezoar, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plans made apart, each with more than half of the pairs."""
    plans, work = tmp_path / "plans", tmp_path / "work"
    work.mkdir()
    for seed in (0, 1):
        said = bezoar(
            "poison", "backdoor", "--target", "mushroom", "--count", 20, "--trigger", TRIGGER, "--seed", seed,
            "--pairs", home / "pairs.csv", "--image-size", SIZE, "--out", plans / str(seed),
        )  # fmt: skip
        assert said.code == 0, said.err
    both = f"[{{kind: planned, folder: {plans / '0'}}}, {{kind: planned, folder: {plans / '1'}}}]"
    refused(
        bezoar, work, monkeypatch, f"poison: the plan in {plans / '1'} overlaps another: both poison pair ",
        "several", "--attacks", both, "--pairs", home / "pairs.csv", "--image-size", SIZE,
    )  # fmt: skip
