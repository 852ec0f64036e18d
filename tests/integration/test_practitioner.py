"""Somebody's checkpoint, from the download to the cleaned file: looked at, measured, converted, cleaned, put back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests import foreign
from tests.cli.conftest import Bezoar, bezoar
from tests.tiny import same

from bezoar.data import Scenes
from bezoar.models.checkpoint import read_card
from bezoar.models.opening import load_model

__all__ = ["bezoar"]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A downloaded ``.pt`` of CleanCLIP."""
    return foreign.cleanclip(foreign.victim(), tmp_path_factory.mktemp("downloads") / "epoch_64.pt")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of clean pairs with paths, as CleanCLIP has them."""
    folder = tmp_path_factory.mktemp("clean")
    scenes = Scenes(split="clean", count=32).open()
    with (folder / "pairs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "caption"])
        for index in range(len(scenes)):
            Image.fromarray(scenes.image(index)).save(folder / f"{index}.png")
            writer.writerow([f"{index}.png", scenes.caption(index)])
    return folder / "pairs.csv"


def test_evaluate_someones_file(victim: Path, bezoar: Bezoar) -> None:
    code, out, _ = bezoar(
        "evaluate", "--model", victim, "--data", "{kind: scenes, split: test, count: 64}", "--trigger", "patch",
        "--target", "mushroom", "--templates", "simple", "--json",
    )  # fmt: skip
    assert code == 0
    found = {measure["metric"]: measure for measure in json.loads(out)["measures"]}
    assert found["accuracy_top1"]["n"] == 64
    assert {"asr_top1", "asr_top5"} <= set(found)


def test_convert_it_to_hugging_face(victim: Path, tmp_path: Path, bezoar: Bezoar) -> None:
    from transformers import CLIPModel, CLIPProcessor

    out = tmp_path / "victim-hf"
    assert bezoar("model", "convert", victim, "--to", "hf_clip", "--out", out).code == 0
    theirs, ours = CLIPModel.from_pretrained(out), load_model(victim).eval()
    processor = CLIPProcessor.from_pretrained(out)
    texts = ["a photo of a mushroom", "two red stars on a blue ground"]
    picture = Image.new("RGB", (40, 32), (200, 30, 90))
    with torch.no_grad():
        given = processor(text=texts, images=picture, return_tensors="pt", padding=True)
        logits = theirs(**given).logits_per_image
        images = ours.encode_image(torch.tensor([200, 30, 90], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32))
        expected = ours.scale * images @ ours.encode_captions(texts).T
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-5)


def test_clean_it_and_put_the_tower_back(victim: Path, pairs: Path, tmp_path: Path, bezoar: Bezoar) -> None:
    run = tmp_path / "cleaned"
    code, out, _ = bezoar(
        "clean", "cleanclip", "--model", victim, "--pairs", pairs, "--batch-size", 16, "--epochs", 1,
        "--warmup-steps", 1, "--precision", "fp32", "--threads", 1, "--out", run,
    )  # fmt: skip
    assert code == 0
    assert f"Nothing was measured of “{victim}”, before or after “cleanclip”" in out
    assert "Not known: whether" in out
    folder = Path(next(line.split()[1] for line in out.splitlines() if line.startswith("model ")))
    steps = read_card(folder).steps
    assert [step.origin and step.origin.name for step in steps] == ["epoch_64.pt", None]
    assert [step.method and step.method["kind"] for step in steps] == [None, "cleanclip"]
    back = tmp_path / "cleaned.pt"
    assert bezoar("model", "convert", run, "--like", victim, "--out", back).code == 0
    assert same(load_model(back).tower.state_dict(), load_model(folder).tower.state_dict())
    assert not same(load_model(back).tower.state_dict(), load_model(victim).tower.state_dict())
    theirs = torch.load(back, weights_only=True)
    assert set(theirs) == {"epoch", "name", "state_dict", "optimizer"}
    assert next(iter(theirs["state_dict"])).startswith("module.")
    told = bezoar("model", "inspect", back).out
    assert "history  1" in told
    assert "cleanclip, seed 0, settings" in told


def test_cleaning_tells_before_and_after_and_what_it_cannot_know(
    victim: Path, pairs: Path, tmp_path: Path, bezoar: Bezoar
) -> None:
    labels, poison, run = pairs.parent / "labels.csv", tmp_path / "poison", tmp_path / "run"
    scenes = Scenes(split="clean", count=32).open()
    rows = (f"{index}.png,{'bell' if index % 2 else 'boat'}" for index in range(len(scenes)))
    labels.write_text("image,label\n" + "\n".join(rows) + "\n")
    planned = bezoar(
        "poison", "backdoor", "--target", "bell", "--count", 8, "--trigger", "{kind: patch, size: 8, reference: 32}",
        "--pairs", pairs, "--image-size", 32, "--out", poison,
    )  # fmt: skip
    assert planned.code == 0, planned.err
    code, out, err = bezoar(
        "clean", "finetune", "--model", victim, "--pairs", pairs, "--val", labels, "--against", poison, "--epochs", 1,
        "--batch-size", 16, "--warmup-steps", 1, "--lr", 0, "--threads", 1, "--json", "--out", run,
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert Path(told["model"]).is_dir()
    before, after = told["models"]
    assert (before["role"], after["role"], before["accuracy_top1"]["n"]) == ("before", "trained", 32)
    changes = {each["metric"]: each for each in told["changes"]}
    assert set(changes) == {"accuracy_top1", "asr_top1"}
    moved = after["accuracy_top1"]["value"] - before["accuracy_top1"]["value"]
    assert changes["accuracy_top1"]["value"] == pytest.approx(moved)
    overlap = f"pairs: 8 of 32 pairs are among the 8 that the plan of {poison} poisons (8 without the poison: put right"
    assert any(line.startswith(overlap) for line in told["said"])
    assert any(line.startswith("Only the triggers named here were tried") for line in told["said"])


def test_another_file_is_another_stage(victim: Path, pairs: Path, tmp_path: Path, bezoar: Bezoar) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.pt"
    words = (
        "clean", "finetune", "--model", mine, "--pairs", pairs, "--batch-size", 16, "--epochs", 1, "--warmup-steps", 1,
        "--threads", 1, "--out", run,
    )  # fmt: skip
    mine.write_bytes(victim.read_bytes())
    assert bezoar(*words).code == 0
    assert bezoar(*words).code == 0
    assert len(list(run.glob("stages/*"))) == 1
    foreign.cleanclip(foreign.victim(seed=9), mine)
    assert bezoar(*words).code == 0
    assert len(list(run.glob("stages/*"))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "--model", "picture.png", "--data", "scenes:test"), "picture.png"),
        (("evaluate", "--model", "two", "--data", "scenes:test"), "a.pt, b.pt"),
        (("clean", "cleanclip", "--model", "victim.pt", "--pairs", "scenes:clean", "--precision", "fp16", "--out", "x"),
         "fp16"),
        (("evaluate", "--model", "resnet34.pt", "--data", "scenes:test"), "nearest"),
        (("evaluate", "--model", "words.pt", "--data", "scenes:test"), "vocabulary"),
    ],
)  # fmt: skip
def test_mistakes_get_one_clear_line(
    words: tuple[str, ...], message: str, victim: Path, tmp_path: Path, bezoar: Bezoar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("picture.png")
    Path("two").mkdir()
    for name in ("two/a.pt", "two/b.pt", "victim.pt"):
        Path(name).write_bytes(victim.read_bytes())
    state = torch.load(victim, weights_only=True)
    named = state["state_dict"]
    torch.save({**state, "state_dict": {n: t for n, t in named.items() if "visual.ln_post" not in n}}, "resnet34.pt")
    cut = {n: t[:30_000] if "token_embedding" in n else t for n, t in named.items()}
    torch.save({**state, "state_dict": cut}, "words.pt")
    code, out, err = bezoar(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
