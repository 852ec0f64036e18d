"""A skim tells what a good file holds: names, shapes, types, sizes, without its numbers."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bezoar.models.reading import Part, read, skim
from bezoar.models.reading.plain import tensors


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """One that has taken a step."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def contents() -> dict[str, Any]:
    model, optimizer = network()
    table = torch.randn(6, 4)
    return {
        "state": model.state_dict(),
        "whole": {
            "epoch": 3,
            "name": "poisoned ü",
            "state_dict": OrderedDict((f"module.{name}", value) for name, value in model.state_dict().items()),
            "optimizer": optimizer.state_dict(),
        },
        "types": {str(kind): torch.ones(2, 2).to(kind) for kind in (torch.float16, torch.bfloat16, torch.float64)}
        | {str(kind): torch.ones(2, 2).to(kind) for kind in (torch.int64, torch.int8, torch.uint8, torch.bool)},
        "shared": {"a": table, "b": table, "tail": table[2:], "turned": table.T, "strided": table[::2, 1:]},
        "parameters": {"p": nn.Parameter(table), "frozen": nn.Parameter(table, requires_grad=False)},
        "empty": {"none": torch.empty(0), "some": torch.empty(0, 3, dtype=torch.int64), "scalar": torch.tensor(1.5)},
        "values": {
            "list": [1, (2, "x", None, 1.5, float("nan"), True), []],
            "bytes": b"ab\xff",
            "bytearray": bytearray(b"x"),
            "set": {1, 2},
            "complex": 1j,
            "large": 1 << 70,
            "type": torch.float16,
            "device": torch.device("cpu"),
            "size": torch.Size([1, 2]),
            "inner": OrderedDict(a=OrderedDict(b={3: torch.ones(2)})),
        },
    }


NAMES = tuple(contents())


def equal(left: Any, right: Any) -> bool:
    """Whether what was read is what was saved, but for the classes of containers and devices."""
    if isinstance(right, Tensor):
        return bool(isinstance(left, Tensor) and left.dtype == right.dtype and torch.equal(left, right.detach()))
    if isinstance(right, dict):
        return type(left) is dict and list(left) == list(right) and all(equal(left[key], right[key]) for key in right)
    if isinstance(right, list | tuple):
        return len(left) == len(right) and all(equal(*pair) for pair in zip(left, right, strict=True))
    if isinstance(right, torch.device):
        return bool(left == str(right))
    return type(left) is type(right) and (left == right or right != right)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", NAMES)
def test_what_torch_saves_is_told_and_read(name: str, zipped: bool, tmp_path: Path) -> None:
    value = contents()[name]
    path = tmp_path / "file.pt"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    seen = skim(path)
    assert seen.faults == ()
    assert seen.form == ("torch" if zipped else "torch legacy")
    assert seen.bytes == path.stat().st_size
    assert all(tensor.is_meta for tensor in tensors(seen.tree))
    found = read(path)
    assert equal(found, value)
    assert not any(tensor.requires_grad or tensor.is_meta for tensor in tensors(found))
    assert [(t.shape, t.dtype) for t in tensors(found)] == [(t.shape, t.dtype) for t in tensors(seen.tree)]


def test_sizes_are_told_by_part(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(3)}, "more": {"a": [torch.ones(2).half()]}, "epoch": 1}, tmp_path / "a")
    assert skim(tmp_path / "a").parts() == {"state_dict": Part(tensors=1, bytes=12), "more": Part(tensors=1, bytes=4)}
    torch.save({"w": torch.ones(3), "v": torch.ones(1)}, tmp_path / "b")
    assert skim(tmp_path / "b").parts() == {"": Part(tensors=2, bytes=16)}


def test_globals_are_named_in_order(tmp_path: Path) -> None:
    torch.save({"w": nn.Parameter(torch.ones(1))}, tmp_path / "a.pt")
    assert skim(tmp_path / "a.pt").globals == (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        "torch.FloatStorage",
        "collections.OrderedDict",
    )


def test_safetensors_are_told_and_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    saved = {"w": torch.randn(3, 2), "count": torch.tensor(7), "none": torch.empty(0), "half": torch.ones(2).bfloat16()}
    save_file(saved, path, metadata={"format": "pt"})
    seen = skim(path)
    assert (seen.form, seen.faults, seen.metadata, seen.globals) == ("safetensors", (), {"format": "pt"}, ())
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in seen.tree.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in saved.items()
    }
    found = read(path)
    assert list(found) == list(seen.tree)
    assert all(torch.equal(found[name], tensor) for name, tensor in saved.items())


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Inner()
        first = nn.Linear(3, 3)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(3))
        self.tied = nn.Linear(3, 3)
        self.tied.weight = first.weight
        self.input_resolution = 224
        self.shape = [3, 4]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tied(self.layers(self.visual(x))) * self.input_resolution
        return out


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_torchscript_gives_the_tensors_that_torch_would(traced: bool, half: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Outer().half() if half else Outer()
        example = torch.randn(2, 3).half() if half else torch.randn(2, 3)
        script = torch.jit.trace(module, example) if traced else torch.jit.script(module)  # type: ignore[no-untyped-call]
        script.save(str(path))
        expected = torch.jit.load(str(path)).state_dict()  # type: ignore[no-untyped-call]
    seen = skim(path)
    assert (seen.form, seen.faults) == ("TorchScript", ())
    assert all(tensor.is_meta for tensor in tensors(seen.tree))
    found = read(path)
    assert sorted(found["state_dict"]) == sorted(seen.tree["state_dict"]) == sorted(expected)
    assert all(torch.equal(found["state_dict"][name], value) for name, value in expected.items())
    if not traced:
        assert found["attributes"] == {"input_resolution": 224, "shape": [3, 4]}
    found["state_dict"]["visual.weight"].add_(1)  # the file is not changed by what is done with its tensors
    assert torch.equal(read(path)["state_dict"]["visual.weight"], expected["visual.weight"])


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none cannot be read: No such file"):
        skim(tmp_path / "none")
    with pytest.raises(ValueError, match="none cannot be read: No such file"):
        read(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no file, but a device"):
        skim(tmp_path / "pipe")


def test_a_skim_refuses_in_one_line_and_counts_the_rest(tmp_path: Path) -> None:
    torch.save(
        {"a": torch.zeros(2, dtype=torch.complex64), "b": Path("x"), "c": torch.eye(2).to_sparse()}, tmp_path / "a"
    )
    seen = skim(tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"a is not read \(torch\): it names pathlib.PosixPath.*; and 2 more$"
    ) as caught:
        seen.refuse()
    assert "\n" not in str(caught.value)
    assert "w" in seen.tree or set(seen.tree) == {"a", "b", "c"}
