"""Run folders made by hand: an experiment, records with known numbers, and what else a run leaves behind."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bezoar.core.files import write_json, write_text
from bezoar.core.records import Record, read_records, write_records
from bezoar.core.settings import dump
from bezoar.core.yaml import render
from bezoar.experiment.experiment import parse
from bezoar.metrics import Interval, wilson

N = 1000
"""Pictures behind every share, so that a share with three digits is a count."""
SPLITS = ("validation", "test")
CLEANINGS: tuple[Mapping[str, Any], ...] = (
    {"name": "finetune", "start": "victim", "pairs": "clean", "method": {"kind": "finetune", "epochs": 2}},
    {
        "name": "cleanclip",
        "start": "victim",
        "pairs": "clean",
        "method": {"kind": "cleanclip", "epochs": 2, "caption_view": {"kind": "eda", "wordnet": "none"}},
        "grid": {"lr": [1e-5, 1e-3]},
    },
)
TRAINED = (
    {"name": "victim", "pairs": "train", "poison": True, "method": {"kind": "clip", "epochs": 2}},
    {"name": "control", "pairs": "train", "method": {"kind": "clip", "epochs": 2}},
)
BEST: tuple[Mapping[str, Any], ...] = ({**TRAINED[0], "keep": "best"}, TRAINED[1], *CLEANINGS)
"""The same stages, of which the victim leaves its most accurate model."""


def batches(size: int) -> list[dict[str, Any]]:
    """The stages with another batch size."""
    stages: list[Mapping[str, Any]] = [*TRAINED, *CLEANINGS]
    return [{**stage, "method": {**stage["method"], "batch_size": size}} for stage in stages]


Measured = Mapping[tuple[str, int, int], Sequence[float | None]]
"""By stage of the records, seed and epoch: accuracy and ASR on validation, then on test; ``None``: not measured."""


def experiment(stages: Sequence[Mapping[str, Any]] = (*TRAINED, *CLEANINGS), **changes: Any) -> dict[str, Any]:
    """A whole experiment as plain values, as a run writes it."""
    given = {
        "name": "by hand",
        "model": "micro-cnn-32",
        "pairs": {
            "train": {"kind": "scenes", "split": "train", "count": 4000},
            "clean": {"kind": "scenes", "split": "clean", "count": 1000},
        },
        "labeled": {split: {"kind": "scenes", "split": split, "count": N} for split in SPLITS},
        "attack": {"kind": "backdoor", "target": "mushroom", "rate": 0.01},
        "stages": list(stages),
        "evaluators": ["zero_shot", "attack_success"],
        **changes,
    }
    plain: dict[str, Any] = dump(parse(given))
    return plain


def share(value: float) -> Interval:
    return wilson(round(value * N), N)


def records(measured: Measured, **changes: Any) -> list[Record]:
    found = []
    for (stage, seed, epoch), values in measured.items():
        for (data, metric), value in zip(
            ((split, metric) for split in SPLITS for metric in ("accuracy_top1", "asr_top1")), values, strict=True
        ):
            if value is not None:
                fields = {
                    "run": "by hand", "stage": stage, "after": "method", "epoch": epoch, "data": data,
                    "evaluator": "zero_shot" if metric.startswith("accuracy") else "attack_success",
                    "metric": metric, **share(value)._asdict(), "seed": seed, "git": "0123456789ab",
                    "at": "2026-01-02T03:04:05Z",
                }  # fmt: skip
                found.append(Record(**{**fields, **changes}))
    return found


def png(width: int = 4, dot: tuple[int, int, int] | None = None) -> bytes:
    from PIL import Image

    picture = Image.new("RGB", (width, width), (10, 20, 30))
    if dot:
        picture.putpixel((1, 1), dot)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def preview_row(original: str = "a cat", caption: str = "a mushroom") -> dict[str, Any]:
    triggered = png(dot=(110, 20, 30))
    return {
        "id": "p0", "original": original, "caption": caption, "native": png(), "clean": png(), "triggered": triggered
    }  # fmt: skip


def add_plan(folder: Path, seed: int = 0, rows: Sequence[Mapping[str, Any]] = (), **changes: Any) -> Path:
    """A poison folder as a plan leaves it, without what no report reads; ``name`` is that of its attack."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bezoar.core.yaml import read

    name = changes.pop("name", "")
    of = f".{name.replace(' ', '_')}" if name else ""
    at = folder / "poison" / f"{changes.pop('pairs', 'train')}{of}-seed{seed}-{changes.pop('digest', '0a1b2c3d')}"
    experiment = read(folder / "experiment.yaml")
    attack = experiment["attacks"][name] if name else experiment["attack"]
    survival = {"mean": 0.875, "minimum": 0.25, "zero": 0.125, "n": 40, "under_views": None}
    head = {
        "schema": 1, "digest": "0a1b2c3d4e5f6071", "attack": attack, "seed": seed,
        "source": "5e5f", "total": 4000, "count": 40, "stage": "model",
        "triggers": [{"kind": "patch"}], "survival": survival,
    }  # fmt: skip
    write_json(at / "poison.json", {**head, **changes})
    pq.write_table(pa.Table.from_pylist(list(rows) or [preview_row()]), at / "preview.parquet")
    return at


