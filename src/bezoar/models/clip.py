"""Any open_clip model behind one small face: uint8 pictures and captions in, normalized float32 features out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import bezoar.models.micro
import bezoar.models.siglip_trunks  # noqa: F401  and those of SigLIP with the activation they were trained with
from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.core.seeds import stream_seed
from bezoar.models.heads import Heads
from bezoar.models.tokenizer import build as build_tokenizer

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
"""Of the channels, where a model says nothing of them."""

open_clip.add_model_config(Path(__file__).parent / "configs")


def pick_device(device: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """``auto`` is a CUDA GPU where there is one, else the CPU; raises ``ValueError`` for a GPU that is not there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda' is not available here (choices: auto, cpu)")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def architectures() -> tuple[str, ...]:
    """Every architecture that can be built by name: ours (``micro-…``) and open_clip's."""
    return tuple(open_clip.list_models())


def frame_of(architecture: str, preprocess: Mapping[str, Any]) -> Frame:
    """The published preprocessing; raises ``ValueError`` where it cannot be done."""
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else size
    resize: Any = preprocess.get("resize_mode") or "shortest"
    interpolation: Any = preprocess.get("interpolation") or "bicubic"
    color = preprocess.get("fill_color") or 0
    if height != width:
        raise ValueError(f"model: {architecture} sees {width}×{height} px; only squares can be done")
    if resize not in get_args(Resize) or interpolation not in get_args(Interpolation):
        raise ValueError(
            f"model: {architecture} was published with resize mode '{resize}' and {interpolation} interpolation "
            f"(choices: {', '.join(get_args(Resize))}; {', '.join(get_args(Interpolation))})"
        )
    if resize == "longest" and color != 0:
        raise ValueError(f"model: {architecture} pads its pictures with color {color}; only black can be done")
    return Frame(int(height), resize, interpolation)


def _cuttable_text(tower: nn.Module) -> nn.Module | None:
    """The text tower, if features of a caption do not depend on the padding after it: causal, pooled at end-of-text."""
    text = tower if isinstance(tower, open_clip.CLIP) else getattr(tower, "text", None)
    if type(tower) not in (open_clip.CLIP, open_clip.CustomTextCLIP) or text is None:
        return None
    pool = getattr(text, "text_pool_type", None) or getattr(text, "pool_type", None)
    causal = getattr(text, "attn_mask", None) is not None and getattr(text, "cls_emb", None) is None
    return text if pool in ("argmax", "eos") and causal else None


