"""Published weights: open_clip's tags and folders of the Hugging Face hub, fetched as files. Reading them is ours."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip

from bezoar.core.quiet import quiet
from bezoar.core.settings import nearest
from bezoar.models.clip import MEAN, STD, frame_of
from bezoar.models.layouts.base import Tower

HUB = "hf-hub:"


@dataclass(frozen=True)
class Tag:
    """Weights that open_clip knows by a name."""

    architecture: str
    tag: str

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a tag that there is not, or of weights for another activation."""
        tags = open_clip.list_pretrained_tags_by_model(self.architecture)
        if self.tag not in tags:
            choices = nearest(self.tag, tags) if tags else ": it has none"
            raise ValueError(f"model: '{self.tag}' is not a pretrained tag of {self.architecture}{choices}")
        # open_clip only warns, and builds a model that is worse than its weights.
        other = self.architecture.removesuffix("-quickgelu")
        other = other if other != self.architecture else f"{self.architecture}-quickgelu"
        built = open_clip.get_model_config(self.architecture)
        if self.settings.get("quick_gelu", False) != built.get("quick_gelu", False) and (
            self.tag in open_clip.list_pretrained_tags_by_model(other)
        ):
            raise ValueError(
                f"model: the weights '{self.tag}' were trained with another activation than {self.architecture} has; "
                f"name them '{other}:{self.tag}'"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """How open_clip describes the weights: mean, std, resize mode, activation, where they are."""
        found: dict[str, Any] = open_clip.get_pretrained_cfg(self.architecture, self.tag)
        return found

    def applied(self, tower: Tower) -> Tower:
        """``tower`` with the preprocessing that was published with the weights; nothing of it is assumed then."""
        told = self.settings
        frame = frame_of(self.architecture, {"size": tower.frame.size, **told})
        mean, std = tuple(told.get("mean") or MEAN), tuple(told.get("std") or STD)
        return replace(tower, frame=frame, mean=mean, std=std, notes=())

    def fetch(self) -> Path:
        """The file, downloaded unless it was before; raises ``ValueError`` where it cannot be had."""
        try:
            with quiet("huggingface_hub", logging.CRITICAL):  # it tells of every attempt
                return Path(open_clip.download_pretrained(self.settings))
        except Exception as error:  # of the network, the disk, the hub: each library raises its own
            raise ValueError(f"model: {self.architecture}:{self.tag} cannot be fetched: {_line(error)}") from error


def fetch_folder(name: str) -> Path:
    """The folder of ``owner/name`` or ``owner/name@revision`` on the hub, downloaded unless it was before.

    Weights that come in several layouts are fetched in one: open_clip's, else safetensors, else a pickle.

    Raises ``ValueError`` where it cannot be had, or holds no weights.
    """
    try:
        with quiet("huggingface_hub", logging.CRITICAL):  # it tells of every attempt
            folder, found = _fetched(*name.partition("@")[::2])
    except Exception as error:  # as above
        raise ValueError(f"model: {HUB}{name} cannot be fetched: {_line(error)}") from error
    if not found:
        raise ValueError(f"model: {HUB}{name} holds no weights of open_clip or Hugging Face: it has {_listed(folder)}")
    return folder


def _fetched(repository: str, revision: str) -> tuple[Path, bool]:
    """The folder, and whether there are weights in it."""
    from huggingface_hub import snapshot_download

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns)))

    folder = fetch("*.json", "*.txt")
    ours = (folder / "open_clip_config.json").exists()
    for pattern in ("open_clip*.safetensors", "open_clip*.bin") if ours else ("model*.safetensors", "pytorch*.bin"):
        fetch(pattern)
        if any(folder.glob(pattern)):
            return folder, True
    return folder, False


def _line(error: Exception) -> str:
    return f"{str(error).strip().partition(chr(10))[0]}" or type(error).__name__


def _listed(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