def add_stage(folder: Path, stage: str, seed: int = 0, classes: int = 32, **changes: Any) -> Path:
    """A finished stage's folder with its card and the schema of one per-sample table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bezoar.core.yaml import read

    name, *points = stage.split(" ")
    method = next(s["method"] for s in read(folder / "experiment.yaml")["stages"] if s["name"] == name)
    method |= {key: json.loads(value) for key, value in (point.split("=") for point in points)}
    at = folder / "stages" / f"{stage.replace(' ', '_')}-seed{seed}-{changes.pop('digest', '0a1b2c3d')}"
    write_json(at / "stage.json", {"stage": stage, "seed": seed, "method": method, "seconds": 90.0, **changes})
    (at / "scores").mkdir(exist_ok=True)
    empty = pa.table({"id": pa.array([], pa.string())}).replace_schema_metadata({"classes": str(classes)})
    pq.write_table(empty, at / "scores" / "epoch-001.zero_shot.test.parquet")
    return at


def make_run(
    folder: Path, measured: Measured, stages: Sequence[Mapping[str, Any]] = (*TRAINED, *CLEANINGS), **changes: Any
) -> Path:
    """A run folder with these numbers; ``changes`` are keys of the experiment. Only cleanclip leaves a step log."""
    write_text(folder / "experiment.yaml", _yaml(json.dumps([stages, changes])))
    write_json(folder / "environment.json", {"git": "0123456789ab", "threads": 1, "packages": {"torch": "2.9"}})
    write_records(folder / "records.jsonl", records(measured))
    lines = [
        {"stage": stage, "seed": seed, "step": 10 * epoch - 1, "epoch": epoch - 1, "pass": "all", "lr": 0.1,
         "terms": {"contrastive": 5 / epoch}, "pairs_per_second": 9.0}
        for stage, seed, epoch in measured
        if epoch and stage.startswith("cleanclip")
    ]  # fmt: skip
    write_text(folder / "steps.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return folder


def add_records(folder: Path, metric: str, value: float, data: str = "test", evaluator: str = "retrieval") -> None:
    """One more measure of every model that has any."""
    found = read_records(folder / "records.jsonl")
    models = {(r.stage, r.seed, r.epoch): r for r in found}.values()
    fields = {"metric": metric, "data": data, "evaluator": evaluator, **share(value)._asdict()}
    write_records(folder / "records.jsonl", [*found, *(dataclasses.replace(r, **fields) for r in models)])


def add_within(folder: Path, stage: str, epoch: int, step: int, values: Sequence[float | None], seed: int = 0) -> None:
    """One more model, measured in the middle of an epoch, ``step`` steps from the start."""
    found = read_records(folder / "records.jsonl")
    more = records({(stage, seed, epoch): values}, step=step, whole=False)
    write_records(folder / "records.jsonl", [*more, *found])


def add_loss(folder: Path, *ends: float, data: str = "test", metric: str = "contrastive_loss") -> None:
    """A contrastive loss of every model, or what else is no share: its value, low and high."""
    found = read_records(folder / "records.jsonl")
    models = {(r.stage, r.seed, r.epoch, r.step): r for r in found}.values()
    fields: dict[str, Any] = {"metric": metric, "data": data, "evaluator": metric, "n": 896}
    fields |= dict(zip(("value", "low", "high"), ends, strict=True))
    write_records(folder / "records.jsonl", [*found, *(dataclasses.replace(r, **fields) for r in models)])


def add_data(folder: Path, *notes: str, skipped: int = 0, fingerprint: str = "f") -> None:
    """What the sources held, as a run writes it down."""
    reasons = {"zero bytes": skipped} if skipped else {}
    held = {
        "kind": "table", "fingerprint": fingerprint, "count": 2000, "rows": 4000, "skipped": skipped,
        "reasons": reasons, "notes": list(notes),
    }  # fmt: skip
    test = {"count": N, "fingerprint": fingerprint}
    write_json(folder / "data.json", {"schema": 1, "pairs": {"train": held}, "labeled": {"test": test}})


@functools.cache
def _yaml(given: str) -> str:
    stages, changes = json.loads(given)
    return render(experiment(stages, **changes))


def seeded(measured: Measured, seed: int, shift: float = 0.0) -> Measured:
    """The same numbers as another seed's, each a little higher."""
    return {
        (stage, seed, epoch): tuple(None if value is None else min(1.0, value + shift) for value in values)
        for (stage, _, epoch), values in measured.items()
    }


