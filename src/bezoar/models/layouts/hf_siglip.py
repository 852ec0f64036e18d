"""Hugging Face's ``SiglipModel``: SigLIP, and SigLIP 2 at a fixed resolution. Read, and put back where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.clip import architectures
from bezoar.models.compared import filled, registered
from bezoar.models.layouts import hf_pieces, hf_preprocessing
from bezoar.models.layouts.base import Tower, Tree
from bezoar.models.layouts.hf_config import SIGLIP_TEXT, SIGLIP_VISION, Said, compare, facts, kind_of, side
from bezoar.models.layouts.hf_names import Row, blocks, layers, named, put, read, same
from bezoar.models.layouts.hf_preprocessing import Preprocessing
from bezoar.models.siglip_trunks import trunk
from bezoar.models.tokenizer import MICRO

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

_TEXT, _VISION, _TRUNK = "text_model.", "vision_model.", "visual.trunk."
_PATCHES = f"{_TRUNK}patch_embed.proj.weight"
_INNER = "text.transformer.resblocks.0.mlp.c_fc.weight"
_HALF = (0.5, 0.5, 0.5)
_GEMMA = 256_000
_ACTIVATIONS: dict[str, Said] = {"gelu": {}, "gelu_pytorch_tanh": {"act_kwargs": {"approximate": "tanh"}}}
_NAMED = ("hf_tokenizer_name", "tokenizer_kwargs")
_LAYERS = {768: (12, 12, 3072), 1024: (24, 16, 4096), 1152: (27, 16, 4304), 1536: (40, 16, 6144), 128: (4, 4, 512)}
"""Layers, heads and inner width of timm's image tower of each width."""


@dataclass(frozen=True)
class HfSiglip:
    """``SiglipModel`` of transformers 4 and 5, in the sizes that were released."""

    name: str = "hf_siglip"
    about: str = "a SiglipModel of Hugging Face"
    suffix: str = ""

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        """The tower in a flat tree of tensors beside its ``config.json``."""
        said = beside.json("config.json") or {}
        tree = named(tree)
        if not _is_siglip(tree, said):
            return None
        rows = _rows(tree)
        weights = read(rows, tree)
        known = {name for row in rows for name in row.theirs}
        unused = tuple(name for name in tree if name not in known and not name.endswith(".position_ids"))
        odd = next((name for name in unused if name.startswith((_TEXT, _VISION))), None)
        if odd is not None:
            raise ValueError(f"it holds {odd}, which a SiglipModel has not")
        config = _config(weights, said)
        size, words = config["vision_cfg"]["image_size"], config["text_cfg"]
        usual = Preprocessing(Frame(size, "squash"), _HALF, _HALF)
        shown = hf_preprocessing.read(beside, size, usual)
        notes = () if shown else ("SigLIP's preprocessing",)
        content = hf_pieces.read(beside, words["context_length"])
        if content is None and not MICRO[0] <= words["vocab_size"] <= MICRO[1]:
            raise ValueError("its tokenizer.json is not beside it; that of spiece.model alone cannot be read")
        if content is None:
            notes = (*notes, f"the tokenizer of a vocabulary of {words['vocab_size']:,}")
        if words["vocab_size"] == _GEMMA:
            notes = (*notes, "captions without punctuation, as in open_clip")
        shown = shown or usual
        return Tower(
            layout=self.name, weights=weights, config=config, frame=shown.frame, mean=shown.mean, std=shown.std,
            facts=facts(said), unused=unused, notes=notes, tokenizer=content,
        )  # fmt: skip

    def check(self, model: Clip) -> None:
        """Raise ``ValueError``: a model is put back into the folder it came from, or converted to another layout."""
        raise ValueError(
            f"{model.title} cannot be written as a SiglipModel of Hugging Face; it can be put back into one"
        )

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        """As ``check``."""
        self.check(model)

    def put(self, model: Clip, tree: Tree) -> Tree:
        """``tree`` with the tower in it replaced by ``model``; raises ``ValueError`` where the towers differ."""
        return put(_rows(named(tree)), model.tower.state_dict(), tree)


