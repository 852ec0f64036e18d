"""Class names and prompt templates from a list, a file, or a library by name; nothing is ever evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bezoar.core.files import read_json
from bezoar.core.machine import expand
from bezoar.core.settings import nearest
from bezoar.data.prompts import NAMES as TEMPLATE_SETS
from bezoar.data.prompts import PLACEHOLDER, templates

CLASS_LISTS = ("imagenet", "imagenet_torchvision", "coco", "voc", "kinetics400", "mnist", "fashion_mnist")
_ENTRY = ("name", "class", "class_name", "label_name")


@cache
def _carried(name: str) -> tuple[str, ...]:
    """A list that open_clip or torchvision carries."""
    if name == "imagenet":
        import open_clip

        return tuple(open_clip.IMAGENET_CLASSNAMES)
    from torchvision import datasets, models

    weights: dict[str, Any] = {
        "imagenet_torchvision": models.ResNet50_Weights.DEFAULT,
        "coco": models.detection.FasterRCNN_ResNet50_FPN_Weights.DEFAULT,
        "voc": models.segmentation.FCN_ResNet50_Weights.DEFAULT,
        "kinetics400": models.video.R3D_18_Weights.DEFAULT,
    }
    found = weights[name].meta["categories"] if name in weights else None
    plain = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
    return tuple(found if found is not None else plain[name].classes)


def classes_of(spec: str | tuple[str, ...]) -> tuple[str, ...]:
    """The class names that ``spec`` means: a list as it is, a JSON or text file, a list by name; empty for ``""``.

    A text file has a name a line. JSON holds a list of names, a list of objects with ``name``, an object of number to
    name, or an object with ``classes``. Raises ``ValueError`` for code, for an empty name, for none at all. Two classes
    may have one name, as in the usual list of ImageNet: numbers tell them apart, see ``twins``.
    """
    if isinstance(spec, str):
        if spec in ("", *CLASS_LISTS):
            return _carried(spec) if spec else ()
        spec = tuple(_names(_read("classes", spec, "classes", CLASS_LISTS), spec))
    if not spec:
        raise ValueError("classes: the list is empty")
    empty = next((number for number, name in enumerate(spec) if not name.strip()), None)
    if empty is not None:
        raise ValueError(f"classes.{empty}: the name is empty")
    return spec


def twins(classes: Sequence[str]) -> list[str]:
    """The names that more than one class has."""
    return [name for name, count in Counter(classes).items() if count > 1]


def wordings_of(spec: str | tuple[str, ...]) -> tuple[str, ...]:
    """The prompt templates that ``spec`` means: a list, a JSON or text file, a set by name; empty for ``""``."""
    if isinstance(spec, str) and spec not in TEMPLATE_SETS:
        if not spec or PLACEHOLDER in spec:
            return templates((spec,)) if spec else ()
        found = _read("templates", spec, "templates", TEMPLATE_SETS)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise ValueError(f"templates: {spec} must hold a list of sentences with {PLACEHOLDER}")
        # {} is what the released lists have.
        spec = tuple(one if PLACEHOLDER in one else one.replace("{}", PLACEHOLDER) for one in found)
    return templates(spec)


def _read(field: str, spec: str, key: str, names: tuple[str, ...]) -> Any:
    path = expand(spec)
    if path.suffix == ".py":
        raise ValueError(f"{field}: {spec} is code, which is never run; write its names as JSON or a name a line")
    if path.suffix not in (".json", ".txt"):
        raise ValueError(f"{field}: '{spec}' is no .json or .txt file and no list by name{nearest(spec, names)}")
    if path.suffix == ".json":
        found = read_json(path)
        return found[key] if isinstance(found, dict) and key in found else found
    try:
        return [line.strip() for line in Path(path).read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{field}: {spec} cannot be read: {error}") from None


def _names(found: Any, spec: str) -> list[str]:
    if isinstance(found, dict):
        numbers = sorted(found, key=lambda one: int(one) if str(one).isdecimal() else -1)
        if [str(one) for one in numbers] != [str(n) for n in range(len(numbers))]:
            raise ValueError(f"classes: {spec} must number its names from 0 without gaps, or hold a list of them")
        found = [found[one] for one in numbers]
    if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
        key = next((key for key in _ENTRY if all(key in one for one in found)), None)
        found = [one[key] for one in found] if key else None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"classes: {spec} must hold a list of names, or of objects with 'name'")
    return found
