"""How a Hugging Face folder says that its pictures are prepared, and how ours say it there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bezoar.core.frame import Frame, Interpolation
from bezoar.models.layouts.base import channels

if TYPE_CHECKING:
    from bezoar.models.reading import Beside

FILE, WHOLE_FILE = "preprocessor_config.json", "processor_config.json"
_RESAMPLE: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
_PILLOW = {"0": "nearest", "1": "lanczos", "4": "box", "5": "hamming"}

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """The deterministic part, and the normalization."""

    frame: Frame
    mean: Channels
    std: Channels


def read(beside: Beside, size: int, usual: Preprocessing) -> Preprocessing | None:
    """What the folder says of pictures for a tower that sees ``size`` px; ``usual`` fills what it leaves out.

    ``None`` where it says nothing. Raises ``ValueError`` for what cannot be done, and what does not fit the tower.
    """
    said, file = beside.json(FILE), FILE
    if said is None:
        said, file = (beside.json(WHOLE_FILE) or {}).get("image_processor"), WHOLE_FILE
    if not isinstance(said, dict):
        return None
    settings: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    _check(settings, file)
    return Preprocessing(_frame(settings, size, usual.frame, file), *_normalization(settings, usual, file))


def write(frame: Frame, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """The settings of a ``CLIPImageProcessor``; ``frame`` is none that pads."""
    assert frame.resize != "longest", frame
    square = {"height": frame.side, "width": frame.side}
    return {
        "crop_size": {"height": frame.size, "width": frame.size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": list(mean),
        "image_processor_type": "CLIPImageProcessor",
        "image_std": list(std),
        "resample": {name: number for number, name in _RESAMPLE.items()}[frame.interpolation],
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": frame.side} if frame.resize == "shortest" else square,
    }


def _check(settings: dict[str, Any], file: str) -> None:
    """Raise ``ValueError`` for what is not done here."""
    made_by = str(settings.get("image_processor_type", settings.get("feature_extractor_type", "CLIP")))
    if not made_by.startswith(("CLIP", "Siglip", "ViT")):
        raise ValueError(f"{file}: pictures are prepared by a {made_by}; only those of CLIP and SigLIP can be done")
    for key in ("do_resize", "do_rescale"):
        if not settings.get(key, True):
            raise ValueError(f"{file}: {key} is off, which cannot be done")
    factor = settings.get("rescale_factor", 1 / 255)
    if type(factor) is not float or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        raise ValueError(f"{file}: rescale_factor is {factor}; only 1/255 can be done")
    if settings.get("do_pad"):
        raise ValueError(f"{file}: pictures are padded (do_pad), which cannot be done")


def _frame(settings: dict[str, Any], size: int, usual: Frame, file: str) -> Frame:
    resample = settings.get("resample", 3)
    if type(resample) is not int or resample not in _RESAMPLE:
        called = _PILLOW.get(str(resample), "unknown")
        raise ValueError(f"{file}: resample is {resample} ({called}); only 2 (bilinear) and 3 (bicubic) can be done")
    squash, side = _resized(settings.get("size"), usual, file)
    crops = settings.get("do_center_crop", usual.resize == "shortest")
    if not crops and not squash:
        raise ValueError(f"{file}: the shorter side is resized and nothing cut out; the tower sees squares only")
    seen = _square(settings.get("crop_size", size), "crop_size", file) if crops else side
    if seen != size:
        raise ValueError(f"{file}: pictures are {seen} px, and the tower sees {size} px")
    if side < size:
        raise ValueError(f"{file}: {size} px are cut out of pictures resized to {side} px")
    return Frame(
        size,
        "squash" if squash else "shortest",
        _RESAMPLE[resample],
        None if side == size else side,
    )


def _resized(said: Any, usual: Frame, file: str) -> tuple[bool, int]:
    """Whether both sides are brought to the number of pixels beside it."""
    if said is None:
        return usual.resize == "squash", usual.side
    if isinstance(said, dict) and set(said) == {"shortest_edge"}:
        said = said["shortest_edge"]
        squash = False
    elif isinstance(said, dict):
        squash = True
    else:
        squash = usual.resize == "squash"
    return squash, _square(said, "size", file)


def _square(said: Any, key: str, file: str) -> int:
    sides = list(said.values()) if isinstance(said, dict) and set(said) == {"height", "width"} else [said]
    if any(type(side) is not int or side < 1 or side != sides[0] for side in sides):
        raise ValueError(f"{file}: {key} is {said}; only a square can be done, or the shorter side")
    return int(sides[0])


def _normalization(settings: dict[str, Any], usual: Preprocessing, file: str) -> tuple[Channels, Channels]:
    if not settings.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean = channels(settings.get("image_mean", usual.mean), f"{file}: image_mean")
    return mean, channels(settings.get("image_std", usual.std), f"{file}: image_std", 1e-6)
