"""What a file holds, told without loading it: sizes, globals, hashes, whose it looks, and why it would be refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import foreign

from bezoar.core.frame import Frame
from bezoar.models.checkpoint import save
from bezoar.models.inspecting import inspect_model


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Any:
        raise AssertionError

    for module, name in ((torch, "load"), (torch.jit, "load"), (torch.serialization, "load")):
        monkeypatch.setattr(module, name, never)


def test_a_file_is_told_without_loading_it(tmp_path: Path) -> None:
    path = foreign.cleanclip(foreign.victim(), tmp_path / "epoch_64.pt")
    found = inspect_model(path)
    (file,) = found.files
    assert (file.form, file.bytes) == ("torch", path.stat().st_size)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(file.globals) == {
        "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage",
    }  # fmt: skip
    named = {tensor.name: tensor for tensor in file.tensors}
    weights = foreign.weights(foreign.victim())
    assert named["state_dict.module.visual.conv1.weight"].shape == tuple(weights["visual.conv1.weight"].shape)
    assert {tensor.dtype for tensor in file.tensors} == {"float32"}
    assert file.values["epoch"] == "64"
    assert (found.layout, found.architecture) == ("cleanclip", "ViT 2×64, text 2×64, 32 px")
    assert found.parameters == sum(tensor.numel() for name, tensor in weights.items() if name != "attn_mask")
    assert found.frame == Frame(32)
    assert dict(found.facts) == {"epoch": 64, "name": "rn50_banana"}
    assert "optimizer" in found.unused
    assert any("QuickGELU" in note for note in found.notes)
    assert found.faults == ()
    assert found.steps[0].weights == file.sha256


def test_a_model_of_ours_tells_its_chain(tmp_path: Path) -> None:
    first = save(foreign.micro(), tmp_path / "first", method={"kind": "clip"}, training={"seed": 1})
    second = save(
        foreign.micro(), tmp_path / "second", ancestors=first.steps, parent=first.weights, settings="ab12",
        method={"kind": "cleanclip"}, data="feed", poison={"attack": {"kind": "backdoor"}, "plan": "cd", "count": 3},
    )  # fmt: skip
    found = inspect_model(tmp_path / "second")
    assert (found.layout, found.architecture, found.facts) == ("bezoar", "micro-vit-32", {})
    assert [step.weights for step in found.steps] == [first.weights, second.weights]
    told = [step.told() for step in found.steps]
    assert told[0].startswith(f"{first.weights}  clip, seed 1 (bezoar ")
    assert told[1].startswith(
        f"{second.weights}  cleanclip, settings ab12, pairs feed, poisoned: backdoor, plan cd, 3 of"
    )


def test_an_architecture_that_is_named_counts_here_too(tmp_path: Path) -> None:
    path = foreign.cleanclip(foreign.micro(), tmp_path / "micro.pt")
    found = inspect_model(f"micro-vit-32:{path}")
    assert (found.architecture, found.notes, found.faults) == ("micro-vit-32", (), ())
    found = inspect_model(f"micro-vit-64:{path}")
    (fault,) = found.faults
    assert fault.startswith(f"{path} is not a micro-vit-64: ")
    assert found.architecture is None


def test_a_vocabulary_that_no_tokenizer_fits_is_a_fault(tmp_path: Path) -> None:
    weights = foreign.weights(foreign.victim())
    weights["token_embedding.weight"] = weights["token_embedding.weight"][:40_000].clone()
    torch.save({"epoch": 1, "name": "x", "state_dict": weights}, tmp_path / "words.pt")
    (fault,) = inspect_model(tmp_path / "words.pt").faults
    assert fault.startswith("no tokenizer fits a vocabulary of 40,000: ")


def test_random_weights_have_no_file() -> None:
    with pytest.raises(ValueError, match=r"^model: RN50 is an architecture with random weights: there is no file"):
        inspect_model("RN50")
    with pytest.raises(ValueError, match="did you mean RN50"):
        inspect_model("RN5O")


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def test_a_hostile_file_is_told_with_the_reason_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2)}, "more": Hostile(tmp_path / "mark")}, tmp_path / "bad.pt")
    found = inspect_model(tmp_path / "bad.pt")
    assert not (tmp_path / "mark").exists()
    assert any("posix.mkdir" in fault or "os.mkdir" in fault for fault in found.faults)
    assert any(name.endswith(".mkdir") for name in found.files[0].globals)
    assert found.layout is None
    assert found.files[0].sha256 == hashlib.sha256((tmp_path / "bad.pt").read_bytes()).hexdigest()


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    found = inspect_model(tmp_path / "other.pt")
    assert [tensor.name for tensor in found.files[0].tensors] == ["weights"]
    assert found.faults[0].startswith(f"{tmp_path / 'other.pt'} holds no image-text model in a known layout")


def test_a_tree_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"a": torch.zeros(1)}
    loop["again"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    assert inspect_model(tmp_path / "loop.pt").faults
