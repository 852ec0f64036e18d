"""The files of a model folder: which of them hold the weights, and the small ones beside them."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bezoar.models.reading.refusal import shown

LIMIT = 64 << 20
"""Bytes of the largest small file; a tokenizer has 20 MB at most."""

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar")
_ELSEWHERE = (".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".gguf", ".tflite")
"""Of the same weights for other frameworks, which are not read."""
_USUAL = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Names under which libraries save one and the same model, the preferred first."""
_NO_MODELS = ("optimizer.", "scheduler.", "scaler.", "training_args.", "rng_state")


@dataclass(frozen=True)
class Beside:
    """The files of a model folder, by name; of a file that came alone there are none.

    Links may lead to files of the same folder, and in a cache of the Hugging Face hub to the blobs of the same model;
    any other is refused.
    """

    folder: Path | None = None

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in a file; ``None`` where there is no such file. Raises ``ValueError`` for what is none."""
        content = self.bytes(name)
        if content is None:
            return None
        try:
            found = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        except RecursionError:
            raise ValueError(f"{self._at(name)} is nested too deep") from None
        except UnicodeDecodeError:
            raise ValueError(f"{self._at(name)} is no UTF-8 text") from None
        except ValueError as error:
            raise ValueError(f"{self._at(name)} is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise ValueError(f"{self._at(name)} holds a {type(found).__name__}, not a JSON object")
        return found

    def bytes(self, name: str) -> bytes | None:
        """The content of a file of at most 64 MB; ``None`` where there is no such file. Raises ``ValueError``."""
        path = self.find(name)
        if path is None:
            return None
        try:
            with path.open("rb") as stream:
                content = stream.read(LIMIT + 1)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
        if len(content) > LIMIT:
            raise ValueError(f"{path} has more than {LIMIT >> 20} MB, which no file beside weights needs")
        return content

    def find(self, name: str) -> Path | None:
        """Where a file lies; ``None`` where there is none. Raises ``ValueError`` for what leads out of the folder."""
        if self.folder is None:
            return None
        path = self._at(name)
        if Path(name).name != name or name in ("", "..") or "\\" in name or "\0" in name:
            raise ValueError(f"{self.folder}: {shown(name)} is no name of a file in this folder")
        try:
            target = path.resolve(strict=True)
            regular = stat.S_ISREG(target.stat().st_mode)
        except FileNotFoundError:
            if path.is_symlink():
                raise ValueError(f"{path} is a link to nothing") from None
            return None
        except (OSError, RuntimeError):
            raise ValueError(f"{path} cannot be followed") from None
        home = self.folder.resolve()
        hub = home.parent.name == "snapshots" and target.parent == home.parent.parent / "blobs"
        if target.parent != home and not hub:
            raise ValueError(f"{path} is a link that leads out of its folder")
        if not regular:
            raise ValueError(f"{path} is no file")
        return path

    def weights(self) -> tuple[Path, ...]:
        """The files of weights, several only where an index of shards names them.

        ``model.safetensors`` is preferred to ``pytorch_model.bin``, which is the same model in another form. Raises
        ``ValueError`` where there is none, or more than one model.
        """
        assert self.folder is not None, "a file that came alone is its own weights"
        names = self._names()
        usual = [name for name in _USUAL if name in names]
        shards = {name: self._shards(name) for name in usual if name.endswith(".index.json")}
        known = {*usual, *(shard for each in shards.values() for shard in each)}
        others = [
            name
            for name in names
            if name.lower().endswith(_SUFFIXES) and name not in known and not name.startswith(_NO_MODELS)
        ]
        found = [*usual[:1], *others]
        if not found:
            raise ValueError(f"model: {self.folder} holds no file of weights ({', '.join(_SUFFIXES)})")
        if len(found) > 1:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise ValueError(f"model: {self.folder} holds {', '.join(found[:3])}{more}: name the one that is meant")
        paths = {name: self.find(name) for name in shards.get(found[0], found)}
        missing = next((name for name, path in paths.items() if path is None), None)
        if missing is not None:
            raise ValueError(f"model: {self.folder / found[0]} names {shown(missing)}, which is not in the folder")
        return tuple(path for path in paths.values() if path is not None)

    def copy(self, target: Path, but: Collection[Path] = ()) -> None:
        """Copy the small files to the folder ``target``; those in ``but`` and other forms of the weights are left.

        An index of shards goes along where all that it names is in ``but``.
        """
        assert self.folder is not None, "a file that came alone has nothing beside it"
        for name in self._names():
            left = name.lower().endswith((*_SUFFIXES, *_ELSEWHERE, ".index.json")) or self.folder / name in but
            if name in _USUAL and name.endswith(".index.json"):
                left = any(self.folder / shard not in but for shard in self._shards(name))
            content = None if left else self.bytes(name)
            if content is not None:
                (target / name).write_bytes(content)

    def _names(self) -> list[str]:
        """The files of the folder, in order."""
        assert self.folder is not None
        try:
            return sorted(path.name for path in self.folder.iterdir() if path.is_symlink() or path.is_file())
        except OSError as error:
            raise ValueError(f"{self.folder} cannot be read: {error.strerror or error}") from None

    def _shards(self, index: str) -> tuple[str, ...]:
        """The files that an index of shards names, each once."""
        told = (self.json(index) or {}).get("weight_map")
        if not isinstance(told, dict) or not told or any(not isinstance(name, str) for name in told.values()):
            raise ValueError(f"{self._at(index)} is no index of shards: it has no weight_map of file names")
        names = tuple(dict.fromkeys(told.values()))
        odd = next((name for name in names if Path(name).name != name or not name.endswith(_SUFFIXES)), None)
        if odd is not None:
            raise ValueError(f"{self._at(index)} names {shown(odd)}, which is no file of weights in its folder")
        return names

    def _at(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