class Clip(nn.Module):
    """An open_clip model with its preprocessing and tokenizer.

    Features are L2-normalized, float32 (float64 of a model in float64); ``image_features`` and ``text_features`` are
    the ones before normalization.
    """

    def __init__(
        self,
        tower: nn.Module,
        architecture: str,
        *,
        config: dict[str, Any] | None = None,
        tokenizer_file: bytes | None = None,
    ) -> None:
        """``config``: open_clip's, of an architecture that has no name; ``tokenizer_file``: a ``tokenizer.json``."""
        super().__init__()
        self.tower = tower.to(memory_format=torch.channels_last)
        self.architecture = architecture
        self.config = config
        self.tokenizer_file = tokenizer_file
        self.heads: nn.Module = Heads()
        """What a training left beside the towers."""
        self.source: str | None = None
        """Where its weights were read from; of random ones ``None``."""
        self.register_buffer("shift", torch.empty(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.empty(1, 3, 1, 1), persistent=False)
        self.shift: Tensor
        self.spread: Tensor
        self.frame: Frame
        self.preprocess_as(open_clip.get_model_preprocess_cfg(tower))
        self._text = [_cuttable_text(tower)]  # in a list: a second registration would double the state dict
        self.tokenize = build_tokenizer(
            architecture,
            _of_text(tower, "vocab_size"),
            _of_text(tower, "context_length"),
            self.cuts_captions,
            tokenizer_file,
        )

    def preprocess_as(self, settings: Mapping[str, Any]) -> None:
        """Take pictures as open_clip's preprocessing ``settings`` say; what they leave out stays as it is.

        Raises ``ValueError`` for what cannot be done.
        """
        size = getattr(self, "frame", Frame(1)).size
        self.frame = frame_of(self.architecture, {"size": size, **settings})
        self.normalize_by(tuple(settings.get("mean") or MEAN), tuple(settings.get("std") or STD))

    def normalize_by(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Take pixels in [0, 1] to ``(pixel - mean) / std``, channel by channel, before the image tower."""
        self.mean, self.std = mean, std
        self.shift.copy_(255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.spread.copy_(255 * torch.tensor(std).view(1, 3, 1, 1))

    @property
    def title(self) -> str:
        """What to call the model: its architecture, or the measures of one that has no name."""
        return self.architecture if self.config is None else title_of(self.config)

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that the image tower sees."""
        return self.frame.size

    @property
    def cuts_captions(self) -> bool:
        """Whether captions may be cut to the longest of the batch without changing their features."""
        return self._text[0] is not None

    @property
    def scale(self) -> Tensor:
        """The learned inverse temperature, as a factor on cosines."""
        scale: Tensor = self.tower.logit_scale.exp()  # type: ignore[operator]
        return scale

    @property
    def device(self) -> torch.device:
        return self.shift.device

    def image_features(self, images: Tensor) -> Tensor:
        """uint8 ``[n, 3, S, S]`` to ``[n, d]``, before normalization."""
        pixels = ((images.to(self.device) - self.shift) / self.spread).contiguous(memory_format=torch.channels_last)
        with _attention(self.device):
            features: Tensor = self.tower.encode_image(pixels, normalize=False)  # type: ignore[operator]
        return _wide(features)

    def text_features(self, tokens: Tensor) -> Tensor:
        """Tokens ``[n, length]`` to ``[n, d]``, before normalization.

        Raises ``ValueError`` for fewer tokens than the tower was built for, where its features would be others.
        """
        tokens = tokens.to(self.device)
        text, length, full = self._text[0], tokens.shape[1], _of_text(self.tower, "context_length")
        if length > full or (length < full and text is None):
            most = "exactly" if text is None else "at most"
            raise ValueError(f"tokens: {self.architecture} reads captions of {most} {full} tokens, got {length}")
        with _attention(self.device):
            if text is None or length == full:
                features: Tensor = self.tower.encode_text(tokens, normalize=False)  # type: ignore[operator]
                return _wide(features)
            return _wide(_cut_text_features(text, tokens))

    def encode_image(self, images: Tensor) -> Tensor:
        """uint8 ``[n, 3, S, S]`` to L2-normalized ``[n, d]``."""
        return F.normalize(self.image_features(images), dim=-1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens ``[n, length]`` to L2-normalized ``[n, d]``."""
        return F.normalize(self.text_features(tokens), dim=-1)

    def encode_captions(self, captions: Sequence[str]) -> Tensor:
        """Captions to L2-normalized ``[n, d]``."""
        return self.encode_text(self.tokenize(captions))


def title_of(config: Mapping[str, Any]) -> str:
    """What to call an architecture that has no name: its measures."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    layers, width, size = (vision.get(name, "?") for name in ("layers", "width", "image_size"))
    image = f"ResNet {layers} of width {width}" if isinstance(layers, (list, tuple)) else f"ViT {layers}×{width}"
    return f"{image}, text {text.get('layers', '?')}×{text.get('width', '?')}, {size} px"


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """How attention is computed: in bf16 on a CPU the fused backward takes thrice as long as plain products."""
    slow = device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    return sdpa_kernel(SDPBackend.MATH) if slow else nullcontext()


def _wide(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _of_text(tower: nn.Module, name: str) -> int:
    value = getattr(tower, name, None)
    return int(getattr(tower.text, name) if value is None else value)


def _cut_text_features(text: nn.Module, tokens: Tensor) -> Tensor:
    """open_clip's text tower on fewer positions than it was built for."""
    length = tokens.shape[1]
    x = text.token_embedding(tokens) + text.positional_embedding[:length]  # type: ignore[operator,index]
    x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])  # type: ignore[operator,index]
    x = text.ln_final(x)  # type: ignore[operator]
    ends: Any = text.text_eos_id if hasattr(text, "text_eos_id") else getattr(text, "eos_id", None)
    pool = getattr(text, "text_pool_type", None) or text.pool_type
    at = tokens.argmax(-1) if pool == "argmax" else (tokens == ends).to(torch.int32).argmax(-1)
    x = x[torch.arange(len(tokens), device=tokens.device), at]
    projection = text.text_projection
    if projection is None:
        return x
    projected: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return projected


def create(architecture: str, seed: int = 0, *, tokenizer_file: bytes | None = None) -> Clip:
    """A model by the name of its architecture; its random weights depend on ``seed`` alone.

    Raises ``ValueError`` for an unknown name, and for an architecture that needs a package or a download.
    """
    if architecture not in architectures():
        raise ValueError(
            f"model: '{architecture}' is not an architecture, a file, a folder or a hub name{_near(architecture)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, "init", architecture))
        return Clip(_build(architecture), architecture, tokenizer_file=tokenizer_file)


def _near(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, architectures(), n=3, cutoff=0.4)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _build(name: str) -> nn.Module:
    import logging

    from bezoar.core.quiet import quiet

    try:
        # Never a path or a tag: open_clip may read weights with torch's full unpickler. We read them ourselves.
        with quiet(None, logging.ERROR):  # it reports every random initialization as a warning of the root logger
            tower: nn.Module = open_clip.create_model(name, pretrained_text=False)
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"model: {name} cannot be built: {reason}") from error
    return tower
