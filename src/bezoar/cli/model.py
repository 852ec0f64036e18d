"""The verbs ``bezoar model …``: their fields are their flags; calling them does the work."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from bezoar.models.inspecting import FileFacts, ModelFacts

_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Tell what a model's files hold and where it comes from, without loading weights or running anything."""

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """A file, a folder, open_clip's name:tag, or hf-hub:owner/name."""
    tensors: bool = False
    """List every tensor and value."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.cli.common import say
        from bezoar.models.inspecting import inspect_model

        found = inspect_model(self.model)
        say(
            json.dumps(dataclasses.asdict(found))
            if self.json
            else "\n".join(map(_printable, _told(found, self.tensors)))
        )
        if found.faults:
            more = f", and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
            raise RuntimeError(f"model: {self.model} is refused: {found.faults[0]}{more}")


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model in another layout, or put its tower back into a copy of somebody's checkpoint."""

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """A file, a folder, open_clip's name:tag, or hf-hub:owner/name."""
    out: Path
    """File or folder to write; it must not be there yet."""
    to: str | None = None
    """Layout: bezoar (a model folder), open_clip (a folder), openai (a state dict), hf_clip (a folder of Hugging Face's
    CLIPModel with tokenizer and preprocessing), cleanclip (a .pt)."""
    like: str | None = None
    """A checkpoint of the same architecture: in a copy of it the tower is replaced, all else stays."""

    def __call__(self) -> None:
        from bezoar.cli.common import say
        from bezoar.models.converting import convert_model

        say(f"wrote {convert_model(self.model, out=self.out, to=self.to, like=self.like)}")


@dataclass(frozen=True, kw_only=True)
class Model:
    """Look into model files, and convert them."""

    verb: (
        Annotated[Inspect, tyro.conf.subcommand("inspect", prefix_name=False)]
        | Annotated[Convert, tyro.conf.subcommand("convert", prefix_name=False)]
    )

    def __call__(self) -> None:
        self.verb()


def _told(found: ModelFacts, tensors: bool) -> list[str]:
    from bezoar.models.provenance import history_lines

    lines = [line for one in found.files for line in _file(one, tensors)]
    if found.layout is not None and found.frame is not None:
        said = "".join(f"; {name} {value}" for name, value in found.facts.items())
        lines.append(f"layout        {found.layout}{said}")
        lines.append(f"architecture  {found.architecture}, {found.parameters / 1e6:.2f} M numbers")
        frame = found.frame
        larger = f"to {frame.side} px, center of " if frame.larger else ""
        lines.append(
            f"pictures      {frame.resize} side, {larger}{frame.size} px, {frame.interpolation}, "
            f"mean {_numbers(found.mean)}, std {_numbers(found.std)}"
        )
    lines += [f"assumed       {note}" for note in found.notes]
    lines += [f"not used      {', '.join(found.unused)}"] if found.unused else []
    lines += [f"history {place:>2}    {line}" for place, line in enumerate(history_lines(found.steps), 1)]
    return lines + [f"refused       {fault}" for fault in found.faults]


def _printable(line: str) -> str:
    """``line`` without what would steer a terminal: names in a file are whatever its author wrote."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _file(one: FileFacts, tensors: bool) -> list[str]:
    lines = [
        f"file          {one.path}",
        f"form          {one.form}, {one.bytes:,} bytes",
        f"sha256        {one.sha256}",
        f"tensors       {_tensors(one)}",
    ]
    if one.values:
        lines.append(f"values        {_values(one)}")
    if one.globals:
        lines.append(f"globals       {_some(list(one.globals), 40)}")
    if tensors:
        lines += [f"  {t.dtype:<10} {'×'.join(map(str, t.shape)) or '-':<20} {t.name}" for t in one.tensors]
        lines += [f"  {'value':<10} {value:<20} {name}" for name, value in one.values.items()]
    return lines


def _tensors(one: FileFacts) -> str:
    dtypes = sorted({tensor.dtype for tensor in one.tensors})
    parts = [
        f"{part.tensors:,} in {name} ({part.bytes / 1e6:,.1f} MB)" if name else f"{part.bytes / 1e6:,.1f} MB"
        for name, part in one.parts.items()
    ]
    return f"{len(one.tensors):,} of {', '.join(dtypes)}: {_some(parts)}" if dtypes else "none"


def _values(one: FileFacts) -> str:
    """Those at the top; of the others, how many stand under each name."""
    top = [f"{name} = {value}" for name, value in one.values.items() if "." not in name]
    deep = Counter(name.partition(".")[0] for name in one.values if "." in name)
    return _some(top + [f"{count} in {name}" for name, count in deep.items()])


def _some(words: list[str], most: int = _SHOWN) -> str:
    return ", ".join(words[:most]) + (f", and {len(words) - most} more" if len(words) > most else "")


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
