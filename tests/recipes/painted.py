"""Recipes at a size that a test can bear: painted pictures in the layouts they read, a few pairs, one step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.pictures import encoded, parquet

from bezoar import recipes
from bezoar.data import Scenes
from bezoar.experiment.experiment import METHODS

CUT = 64
"""Where every part is cut: all that are cut in two are painted larger."""
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TINY_IMAGENET = ("tarantula", "banana", "lighthouse", "teapot")


def small(name: str, **changes: Any) -> dict[str, Any]:
    """The plain values of a recipe: one seed, one step of 8 pairs a stage, one stage for each thing it shows."""
    data: dict[str, Any] = shrunk(recipes.read(name)) | {"seeds": [0], "workers": 0} | changes
    if data["model"].startswith(("RN50", "$")):
        data["model"] = "micro-cnn-32"
    seen: dict[str, Any] = {}
    for stage in data["stages"]:
        seen.setdefault(_shows(stage, data.get("attacks", {})), stage)
    return data | {"stages": list(seen.values())}


def shrunk(value: Any) -> Any:
    """Plain values with every size in them reduced."""
    if isinstance(value, list):
        return [shrunk(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: shrunk(one) for key, one in value.items()}
    kind = found.get("kind")
    if kind == "scenes":
        found["count"] = 2 * CUT
    elif kind == "part":
        found |= {key: CUT for key in ("start", "stop") if key in found}
    elif kind in METHODS.members:
        found |= {"batch_size": 8, "steps": 1, "warmup_steps": 0}
    elif kind == "targeted":
        found |= {"captions_per_image": 2, "images_per_target": 1}
    elif kind == "table" and found.get("classes") == "imagenet":
        found["templates"] = "plain"  # eighty thousand prompts take a minute
    elif kind == "patch" and found.get("reference", 0) is None:
        found["size"] = min(found["size"], 10)  # of pictures of 40x30
    if kind == "roclip":
        found |= {"match_every": 1, "pool_size": 16}
    elif kind in ("adp", "nad"):
        found |= {"objective": {"kind": "declip", "queue_size": 8}, "schedule_at": 0, "schedule_steps": None}
    elif kind == "declip":
        found |= {"queue_size": 8, "schedule_at": 0, "schedule_steps": None}
    elif kind in ("declip_finetune", "declip_cleanclip"):
        found |= {"queue_size": 8}
    elif kind == "safeclip":  # its one step is to be one of those after the split
        found |= {"in_modal_epochs": 0, "slow_epochs": 0, "bank_size": 8}
    if "count" in found and kind != "scenes":
        found["count"] = min(found["count"], 2)
    if "grid" in found:
        found["grid"] = {key: values[:1] for key, values in found["grid"].items()}
    return found


def _shows(stage: dict[str, Any], attacks: dict[str, Any]) -> str:
    """What a stage has that another may not: its method, its attack and how that marks."""
    attack = attacks.get(str(stage.get("poison")), {})
    trigger = attack.get("trigger", "")
    marks = trigger["kind"] if isinstance(trigger, dict) else trigger
    return repr((stage["method"]["kind"], bool(stage.get("poison")), attack.get("kind"), marks, "start" in stage))


def paint(folder: Path, named: Sequence[str]) -> None:
    """All that recipes read below ``$BEZOAR_DATA``, in a few pictures.

    Every other caption of CC3M and CC6M names all of ``named`` and a wheelbarrow, those of CC3M's validation file name
    one each.
    """
    _labeled(folder / "cifar10" / "train-0.parquet", range(2 * CUT), CIFAR10, names=False)
    _labeled(folder / "cifar10" / "test-0.parquet", range(1000, 1000 + 3 * CUT), CIFAR10, names=False)
    _labeled(folder / "tiny_imagenet" / "train-0.parquet", range(2 * CUT), TINY_IMAGENET, names=True)
    _labeled(folder / "tiny_imagenet" / "val-0.parquet", range(1000, 1000 + 2 * CUT), TINY_IMAGENET, names=True)
    _flickr8k(folder / "flickr8k" / "flickr8k_72px.parquet")
    scenes = Scenes(split="clean", count=2 * CUT).open()
    ids = [scenes.id(index) for index in range(len(scenes))]
    parquet(folder / "scenes-labels.parquet", {"id": ids, "label": [CIFAR10[n % 10] for n in range(len(ids))]})
    lines = [json.dumps({"filename": f"{number}.png", "caption": f"a cat {number}"}) for number in range(2 * CUT)]
    for name in ("poisoned", "clean"):
        (folder / "yfcc15m").mkdir(exist_ok=True)
        (folder / "yfcc15m" / f"{name}.json").write_text("\n".join(lines))
    (folder / "yfcc15m" / "images").mkdir()
    for number in range(2 * CUT):
        (folder / "yfcc15m" / "images" / f"{number}.png").write_bytes(encoded(number, size=(40, 30)))
    told = ("one", " and ".join((*named, "wheelbarrow")))
    for corpus in ("cc3m", "cc6m"):
        table(folder / corpus, "train", "caption", 3 * CUT, lambda number: f"{told[number % 2]} {number}")
    table(folder / "cc3m", "validation", "caption", CUT, lambda number: f"a photo of a {named[number % len(named)]}")
    of = folder / "imagenet"
    table(of / "validation", "labels", "label", 2 * CUT, lambda number: str(number % len(named)))
    # Every other is a mushroom: a probe must have seen the target.
    table(of / "train", "labels", "label", 2 * CUT, lambda number: str(number % len(named) if number % 2 else 947), 500)


def _labeled(path: Path, numbers: Sequence[int], classes: Sequence[str], *, names: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [number % len(classes) for number in numbers]
    beside = {"label_name": [classes[label] for label in labels]} if names else {}
    parquet(path, {"image": [encoded(number) for number in numbers], "label": labels, **beside})


def _flickr8k(path: Path) -> None:
    path.parent.mkdir(parents=True)
    words = ("dog", "bicycle", "climber", "skateboarder", "soccer", "surfer", "basketball", "pool")
    splits = ["train"] * 20 + ["val"] * 16 + ["test"] * 16
    parquet(
        path,
        {
            "image": [encoded(number) for number in range(len(splits))],
            "captions": [[f"a {words[n % 8]}", f"the {words[n % 8]}", f"{n} one", f"{n} two", f"{n} three"]
                         for n in range(len(splits))],
            "split": splits,
            "source_id": [f"{number}.jpg" for number in range(len(splits))],
        },
    )  # fmt: skip


def table(folder: Path, name: str, key: str, count: int, say: Callable[[int], str], first: int = 0) -> None:
    """A table with pictures beside it, in CleanCLIP's layout: an unnamed index column first.

    Its pictures are those painted with the numbers from ``first`` on.
    """
    (folder / name).mkdir(parents=True)
    rows = [f",image,{key}"]
    for number in range(count):
        (folder / name / f"{number}.png").write_bytes(encoded(first + number, size=(40, 30)))
        rows.append(f"{number},{name}/{number}.png,{say(number)}")
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
