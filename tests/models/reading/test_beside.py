"""The files of a model folder: found, bounded, and never followed out of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bezoar.models.reading import Beside, beside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def names(folder: Path) -> list[str]:
    return [path.name for path in Beside(folder).weights()]


def test_a_file_that_came_alone_has_nothing_beside_it() -> None:
    assert Beside().json("config.json") is None
    assert Beside().bytes("config.json") is None


def test_objects_and_bytes_are_read_and_what_is_absent_is_none(folder: Path) -> None:
    (folder / "config.json").write_text('{"a": [1, 2.5, null]}')
    assert Beside(folder).json("config.json") == {"a": [1, 2.5, None]}
    assert Beside(folder).bytes("config.json") == b'{"a": [1, 2.5, null]}'
    assert Beside(folder).json("other.json") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1]", "holds a list, not a JSON object"),
        (b"{", "is no JSON"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1, "a": 2}', "a name stands twice"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "is no JSON"),
        (b'{"a": "\xff"}', "no UTF-8"),
        (b"", "is no JSON"),
    ],
)
def test_json_that_is_none_names_the_file(content: bytes, words: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        Beside(folder).json("config.json")
    assert str(folder / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "LIMIT", 10)
    (folder / "merges.txt").write_bytes(bytes(11))
    with pytest.raises(ValueError, match=r"merges.txt has more than"):
        Beside(folder).bytes("merges.txt")


@pytest.mark.parametrize("name", ["../secret.json", "a/b.json", "..", "/etc/passwd", "a\\b", ""])
def test_names_that_lead_out_are_refused(name: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="no name of a file in this folder"):
        Beside(folder).bytes(name)


def test_links_that_lead_out_are_refused_and_those_inside_followed(folder: Path) -> None:
    (folder.parent / "secret.json").write_text("{}")
    (folder / "config.json").symlink_to(folder.parent / "secret.json")
    (folder / "inner.json").write_text('{"a": 1}')
    (folder / "alias.json").symlink_to("inner.json")
    (folder / "lost.json").symlink_to("nothing.json")
    (folder / "loop.json").symlink_to("loop.json")
    assert Beside(folder).json("alias.json") == {"a": 1}
    with pytest.raises(ValueError, match=r"config.json is a link that leads out of its folder"):
        Beside(folder).json("config.json")
    with pytest.raises(ValueError, match=r"lost.json is a link to nothing"):
        Beside(folder).json("lost.json")
    with pytest.raises(ValueError, match=r"loop.json cannot be followed"):
        Beside(folder).json("loop.json")


def test_pipes_are_refused(folder: Path) -> None:
    os.mkfifo(folder / "config.json")
    with pytest.raises(ValueError, match=r"config.json is no file"):
        Beside(folder).json("config.json")


def test_a_hub_cache_may_link_to_the_blobs_of_its_model_only(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--o--n" / "snapshots" / "abc"
    blobs = tmp_path / "models--o--n" / "blobs"
    other = tmp_path / "models--o--m" / "blobs"
    for made in (snapshot, blobs, other):
        made.mkdir(parents=True)
        (made / "1f").write_text('{"a": 1}')
    (snapshot / "config.json").symlink_to("../../blobs/1f")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1f")
    (snapshot / "other.json").symlink_to("../../../models--o--m/blobs/1f")
    assert Beside(snapshot).json("config.json") == {"a": 1}
    assert Beside(snapshot).weights() == (snapshot / "model.safetensors",)
    with pytest.raises(ValueError, match="leads out"):
        Beside(snapshot).json("other.json")


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["epoch_5.pt", "params.txt"], ["epoch_5.pt"]),
        (["ckpt_120000.pth.tar"], ["ckpt_120000.pth.tar"]),
        (["model.safetensors", "pytorch_model.bin", "training_args.bin", "optimizer.pt"], ["model.safetensors"]),
        (["pytorch_model.bin", "config.json", "tf_model.h5"], ["pytorch_model.bin"]),
        (
            ["open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin"],
            ["open_clip_model.safetensors"],
        ),
    ],
)
def test_the_weights_of_a_folder_are_found(files: list[str], chosen: list[str], folder: Path) -> None:
    for name in files:
        (folder / name).touch()
    assert names(folder) == chosen


def test_two_models_in_one_folder_are_named(folder: Path) -> None:
    for name in ("epoch_1.pt", "epoch_2.pt", "notes.txt"):
        (folder / name).touch()
    with pytest.raises(ValueError, match=r"holds epoch_1.pt, epoch_2.pt: name the one that is meant"):
        names(folder)
    (folder / "model.safetensors").touch()
    with pytest.raises(ValueError, match=r"holds model.safetensors, epoch_1.pt, epoch_2.pt: name"):
        names(folder)


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match="holds no file of weights"):
        names(folder)


def test_an_index_names_its_shards_and_nothing_outside(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in shards:
        (folder / name).touch()
    index.write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}}))
    assert names(folder) == shards
    (folder / shards[1]).unlink()
    with pytest.raises(ValueError, match=f"names {shards[1]}, which is not in the folder"):
        names(folder)
    for odd in ("../evil.bin", "/etc/passwd", "config.json"):
        index.write_text(json.dumps({"weight_map": {"a": odd}}))
        with pytest.raises(ValueError, match="which is no file of weights in its folder"):
            names(folder)
    for wrong in ("{}", '{"weight_map": {}}', '{"weight_map": ["a"]}', '{"weight_map": {"a": 1}}'):
        index.write_text(wrong)
        with pytest.raises(ValueError, match="is no index of shards"):
            names(folder)


def test_small_files_are_copied_and_weights_are_not(folder: Path, tmp_path: Path) -> None:
    others = ("model.safetensors", "pytorch_model.bin", "x.index.json", "tf_model.h5", "flax_model.msgpack")
    for name in ("config.json", "merges.txt", "left.txt", *others):
        (folder / name).write_text(name)
    (folder / "deeper").mkdir()
    target = tmp_path / "target"
    target.mkdir()
    Beside(folder).copy(target, but=(folder / "left.txt",))
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "merges.txt"]
    assert (target / "merges.txt").read_text() == "merges.txt"
