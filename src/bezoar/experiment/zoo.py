"""The zoo: every model that an experiment leaves, packed with the truth about it, for whoever builds a detector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import atomic, clean_if_refused, exclusive, sweep
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import dump, kind_of
from bezoar.experiment.environment import revision
from bezoar.experiment.experiment import Experiment
from bezoar.experiment.keeping import MODEL
from bezoar.experiment.layout import slug
from bezoar.experiment.stages import Job
from bezoar.experiment.success import SUCCESS, as_measure, left, without, works
from bezoar.experiment.zoo_models import Poison, Role, ZooModel, write_index
from bezoar.experiment.zoo_page import write_page

if TYPE_CHECKING:
    from bezoar.models.checkpoint import Card

RUN, MODELS = "run", "models"


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
    records = left(job, job.experiment.report_on)
    told = next((records[name] for name in SUCCESS if name in records), None)
    accuracy, success = as_measure(records.get("accuracy_top1")), as_measure(told)
    bare = without(job, records, told) if told else None
    threat = job.experiment.threatening(job.stage)
    aim = ATTACKS.parse(poison.settings).aim(poison.seed) if poison else Aim()
    targets = dict.fromkeys([*(t.target for t in aim.threats), *(name for c in aim.chosen for name in c.targets)])
    is_own = threat is not None and poison is not None and threat.aim(job.seed) == aim
    return ZooModel(
        name=_name(job), path=path, role=role, seed=job.seed, method=kind_of(job.stage.method), weights=card.weights,
        start=_name(job.start) if job.start else None, parent=card.parent, poison=poison, targets=tuple(targets),
        threat=dump(threat) if threat else None, accuracy=accuracy, success=success, without=bare,
        takes=works(accuracy, success, bare, classes) if is_own else None, root=out,
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
