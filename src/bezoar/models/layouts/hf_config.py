"""What a Hugging Face ``config.json`` says of the two towers, and open_clip's config of a CLIPModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from bezoar.models import architecture
from bezoar.models.compared import image_size

Said = dict[str, Any]

ARGMAX = 2
"""An end token that old configs of CLIP name by mistake: transformers then pools at the largest token, as CLIP does."""

CLIP_TEXT: Said = {
    "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
    "max_position_embeddings": 77, "vocab_size": 49_408, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    "eos_token_id": 49_407,
}  # fmt: skip
CLIP_VISION: Said = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "image_size": 224, "patch_size": 32, "num_channels": 3, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
SIGLIP_TEXT: Said = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "max_position_embeddings": 64, "vocab_size": 32_000, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
SIGLIP_VISION: Said = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "image_size": 224, "patch_size": 16, "num_channels": 3, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
_ACTIVATIONS: dict[str, tuple[bool, Said]] = {
    "quick_gelu": (True, {}),
    "gelu": (False, {}),
    "gelu_pytorch_tanh": (False, {"act_kwargs": {"approximate": "tanh"}}),
}
"""By their name there: ``quick_gelu`` and what a tower's config says here."""
_EPS = 1e-5


def facts(said: Said) -> dict[str, str | int | float]:
    """What ``config.json`` says of where a model is from."""
    keys = {"_name_or_path": "name", "transformers_version": "transformers"}
    return {word: said[key] for key, word in keys.items() if isinstance(said.get(key), str) and said[key]}


def kind_of(said: Said) -> str | None:
    """The ``model_type`` of a ``config.json``; raises ``ValueError`` where it is no name."""
    kind = said.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ValueError(f"config.json: model_type is {kind!r}, which is no name")
    return kind


def side(config: Mapping[str, Any], which: str, defaults: Said) -> Said:
    """The settings of one tower (``text_config``, ``vision_config``): a file leaves out what is the default.

    Old files repeat them in ``…_config_dict``, which transformers believes. Raises ``ValueError`` for what is not
    positive and of the kind that it must be.
    """
    again = config.get(f"{which}_dict")
    given = config.get(which) if again is None else again
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"config.json: {which} is not an object")
    said = defaults | {key: value for key, value in (given or {}).items() if key in defaults and value is not None}
    for key, value in said.items():
        if key == "eos_token_id":
            continue
        if type(value) is not type(defaults[key]) or (not isinstance(value, str) and not 0 < value < float("inf")):
            raise ValueError(f"config.json: {which}.{key} is {value!r}, which cannot be done")
    heads, width = said["num_attention_heads"], said["hidden_size"]
    if width % heads:
        raise ValueError(f"config.json: {which} has {heads} attention heads, which do not part a width of {width}")
    return said


def clip_config(weights: Mapping[str, Tensor], said: Said) -> tuple[Said, tuple[str, ...]]:
    """open_clip's config of a CLIPModel, and what was assumed where there is no ``config.json``.

    Raises ``ValueError`` where it says what cannot be done, or otherwise than the weights show.
    """
    text, vision = side(said, "text_config", CLIP_TEXT), side(said, "vision_config", CLIP_VISION)
    for which, one in (("text", text), ("vision", vision)):
        if one["hidden_act"] not in _ACTIVATIONS:
            choices = ", ".join(_ACTIVATIONS)
            raise ValueError(f"config.json: {which}_config.hidden_act is '{one['hidden_act']}' (choices: {choices})")
    (quick, own), (other, others) = (_ACTIVATIONS[one["hidden_act"]] for one in (vision, text))
    if quick != other:
        raise ValueError(
            f"config.json: the image tower has {vision['hidden_act']} and the text tower {text['hidden_act']}; "
            "QuickGELU can only be had in both"
        )
    shown, assumed = architecture.config_of(weights, quick_gelu=quick)
    image, words = CLIPVisionCfg(**shown["vision_cfg"]), CLIPTextCfg(**shown["text_cfg"])
    config: Said = {
        "embed_dim": shown["embed_dim"],
        "vision_cfg": {
            "image_size": image_size(shown), "layers": image.layers, "width": image.width,
            "head_width": image.head_width, "patch_size": image.patch_size, "mlp_ratio": image.mlp_ratio,
        },
        "text_cfg": {
            "context_length": words.context_length, "vocab_size": words.vocab_size, "width": words.width,
            "heads": words.heads, "layers": words.layers, "mlp_ratio": words.mlp_ratio,
        },
        **({"quick_gelu": True} if quick else {}),
    }  # fmt: skip
    if not said:
        return config, (*assumed, "QuickGELU")
    _agree(said, text, vision, config)
    config["vision_cfg"] |= own | _norm(vision) | {
        "image_size": vision["image_size"], "head_width": vision["hidden_size"] // vision["num_attention_heads"],
    }  # fmt: skip
    config["text_cfg"] |= others | _norm(text) | _pool(text) | {"heads": text["num_attention_heads"]}
    return config, ()


def _norm(said: Said) -> Said:
    return {} if said["layer_norm_eps"] == _EPS else {"norm_kwargs": {"eps": said["layer_norm_eps"]}}


def _pool(text: Said) -> Said:
    """Where a text is pooled: at its largest token, which in CLIP's vocabulary is the end, or at the first end."""
    ends, vocab = text["eos_token_id"], text["vocab_size"]
    end = ends[0] if isinstance(ends, list) and len(ends) == 1 else ends
    if end in (ARGMAX, vocab - 1):
        return {}
    if type(end) is not int or not 0 <= end < vocab:
        raise ValueError(f"config.json: text_config.eos_token_id is {ends}, which is no token of {vocab:,}")
    return {"pool_type": "eos", "eos_id": end}


def _agree(config: Mapping[str, Any], text: Said, vision: Said, ours: Said) -> None:
    """Raise ``ValueError`` where ``config.json`` says otherwise than ``ours``, which the weights of a CLIP show."""
    words, image = ours["text_cfg"], ours["vision_cfg"]
    shown = {
        "hidden_size": words["width"], "num_hidden_layers": words["layers"], "vocab_size": words["vocab_size"],
        "max_position_embeddings": words["context_length"],
        "intermediate_size": int(words["width"] * words["mlp_ratio"]),
    }  # fmt: skip
    compare("text_config", text, shown)
    shown = {
        "hidden_size": image["width"], "num_hidden_layers": image["layers"], "patch_size": image["patch_size"],
        "num_channels": 3, "intermediate_size": int(image["width"] * image["mlp_ratio"]),
    }  # fmt: skip
    compare("vision_config", vision, shown)
    patches = image["image_size"] // image["patch_size"]
    if vision["image_size"] // vision["patch_size"] != patches:
        raise ValueError(
            f"config.json: vision_config.image_size is {vision['image_size']}, and the weights show {patches}×{patches}"
            f" patches of {vision['patch_size']} px"
        )
    if config.get("projection_dim", 512) != ours["embed_dim"]:
        raise ValueError(
            f"config.json: projection_dim is {config.get('projection_dim', 512)}, and the weights show "
            f"{ours['embed_dim']}"
        )


def compare(which: str, said: Said, shown: Mapping[str, int]) -> None:
    """Raise ``ValueError`` for the first setting that is another than the weights show."""
    for key, value in shown.items():
        if said[key] != value:
            raise ValueError(f"config.json: {which}.{key} is {said[key]}, and the weights show {value}")
