"""AdamW with the systems' groups: norms, biases and the logit scale without decay, everything else with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from bezoar.training.method import Method

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def groups(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters with and without weight decay, told apart by the type of the module that owns them."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for path, parameter in module.named_parameters():  # a shared one comes once
        owner, _, name = path.rpartition(".")
        if parameter.requires_grad:
            norm = isinstance(module.get_submodule(owner), _NORMS)
            free = norm or name.endswith("bias") or name in ("logit_scale", "logit_bias")
            (plain if free else decayed).append(parameter)
    return decayed, plain


def adamw(module: nn.Module, method: Method) -> torch.optim.AdamW:
    """A fresh fused AdamW over the trainable parameters of ``module``."""
    decayed, plain = groups(module)
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": method.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=method.lr,
        betas=(method.beta1, method.beta2),
        eps=method.eps,
        fused=True,
    )
