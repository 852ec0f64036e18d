"""Heads beside the towers: carried by name, taken up part by part, refused names, and what a folder keeps of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import foreign, tiny
from torch import nn

from bezoar.core.files import write_json
from bezoar.core.settings import dump
from bezoar.models.checkpoint import HEADS, load_folder, read_card, save
from bezoar.models.heads import Heads, lacking, parts, take_up
from bezoar.models.opening import load_model, place
from bezoar.training.optimizer import groups


def two() -> nn.Module:
    return nn.ModuleDict({"first": nn.Linear(2, 3), "second": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))})


def test_they_are_carried_by_name_and_are_nothing_to_train() -> None:
    given = {name: value.clone() for name, value in two().state_dict().items()}
    heads = Heads(given)
    assert tiny.same(dict(heads.state_dict()), given)
    assert not list(heads.parameters())
    model = tiny.clip()
    model.heads = heads
    assert sum(map(len, groups(model).values())) == sum(map(len, groups(tiny.clip()).values()))


def test_parts_are_taken_up_whole_or_begin_anew() -> None:
    heads, given = two(), {name: value.clone() for name, value in two().state_dict().items()}
    before = {name: value.clone() for name, value in heads.state_dict().items()}
    del given["second.1.weight"]
    assert lacking(heads, given) == ("second",)
    take_up(heads, given)
    after = heads.state_dict()
    assert all(torch.equal(after[name], (given if "first" in name else before)[name]) for name in before)
    assert lacking(heads, {}) == ("first", "second") == parts(before)
    assert lacking(two(), {**before, "third.bias": torch.zeros(1)}) == ()
    assert lacking(two(), {**before, "first.bias": torch.zeros(4)}) == ("first",)


@pytest.mark.parametrize("name", ["", "a..b", "a b.c", "../a", "a.", "training", "forward.x", "a." * 2000 + "b"])
def test_names_that_no_module_has(name: str) -> None:
    with pytest.raises(ValueError, match="model: heads cannot have the name"):
        Heads({name: torch.zeros(1)})


def test_a_name_within_another() -> None:
    with pytest.raises(ValueError, match="model: heads cannot have the name"):
        Heads({"a": torch.zeros(1), "a.b": torch.zeros(1)})


def test_a_folder_keeps_them_and_one_without_has_no_file(tmp_path: Path) -> None:
    model = tiny.clip()
    assert save(model, tmp_path / "without").heads is None
    assert not (tmp_path / "without" / HEADS).exists()
    model.heads = two()
    save(model, tmp_path / "with")
    assert tiny.same(dict(load_folder(tmp_path / "with").heads.state_dict()), dict(model.heads.state_dict()))


def test_other_heads_make_another_model(tmp_path: Path) -> None:
    model = tiny.clip()
    plain = save(model, tmp_path / "without").weights
    assert place(str(tmp_path / "without")).identity() == plain
    found = {plain}
    for name in ("one", "other"):
        model.heads = two()
        save(model, tmp_path / name)
        found.add(place(str(tmp_path / name)).identity())
    assert len(found) == 3


def test_damage_is_refused(tmp_path: Path) -> None:
    model = tiny.clip()
    model.heads = two()
    save(model, tmp_path)
    whole = (tmp_path / HEADS).read_bytes()
    (tmp_path / HEADS).write_bytes(whole[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"heads\.safetensors is not what model\.json describes"):
        load_folder(tmp_path)
    (tmp_path / HEADS).write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"heads\.safetensors cannot be read"):
        load_folder(tmp_path)
    (tmp_path / HEADS).unlink()
    with pytest.raises(ValueError, match=r"heads\.safetensors cannot be read: it is missing"):
        load_folder(tmp_path)


def test_heads_that_are_not_finite(tmp_path: Path) -> None:
    model = tiny.clip()
    model.heads = Heads({"first.bias": torch.tensor([1.0, float("nan")])})
    save(model, tmp_path)
    with pytest.raises(ValueError, match=r"holds a NaN or an infinity in first\.bias"):
        load_folder(tmp_path)


def test_a_card_of_before_there_were_heads_is_read(tmp_path: Path) -> None:
    save(tiny.clip(), tmp_path)
    plain = dump(read_card(tmp_path))
    del plain["heads"]
    write_json(tmp_path / "model.json", plain | {"schema": 2})
    assert load_folder(tmp_path).heads.state_dict() == {}


def test_declips_checkpoint_brings_its_heads(tmp_path: Path) -> None:
    path = foreign.declip(foreign.victim(), tmp_path / "ckpt.pth.tar")
    assert list(load_model(path).heads.state_dict()) == ["projector.linear1.weight"]
