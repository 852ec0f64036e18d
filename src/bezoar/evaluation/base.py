"""What every evaluator is, and the context it works in: labeled sets, a trigger and its target, the plan's key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import Tensor

    from bezoar.attacks import Threat
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import Clip

CHUNK = 256
"""Pictures in one forward."""


class Evaluation(NamedTuple):
    """Measures and the per-sample table of each set they were computed from."""

    measures: tuple[Measure, ...]
    scores: dict[str, pa.Table]


@dataclass(frozen=True)
class LabeledImages:
    """A labeled set with its pictures at model resolution; triggered pictures are kept from round to round."""

    labeled: LabeledSet
    prepared: Prepared
    _triggered: dict[str, list[Tensor]] = field(default_factory=dict)

    def clean(self) -> Iterator[Tensor]:
        """uint8 ``[n, 3, S, S]`` chunks of all pictures."""
        import torch

        for start in range(0, len(self.labeled), CHUNK):
            yield torch.stack([self.prepared[i] for i in range(start, min(start + CHUNK, len(self.labeled)))])

    def triggered(self, threat: Threat) -> Iterator[Tensor]:
        """The same pictures with the trigger put on, through the same geometry."""
        import torch

        from bezoar.attacks.plan import load_triggered
        from bezoar.core.settings import digest

        key = digest(threat.trigger, threat.stage)
        if key not in self._triggered:

            def put(index: int) -> Tensor:
                if threat.stage == "model":
                    return threat.trigger.apply(self.prepared[index], self.labeled.id(index))
                return load_triggered(self.labeled, index, self.prepared.size, threat.trigger, threat.stage)

            spans = [range(s, min(s + CHUNK, len(self.labeled))) for s in range(0, len(self.labeled), CHUNK)]
            self._triggered[key] = [torch.stack([put(i) for i in span]) for span in spans]
        yield from self._triggered[key]


@dataclass(frozen=True)
class Context:
    """One round of evaluation of one model."""

    sets: Mapping[str, LabeledImages]
    threat: Threat | None
    """``None`` where nothing attacks: evaluators of attacks then measure nothing."""
    autocast: Callable[[], torch.autocast]
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    """What the method says of its own state."""
    _heads: dict[tuple[str, object], Tensor] = field(default_factory=dict)

    def head(self, model: Clip, name: str, spec: str | tuple[str, ...]) -> Tensor:
        """Zero-shot classifier of set ``name``: L2-normalized ``[classes, d]``; computed once a round.

        Each class is the normalized mean of the normalized features of its prompts (Radford et al. 2021, §3.1.4).
        ``spec`` names templates; ``own`` are the set's.
        """
        import torch
        from torch.nn import functional as F

        from bezoar.data.prompts import fill, templates

        key = (name, spec)
        if key not in self._heads:
            labeled = self.sets[name].labeled
            if spec == "own" and not labeled.templates:
                raise ValueError(f"evaluators.templates: set '{name}' has no templates of its own")
            wordings = labeled.templates if spec == "own" else templates(spec)
            rows = []
            with torch.no_grad(), self.autocast():
                for class_name in labeled.classes:
                    prompts = [fill(wording, class_name) for wording in wordings]
                    rows.append(F.normalize(model.encode_captions(prompts).mean(0), dim=0))
            self._heads[key] = torch.stack(rows)
        return self._heads[key]

    def cosines(self, model: Clip, chunks: Iterator[Tensor], head: Tensor) -> Tensor:
        """Cosine of every picture with every class, ``[n, classes]``, on the CPU."""
        import torch

        found = []
        with torch.no_grad(), self.autocast():
            for chunk in chunks:
                found.append(model.encode_image(chunk).float() @ head.float().T)
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

    def check(self, sets: Mapping[str, LabeledSet], threat: Threat | None) -> None:
        """Raise ``ValueError`` for what cannot be measured on these sets, before any training starts."""
