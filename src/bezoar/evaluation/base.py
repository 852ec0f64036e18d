"""What every evaluator is, and the context it works in: labeled sets, a threat, the pairs and their plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from bezoar.core.settings import Settings, digest, kind_of, settings
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa
    import torch
    from torch import Tensor

    from bezoar.attacks import Aim, Threat
    from bezoar.attacks.base import Stage
    from bezoar.attacks.caption_trigger import CaptionTrigger
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.attacks.trigger import Trigger
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import Clip

Rank = Annotated[int, Field(ge=1)]
CHUNK = 256
"""Pictures or captions in one forward."""
PROMPTS = 8192
"""Prompts of a zero-shot head that are encoded together."""
KEEP = 1 << 30
"""Pictures of a set are kept in memory up to this many bytes; those of a larger set are made each time."""


class Evaluation(NamedTuple):
    """Measures and the per-sample table of each set they were computed from."""

    measures: tuple[Measure, ...]
    scores: dict[str, pa.Table]


class Look(NamedTuple):
    """How pictures are looked at: untouched, or with a trigger put on at a stage."""

    trigger: Trigger | None = None
    stage: Stage = "model"

    @classmethod
    def under(cls, threat: Threat) -> Look:
        """As the attacker shows them."""
        return cls(threat.trigger, threat.stage)

    @property
    def on_file(self) -> bool:
        """Whether it takes the picture at its native size."""
        return self.trigger is not None and self.stage == "file"

    def __hash__(self) -> int:
        # By what it says: a trigger of a user's own may have fields that cannot be hashed.
        return hash(digest(self.trigger, self.stage))


UNTOUCHED = Look()


@dataclass(frozen=True)
class LabeledImages:
    """A labeled set with its pictures at model resolution, under any looks, kept from round to round."""

    labeled: LabeledSet
    prepared: Prepared
    _kept: dict[Look, list[Tensor]] = field(default_factory=dict)

    def chunks(self, *looks: Look) -> Iterator[tuple[Tensor, ...]]:
        """All pictures in chunks, uint8 ``[n, 3, S, S]`` for each look, each decoded once for all looks."""
        from bezoar.data.prepared import needed_bytes

        keep = needed_bytes(self.labeled, self.prepared.size) <= KEEP
        new = [look for look in looks if look not in self._kept]
        made: dict[Look, list[Tensor]] = {look: [] for look in new}
        for number, start in enumerate(range(0, len(self.labeled), CHUNK)):
            found = self._make(range(start, min(start + CHUNK, len(self.labeled))), new)
            if keep:
                for look in new:
                    made[look].append(found[look])
            yield tuple(found[look] if look in found else self._kept[look][number] for look in looks)
        if keep:
            self._kept.update(made)

    def _make(self, span: range, looks: Sequence[Look]) -> dict[Look, Tensor]:
        import torch

        size = self.prepared.size
        made = {look: torch.empty(len(span), 3, size, size, dtype=torch.uint8) for look in looks}
        for place, index in enumerate(span if looks else ()):
            # Written where they stay: small pictures kept for a stack of them would each take fresh memory.
            for look, picture in zip(looks, self._views(index, looks), strict=True):
                made[look][place] = picture
        return made

    def _views(self, index: int, looks: Sequence[Look]) -> list[Tensor]:
        """One picture under each look, all through one geometry."""
        from bezoar.data.images import fit, to_tensor

        name, size = self.labeled.id(index), self.prepared.size
        native = to_tensor(self.labeled.image(index)) if any(look.on_file for look in looks) else None
        clean = None
        if not all(look.on_file for look in looks):
            clean = self.prepared[index] if native is None or self.prepared.stored else fit(native, size)
        views = []
        for look in looks:
            picture = native if look.on_file else clean
            assert picture is not None
            shown = look.trigger.apply(picture, name) if look.trigger is not None else picture
            views.append(fit(shown, size) if look.on_file else shown)
        return views


@dataclass(frozen=True)
class HeldOut:
    """Pairs that no model was trained on, with their pictures at model resolution."""

    pairs: Pairs
    prepared: Prepared

    def pictures(self) -> list[int]:
        """The number of the picture of each pair, from 0 in the order in which they first come."""
        from bezoar.data.pairs import SharesPictures

        pairs, numbers = self.pairs, dict[int, int]()
        places = range(len(pairs))
        shown = map(pairs.picture, places) if isinstance(pairs, SharesPictures) else places
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
    aim: Aim
    """What the attack is to bring about; where it is empty, evaluators of attacks measure nothing."""
    autocast: Callable[[], torch.autocast]
    looks: tuple[Look, ...] = ()
    """What the evaluators will look at: all of it is had from one sweep over the pictures of a set."""
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    diagnostics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """What the method says of its own state: numbers, and tensors with one entry a pair."""
    pairs: Pairs | None = None
    """The pairs that the model was trained on, where there are any."""
    plan: PoisonPlan | None = None
    """Who of them is poisoned: for evaluators, which join it by id; a method never sees it."""
    _heads: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    _features: dict[tuple[str, Look], Tensor] = field(default_factory=dict)

    def head(self, model: Clip, name: str, spec: str | tuple[str, ...], words: CaptionTrigger | None = None) -> Tensor:
        """Zero-shot classifier of set ``name``: L2-normalized ``[classes, d]``; one of each wording and classes.

        Each class is the normalized mean of the normalized features of its prompts (Radford et al. 2021, §3.1.4).
        ``words`` is put into every prompt.
        """
        import torch
        from torch.nn import functional as F

        from bezoar.data.prompts import fill

        labeled = self.sets[name].labeled
        phrases, classes = wordings(spec, labeled, name), tuple(labeled.classes)
        key = phrases, classes, digest(words)
        if key not in self._heads:
            rows, block = [], max(1, PROMPTS // len(phrases))
            for start in range(0, len(classes), block):
                some = classes[start : start + block]
                texts = [fill(phrase, word) for word in some for phrase in phrases]
                prompts = self.encode_captions(model, [words.apply(text, text) for text in texts] if words else texts)
                rows.append(F.normalize(prompts.view(len(some), len(phrases), -1).mean(1), dim=1))
            self._heads[key] = torch.cat(rows)
        return self._heads[key]

    def features(self, model: Clip, name: str, look: Look = UNTOUCHED) -> Tensor:
        """L2-normalized features of every picture of set ``name``, ``[n, d]`` in float32; computed once a round.

        They stay on the model's device.
        """
        if (name, look) not in self._features:
            wanted = dict.fromkeys((look, *self.looks))
            new = tuple(each for each in wanted if (name, each) not in self._features)
            found = self.encode_pictures(model, self.sets[name].chunks(*new))
            self._features.update({(name, each): rows for each, rows in zip(new, found, strict=True)})
        return self._features[name, look]

    def cosines(
        self,
        model: Clip,
        name: str,
        spec: str | tuple[str, ...],
        look: Look = UNTOUCHED,
        words: CaptionTrigger | None = None,
    ) -> Tensor:
        """Cosine of every picture of set ``name`` with every class, ``[n, classes]``, on the CPU."""
        # Outside autocast: a product in bf16 has ties, and ties are decided by the order of the classes.
        return (self.features(model, name, look) @ self.head(model, name, spec, words).T).cpu()

    def encode_pictures(self, model: Clip, chunks: Iterable[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Chunks of pictures under some looks, uint8 ``[n, 3, S, S]`` each, to L2-normalized float32 ``[all, d]``."""
        import torch

        rows = []
        with torch.no_grad():
            for chunk in chunks:
                with self.autocast():
                    rows.append([model.encode_image(pictures).float() for pictures in chunk])
        return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))

    def encode_captions(self, model: Clip, captions: Sequence[str]) -> Tensor:
        """L2-normalized float32 ``[n, d]`` in the order given, from batches of captions of about one length."""
        import torch

        tokens = model.tokenize(captions)
        # By the last token, not by a count: the padding's number is also that of a "!" with more to follow.
        lengths = ((tokens != 0) * torch.arange(1, tokens.shape[1] + 1)).amax(1)
        order = lengths.argsort(stable=True)
        rows = []
        with torch.no_grad():
            for part in torch.split(order, CHUNK):
                most = int(lengths[part[-1]]) if model.tokenize.cut else tokens.shape[1]
                with self.autocast():
                    rows.append(model.encode_text(tokens[part, :most]).float())
        found = torch.cat(rows)
        return found[order.argsort().to(found.device)]


@settings
class Evaluator(Settings):
    """Measures a model; per-sample scores are kept, so that every measure can be computed again."""

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        """Measures on every set of the context. The model is in evaluation mode."""
        raise NotImplementedError

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        """How it looks at the pictures of labeled sets, so that all evaluators can be served by one sweep."""
        return ()

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        """The measures of set ``data`` from its per-sample table."""
        raise NotImplementedError

    def pinned(self) -> Self:
        """The same evaluator with what it reads from files named by its content, so that the content is its setting."""
        return self

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, size: int) -> None:
        """Raise ``ValueError`` for what a model of ``size`` px cannot be measured by, before any training starts."""


def looks_of(evaluators: Sequence[Evaluator], aim: Aim) -> tuple[Look, ...]:
    """Every look that some evaluator takes, once each."""
    return tuple(dict.fromkeys(look for evaluator in evaluators for look in evaluator.looks(aim)))


def names_of(evaluators: Sequence[Evaluator]) -> list[str]:
    """What each is called in records and files: its kind, with a number where an earlier one has it too."""
    kinds = [kind_of(evaluator) for evaluator in evaluators]
    before = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind}-{count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True)]
