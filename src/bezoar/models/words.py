"""What a text tower makes of each token, beside the feature of the whole caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


def text_tower(model: Clip) -> Any:
    """The part of a model that reads; raises ``ValueError`` where its tokens cannot be looked at."""
    tower = model.tower if hasattr(model.tower, "token_embedding") else getattr(model.tower, "text", None)
    if not all(isinstance(getattr(tower, name, None), nn.Module) for name in ("token_embedding", "ln_final")):
        raise ValueError(f"kind: looks at what each token becomes, which the text tower of {model.architecture} hides")
    return tower


def words_in(model: Clip, tokens: Tensor) -> Tensor:
    """Which of ``tokens`` are words or parts of words, not start, end or padding: ``bool``, both ``[n, length]``."""
    engine = model.tokenize.engine
    at = torch.arange(tokens.shape[1], device=tokens.device)
    end = getattr(engine, "eot_token_id", None)
    if end is not None:  # by place: CLIP pads with 0, which is a "!" too
        return (at > 0) & (at < (tokens == int(end)).to(torch.uint8).argmax(1, keepdim=True))
    inner = engine.tokenizer
    return tokens != int(inner.padding["pad_id"] if hasattr(inner, "padding") else inner.pad_token_id)


def read(model: Clip, tokens: Tensor, covered: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Features before normalization ``[n, d]``, and what the last layer makes of each token, ``[n, length, width]``.

    Where ``covered`` (bool ``[n, length]``) the tower sees ``cover`` ``[width]`` in the place of the token's embedding.
    """
    tower, kept = text_tower(model), []
    hooks = [
        tower.token_embedding.register_forward_hook(
            lambda _, __, found: torch.where(covered[..., None], cover.to(found.dtype), found)
        ),
        tower.ln_final.register_forward_hook(lambda _, __, found: kept.append(found)),
    ]
    try:
        features = model.text_features(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    (hidden,) = kept
    return features, hidden


def ordinary(model: Clip) -> int:
    """How many tokens of the vocabulary are words or parts of words: those numbered below this."""
    engine = model.tokenize.engine
    start = getattr(engine, "sot_token_id", None)
    size = text_tower(model).token_embedding.num_embeddings
    return int(size if start is None else min(start, engine.encoder.get("<|mask|>", start)))


def mask_of(model: Clip) -> Tensor | None:
    """The embedding that the tower itself has for what is masked, where its vocabulary has one: that of DeCLIP."""
    token = getattr(model.tokenize.engine, "encoder", {}).get("<|mask|>")
    return None if token is None else text_tower(model).token_embedding.weight[token]