def _is_siglip(tree: Tree, said: Said) -> bool:
    """Whether a tree is laid out so; raises ``ValueError`` for one that is of the family, and cannot be done."""
    kind = kind_of(said)
    has_text, has_vision = (any(name.startswith(prefix) for name in tree) for prefix in (_TEXT, _VISION))
    patches = tree.get(f"{_VISION}embeddings.patch_embedding.weight")
    if kind == "siglip2" or (kind is None and isinstance(patches, Tensor) and patches.ndim == 2):
        raise ValueError("it takes pictures of any proportions (NaFlex), which cannot be done")
    if kind in ("siglip_text_model", "siglip_vision_model"):
        raise ValueError(f"config.json says that it is one tower alone ({kind})")
    if f"{_VISION}head.probe" not in tree and f"{_TEXT}head.weight" not in tree:
        if kind == "siglip" and (has_text or has_vision):
            raise ValueError("it has neither the pooling head nor the text projection of a SiglipModel")
        return False
    if kind not in ("siglip", None):
        raise ValueError(f"config.json says that it is a '{kind}', not a SiglipModel")
    if not has_text or not has_vision:
        raise ValueError(f"it holds the {'text' if has_text else 'image'} tower of a SiglipModel alone")
    if not said:
        raise ValueError("its config.json is not beside it, and how many attention heads it has stands only there")
    return True


def _rows(tree: Iterable[str]) -> list[Row]:
    names = list(tree)
    head, pool = f"{_VISION}head.", f"{_TRUNK}attn_pool."
    rows = [
        Row(("logit_scale",), ("logit_scale",), "scalar"),
        Row(("logit_bias",), ("logit_bias",), "scalar"),
        *same(f"{_TRUNK}patch_embed.proj", f"{_VISION}embeddings.patch_embedding", ".weight", ".bias"),
        Row((f"{_TRUNK}pos_embed",), (f"{_VISION}embeddings.position_embedding.weight",), "row"),
        *same(f"{_TRUNK}norm", f"{_VISION}post_layernorm", ".weight", ".bias"),
        Row((f"{pool}latent",), (f"{head}probe",)),
        *same(f"{pool}proj", f"{head}attention.out_proj", ".weight", ".bias"),
        *same(f"{pool}norm", f"{head}layernorm", ".weight", ".bias"),
        *same(f"{pool}mlp.fc1", f"{head}mlp.fc1", ".weight", ".bias"),
        *same(f"{pool}mlp.fc2", f"{head}mlp.fc2", ".weight", ".bias"),
        Row(("text.token_embedding.weight",), (f"{_TEXT}embeddings.token_embedding.weight",)),
        Row(("text.positional_embedding",), (f"{_TEXT}embeddings.position_embedding.weight",)),
        *blocks("text.", _TEXT, layers(names, f"{_TEXT}encoder.layers.")),
        *same("text.ln_final", f"{_TEXT}final_layer_norm", ".weight", ".bias"),
        *same("text.text_projection", f"{_TEXT}head", ".weight", ".bias"),
    ]
    for part in ("weight", "bias"):
        rows.append(Row((f"{pool}q.{part}", f"{pool}kv.{part}"), (f"{head}attention.in_proj_{part}",), shares=(1, 2)))
    for layer in range(layers(names, f"{_VISION}encoder.layers.")):
        here, there = f"{_TRUNK}blocks.{layer}.", f"{_VISION}encoder.layers.{layer}."
        for part in ("weight", "bias"):
            joined = tuple(f"{there}self_attn.{each}_proj.{part}" for each in "qkv")
            rows.append(Row((f"{here}attn.qkv.{part}",), joined))
        for mine, other in (
            ("norm1", "layer_norm1"), ("attn.proj", "self_attn.out_proj"), ("norm2", "layer_norm2"),
            ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2"),
        ):  # fmt: skip
            rows += same(here + mine, there + other, ".weight", ".bias")
    return rows


