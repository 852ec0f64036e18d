"""Zero-shot labels for every image of a source, by any model: what ``bezoar data label`` does, for Python."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import atomic, exclusive, sweep
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.settings import digest
from bezoar.data import LabeledSource, PairsSource
from bezoar.data.class_names import classes_of, wordings_of
from bezoar.experiment.experiment import Device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from bezoar.data.prepared import Pictures
    from bezoar.evaluation import Context, HeldOut
    from bezoar.models.clip import Clip
    from bezoar.training.method import Precision

SAVE_SECONDS = 30.0
"""Between two notes of what has been labeled, from which an interrupted work goes on."""
SCHEMA = 1
_STACK = 64
"""Pictures that are read, and go through the model, together."""


@dataclass(frozen=True, kw_only=True)
class Labeling:
    """What a file of labels holds."""

    out: Path
    images: int
    counts: dict[str, int]
    """How many images were taken for each class, the most frequent first; for none, a class is left out."""
    classes: int
    probability: float
    """Mean of what the model gives to the class that it takes an image for."""


def label(
    pairs: PairsSource,
    *,
    model: str | Path,
    classes: str | tuple[str, ...] | LabeledSource,
    out: str | Path,
    templates: str | tuple[str, ...] = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: int = 0,
    listen: Listener = silent,
) -> Labeling:
    """Write to ``out``, a ``.parquet`` file, which of ``classes`` the model takes each image of ``pairs`` for.

    ``classes`` are names, a file of them, a list by name, or a labeled set, whose own templates are then used where
    ``templates`` is ``auto``; CLIP's 80 are otherwise. The columns are ``id``, ``label`` and ``probability``: of the
    softmax over the classes of cosine times the scale that the model has learned. (A bias, as SigLIP has learned one
    too, changes no softmax.) ``workers`` are processes that read pictures. The same call continues an interrupted one.

    Raises ``ValueError`` for a model without weights of its own, and where ``out`` holds something else.
    """
    from bezoar.data import label_file

    out = Path(out)
    if out.suffix != ".parquet":
        raise ValueError(f"out: must be a .parquet file, got {out}")
    facts = _facts(pairs, str(model), classes, templates, precision)
    if out.exists():
        if label_file.facts_of(out).get("work") != facts["work"]:
            raise ValueError(f"out: {out} holds other labels, or something else; name another file")
        return _told(out, facts)
    folder = out.with_name(f".{out.name}.unfinished")
    with exclusive(folder):
        sweep(folder)
        teacher = _Teacher.of(pairs, str(model), facts, device, precision)
        found, sure = teacher.labels(folder / "labels.npz", facts["work"], workers, listen)
        held, names = teacher.held, facts["classes"]
        label_file.write(
            out,
            [held.pairs.id(index) for index in range(len(held.pairs))],
            [names[found[picture]] for picture in held.pictures],
            sure[held.pictures].tolist(),
            {**facts, "scale": teacher.scale},
        )
    shutil.rmtree(folder, ignore_errors=True)
    return _told(out, facts)


def _facts(
    pairs: PairsSource,
    model: str,
    classes: str | tuple[str, ...] | LabeledSource,
    templates: str | tuple[str, ...],
    precision: str,
) -> dict[str, Any]:
    """What the file says of itself; ``work`` is a digest of all that its labels depend on."""
    from bezoar.data.prepared import GEOMETRY
    from bezoar.data.prompts import templates as by_name
    from bezoar.models.opening import place

    own: tuple[str, ...] = ()
    if isinstance(classes, LabeledSource):
        labeled = classes.open()
        classes, own = tuple(labeled.classes), tuple(labeled.templates)
    names = tuple(dict.fromkeys(classes_of(classes)))  # of two classes with one name, nothing is taken for the second
    if len(names) < 2:
        raise ValueError(f"classes: two are needed at least, got {list(names)}")
    if templates == "own" and not own:
        raise ValueError("templates: there are none of its own: 'classes' is no labeled set that has some")
    usual = own or by_name("openai")
    phrases = usual if templates in ("own", "auto") else wordings_of(templates)
    where = place(model)
    if not where.trained:
        raise ValueError(f"model: {model} is an architecture with random weights, which knows no classes")
    weights, source = where.lineage()[-1].weights, pairs.open().fingerprint
    return {
        "schema": SCHEMA, "work": digest(SCHEMA, GEOMETRY, source, weights, names, phrases, precision),
        "source": source, "model": {"name": model, "weights": weights}, "classes": names, "templates": phrases,
    }  # fmt: skip


@dataclass(frozen=True)
class _Teacher:
    """A model that labels, and what it labels."""

    clip: Clip
    held: HeldOut
    head: Tensor
    """Its zero-shot classifier, ``[classes, d]``."""
    precision: Precision

    @classmethod
    def of(
        cls, pairs: PairsSource, model: str, facts: dict[str, Any], device: Device, precision: Precision
    ) -> _Teacher:
        from bezoar.data.images import Exact
        from bezoar.data.prepared import Prepared
        from bezoar.evaluation import HeldOut
        from bezoar.models.clip import pick_device
        from bezoar.models.opening import load_model

        clip, found = load_model(model).to(pick_device(device)).eval(), pairs.open()
        held = HeldOut(found, Prepared(Exact(found), clip.frame))
        head = _context(clip, precision).head_of(clip, facts["classes"], facts["templates"])
        return cls(clip, held, head, precision)

    @property
    def scale(self) -> float:
        return float(self.clip.scale.detach())

    def labels(
        self, notes: Path, work: str, workers: int, listen: Listener
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The class of each picture, and its probability; goes on from ``notes``, where it was interrupted."""
        import numpy as np

        firsts = self.held.firsts
        found, sure, done = np.zeros(len(firsts), np.int64), np.zeros(len(firsts), np.float32), 0
        if notes.exists():
            with np.load(notes, allow_pickle=False) as noted:
                if str(noted["work"]) == work:
                    done = len(noted["found"])
                    found[:done], sure[:done] = noted["found"], noted["sure"]
        wrote = time.monotonic()
        for stack in _stacks(self.held.prepared, firsts[done:], workers):
            part = slice(done, done + len(stack))
            found[part], sure[part] = self._of(stack)
            done = part.stop
            listen(Event("label", done, len(firsts), unit="images"))
            if time.monotonic() - wrote > SAVE_SECONDS:
                with atomic(notes) as stream:
                    np.savez(stream, work=np.array(work), found=found[:done], sure=sure[:done])
                wrote = time.monotonic()
        return found, sure

    def _of(self, stack: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        context = _context(self.clip, self.precision)
        (features,) = context.encode_pictures(self.clip, len(stack), lambda span: (stack[span.start : span.stop],))
        cosines = features @ self.head.T
        chosen = cosines.argmax(1, keepdim=True)
        probabilities = (self.scale * cosines).softmax(1).gather(1, chosen)
        return chosen[:, 0].cpu().numpy(), probabilities[:, 0].cpu().numpy()


def _context(clip: Clip, precision: Precision) -> Context:
    from bezoar.attacks import Aim
    from bezoar.evaluation import Context
    from bezoar.training.precision import autocast_for

    return Context(sets={}, aim=Aim(), autocast=autocast_for(precision, clip.device))


class _Stacks:
    """Pictures in stacks, for a loader; an error is handed over, where a loader would wrap its line in a traceback."""

    def __init__(self, pictures: Pictures, which: Sequence[int]) -> None:
        self.pictures, self.which = pictures, which

    def __getitem__(self, start: int) -> Tensor | ValueError:
        import torch

        try:
            return torch.stack([self.pictures[index] for index in self.which[start : start + _STACK]])
        except ValueError as error:
            return error


def _stacks(pictures: Pictures, which: Sequence[int], workers: int) -> Iterator[Tensor]:
    """Pictures ``which`` in their order, uint8 ``[n, 3, S, S]``."""
    from torch.utils.data import DataLoader

    from bezoar.core.seeds import torch_generator

    starts = range(0, len(which), _STACK)
    loader: Any = DataLoader(
        _Stacks(pictures, which),  # type: ignore[arg-type]
        sampler=starts, batch_size=None, num_workers=workers, generator=torch_generator(0, "label"),
    )  # fmt: skip
    for stack in loader:
        if isinstance(stack, ValueError):
            raise stack
        yield stack


def _told(out: Path, facts: dict[str, Any]) -> Labeling:
    """What stands in the file."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(out, columns=["label", "probability"])
    counts = Counter(table["label"].to_pylist())
    return Labeling(
        out=out, images=len(table), counts=dict(counts.most_common()), classes=len(facts["classes"]),
        probability=float(pc.mean(table["probability"]).as_py()),
    )  # fmt: skip
