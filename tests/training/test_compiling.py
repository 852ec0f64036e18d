"""Compiled towers say what they said, under the names they had; where nothing compiles it is said before the work."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from tests import tiny
from torch import nn

from bezoar.models.clip import Clip
from bezoar.training import compiling
from bezoar.training.compiling import compile_towers

PICTURES = torch.arange(4 * 3 * 32 * 32).remainder(251).to(torch.uint8).view(4, 3, 32, 32)
CAPTIONS = (["a dog", "two cats", "the sea", "a roof"], ["dog"] * 4, ["a dog and a cat on the roof of a house"] * 4)


def compiled(model: Clip) -> list[str]:
    """Names of the modules that are compiled."""
    return [name for name, module in model.tower.named_modules() if module._compiled_call_impl is not None]


VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 40, "vocab_size": 4096, "width": 32, "heads": 2, "layers": 1}


def small(make: Callable[..., nn.Module] = open_clip.CLIP, **text: object) -> Clip:
    """One layer a tower: kernels take long to compile."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = make(16, VISION, TEXT | text)
    open_clip.model.set_model_preprocess_cfg(tower, {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3})
    return Clip(tower, "micro-cnn-32")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (tiny.clip, ["visual", "transformer"]),
        (lambda: small(open_clip.CustomTextCLIP), ["visual", "text.transformer"]),
        (lambda: small(open_clip.CustomTextCLIP, no_causal_mask=True), ["visual", "text"]),
    ],
    ids=["clip", "custom", "uncut"],
)
def test_what_the_model_calls_is_compiled(
    make: Callable[[], Clip], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_try", lambda device: None)
    model = make()
    keys = list(model.state_dict())
    compile_towers(model)
    assert sorted(compiled(model)) == sorted(expected)
    assert list(model.state_dict()) == keys
    calls = []
    for name in expected:
        module = model.tower.get_submodule(name)

        def call(*given: object, module: nn.Module = module, name: str = name, **named: object) -> object:
            calls.append(name)
            return module.forward(*given, **named)

        module._compiled_call_impl = call
    model.eval()
    model.encode_image(PICTURES)
    model.encode_captions(["a dog"])
    assert calls == expected, "and nothing else is on the way"
    assert compiled(copy.deepcopy(model)) == [], "a copy is not compiled"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_features_and_gradients_are_those_of_the_model() -> None:
    plain, model = small().train(), small().train()
    compile_towers(model)
    assert compiled(model)
    found = []
    for one in (plain, model):
        tokens = [one.tokenize(captions) for captions in CAPTIONS]
        assert len({part.shape for part in tokens}) == 3
        features = [one.encode_image(PICTURES), *map(one.encode_text, tokens)]
        nn.functional.cross_entropy(features[0] @ features[1].T, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
        found.append([*features, *(weights.grad for weights in one.parameters() if weights.grad is not None)])
    assert len(found[0]) > 30
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_without_a_compiler_one_line_says_so(tmp_path: Path) -> None:
    """In a process of its own: a compiler that was found once is remembered."""
    text = "from tests import tiny; from bezoar.training.compiling import compile_towers; compile_towers(tiny.clip())"
    environment = os.environ | {"CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: compile: torch.compile does not work on this machine's cpu: ")
    assert "/nowhere/c++" in last


def test_whatever_goes_wrong_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: object) -> object:
        raise RuntimeError("backend='inductor' raised:\n\nTritonMissing: no triton\n\nSet a variable for more")

    monkeypatch.setattr(torch, "compile", fail)
    model = tiny.clip()
    with pytest.raises(ValueError, match=r"^compile: .* on this machine's cpu: TritonMissing: no triton$"):
        compile_towers(model)
    assert compiled(model) == []