def _config(weights: Mapping[str, Tensor], said: Said) -> Said:
    """open_clip's config; raises ``ValueError`` where the sizes are none that were released, or not the weights'."""
    text, vision = side(said, "text_config", SIGLIP_TEXT), side(said, "vision_config", SIGLIP_VISION)
    width, patch, image = vision["hidden_size"], vision["patch_size"], vision["image_size"]
    name = trunk(width, patch, image, vision["hidden_act"])
    inside = vision["num_hidden_layers"], vision["num_attention_heads"], vision["intermediate_size"]
    if name is None or inside != _LAYERS[width] or vision["layer_norm_eps"] != 1e-6:
        raise ValueError(
            f"config.json: no SigLIP was released with an image tower of width {width}, {inside[0]} layers, "
            f"{inside[1]} heads, inner width {inside[2]}, patches of {patch} px in {image} px, {vision['hidden_act']} "
            f"and layer_norm_eps {vision['layer_norm_eps']:g}; others cannot be done"
        )
    if text["hidden_act"] not in _ACTIVATIONS:
        choices = ", ".join(_ACTIVATIONS)
        raise ValueError(f"config.json: text_config.hidden_act is '{text['hidden_act']}' (choices: {choices})")
    _agree(weights, text, vision)
    outer, inner = text["hidden_size"], text["intermediate_size"]
    ratios = (3.7362, inner / outer, (inner + 0.5) / outer)  # the one of SO400M by name; open_clip rounds down
    config = {
        "embed_dim": width,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": image, "timm_model_name": name, "timm_model_pretrained": False, "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"], "vocab_size": text["vocab_size"],
            "width": text["hidden_size"], "heads": text["num_attention_heads"], "layers": text["num_hidden_layers"],
            "mlp_ratio": next(ratio for ratio in ratios if int(outer * ratio) == inner),
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
            "norm_kwargs": {"eps": text["layer_norm_eps"]}, **_ACTIVATIONS[text["hidden_act"]],
        },
    }  # fmt: skip
    return next((one for one in _registered_with(name, config)), config)


def _registered_with(trunk: str, config: Said) -> Iterator[Said]:
    """``config`` with the tokenizers that open_clip names, wherever that makes it a registered one."""
    for name in architectures():
        own = registered(name)
        if own["vision_cfg"].get("timm_model_name") == trunk:
            tokenizer = {key: own["text_cfg"][key] for key in _NAMED if key in own["text_cfg"]}
            alike = {**config, "text_cfg": config["text_cfg"] | tokenizer}
            if filled(alike) == filled(own):
                yield alike


def _agree(weights: Mapping[str, Tensor], text: Said, vision: Said) -> None:
    """Raise ``ValueError`` where ``config.json`` says otherwise than the weights show."""
    for name, dims in (
        ("text.token_embedding.weight", 2),
        ("text.positional_embedding", 2),
        (_INNER, 2),
        (_PATCHES, 4),
    ):
        if name not in weights:
            raise ValueError(f"it has no {name} under any name")
        if weights[name].ndim != dims:
            raise ValueError(f"{name} is {tuple(weights[name].shape)}: {dims} dimensions were expected")
    vocab, width = weights["text.token_embedding.weight"].shape
    shown = {
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": len(weights[_INNER]),
        "max_position_embeddings": len(weights["text.positional_embedding"]),
        "num_hidden_layers": layers(list(weights), "text.transformer.resblocks."),
    }
    compare("text_config", text, shown)
    patches = weights[_PATCHES].shape
    shown = {
        "hidden_size": patches[0],
        "num_channels": patches[1],
        "patch_size": patches[-1],
        "num_hidden_layers": layers(list(weights), f"{_TRUNK}blocks."),
    }
    compare("vision_config", vision, shown)
