"""A poisoned copy: pairs or labeled images as files, as an attacker leaves them; nothing in it tells who is poisoned.

Every picture is a PNG of the same encoder, samples stand in shuffled order and are called by running number. Which
sample of the copy is which of the plan is written to a file of its own, outside the copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, get_args

from bezoar.attacks.copy_forms import CsvForm, Form, LabelsForm, ParquetForm, TarForm
from bezoar.attacks.copying import Copy, Poisoned
from bezoar.core.frame import Frame
from bezoar.core.progress import Listener, silent

Kind = Literal["csv", "parquet", "webdataset"]


class PoisonedPairs(Poisoned, Protocol):
    """Pairs as an attacker leaves them."""

    def caption(self, index: int) -> str: ...


class PoisonedSet(Poisoned, Protocol):
    """A labeled set as an attacker leaves it."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def label(self, index: int) -> int: ...


def materialize(
    pairs: PoisonedPairs, out: Path, *, ids: Path, form: Kind, frame: Frame, plan: str, seed: int,
    listen: Listener = silent,
) -> None:  # fmt: skip
    """Write ``pairs`` to the folder ``out``; called again after it was broken off, it goes on.

    ``ids``: Parquet file to write, outside ``out``, with the columns ``copy`` (id in the copy) and ``id`` (in the
    plan). ``frame``: of pictures at model resolution. ``plan``: digest of the plan. ``seed``: of the order.
    Raises ``ValueError`` when ``out`` holds anything else or the disk has not the room, ``OSError`` when it fills up.
    """
    forms: dict[Kind, Form] = {
        "csv": CsvForm("pairs.csv", ("caption",)), "parquet": ParquetForm(), "webdataset": TarForm(),
    }  # fmt: skip
    if form not in forms:
        raise ValueError(f"form: must be one of {', '.join(get_args(Kind))}, got '{form}'")
    Copy(
        images=pairs, fields=lambda index: (pairs.caption(index),), form=forms[form], kind=form,
        out=out, ids=ids, frame=frame, plan=plan, seed=seed,
    ).write(listen)  # fmt: skip


def materialize_labels(
    images: PoisonedSet, out: Path, *, ids: Path, frame: Frame, plan: str, seed: int, listen: Listener = silent
) -> None:
    """Write ``images`` to the folder ``out`` with a ``labels.csv``: id, image, label (a number) and class name.

    ``classes.json`` lists the class names in the order of their numbers. All else is as in ``materialize``.
    """
    classes = images.classes
    for number, name in enumerate(classes):
        if name.isdecimal() and int(name) < len(classes) and int(name) != number:
            raise ValueError(f"classes.{number}: is called '{name}', which in a table of labels is another class")

    def fields(index: int) -> tuple[str, str]:
        label = images.label(index)
        return str(label), classes[label]

    Copy(
        images=images, fields=fields, form=LabelsForm("labels.csv", ("label", "label_name"), classes), kind="labels",
        out=out, ids=ids, frame=frame, plan=plan, seed=seed,
    ).write(listen)  # fmt: skip
