"""What every evaluator is, and the context it works in: labeled sets, a threat, the pairs and their plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from bezoar.core.settings import Settings, kind_of, settings
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import Tensor

    from bezoar.attacks import Threat
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import Clip

Rank = Annotated[int, Field(ge=1)]
CHUNK = 256
"""Pictures in one forward."""
KEEP = 1 << 30
"""Pictures of a set are kept in memory up to this many bytes; those of a larger set are made each time."""


class Evaluation(NamedTuple):
    """Measures and the per-sample table of each set they were computed from."""

    measures: tuple[Measure, ...]
    scores: dict[str, pa.Table]


@dataclass(frozen=True)
class LabeledImages:
    """A labeled set with its pictures at model resolution, kept from round to round, and put under triggers."""

    labeled: LabeledSet
    prepared: Prepared
    _kept: dict[str, list[Tensor]] = field(default_factory=dict)

    def clean(self) -> Iterator[Tensor]:
        """uint8 ``[n, 3, S, S]`` chunks of all pictures."""
        return self._keep("clean", self._load)

    def triggered(self, threat: Threat) -> Iterator[Tensor]:
        """The same pictures with the trigger put on, through the same geometry."""
        from bezoar.core.settings import digest

        return self._keep(digest(threat.trigger, threat.stage), lambda: self._put_on(threat))

    def _keep(self, key: str, make: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        from bezoar.data.prepared import needed_bytes

        if needed_bytes(self.labeled, self.prepared.size) > KEEP:
            return make()
        if key not in self._kept:
            self._kept[key] = list(make())
        return iter(self._kept[key])

    def _load(self) -> Iterator[Tensor]:
        import torch

        for start in range(0, len(self.labeled), CHUNK):
            yield torch.stack([self.prepared[i] for i in range(start, min(start + CHUNK, len(self.labeled)))])

    def _put_on(self, threat: Threat) -> Iterator[Tensor]:
        import torch

        from bezoar.attacks.plan import load_triggered

        if threat.stage == "file":
            for start in range(0, len(self.labeled), CHUNK):
                span = range(start, min(start + CHUNK, len(self.labeled)))
                size, trigger, stage = self.prepared.size, threat.trigger, threat.stage
                yield torch.stack([load_triggered(self.labeled, i, size, trigger, stage) for i in span])
            return
        for number, chunk in enumerate(self.clean()):
            ids = (self.labeled.id(number * CHUNK + place) for place in range(len(chunk)))
            yield torch.stack([threat.trigger.apply(image, i) for image, i in zip(chunk, ids, strict=True)])


@dataclass(frozen=True)
class HeldOut:
    """Pairs that no model was trained on, with their pictures at model resolution."""

    pairs: Pairs
    prepared: Prepared

    def pictures(self) -> list[int]:
        """The number of the picture of each pair, from 0 in the order in which they first come."""
        from bezoar.data.pairs import SharesPictures

        pairs, numbers = self.pairs, dict[int, int]()
        shown = [pairs.picture(i) if isinstance(pairs, SharesPictures) else i for i in range(len(pairs))]
        return [numbers.setdefault(picture, len(numbers)) for picture in shown]


def wordings(spec: str | tuple[str, ...], labeled: LabeledSet, name: str) -> tuple[str, ...]:
    """The templates that ``spec`` means for set ``name``: ``own`` are the set's, ``auto`` those or else CLIP's 80.

    Raises ``ValueError`` when there are none.
    """
    if spec == "own" and not labeled.templates:
        raise ValueError(f"evaluators.templates: set '{name}' has no templates of its own")
    own = labeled.templates if spec in ("own", "auto") else ()
    return own or templates("openai" if spec == "auto" else spec)


@dataclass(frozen=True)
class Context:
    """One round of evaluation of one model."""

    sets: Mapping[str, LabeledImages]
    threat: Threat | None
    """``None`` where nothing attacks: evaluators of attacks then measure nothing."""
    autocast: Callable[[], torch.autocast]
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    diagnostics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """What the method says of its own state: numbers, and tensors with one entry a pair."""
    pairs: Pairs | None = None
    """The pairs that the model was trained on, where there are any."""
    plan: PoisonPlan | None = None
    """Who of them is poisoned: for evaluators, which join it by id; a method never sees it."""
    _heads: dict[tuple[str, object], Tensor] = field(default_factory=dict)

    def head(self, model: Clip, name: str, spec: str | tuple[str, ...]) -> Tensor:
        """Zero-shot classifier of set ``name``: L2-normalized ``[classes, d]``; computed once a round.

        Each class is the normalized mean of the normalized features of its prompts (Radford et al. 2021, §3.1.4).
        """
        import torch
        from torch.nn import functional as F

        from bezoar.data.prompts import fill

        key = (name, spec)
        if key not in self._heads:
            labeled = self.sets[name].labeled
            rows = []
            with torch.no_grad(), self.autocast():
                for class_name in labeled.classes:
                    prompts = [fill(wording, class_name) for wording in wordings(spec, labeled, name)]
                    rows.append(F.normalize(model.encode_captions(prompts).mean(0), dim=0))
            self._heads[key] = torch.stack(rows)
        return self._heads[key]

    def cosines(self, model: Clip, chunks: Iterator[Tensor], head: Tensor) -> Tensor:
        """Cosine of every picture with every class, ``[n, classes]``, on the CPU."""
        import torch

        found = []
        with torch.no_grad():
            for chunk in chunks:
                with self.autocast():
                    features = model.encode_image(chunk)
                # Outside autocast: a product in bf16 has ties, and ties are decided by the order of the classes.
                found.append(features.float() @ head.float().T)
        return torch.cat(found).float().cpu()


@settings
class Evaluator(Settings):
    """Measures a model; per-sample scores are kept, so that every measure can be computed again."""

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        """Measures on every set of the context. The model is in evaluation mode."""
        raise NotImplementedError

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        """The measures of set ``data`` from its per-sample table."""
        raise NotImplementedError

    def check(self, sets: Mapping[str, LabeledSet], threat: Threat | None, size: int) -> None:
        """Raise ``ValueError`` for what a model of ``size`` px cannot be measured by, before any training starts."""


def names_of(evaluators: Sequence[Evaluator]) -> list[str]:
    """What each is called in records and files: its kind, with a number where an earlier one has it too."""
    kinds = [kind_of(evaluator) for evaluator in evaluators]
    before = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind}-{count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True)]
