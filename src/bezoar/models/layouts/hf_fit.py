"""Whether a model is what Hugging Face's ``CLIPModel`` can be, and how ``config.json`` then describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import open_clip
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, TextTransformer, VisionTransformer
from torch import nn

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


def check(model: Clip) -> None:
    """Raise ``ValueError`` with the reason where a CLIPModel cannot hold ``model``."""
    reason = _reason(model)
    if reason:
        raise ValueError(f"{model.title} cannot be written as a CLIPModel of Hugging Face: {reason}")


def _reason(model: Clip) -> str:
    tower: Any = model.tower
    if type(tower) not in (open_clip.CLIP, open_clip.CustomTextCLIP):
        return f"it is a {type(tower).__name__}"
    if isinstance(tower.visual, ModifiedResNet):
        return "Hugging Face's CLIPModel has no ResNet image tower"
    if isinstance(tower.visual, TimmModel):
        return f"Hugging Face's CLIPModel has no image tower of timm's ({type(tower.visual.trunk).__name__})"
    text = _text(tower)
    if type(tower.visual) is not VisionTransformer or not isinstance(text, (open_clip.CLIP, TextTransformer)):
        return "its towers are not open_clip's own"
    reasons = [_image_reason(tower.visual), _text_reason(text)]
    for side, module in (("image", tower.visual.transformer), ("text", text.transformer)):
        if any(type(block) is not ResidualAttentionBlock for block in module.resblocks):
            reasons.append(f"the blocks of its {side} tower are another kind")
        elif any(not isinstance(part, nn.Identity) for block in module.resblocks for part in (block.ls_1, block.ls_2)):
            reasons.append(f"its {side} tower scales its layers")
        if not _activation(module):
            reasons.append(f"the activation of its {side} tower has no name there")
    if tower.logit_bias is not None:
        reasons.append("it has a logit bias")
    if model.frame.resize == "longest":
        reasons.append("its pictures are padded, which a CLIPImageProcessor does not")
    if not isinstance(model.tokenize.engine, SimpleTokenizer) or not model.tokenize.lowers:
        reasons.append("its tokenizer is not CLIP's")
    return next((reason for reason in reasons if reason), "")


def _image_reason(visual: VisionTransformer) -> str:
    if visual.attn_pool is not None or visual.pool_type != "tok":
        return "its image tower does not pool at the class token"
    if isinstance(visual.ln_pre, nn.Identity):
        return "its image tower has no norm before its blocks"
    if visual.grid_size[0] != visual.grid_size[1] or visual.patch_size[0] != visual.patch_size[1]:
        return "its image tower does not see squares"
    return ""


def _text_reason(text: Any) -> str:
    if getattr(text, "attn_mask", None) is None:
        return "its text tower is not causal"
    if getattr(text, "cls_emb", None) is not None or _pool(text)[0] not in ("argmax", "eos"):
        return "its text tower does not pool at the end of the text"
    if text.text_projection is None:
        return "its text tower has no projection"
    if isinstance(text.text_projection, nn.Linear):
        return "its text projection has a bias"
    return ""


def config_json(model: Clip) -> dict[str, Any]:
    """What ``config.json`` says of ``model``, which has been checked."""
    tower: Any = model.tower
    text = _text(tower)
    pool, end = _pool(text)
    engine = model.tokenize.engine
    vocab, width = text.token_embedding.weight.shape
    embed_dim = tower.visual.proj.shape[1]
    return {
        "architectures": ["CLIPModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": embed_dim,
        "text_config": {
            "model_type": "clip_text_model",
            "bos_token_id": engine.sot_token_id,
            "eos_token_id": vocab - 1 if pool == "argmax" else end,
            "max_position_embeddings": len(text.positional_embedding),
            "pad_token_id": engine.eot_token_id,
            "projection_dim": embed_dim,
            "vocab_size": vocab,
            **_transformer(text.transformer, width, text.ln_final),
        },
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": tower.visual.image_size[0],
            "num_channels": 3,
            "patch_size": tower.visual.patch_size[0],
            "projection_dim": embed_dim,
            **_transformer(tower.visual.transformer, tower.visual.conv1.weight.shape[0], tower.visual.ln_post),
        },
    }


def _transformer(module: Any, width: int, norm: nn.LayerNorm) -> dict[str, Any]:
    block = module.resblocks[0]
    return {
        "attention_dropout": 0.0,
        "hidden_act": _activation(module),
        "hidden_size": width,
        "intermediate_size": block.mlp.c_fc.weight.shape[0],
        "layer_norm_eps": norm.eps,
        "num_attention_heads": block.attn.num_heads,
        "num_hidden_layers": len(module.resblocks),
    }


def _text(tower: Any) -> Any:
    """What holds the parts of the text tower."""
    return tower if isinstance(tower, open_clip.CLIP) else tower.text


def _pool(text: Any) -> tuple[str, int]:
    if isinstance(text, open_clip.CLIP):
        return text.text_pool_type, text.text_eos_id
    return text.pool_type, text.eos_id


def _activation(module: Any) -> str:
    """The name of a transformer's activation there, empty where it has none."""
    gelu = module.resblocks[0].mlp.gelu
    if isinstance(gelu, QuickGELU):
        return "quick_gelu"
    if type(gelu) is not nn.GELU:
        return ""
    return {"none": "gelu", "tanh": "gelu_pytorch_tanh"}[gelu.approximate]
