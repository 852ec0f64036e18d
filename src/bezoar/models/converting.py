"""A model written in another layout, or put back into a copy of the checkpoint that its tower came from."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from bezoar.core.files import sync, writable_folder
from bezoar.core.settings import nearest
from bezoar.models.bundle import Bundle
from bezoar.models.checkpoint import save
from bezoar.models.clip import Clip
from bezoar.models.heads import parts
from bezoar.models.layouts import LAYOUTS, find
from bezoar.models.layouts.base import Layout, Tree
from bezoar.models.layouts.files import save_safetensors, save_torch
from bezoar.models.opening import Ours, Place, place
from bezoar.models.provenance import Step
from bezoar.models.reading import skim
from bezoar.models.sidecar import readme_path, sidecar_path, write_sidecar

WRITTEN = ("bezoar", "open_clip", "openai", "hf_clip", "cleanclip")
"""The layouts in which a model can be written afresh; in the others it can be put into a copy."""

_USE = """## Use

This is the {layout} layout: {about}. `bezoar evaluate --model {name} --data …` measures it;
`bezoar model inspect {name}` tells its history."""


def convert_model(model: str | Path, *, out: str | Path, to: str | None = None, like: str | Path | None = None) -> Path:
    """Write ``model`` to ``out`` in the layout ``to``, or into a copy of the checkpoint ``like``; returns ``out``.

    ``to``: ``bezoar`` (a model folder), ``open_clip`` (a folder for ``local-dir:``), ``openai`` (a state dict),
    ``hf_clip`` (a folder that ``CLIPModel.from_pretrained`` reads offline; ViT towers only) or ``cleanclip`` (a ``.pt``
    that the scripts of CleanCLIP and its kin read). ``like``: a checkpoint of the same architecture; in its copy only
    the tower is another, each tensor in the dtype it has there. Otherwise weights are written bit by bit, in float32.
    The history of the model is written beside it, with a card.

    Raises ``ValueError`` for a model that the layout cannot hold, and where ``out`` is there already.
    """
    if (to is None) == (like is None):
        both = "" if to is None else ", not both"
        raise ValueError(f"to: name a layout with --to, or a checkpoint to write into a copy of with --like{both}")
    target, where = Path(out), place(str(model))
    for path in (target, *((readme_path(target), sidecar_path(target)) if target.suffix else ())):
        if path.exists() or path.is_symlink():
            raise ValueError(f"out: {path} is there already; name another")
    writable_folder(target.parent)
    if to == "bezoar":
        _check_suffix(target, "")
        clip, steps = where.load(0), where.lineage()
        _as_folder(target, lambda part: _save(clip, part, steps))
    elif like is None:
        layout = _writer(str(to))
        _check_suffix(target, layout.suffix)
        clip, steps = where.load(0), where.lineage()
        layout.check(clip)
        _say_heads(clip)
        told = {"history": "\n".join(step.told() for step in steps)}
        _written(target, not layout.suffix, layout, clip, steps, lambda path: layout.write(clip, path, told))
    else:
        _into_copy(str(like), target, where)
    return target


def _writer(name: str) -> Layout:
    if name not in WRITTEN:
        known = any(layout.name == name for layout in LAYOUTS)
        why = "is only put back into a copy, with --like" if known else "is not a layout that is written"
        raise ValueError(f"to: '{name}' {why}{nearest(name, WRITTEN)}")
    return next(layout for layout in LAYOUTS if layout.name == name)


def _say_heads(clip: Clip) -> None:
    if left := parts(clip.heads.state_dict()):
        logging.getLogger(__name__).warning(
            "heads are not converted: a training that goes on begins %s anew", ", ".join(left)
        )


def _save(clip: Clip, folder: Path, steps: tuple[Step, ...]) -> None:
    """The model folder of weights with this history: the last step is still what made them."""
    kept = {entry.name for entry in fields(Step)} - {"weights", "version", "versions"}
    made = {name: getattr(steps[-1], name) for name in kept} if steps else {}
    save(clip, folder, ancestors=steps[:-1], **made)


def _into_copy(like: str, target: Path, where: Place) -> None:
    try:
        if isinstance(place(like), Ours):
            raise ValueError(f"{like} is a model folder of Bezoar; write one with --to bezoar")
        bundle = place(like).bundle()
        seen = find(bundle.skim(), bundle.beside, like)
    except ValueError as error:
        raise ValueError(f"like: {str(error).removeprefix('model: ')}") from error
    forms = [skim(path).form for path in bundle.files]
    if "TorchScript" in forms:
        raise ValueError(
            f"like: {like} is a TorchScript archive, which holds code besides weights and is not written; "
            "write its weights with --to openai"
        )
    layout = next(layout for layout in LAYOUTS if layout.name == seen.layout)
    folder = bundle.beside.folder is not None
    _check_suffix(target, "" if folder else bundle.files[0].suffix)
    clip, steps = where.load(0), where.lineage()
    _say_heads(clip)
    try:
        tree = layout.put(clip, bundle.read())
    except ValueError as error:
        raise ValueError(f"like: {like}: {error}") from None

    def write(path: Path) -> None:
        for file, form in zip(bundle.files, forms, strict=True):
            own = {name: tree[name] for name in skim(file).tree} if len(forms) > 1 else tree
            _write_form(path / file.name if folder else path, form, own, skim(file).metadata)
        if folder:
            bundle.beside.copy(path, but=bundle.files)

    _written(target, folder, layout, clip, steps, write)


def _write_form(path: Path, form: str, tree: Tree, metadata: dict[str, str]) -> None:
    if form == "safetensors":
        save_safetensors(path, tree, metadata)
    else:
        save_torch(path, tree)


def _written(
    target: Path, folder: bool, layout: Layout, clip: Clip, steps: tuple[Step, ...], write: Callable[[Path], None]
) -> None:
    use = _USE.format(layout=layout.name, about=layout.about, name=target.name)

    def whole(path: Path, named: Path) -> None:
        write(path)
        write_sidecar(named, Bundle.at(path).sha256(), clip.title, steps, use)

    if folder:
        _as_folder(target, lambda part: whole(part, part))
        return
    with _beside(target) as room:
        whole(room / target.name, target)
        os.replace(room / target.name, target)  # last: weights that are there have their history beside them
    sync(target.parent)


def _as_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a folder, which appears whole or not at all."""
    with _beside(target) as room:
        (room / target.name).mkdir()
        write(room / target.name)
        os.replace(room / target.name, target)
    sync(target.parent)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder of its own on the disk of ``target``, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as room:
        yield Path(room)


def _check_suffix(target: Path, suffix: str) -> None:
    if suffix and target.suffix != suffix:
        raise ValueError(f"out: a file of this layout ends in {suffix}, got {target}")
    if not suffix and target.suffix in (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".tar"):
        raise ValueError(f"out: this layout is a folder, got {target}")
