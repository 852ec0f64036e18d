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


def words_in(model: Clip, tokens: Tensor, words: Tensor) -> Tensor:
    """Which of ``tokens`` are words or parts of words, not start, end or padding: ``bool``, both ``[n, length]``.

    ``words``: those of the model, as ``ordinary`` finds them, on the device of ``tokens``.
    """
    end = getattr(model.tokenize.engine, "eot_token_id", None)
    if end is None:
        return words[torch.searchsorted(words, tokens).clamp(max=len(words) - 1)] == tokens
    at = torch.arange(tokens.shape[1], device=tokens.device)  # by place: CLIP pads with 0, which is a "!" too
    return (at > 0) & (at < (tokens == int(end)).to(torch.uint8).argmax(1, keepdim=True))


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


def ordinary(model: Clip) -> Tensor:
    """The tokens of the vocabulary that are words or parts of words, in ascending order, ``int64``."""
    engine = model.tokenize.engine
    start = getattr(engine, "sot_token_id", None)
    if start is not None:  # all others come after them
        return torch.arange(min(start, engine.encoder.get("<|mask|>", start)))
    inner = engine.tokenizer
    core = getattr(inner, "backend_tokenizer", inner)  # in one of transformers there is one of tokenizers
    others = {number for number, token in core.get_added_tokens_decoder().items() if token.special}
    others.add(inner.padding["pad_id"] if hasattr(inner, "padding") else inner.pad_token_id)
    return torch.tensor(sorted({*core.get_vocab().values()} - others))


def mask_of(model: Clip) -> Tensor | None:
    """The embedding that the tower itself has for what is masked, where its vocabulary has one: that of DeCLIP."""
    token = getattr(model.tokenize.engine, "encoder", {}).get("<|mask|>")
    return None if token is None else text_tower(model).token_embedding.weight[token]
