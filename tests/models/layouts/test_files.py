"""Files of weights: the same bytes for the same content, and no more of them than the tensors show."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from bezoar.models.layouts.files import save_safetensors, save_torch


def test_torch_files_are_compact_and_the_same_each_time(tmp_path: Path) -> None:
    whole = torch.arange(100_000.0).reshape(100, 1000)
    tree = {"epoch": 3, "inner": {"part": whole[7], "strided": whole.T[:2]}, "list": [1, 2]}
    for name in ("one.pt", "two.pt"):
        save_torch(tmp_path / name, tree)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    assert (tmp_path / "one.pt").stat().st_size < 20_000
    back = torch.load(tmp_path / "one.pt", weights_only=True)
    assert (back["epoch"], back["list"]) == (3, [1, 2])
    assert torch.equal(back["inner"]["part"], whole[7])
    assert torch.equal(back["inner"]["strided"], whole.T[:2])


def test_safetensors_keep_their_metadata(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    save_safetensors(tmp_path / "x.safetensors", {"a": image}, {"format": "pt"})
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert torch.equal(file.get_tensor("a"), image)
