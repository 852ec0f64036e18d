"""AdamW with the systems' groups: norms, biases, heads and the logit scale without decay, everything else with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn

from bezoar.training.head import Head

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_EMBEDDINGS = ("positional_embedding", "class_embedding", "cls_emb", "pos_embed", "cls_token")
"""What open_clip and timm call the embeddings that are bare parameters."""
_FUSED = ("cpu", "cuda", "mps", "xpu")
"""Kinds of device with a fused AdamW in every supported release of torch."""


class Hyperparameters(Protocol):
    """What AdamW must know; every training method knows it."""

    @property
    def lr(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def decay_embeddings(self) -> bool: ...
    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...
    @property
    def eps(self) -> float: ...


def groups(module: nn.Module, *, decay_embeddings: bool = True) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters by what decay does to them, told apart by the type of the module that owns them.

    ``decayed`` and ``plain``; without ``decay_embeddings`` also ``embeddings``: of tokens, positions and classes. A
    group with nobody in it is left out.
    """
    found: dict[str, list[nn.Parameter]] = {"decayed": [], "plain": [], "embeddings": []}
    for path, parameter in module.named_parameters():  # a shared one comes once
        if parameter.requires_grad:
            found[_group(module, path, decay_embeddings)].append(parameter)
    return {name: parameters for name, parameters in found.items() if parameters}


def _group(module: nn.Module, path: str, decay_embeddings: bool) -> str:
    above, _, name = path.rpartition(".")
    owner = module.get_submodule(above)
    if isinstance(owner, (*_NORMS, Head)) or name.endswith("bias") or name in ("logit_scale", "logit_bias"):
        return "plain"
    embedding = isinstance(owner, nn.Embedding) or name in _EMBEDDINGS
    return "embeddings" if embedding and not decay_embeddings else "decayed"


def adamw(module: nn.Module, method: Hyperparameters) -> torch.optim.AdamW:
    """A fresh AdamW over the trainable parameters of ``module``, fused where the device has it.

    Raises ``ValueError`` when nothing in ``module`` can be trained.
    """
    found = groups(module, decay_embeddings=method.decay_embeddings)
    if not found:
        raise ValueError("method.lock: everything is locked, so there is nothing to train")
    kinds = {parameter.device.type for parameters in found.values() for parameter in parameters}
    return torch.optim.AdamW(
        [
            {"name": name, "params": parameters, "weight_decay": method.weight_decay if name == "decayed" else 0.0}
            for name, parameters in found.items()
        ],
        lr=method.lr,
        betas=(method.beta1, method.beta2),
        eps=method.eps,
        fused=kinds.issubset(_FUSED) or None,  # None lets torch choose; False would also rule out foreach
    )


def facts(optimizer: torch.optim.Optimizer) -> Mapping[str, Mapping[str, float]]:
    """Learning rate and weight decay by the name of the group, as the next step will use them.

    Read from the optimizer and not from the settings: a state that is loaded brings its own.
    """
    return {
        group["name"]: {"lr": float(group["lr"]), "weight_decay": float(group["weight_decay"])}
        for group in optimizer.param_groups
    }
