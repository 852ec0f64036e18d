"""Hugging Face's ``CLIPModel``: a folder with ``config.json``, weights, tokenizer and preprocessing; or its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bezoar.core.files import write_json, write_text
from bezoar.core.frame import Frame
from bezoar.models.layouts import hf_preprocessing, hf_tokenizer
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD, Tower, Tree
from bezoar.models.layouts.files import save_safetensors
from bezoar.models.layouts.hf_config import Said, clip_config, facts, kind_of
from bezoar.models.layouts.hf_fit import check, config_json
from bezoar.models.layouts.hf_names import Row, blocks, layers, named, put, read, same
from bezoar.models.layouts.hf_preprocessing import Preprocessing

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

TEXT, VISION = "text_model.", "vision_model."
_OTHERS = {
    "chinese_clip": "a ChineseCLIP: its text tower is a BERT, which cannot be done",
    "altclip": "an AltCLIP: its text tower is an XLM-RoBERTa, which cannot be done",
    "clip_text_model": "the text tower of a CLIPModel alone",
    "clip_vision_model": "the image tower of a CLIPModel alone",
}
"""What looks alike, by its ``model_type``."""


@dataclass(frozen=True)
class HfClip:
    """``CLIPModel`` of transformers 4 and 5."""

    name: str = "hf_clip"
    about: str = "a CLIPModel of Hugging Face"
    suffix: str = ""

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        """The tower in a flat tree of tensors; what only ``config.json`` tells is assumed where there is none."""
        said = beside.json("config.json") or {}
        tree = named(tree)
        if not _is_clip(tree, said):
            return None
        rows = _rows(tree)
        weights = read(rows, tree)
        unused = _unused(tree, rows)
        config, notes = clip_config(weights, said)
        size, vocab = config["vision_cfg"]["image_size"], config["text_cfg"]["vocab_size"]
        usual = Preprocessing(Frame(size), OPENAI_MEAN, OPENAI_STD)
        shown = hf_preprocessing.read(beside, size, usual)
        if shown is None:
            notes = (*notes, "CLIP's preprocessing")
        if not hf_tokenizer.check(beside, vocab):
            notes = (*notes, f"the tokenizer of a vocabulary of {vocab:,}")
        shown = shown or usual
        return Tower(
            layout=self.name, weights=weights, config=config, frame=shown.frame, mean=shown.mean, std=shown.std,
            facts=facts(said), unused=unused, notes=notes,
        )  # fmt: skip

    def check(self, model: Clip) -> None:
        """Raise ``ValueError`` with the reason where ``model`` is not two towers of the kind that a CLIPModel has."""
        check(model)

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        """Write a folder that ``from_pretrained`` opens offline; the weights come last. ``told`` is in their header."""
        check(model)
        weights = _plain(model.tower.state_dict())
        tensors = {name: tensor for row in _rows_of(weights) for name, tensor in row.write(weights).items()}
        write_json(out / "config.json", config_json(model))
        write_json(out / hf_preprocessing.FILE, hf_preprocessing.write(model.frame, model.mean, model.std))
        for name, content in hf_tokenizer.files(model.tokenize.engine).items():
            write_text(out / name, content)
        metadata = {"format": "pt"} | ({"bezoar": json.dumps(told)} if told else {})
        save_safetensors(out / "model.safetensors", tensors, metadata)

    def put(self, model: Clip, tree: Tree) -> Tree:
        """``tree`` with the tower in it replaced by ``model``; raises ``ValueError`` where the towers differ."""
        return put(_rows(named(tree)), _plain(model.tower.state_dict()), tree)


def _is_clip(tree: Tree, said: Said) -> bool:
    """Whether a tree is laid out so; raises ``ValueError`` for one that is of the family, and cannot be done."""
    kind = kind_of(said)
    if kind in _OTHERS:
        raise ValueError(f"config.json says that it is {_OTHERS[kind]}")
    has_text, has_vision = (any(name.startswith(prefix) for name in tree) for prefix in (TEXT, VISION))
    if not has_text and not has_vision:
        return False
    if kind in ("siglip", "siglip2") or f"{VISION}head.probe" in tree or f"{TEXT}head.weight" in tree:
        return False
    if kind not in ("clip", None):
        raise ValueError(f"config.json says that it is a '{kind}', not a CLIPModel")
    if not has_text or not has_vision:
        raise ValueError(f"it holds the {'text' if has_text else 'image'} tower of a CLIPModel alone")
    if f"{TEXT}embeddings.token_embedding.weight" not in tree and any(
        name.startswith((f"{TEXT}encoder.layer.", f"{TEXT}roberta.")) for name in tree
    ):
        raise ValueError("its text tower is a BERT, as of ChineseCLIP and AltCLIP, which cannot be done")
    return True


def _rows(tree: Iterable[str]) -> list[Row]:
    names = list(tree)
    return _table(layers(names, f"{VISION}encoder.layers."), layers(names, f"{TEXT}encoder.layers."))


def _rows_of(weights: Iterable[str]) -> list[Row]:
    names = list(weights)
    return _table(layers(names, "visual.transformer.resblocks."), layers(names, "transformer.resblocks."))


def _table(vision_layers: int, text_layers: int) -> list[Row]:
    image, text = f"{VISION}embeddings.", f"{TEXT}embeddings."
    return [
        Row(("logit_scale",), ("logit_scale",), "scalar"),
        Row(("visual.class_embedding",), (f"{image}class_embedding",)),
        Row(("visual.conv1.weight",), (f"{image}patch_embedding.weight",)),
        Row(("visual.positional_embedding",), (f"{image}position_embedding.weight",)),
        *same("visual.ln_pre", f"{VISION}pre_layrnorm", ".weight", ".bias"),
        *blocks("visual.", VISION, vision_layers),
        *same("visual.ln_post", f"{VISION}post_layernorm", ".weight", ".bias"),
        Row(("visual.proj",), ("visual_projection.weight",), "turned"),
        Row(("token_embedding.weight",), (f"{text}token_embedding.weight",)),
        Row(("positional_embedding",), (f"{text}position_embedding.weight",)),
        *blocks("", TEXT, text_layers),
        *same("ln_final", f"{TEXT}final_layer_norm", ".weight", ".bias"),
        Row(("text_projection",), ("text_projection.weight",), "turned"),
    ]


def _unused(tree: Tree, rows: list[Row]) -> tuple[str, ...]:
    """What else the tree holds; raises ``ValueError`` for a part of a tower, which would not be the same without it."""
    known = {name for row in rows for name in row.theirs}
    unused = tuple(name for name in tree if name not in known and not name.endswith(".position_ids"))
    odd = next((name for name in unused if name.startswith((TEXT, VISION, "text_proj", "visual_proj"))), None)
    if odd is not None:
        raise ValueError(f"it holds {odd}, which a CLIPModel has not")
    return unused


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a ``CLIP``, also where the text tower stands apart."""
    return {name.removeprefix("text."): tensor for name, tensor in state.items()}
