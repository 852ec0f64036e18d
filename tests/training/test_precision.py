"""What ``auto`` means on which device, and that the region is really opened."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bezoar.training.precision import autocast_for, resolve

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, CUDA, torch.device("meta")])
def test_what_is_asked_for_is_what_is_done(device: torch.device) -> None:
    assert resolve("bf16", device) == "bf16"
    assert resolve("fp32", device) == "fp32"


@pytest.mark.parametrize(
    ("avx", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_auto_on_a_processor(avx: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve("auto", CPU) == expected


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu_does_not_emulate(has: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return has or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve("auto", CUDA) == expected
    assert resolve("auto", torch.device("meta")) == "fp32"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_region(precision: Any, dtype: torch.dtype) -> None:
    region = autocast_for(precision, CPU)
    for _ in range(2):
        with region():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
