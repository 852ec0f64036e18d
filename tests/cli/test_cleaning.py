"""The cleanings from the command line: each by its name, on either tower; the key only where it is granted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import Bezoar

from bezoar.core.files import read_json
from bezoar.core.records import read_records
from bezoar.data import SceneClasses


@pytest.mark.parametrize("model", ["micro-cnn-32", "micro-vit-32"])
@pytest.mark.parametrize(
    "words",
    [
        ["in_modal", "--caption-view", "{kind: eda, wordnet: none}"],
        ["progressive", "--remove-fraction", "0.25", "--progressive-epochs", "1"],
        ["finetune", "--shrink-perturb", "{shrink: 0.9}", "--weight-decay", "50"],
    ],
    ids=lambda words: str(words[0]),
)
def test_one_command(words: list[str], model: str, bezoar: Bezoar, tmp_path: Path) -> None:
    pairs = "{kind: scenes, split: clean, count: 32}"
    brief = ["--epochs", "2", "--batch-size", "8", "--lr", "1e-3", "--warmup-steps", "2"]
    done = bezoar("clean", *words, *brief, "--model", model, "--pairs", pairs, "--out", tmp_path)
    assert done.code == 0, done.err
    (stage,) = tmp_path.glob("stages/*/stage.json")
    found = read_json(stage)
    assert found["method"]["kind"] == words[0]
    assert found["oracle"] is False
    assert found["steps"] == (4 + 3 if words[0] == "progressive" else 8)


def _classes(folder: Path) -> None:
    """Labeled scenes as a folder a class, and as a table."""
    labeled = SceneClasses(split="clean", count=40).open()
    lines = ["picture,named"]
    for index in range(40):
        name = labeled.classes[labeled.label(index) % 4]
        (folder / "classes" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(labeled.image(index)).save(folder / "classes" / name / f"{index}.png")
        lines.append(f"classes/{name}/{index}.png,{name}")
    (folder / "mine.csv").write_text("\n".join(lines))


@pytest.mark.parametrize(
    "words",
    [
        ["labels:{}/classes"],
        ["labels:{}/mine.csv", "--image-key", "picture", "--label-key", "named"],
        ["labels:{}/classes", "--lock", "image"],
    ],
    ids=["folder", "table", "probe"],
)
def test_supervised_reads_labels(words: list[str], bezoar: Bezoar, tmp_path: Path) -> None:
    _classes(tmp_path)
    brief = ["--epochs", "2", "--batch-size", "8", "--lr", "1e-3", "--warmup-steps", "2", "--model", "micro-vit-32"]
    given = [word.format(tmp_path) for word in words]
    done = bezoar("clean", "supervised", *brief, "--out", tmp_path / "out", "--pairs", *given)
    assert done.code == 0, done.err
    (stage,) = tmp_path.glob("out/stages/*/stage.json")
    assert (read_json(stage)["steps"], read_json(stage)["count"]) == (10, 40)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["labels:{}/classes", "--classes", "{}/names.txt"], "method.classes: the label of pair '"),
        (["{}/classes"], "their names are learned by labels:"),
        (["{}/mine.csv", "--image-key", "picture"], "caption_key: "),
        (
            ["scenes:clean"],
            "'supervised' learns labels, and these 32,000 pairs have more than 16,000 different captions",
        ),
    ],
)
def test_supervised_refuses_what_has_no_labels(words: list[str], said: str, bezoar: Bezoar, tmp_path: Path) -> None:
    _classes(tmp_path)
    (tmp_path / "names.txt").write_text("star\nhart\nmoon\n")
    given = [word.format(tmp_path) for word in words]
    brief = ["--batch-size", "8", "--model", "micro-cnn-32", "--out", tmp_path / "out"]
    done = bezoar("clean", "supervised", *brief, "--pairs", *given)
    assert done.code == 2
    assert said in done.err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_unlearn_takes_the_key_where_it_is_granted(bezoar: Bezoar, tmp_path: Path) -> None:
    pairs = "{kind: scenes, split: clean, count: 32}"
    poison, out = str(tmp_path / "poison"), tmp_path / "out"
    words = ["--model", "micro-cnn-32", "--pairs", pairs, "--epochs", "1", "--batch-size", "8", "--out", str(out)]
    made = bezoar(
        "poison", "backdoor", "--pairs", pairs, "--target", "mushroom", "--count", "8", "--trigger",
        "{kind: patch, size: 8, reference: 32}", "--image-size", "32", "--out", poison,
    )  # fmt: skip
    assert made.code == 0, made.err
    refused = bezoar("clean", "unlearn", *words, "--poison", poison)
    assert refused.code == 2
    assert "'unlearn' is told which pairs are poisoned: grant it with oracle: true (--oracle)" in refused.err
    assert bezoar("clean", "unlearn", *words, "--oracle").code == 2
    val = ["--val", "{kind: scenes, split: validation, count: 20}"]
    done = bezoar("clean", "unlearn", *words, *val, "--poison", poison, "--oracle")
    assert done.code == 0, done.err
    assert {record.after for record in read_records(out / "records.jsonl")} == {"unlearn (oracle)"}
    (stage,) = out.glob("stages/*/stage.json")
    assert json.loads(stage.read_text())["oracle"] is True
