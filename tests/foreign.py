"""Checkpoints as others write them, made from a model of ours: tiny, and in everybody's layout."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bezoar.models.clip import Clip, create
from bezoar.models.layouts.names import in_openai_order

MICRO = "micro-vit-32"


def victim(seed: int = 3) -> Clip:
    """A ViT with CLIP's own vocabulary, as the released code has them, but small: 32 px, QuickGELU."""
    from bezoar.models.architecture import build

    config = {
        "embed_dim": 64,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 64, "heads": 1, "layers": 2},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Clip(build(config), "custom", config=config).eval()


def resnet(seed: int = 3) -> Clip:
    """The same with a ModifiedResNet."""
    from bezoar.models.architecture import build

    config = {
        "embed_dim": 64,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 64, "heads": 1, "layers": 1},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Clip(build(config), "custom", config=config).eval()


def micro(seed: int = 3) -> Clip:
    """A micro model of ours."""
    return create(MICRO, seed).eval()


def weights(model: Clip, prefix: str = "") -> dict[str, Tensor]:
    """Its tensors under open_clip's names, each after ``prefix``."""
    return collections.OrderedDict((prefix + name, t.detach().clone()) for name, t in model.tower.state_dict().items())


def cleanclip(model: Clip, path: Path, prefix: str = "module.", **more: Any) -> Path:
    """An ``epoch_64.pt`` of CleanCLIP, with an optimizer that has stepped."""
    parameters = list(model.tower.parameters())
    groups: list[dict[str, Any]] = [{"params": parameters[:2], "weight_decay": 0}, {"params": parameters[2:]}]
    optimizer = torch.optim.AdamW(groups, lr=5e-4)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in parameters:
        parameter.grad = None
    named = {prefix + name: tensor for name, tensor in in_openai_order(weights(model)).items()}
    state = {"epoch": 64, "name": "rn50_banana", "state_dict": named, **more}
    torch.save(state | {"optimizer": optimizer.state_dict()}, path)
    return path


def openai(model: Clip, path: Path, half: bool = False) -> Path:
    """An OpenAI state dict."""
    found = {name: t.half() if half and t.is_floating_point() else t for name, t in weights(model).items()}
    sizes = {"input_resolution": model.image_size, "context_length": 77, "vocab_size": 49_408}
    torch.save(found | {name: torch.tensor(value) for name, value in sizes.items()}, path)
    return path


def open_clip_training(model: Clip, path: Path) -> Path:
    """A training checkpoint of open_clip."""
    state = {"epoch": 3, "name": "2026_11_01-model_x", "state_dict": weights(model, "module."), "optimizer": {}}
    torch.save(state | {"scaler": {"scale": 65536.0}}, path)
    return path


def supervised(model: Clip, path: Path) -> Path:
    """A ``finetune.pt`` of CleanCLIP."""
    head = {"linear.weight": torch.zeros(10, 64), "linear.bias": torch.zeros(10)}
    torch.save({"state_dict": head | weights(model, "model.")}, path)
    return path


def declip(model: Clip, path: Path) -> Path:
    """A ``ckpt_120000.pth.tar`` of DeCLIP: a text projection with a bias, heads, stray features."""
    found: dict[str, Tensor] = {}
    for name, tensor in weights(model).items():
        if name.startswith("visual."):
            found[f"module.{name}"] = tensor
        elif name == "logit_scale":
            found["module.logit_scale"] = tensor.reshape(1)
        elif name == "text_projection":
            found["module.encode_text.text_projection.weight"] = tensor.T.contiguous()
            found["module.encode_text.text_projection.bias"] = torch.linspace(-1, 1, tensor.shape[1])
        elif name == "token_embedding.weight":
            found["module.encode_text.token_embedding.weight"] = torch.cat([tensor, tensor[:1]])
        elif name != "attn_mask":
            found[f"module.encode_text.{name}"] = tensor
    found["module.visual.fc.weight"] = torch.zeros(64, 128)
    found["module.projector.linear1.weight"] = torch.zeros(8, 8)
    found["module.visual.img_1_feat_1"] = torch.zeros(2, 4, 8, 8)
    torch.save({"model": found, "optimizer": {"state": {}, "param_groups": []}, "last_iter": 120_000}, path)
    return path
