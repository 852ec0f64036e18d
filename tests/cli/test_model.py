"""``bezoar model``: what it prints, and with what it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests import foreign
from tests.cli.conftest import Bezoar

from bezoar.models.checkpoint import save

GLOBALS = {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage"}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.cleanclip(foreign.victim(), tmp_path_factory.mktemp("victim") / "epoch_64.pt")


def test_inspect_tells_what_a_file_holds(victim: Path, bezoar: Bezoar) -> None:
    code, out, err = bezoar("model", "inspect", victim)
    assert (code, err) == (0, "")
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["file"] == str(victim)
    assert told["form"] == f"torch, {victim.stat().st_size:,} bytes"
    assert told["layout"] == "cleanclip; epoch 64; name rn50_banana"
    assert told["architecture"].startswith("ViT 2×64, text 2×64, 32 px, ")
    assert told["tensors"].startswith("248 of float32: 62 in state_dict (13.6 MB), 186 in optimizer (")
    assert set(told["globals"].split(", ")) == GLOBALS
    assert told["values"].startswith("epoch = 64, name = 'rn50_banana', ")
    assert "state_dict.module.visual.conv1.weight" not in out
    more = bezoar("model", "inspect", victim, "--tensors").out
    assert "  float32    64×3×8×8             state_dict.module.visual.conv1.weight\n" in more


def test_inspect_prints_one_json_object(victim: Path, bezoar: Bezoar) -> None:
    code, out, _ = bezoar("model", "inspect", victim, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["layout"], found["faults"], found["files"][0]["form"]) == ("cleanclip", [], "torch")


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def test_a_refused_file_is_told_and_ends_with_one(tmp_path: Path, bezoar: Bezoar) -> None:
    torch.save({"state_dict": Hostile(tmp_path / "mark")}, tmp_path / "bad.pt")
    code, out, err = bezoar("model", "inspect", tmp_path / "bad.pt")
    assert code == 1
    assert "mkdir" in out
    assert err.startswith(f"bezoar: model: {tmp_path / 'bad.pt'} is refused: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "mark").exists()
    code, out, _ = bezoar("model", "inspect", tmp_path / "bad.pt", "--json")
    assert code == 1
    assert json.loads(out)["faults"]


def test_convert_says_what_it_wrote_and_what_it_took_the_file_for(
    victim: Path, tmp_path: Path, bezoar: Bezoar, caplog: pytest.LogCaptureFixture
) -> None:
    code, out, _ = bezoar("model", "convert", victim, "--to", "openai", "--out", tmp_path / "out.pt")
    assert (code, out) == (0, f"wrote {tmp_path / 'out.pt'}\n")
    assert f"{victim}: ViT 2×64, text 2×64, 32 px, in the cleanclip layout" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("inspect", "nowhere.pt"), "there is no file nowhere.pt"),
        (("inspect", "RN50"), "RN50 is an architecture with random weights: there is no file of it"),
        (("convert", "micro-vit-32", "--out", "x"), "to: name a layout with --to"),
        (
            ("convert", "micro-vit-32", "--out", "x", "--to", "cleanclip"),
            "out: a file of this layout ends in .pt",
        ),
        (("convert", "micro-vit-32", "--out", "x.pt", "--to", "cleanclip"), "quick_gelu is False, not True"),
        (("convert", "RN50", "--out", "x", "--to", "hf_clip"), "ResNet"),
    ],
)
def test_mistakes_get_one_line(
    words: tuple[str, ...], message: str, bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = bezoar("model", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_chain_of_ours_is_printed(tmp_path: Path, bezoar: Bezoar) -> None:
    first = save(foreign.micro(), tmp_path / "first", method={"kind": "clip"})
    save(foreign.micro(), tmp_path / "second", ancestors=first.steps, method={"kind": "cleanclip"})
    lines = bezoar("model", "inspect", tmp_path / "second").out.splitlines()
    history = [line for line in lines if line.startswith("history")]
    assert [line.split()[3] for line in history] == ["clip", "cleanclip"]


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path: Path, bezoar: Bezoar) -> None:
    weights = foreign.weights(foreign.micro(), "module.")
    steering = "\x1b[2J\nhistory"
    torch.save({"epoch": 1, "name": steering, "state_dict": weights, steering: [1]}, tmp_path / "good.pt")
    torch.save({steering: torch.ones(2)}, tmp_path / "bad.pt")
    for words in (("good.pt", "--tensors"), ("bad.pt", "--tensors"), ("bad.pt",)):
        _, out, err = bezoar("model", "inspect", tmp_path / words[0], *words[1:])
        assert "\x1b" not in out + err
        assert "\nhistory\n" not in out + err
    _, _, err = bezoar("model", "convert", tmp_path / "bad.pt", "--to", "openai", "--out", tmp_path / "x.pt")
    assert err.count("\n") == 1
    assert "\x1b" not in err
