"""The zoo: every model that an experiment leaves, packed with the truth about it, for whoever builds a detector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import atomic, clean_if_refused, exclusive, read_json, sweep
from bezoar.core.progress import Listener, silent
from bezoar.core.records import Measure, Record
from bezoar.core.settings import dump, kind_of
from bezoar.experiment.environment import revision
from bezoar.experiment.experiment import Experiment
from bezoar.experiment.keeping import BEST, MODEL
from bezoar.experiment.layout import slug
from bezoar.experiment.stages import Job
from bezoar.experiment.zoo_models import Poison, Role, ZooModel, works, write_index
from bezoar.experiment.zoo_page import write_page

if TYPE_CHECKING:
    import pyarrow as pa

    from bezoar.models.checkpoint import Card

RUN, MODELS = "run", "models"
SUCCESS = ("asr_top1", "targeted_top1", "caption_asr_top1")
"""What the success of an attack is measured by; the first that was measured is told."""


def zoo(experiment: Experiment, out: str | Path, *, jobs: int = 1, listen: Listener = silent) -> tuple[ZooModel, ...]:
    """Run ``experiment`` in ``out/run``, then pack the model of every stage and seed; returns them.

    ``out`` gets ``models/NAME-seedN/``, plain model folders, ``zoo.json``, which tells who is poisoned and how, and a
    ``README.md``. After an interruption the same call continues. ``jobs``: as for ``run``.

    Raises ``ValueError`` as ``run`` does, and where no stage keeps a model.
    """
    from bezoar.experiment.run import run

    if all(stage.keep == "none" for stage in experiment.stages):
        raise ValueError("stages: none keeps a model (keep: none): there is nothing to pack")
    out, new, experiment = Path(out), not Path(out).exists(), experiment.pinned()
    with exclusive(out), clean_if_refused(out, new):
        sweep(out)
        run(experiment, out / RUN, jobs=jobs, listen=listen)
        models = tuple(_packed(experiment, out))
        facts = {"name": experiment.name, "model": experiment.model, "data": experiment.report_on, "git": revision()}
        write_index(models, out, facts)
        write_page(models, experiment, out)
    return models


def _packed(experiment: Experiment, out: Path) -> Iterator[ZooModel]:
    """Copy every model out of the run and say what it is."""
    source = experiment.labeled.get(experiment.report_on)
    classes = len(source.open().classes) if source is not None else None
    for seed in experiment.seeds:
        for stage in experiment.expanded():
            if stage.keep != "none":
                job = Job(experiment, stage, seed, out / RUN)
                folder = out / MODELS / _name(job)
                _copy(job.folder / MODEL, folder)
                yield _entry(job, folder.relative_to(out).as_posix(), out, classes)


def _name(job: Job) -> str:
    return f"{slug(job.stage.name)}-seed{job.seed}"


def _copy(source: Path, folder: Path) -> None:
    """Copy a model folder, its card last: a folder with a card is whole."""
    from bezoar.models.checkpoint import CARD

    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == CARD):
        with path.open("rb") as given, atomic(folder / path.name) as stream:
            shutil.copyfileobj(given, stream)


def _entry(job: Job, path: str, out: Path, classes: int | None) -> ZooModel:
    """The truth about the model of a stage, from its card and from what was measured of it on a set of ``classes``."""
    from bezoar.attacks import Aim
    from bezoar.attacks.families import ATTACKS
    from bezoar.models.checkpoint import read_card

    card = read_card(out / path)
    role, poison = _history(card, job)
    records = _of_model(job)
    told = next((records[name] for name in SUCCESS if name in records), None)
    accuracy, success = _measure(records.get("accuracy_top1")), _measure(told)
    without = _without(job, records, told) if told else None
    threat = job.experiment.threatening(job.stage)
    aim = ATTACKS.parse(poison.settings).aim(poison.seed) if poison else Aim()
    targets = dict.fromkeys([*(t.target for t in aim.threats), *(name for c in aim.chosen for name in c.targets)])
    is_own = threat is not None and poison is not None and threat.aim(job.seed) == aim
    return ZooModel(
        name=_name(job), path=path, role=role, seed=job.seed, method=kind_of(job.stage.method), weights=card.weights,
        start=_name(job.start) if job.start else None, parent=card.parent, poison=poison, targets=tuple(targets),
        threat=dump(threat) if threat else None, accuracy=accuracy, success=success, without=without,
        takes=works(accuracy, success, without, classes) if is_own else None, root=out,
    )  # fmt: skip


def _history(card: Card, job: Job) -> tuple[Role, Poison | None]:
    """What a model is, and the first poison on the way to it."""
    mark = card.poison
    role: Role = "clean" if card.parent is None else "cleaned"
    if mark is not None and job.stage.poison and "before" not in mark:
        role = "poisoned"
    while mark is not None and "before" in mark:  # what was left in the pairs of a cleaning is not the attack
        mark = mark["before"]
    if mark is None:
        return role, None
    attack, rest = mark["attack"], {name: mark[name] for name in ("plan", "seed", "count", "total")}
    return role, Poison(kind=attack["kind"], settings=attack, **rest)


def _of_model(job: Job) -> dict[str, Record]:
    """What was measured on the reported set of the model that a stage left, its best or its last, by metric.

    Of several evaluators that measure the same the first has it.
    """
    records = job.records()
    if job.stage.keep == "best":
        best = read_json(job.folder / BEST)
        at = (best["epoch"], best["step"])
    else:
        at = max(((record.epoch, record.step) for record in records), default=(0, 0))
    found = [record for record in records if (record.epoch, record.step) == at]
    return {record.metric: record for record in reversed(found) if record.data == job.experiment.report_on}


def _measure(record: Record | None) -> Measure | None:
    return Measure(**{field.name: getattr(record, field.name) for field in fields(Measure)}) if record else None


def _without(job: Job, records: Mapping[str, Record], success: Record) -> Measure | None:
    """The share that ``success`` is of, of the same model without the attack."""
    if success.metric == "caption_asr_top1":
        return _measure(records.get("caption_rate_top1"))
    if success.metric != "asr_top1" or "accuracy_top1" not in records:
        return None
    return _untouched(_scores(job, records["accuracy_top1"]), _scores(job, success), success.data)


def _scores(job: Job, record: Record) -> pa.Table:
    """The table of single pictures that a number rests on."""
    import pyarrow.parquet as pq

    at = f"epoch-{record.epoch:03d}" if record.whole else f"epoch-{record.epoch:03d}-step-{record.step:06d}"
    return pq.read_table(job.folder / "scores" / f"{at}.{record.evaluator}.{record.data}.parquet")


def _untouched(clean: pa.Table, triggered: pa.Table, data: str) -> Measure:
    """How often untouched pictures of other classes are taken for a target; of several targets, over all of them."""
    from bezoar.evaluation.tables import column, parts, to_measure
    from bezoar.metrics import attack_success, pooled

    predicted, labels = column(clean, "predicted"), column(clean, "label")
    targets = sorted({part.target for part in parts(triggered)})
    shares = [attack_success((predicted != target).long(), labels, target, 1) for target in targets]
    return to_measure("untouched_top1", pooled(shares) if len(shares) > 1 else shares[0], data)
