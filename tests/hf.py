"""Folders as Hugging Face's transformers write them, made here; nothing is fetched."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

TEXT = {
    "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 20, "vocab_size": 600, "bos_token_id": 598, "eos_token_id": 599, "pad_token_id": 599,
}  # fmt: skip
VISION = {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 24,
    "patch_size": 8,
}  # fmt: skip
SIGLIP_TEXT = {
    "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 40, "vocab_size": 4096, "projection_size": 128, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
SIGLIP_VISION = {
    "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 32,
    "patch_size": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may fetch anything, whichever module read the variable first."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def clip(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, width: int = 40) -> CLIPModel:
    """A small model in which every weight counts: no bias is zero and no norm one."""
    config = CLIPConfig(text_config=TEXT | (text or {}), vision_config=VISION | (vision or {}), projection_dim=width)
    made: CLIPModel = _stirred(CLIPModel, config)
    return made


def siglip(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None) -> SiglipModel:
    """One that every weight counts in, of the size of ``micro-siglip-32``."""
    text, vision = SIGLIP_TEXT | (text or {}), SIGLIP_VISION | (vision or {})
    made: SiglipModel = _stirred(SiglipModel, SiglipConfig(text_config=text, vision_config=vision))
    return made


def _stirred(kind: Any, config: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = kind(config).eval()
        for weight in model.parameters():
            spread = 0.3 if weight.ndim < 2 else weight.shape[-1] ** -0.5
            nn.init.normal_(weight, 0.5 if weight.ndim < 2 else 0.0, spread)
    return model


def opened(out: Path) -> Any:
    """What ``CLIPModel.from_pretrained`` makes of a folder; nothing may be missing, left over or of another shape."""
    kind: Any = CLIPModel
    model, told = kind.from_pretrained(out, output_loading_info=True)
    assert not any(told.values()), told
    return model.eval()


def folder(model: Any, out: Path) -> Path:
    """What ``save_pretrained`` writes, without its progress bar."""
    out.mkdir(parents=True)
    model.config.save_pretrained(out)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out / "model.safetensors")
    return out


def weights(out: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(out / "model.safetensors")
    return found


def change(out: Path, file: str, /, **changes: Any) -> None:
    """Change the JSON object in ``file``, made where there is none; ``None`` takes a name away."""
    path = out / file
    said = (json.loads(path.read_text()) if path.exists() else {}) | changes
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))


def change_side(out: Path, side: str, /, **changes: Any) -> None:
    """Change ``text_config`` or ``vision_config``."""
    said = json.loads((out / "config.json").read_text())
    said[side] |= changes
    (out / "config.json").write_text(json.dumps(said))


def copied(source: Path, out: Path) -> Path:
    shutil.copytree(source, out)
    return out


def pieces(size: int = 4096, *, ends: bool = True) -> str:
    """A ``tokenizer.json`` with as many pieces as SigLIP's kind has: ``<pad>`` 0, ``</s>`` 1, ``<unk>`` 2, words."""
    words = ["\u2581a", "\u2581dog", "\u2581cat", "\u2581two", "s", "\u2581on", "\u2581the", "\u2581roof", "\u2581"]
    letters = [letter for letter in string.ascii_lowercase if letter not in words]
    known = ["<pad>", "</s>", "<unk>", *words, *letters]
    filled = [*known, *(f"\u2581filler{n}" for n in range(size - len(known)))]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram([(word, -float(len(word) < 2)) for word in filled], unk_id=2))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    made.add_special_tokens(["<pad>", "</s>", "<unk>"])
    if ends:
        made.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", "$A $B </s>", [("</s>", 1)])
    said: str = made.to_str()
    return said
