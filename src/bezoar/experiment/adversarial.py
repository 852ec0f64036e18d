"""Pictures changed against a model, written once: what ``bezoar data adversarial`` does, for Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import atomic, exclusive, read_object, sweep, write_json, write_text
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.settings import digest, dump
from bezoar.data import PairsSource
from bezoar.experiment.experiment import Device
from bezoar.training.objective import ClipLoss, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.data.pairs import Pairs
    from bezoar.training.batch import Batch
    from bezoar.training.method import Precision

SCHEMA = 1
FACTS, TABLE = "adversarial.json", "pairs.csv"


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """What was written."""

    out: Path
    pairs: int
    before: float
    """Mean loss of the model on the batches as they are."""
    after: float
    """And on what they became."""


def adversarial(
    pairs: PairsSource,
    *,
    model: str | Path,
    out: str | Path,
    objective: Objective | None = None,
    steps: int = 5,
    decay: float = 0.9,
    step: float = 0.05,
    bound: float = 0.0125,
    batch_size: int = 128,
    seed: int = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    listen: Listener = silent,
) -> Adversarial:
    """Write to the folder ``out`` a copy of ``pairs`` whose pictures raise the loss of the model: PNGs of its size and
    ``pairs.csv`` with the columns ``id``, ``image`` and ``caption``.

    The momentum iterative attack of ``bezoar.training.adversarial`` on pictures as they are, after resize and crop and
    before any view, in batches of the order of the pairs; ``objective`` is the loss, that of CLIP by default. As the
    code of the backdoor attack on DeCLIP, whose numbers the defaults are, but for the size of what is written. The same
    call continues an interrupted one. Raises ``ValueError`` where ``out`` holds something else, or for numbers out of
    range.
    """
    out, objective = Path(out), objective or ClipLoss()
    source = pairs.open()
    for name, value, least in (("steps", steps, 1), ("batch_size", batch_size, 2), ("pairs", len(source), 2)):
        if value < least:
            raise ValueError(f"{name}: {value} are fewer than {least}")
    for name, share in (("decay", decay), ("step", step), ("bound", bound)):
        if not 0 <= share < float("inf"):
            raise ValueError(f"{name}: must be 0 or more, got {share}")
    numbers = {"steps": steps, "decay": decay, "step": step, "bound": bound, "batch_size": batch_size, "seed": seed}
    worker = _Worker(source, str(model), objective, numbers, device, precision)
    with exclusive(out):
        sweep(out)
        found = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if FACTS in found and read_object(out / FACTS, SCHEMA).get("work") != worker.work:
            raise ValueError(f"out: {out} holds other pictures, or of other settings: name another folder")
        if found and FACTS not in found:
            raise ValueError(f"out: {out} holds '{found[0]}', which is no part of this: name an empty folder")
        write_json(out / FACTS, {"schema": SCHEMA, "work": worker.work, "objective": dump(objective), **numbers})
        (out / "images").mkdir(exist_ok=True)
        losses = [worker.batch(span, out / "images", listen) for span in worker.spans]
        rows = [[source.id(index), f"images/{index:08d}.png", source.caption(index)] for index in range(len(source))]
        write_text(out / TABLE, _csv([["id", "image", "caption"], *rows]))
    count = len(losses)
    return Adversarial(
        out=out, pairs=len(source), before=sum(one for one, _ in losses) / count,
        after=sum(other for _, other in losses) / count,
    )  # fmt: skip


class _Worker:
    """The model and its loss, batch by batch."""

    def __init__(
        self, pairs: Pairs, model: str, objective: Objective, numbers: dict[str, Any], device: Device,
        precision: Precision,
    ) -> None:  # fmt: skip
        from bezoar.data.prepared import GEOMETRY, Prepared
        from bezoar.models.clip import pick_device
        from bezoar.models.opening import load_model, place
        from bezoar.training.precision import autocast_for

        self.pairs, self.objective, self.numbers = pairs, objective, numbers
        clip = load_model(model).to(pick_device(device)).eval().requires_grad_(False)
        objective.check_changeable()
        objective.check_model(clip)
        self.autocast = autocast_for(precision, clip.device)
        self.prepared = Prepared(pairs, clip.frame)
        own: Any = objective.begin(clip, len(pairs), numbers["seed"])
        self.state = own.to(clip.device).eval().requires_grad_(False)
        kept = (place(model).identity(), pairs.fingerprint, precision)
        self.work = digest(SCHEMA, GEOMETRY, objective, numbers, *kept)
        size, total = numbers["batch_size"], len(pairs)
        starts = [*range(0, total, size)]
        if len(starts) > 1 and total - starts[-1] < 2:  # one pair alone has nothing to be compared with
            starts.pop()
        self.spans = [range(start, end) for start, end in zip(starts, [*starts[1:], total], strict=True)]

    def batch(self, span: range, folder: Path, listen: Listener) -> tuple[float, float]:
        """Write the pictures of ``span``, unless they are there; the loss before and after."""
        import torch

        from bezoar.attacks.preview import png
        from bezoar.training.adversarial import adversarial as changed

        shown, paths = self._batch(span), [folder / f"{index:08d}.png" for index in span]
        if all(path.exists() for path in paths):
            pictures = torch.stack([_read(path) for path in paths]).to(shown.images[0].device)
        else:
            numbers = {name: self.numbers[name] for name in ("steps", "decay", "step", "bound")}
            (moved,) = changed(shown.images[:1], lambda views: self._loss(shown, views[0]), **numbers)
            clean = shown.images[0].float()
            pictures = (clean + (moved - clean).trunc()).to(torch.uint8)  # towards the picture: inside the bound
            for path, picture in zip(paths, pictures.cpu(), strict=True):
                with atomic(path) as stream:
                    stream.write(png(picture))
        listen(Event("adversarial", span.stop, len(self.pairs), unit="images"))
        with torch.no_grad():
            return float(self._loss(shown, shown.images[0])), float(self._loss(shown, pictures))

    def _batch(self, span: range) -> Batch:
        import torch

        from bezoar.training.batch import Batch

        device = self.state.model.device
        images = torch.stack([self.prepared[index] for index in span]).to(device)
        words = self.state.model.tokenize([self.pairs.caption(index) for index in span]).to(device)
        views, wordings = len(self.objective.image_views), len(self.objective.caption_views)
        indices = torch.tensor(list(span), device=device)
        return Batch(
            ids=tuple(self.pairs.id(index) for index in span), indices=indices, everybody=indices,
            images=(images,) * views, texts=(words,) * wordings,
        )  # fmt: skip

    def _loss(self, shown: Batch, images: Tensor) -> Tensor:
        from dataclasses import replace

        import torch

        with self.autocast():
            batch = replace(shown, images=(images,) * len(shown.images))
            terms = self.objective.terms(self.state, self.objective.encoder(0)(self.state, batch))
        return torch.stack([term.float() for term in terms.values()]).sum()


def _read(path: Path) -> Tensor:
    from bezoar.data.decode import decode
    from bezoar.data.images import to_tensor

    return to_tensor(decode(path.read_bytes()))


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
