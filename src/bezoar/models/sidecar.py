"""The history of a model that was written for others, in a small file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bezoar.core.files import read_json, write_json, write_text
from bezoar.core.settings import validate
from bezoar.models.model_card import markdown
from bezoar.models.provenance import Step

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What stands beside a converted model."""

    sha256: str
    """Of the weights that it belongs to: beside others it says nothing."""
    steps: tuple[Step, ...]
    schema: int = SCHEMA


def sidecar_path(path: Path) -> Path:
    """``bezoar.json`` in a folder, ``victim.pt.bezoar.json`` beside a file."""
    return path / "bezoar.json" if path.is_dir() else path.with_name(f"{path.name}.bezoar.json")


def readme_path(path: Path) -> Path:
    """``README.md`` in a folder, ``victim.pt.md`` beside a file."""
    return path / "README.md" if path.is_dir() else path.with_name(f"{path.name}.md")


def write_sidecar(path: Path, sha256: str, title: str, steps: Sequence[Step], use: str) -> None:
    """Write the history beside the model at ``path``, for programs and, in Markdown, for people."""
    write_text(readme_path(path), markdown(title, steps, use=use))
    write_json(sidecar_path(path), asdict(Sidecar(sha256=sha256, steps=tuple(steps))))


def read_sidecar(path: Path, sha256: str) -> tuple[Step, ...]:
    """The history that stands beside ``path``; empty where there is none, or one of other weights.

    Raises ``ValueError`` for a file of that name that is none.
    """
    where = sidecar_path(path)
    if not where.is_file() or where.is_symlink():
        return ()
    data = read_json(where)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{where}: not the history of a model, or one of another schema: this version reads {SCHEMA}")
    told = validate(Sidecar, data, str(where))
    return told.steps if told.sha256 == sha256 else ()