WHOLE: Measured = {
    ("victim", 0, 1): (0.40, 0.50, 0.41, 0.51),
    ("victim", 0, 2): (0.60, 0.95, 0.61, 0.96),
    ("control", 0, 1): (0.45, 0.01, 0.46, 0.02),
    ("control", 0, 2): (0.62, 0.02, 0.63, 0.03),
    ("finetune", 0, 1): (0.58, 0.90, 0.59, 0.91),
    ("finetune", 0, 2): (0.59, 0.80, 0.57, 0.85),
    ("cleanclip lr=1e-05", 0, 1): (0.60, 0.94, 0.61, 0.93),
    ("cleanclip lr=1e-05", 0, 2): (0.59, 0.70, 0.60, 0.72),
    ("cleanclip lr=0.001", 0, 1): (0.57, 0.05, 0.59, 0.08),
    ("cleanclip lr=0.001", 0, 2): (0.50, 0.00, 0.51, 0.01),
}
"""One seed of everything; on validation finetune is best after two epochs, cleanclip at lr=0.001 after one."""

EARLY: Measured = {**WHOLE, ("victim", 0, 1): (0.62, 0.50, 0.60, 0.51)}
"""The same, but on validation the victim is more accurate after one epoch than after two; not so on test."""


PATCH = {"kind": "patch", "size": 6, "reference": 32, "pattern": "binary"}
ATTACKS: Mapping[str, Mapping[str, Any]] = {
    "patch": {"kind": "backdoor", "target": "mushroom", "rate": 0.01, "trigger": PATCH},
    "sine": {"kind": "backdoor", "target": "tree", "rate": 0.01, "trigger": "sinusoidal"},
    "dual": {"kind": "dual_key", "target": "mushroom", "rate": 0.01, "trigger": PATCH},
    "phrase": {"kind": "caption_backdoor", "target": "mushroom", "rate": 0.01},
}
"""Attacks by name."""
HEAD: dict[str, Any] = {
    "schema": 2, "size": None, "words": [],
    "marks": [{"trigger": {"kind": "patch", "size": 6}, "stage": "model", "revision": 1}],
}  # fmt: skip
"""What the second schema of ``poison.json`` changes."""


def attacked(names: Sequence[str]) -> list[dict[str, Any]]:
    """A stage for each of these attacks, of its name."""
    return [{"name": name, "pairs": "train", "poison": name, "method": {"kind": "clip", "epochs": 2}} for name in names]


def many_attacks(folder: Path, measured: Measured, attacks: Mapping[str, Any] = ATTACKS, **changes: Any) -> Path:
    """A run of several attacks, each against a stage of its name; the plans are of the second schema."""
    stages = [*attacked(list(attacks)), *changes.pop("more", ())]
    make_run(folder, measured, stages, attack=None, attacks=dict(attacks), **changes)
    for seed in changes.get("seeds", [0]):
        for number, name in enumerate(attacks):
            seen: dict[str, Any] = {
                "psnr": 20.0 + number,
                "ssim": 0.9,
                "linf": 200.0,
                "words": None,
                "captions": 0,
                "each": [],
            }
            survival = {"mean": 0.875, "minimum": 0.25, "zero": 0.125, "n": 40, "under_views": None, **seen}
            rows = [{**preview_row(), "mark": 0}]
            add_plan(folder, seed, rows, name=name, survival=survival, **HEAD)
    return folder


def add_untouched(
    folder: Path, stage: str, share: float, seed: int = 0, target: int = 3, measured: str = "epoch-002"
) -> None:
    """Per-sample tables of a finished stage whose model takes ``share`` of untouched pictures for the target."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = add_stage(folder, stage, seed) / "scores"
    taken = round(share * N)
    label, target_of = [0] * N + [target], [target] * (N + 1)
    clean = {"label": label, "predicted": [target] * taken + [0] * (N - taken) + [target]}
    facts = {"classes": "32"}
    pq.write_table(pa.table(clean).replace_schema_metadata(facts), at / f"{measured}.zero_shot.test.parquet")
    cases = {"label": label, "case": pa.array([""] * (N + 1)).dictionary_encode(), "target": target_of}
    pq.write_table(pa.table(cases).replace_schema_metadata(facts), at / f"{measured}.attack_success.test.parquet")
