"""Masked language modelling (Devlin et al. 2019, "BERT", section 3.1): what is masked, and how well it is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def masked_words(hidden: Tensor, tokens: Tensor, asked: Tensor, head: nn.Module, room: int) -> Tensor:
    """Σ CE(head(hidden), tokens) over the tokens that are ``asked``, in nats: a sum, for whoever divides by a number.

    ``hidden`` ``[n, length, width]``, ``tokens`` int64 and ``asked`` bool ``[n, length]``; ``head`` takes ``width`` to
    a score for each token. Scores are made of ``room`` tokens, whatever their number is: a device need not be asked
    for it. Tokens asked beyond ``room`` are left out. At least float32, also under autocast.
    """
    import torch
    from torch.nn import functional as F

    assert hidden.shape[:2] == tokens.shape == asked.shape, (hidden.shape, tokens.shape, asked.shape)
    # Where the number of those asked for so far reaches 1, 2, …: no device has to be waited for.
    at = torch.searchsorted(asked.flatten().cumsum(0), torch.arange(1, room + 1, device=asked.device))
    there = at < asked.numel()
    at = at.clamp(max=asked.numel() - 1)
    scores = head(hidden.flatten(0, 1)[at])
    precision = torch.promote_types(scores.dtype, torch.float32)
    each = F.cross_entropy(scores.to(precision), tokens.flatten()[at], reduction="none")
    return (each * there).sum()
