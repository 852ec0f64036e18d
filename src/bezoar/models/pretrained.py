"""Published weights: open_clip's tags and folders of the Hugging Face hub, fetched as files. Reading them is ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip

from bezoar.core.settings import nearest

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

    def fetch(self) -> Path:
        """The file, downloaded unless it was before; raises ``ValueError`` where it cannot be had."""
        try:
            return Path(open_clip.download_pretrained(self.settings))
        except Exception as error:  # of the network, the disk, the hub: each library raises its own
            raise ValueError(f"model: {self.architecture}:{self.tag} cannot be fetched: {_line(error)}") from error


def fetch_folder(name: str) -> Path:
    """The folder of ``owner/name`` or ``owner/name@revision`` on the hub, downloaded unless it was before.

    Weights that come in several layouts are fetched in one: open_clip's, else safetensors, else a pickle.

    Raises ``ValueError`` where it cannot be had, or holds no weights.
    """
    from huggingface_hub import snapshot_download

    owner, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(owner, revision=revision or None, allow_patterns=["*.json", "*.txt"]))
        ours = (folder / "open_clip_config.json").exists()
        for pattern in ("open_clip*.safetensors", "open_clip*.bin") if ours else ("model*.safetensors", "pytorch*.bin"):
            snapshot_download(owner, revision=revision or None, allow_patterns=[pattern])
            if any(folder.glob(pattern)):
                return folder
    except Exception as error:
        raise ValueError(f"model: {HUB}{name} cannot be fetched: {_line(error)}") from error
    raise ValueError(f"model: {HUB}{name} holds no weights of open_clip or Hugging Face: it has {_listed(folder)}")


def _line(error: Exception) -> str:
    return f"{str(error).strip().partition(chr(10))[0]}" or type(error).__name__


def _listed(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
