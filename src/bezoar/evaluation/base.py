"""What every evaluator is, and the context it works in: labeled sets, a threat, the pairs and their plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

from pydantic import Field

from bezoar.core.settings import Settings, digest, kind_of, settings
from bezoar.data.prompts import templates
from bezoar.evaluation.pictures import UNTOUCHED, HeldOut, LabeledImages, Look
from bezoar.evaluation.sharing import shared, spans

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    import pyarrow as pa
    import torch
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.attacks.caption_trigger import CaptionTrigger
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, LabeledSource, Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.method import Diagnostics
    from bezoar.training.peers import Peers

Rank = Annotated[int, Field(ge=1)]
T = TypeVar("T")
PROMPTS = 8192
"""Prompts of a zero-shot head that are encoded together."""


class Evaluation(NamedTuple):
    """Measures and the per-sample table of each set they were computed from."""

    measures: tuple[Measure, ...]
    scores: dict[str, pa.Table]


def wordings(spec: str | tuple[str, ...], labeled: LabeledSet, name: str) -> tuple[str, ...]:
    """The templates that ``spec`` means for set ``name``: ``own`` are the set's, ``auto`` those or else CLIP's 80.

    Raises ``ValueError`` when there are none.
    """
    if spec == "own" and not labeled.templates:
        raise ValueError(f"evaluators.templates: set '{name}' has no templates of its own")
    own = labeled.templates if spec in ("own", "auto") else ()
    return own or templates("openai" if spec == "auto" else spec)


def _alone() -> Peers:
    from bezoar.training.peers import ALONE

    return ALONE


@dataclass(frozen=True)
class Context:
    """One round of evaluation of one model.

    With ``peers`` every process makes the same calls in the same order; each encodes its share, and all get the same.
    """

    sets: Mapping[str, LabeledImages]
    aim: Aim
    """What the attack is to bring about; where it is empty, evaluators of attacks measure nothing."""
    autocast: Callable[[], torch.autocast]
    looks: Mapping[str, tuple[Look, ...]] = field(default_factory=dict)
    """By set, what the evaluators will look at: all of it is had from one sweep over the pictures."""
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    others: Mapping[str, LabeledImages] = field(default_factory=dict)
    """What evaluators read besides, by the digest of its source; nothing is measured on it."""
    diagnostics: Diagnostics = field(default_factory=dict)
    """What the method says of its own state: numbers, tensors with one entry a pair, and heads."""
    pairs: Pairs | None = None
    """The pairs that the model was trained on, where there are any."""
    plan: PoisonPlan | None = None
    """Who of them is poisoned: for evaluators, which join it by id; a method never sees it."""
    peers: Peers = field(default_factory=_alone)
    last: bool = True
    """Whether no later model of the same training will be measured."""
    _heads: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    _features: dict[tuple[str, Look], Tensor] = field(default_factory=dict)
    _held_out: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def head(self, model: Clip, name: str, spec: str | tuple[str, ...], words: CaptionTrigger | None = None) -> Tensor:
        """Zero-shot classifier of set ``name``: L2-normalized ``[classes, d]``; one of each wording and classes.

        Each class is the normalized mean of the normalized features of its prompts (Radford et al. 2021, §3.1.4).
        ``words`` is put into every prompt.
        """
        labeled = self.sets[name].labeled
        phrases, classes = wordings(spec, labeled, name), tuple(labeled.classes)
        key = phrases, classes, digest(words)
        if key not in self._heads:
            self._heads[key] = self.head_of(model, classes, phrases, words)
        return self._heads[key]

    def head_of(
        self, model: Clip, classes: Sequence[str], phrases: Sequence[str], words: CaptionTrigger | None = None
    ) -> Tensor:
        """As ``head``, of ``classes`` worded in ``phrases``, and not kept."""
        import torch
        from torch.nn import functional as F

        from bezoar.data.prompts import fill

        rows, block = [], max(1, PROMPTS // len(phrases))
        for start in range(0, len(classes), block):
            some = classes[start : start + block]
            texts = [fill(phrase, word) for word in some for phrase in phrases]
            prompts = self.encode_captions(model, [words.apply(text, text) for text in texts] if words else texts)
            rows.append(F.normalize(prompts.view(len(some), len(phrases), -1).mean(1), dim=1))
        return torch.cat(rows)

    def features(self, model: Clip, name: str, look: Look = UNTOUCHED) -> Tensor:
        """L2-normalized features of every picture of set ``name``, ``[n, d]`` in float32; computed once a round.

        They stay on the model's device.
        """
        from torch.nn import functional as F

        return F.normalize(self.plain_features(model, name, look), dim=1)

    def plain_features(self, model: Clip, name: str, look: Look = UNTOUCHED) -> Tensor:
        """As ``features``, before normalization; ``name`` may be one of ``others`` too."""
        if (name, look) not in self._features:
            images = self.sets[name] if name in self.sets else self.others[name]
            new = tuple(
                each for each in dict.fromkeys((look, *self.looks.get(name, ()))) if (name, each) not in self._features
            )
            found = self._encode(
                len(images.labeled), lambda span: images.stack(span, new), lambda shown: model.image_features(shown)
            )
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

    def held_out_features(self, model: Clip, name: str) -> tuple[Tensor, Tensor]:
        """L2-normalized features of every picture of held-out pairs ``name``, once, and of every caption.

        ``[pictures, d]`` in the order of ``HeldOut.pictures`` and ``[pairs, d]``, float32 on the CPU; computed once a
        round.
        """
        import torch

        if name not in self._held_out:
            held = self.held_out[name]

            def stack(span: range) -> tuple[Tensor]:
                return (torch.stack([held.prepared[first] for first in held.firsts[span.start : span.stop]]),)

            (images,) = self.encode_pictures(model, len(held.firsts), stack)
            texts = self.encode_captions(model, [held.pairs.caption(index) for index in range(len(held.pairs))])
            self._held_out[name] = images.cpu(), texts.cpu()
        return self._held_out[name]

    def encode_pictures(
        self, model: Clip, count: int, stack: Callable[[range], Sequence[Tensor]]
    ) -> tuple[Tensor, ...]:
        """``count`` pictures under some looks to L2-normalized float32 ``[count, d]`` for each look.

        ``stack(span)`` gives pictures ``span``, uint8 ``[n, 3, S, S]`` for each look.
        """
        return self._encode(count, stack, lambda shown: model.encode_image(shown))

    def _encode(
        self, count: int, stack: Callable[[range], Sequence[Tensor]], tower: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, ...]:
        import torch

        chunks = spans(count)

        def encode(number: int) -> list[Tensor]:
            shown = stack(chunks[number])
            with torch.no_grad(), self.autocast():
                return [tower(pictures).float() for pictures in shown]

        return shared(self.peers, [len(chunk) for chunk in chunks], encode)

    def encode_captions(self, model: Clip, captions: Sequence[str]) -> Tensor:
        """L2-normalized float32 ``[n, d]`` in the order given, from batches of captions of about one length."""
        import torch

        tokens = model.tokenize(captions)
        # By the last token, not by a count: the padding's number is also that of a "!" with more to follow.
        lengths = ((tokens != 0) * torch.arange(1, tokens.shape[1] + 1)).amax(1)
        order = lengths.argsort(stable=True)
        by_length = [order[span.start : span.stop] for span in spans(len(order))]
        # Dealt out like cards: no process is to have all the long ones.
        parts = [part for first in range(self.peers.world) for part in by_length[first :: self.peers.world]]

        def encode(number: int) -> list[Tensor]:
            part = parts[number]
            most = int(lengths[part[-1]]) if model.tokenize.cut else tokens.shape[1]
            with torch.no_grad(), self.autocast():
                return [model.encode_text(tokens[part, :most]).float()]

        (found,) = shared(self.peers, [len(part) for part in parts], encode)
        return found[torch.cat(parts).argsort().to(found.device)]


@settings
class Evaluator(Settings):
    """Measures a model; per-sample scores are kept, so that every measure can be computed again."""

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        """Measures on every set of the context. The model is in evaluation mode."""
        raise NotImplementedError

    def taken(self, sets: Mapping[str, T]) -> dict[str, T]:
        """Those of the labeled sets that it looks at."""
        return dict(sets)

    @property
    def only_last(self) -> bool:
        """Whether it measures only the first and the last model of a training, so that none can be chosen by it."""
        return False

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        """How it looks at the pictures of labeled sets, so that all evaluators can be served by one sweep."""
        return ()

    def sources(self) -> Mapping[str, LabeledSource]:
        """Labeled sets that it reads besides those of the experiment, by the field that names each."""
        return {}

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        """The measures of set ``data`` from its per-sample table."""
        raise NotImplementedError

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]] | None:
        """The sets and the metrics that it will measure on them, as far as it can be said before; ``None`` if not."""
        return None

    def pinned(self) -> Self:
        """The same evaluator with what it reads from files named by its content, so that the content is its setting."""
        return self

    def remark(self, sets: Mapping[str, LabeledSet]) -> None:
        """Warn of what must be known before any training starts, whatever the attack; called once, after ``check``."""

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        """Raise ``ValueError`` for what a model of ``frame`` cannot be measured by, before any training starts."""


def looks_of(evaluators: Sequence[Evaluator], aim: Aim, sets: Iterable[str]) -> dict[str, tuple[Look, ...]]:
    """By set, every look that some evaluator takes at it, once each."""
    return {
        name: tuple(dict.fromkeys(look for one in evaluators if one.taken({name: None}) for look in one.looks(aim)))
        for name in sets
    }


def others_of(evaluators: Sequence[Evaluator], frame: Frame, folder: Path | None = None) -> dict[str, LabeledImages]:
    """What ``evaluators`` read besides the sets of the experiment, opened; ``folder``: where pictures lie prepared."""
    from bezoar.data.prepared import Prepared

    sources = {digest(source): source for evaluator in evaluators for source in evaluator.sources().values()}
    opened = {key: source.open() for key, source in sources.items()}
    return {key: LabeledImages(found, Prepared(found, frame, folder)) for key, found in opened.items()}


def names_of(evaluators: Sequence[Evaluator]) -> list[str]:
    """What each is called in records and files: its kind, with a number where an earlier one has it too."""
    kinds = [kind_of(evaluator) for evaluator in evaluators]
    before = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind}-{count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True)]
