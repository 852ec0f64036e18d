"""Supervised fine-tuning: the image tower and a linear head learn labels; the tower then serves the CLIP it came from.

Bansal et al. 2023, "CleanCLIP", section 4.2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bezoar.core.settings import settings
from bezoar.data.class_names import CLASS_LISTS, classes_of
from bezoar.data.pairs import class_index
from bezoar.data.views import AnyImageView, Plain
from bezoar.training.method import BatchSize, Count, Method, Pass, Positive, Rate, Warmup, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from torch import Tensor

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Diagnostics, Terms
    from bezoar.training.state import State

_FEW, _MANY = 50, 30_000
"""So few different captions may always be labels; so many never are: the largest ImageNet has 21,841 classes."""


@settings
class Supervised(Method):
    """Cross-entropy of a linear head on image features before normalization; the text tower takes no part.

    The captions of the pairs are labels: the names of classes, as ``{kind: labels, of: …}`` makes them of a labeled
    set. With ``lock: [image]`` the head alone is trained, a linear probe. Every default is the released code's, or that
    of its README.
    """

    kind: ClassVar[str] = "supervised"
    epochs: Count = 10
    batch_size: BatchSize = 80
    lr: Rate = 1e-4
    warmup_steps: Warmup = 500
    weight_decay: Weight = 0.01
    max_scale: Positive | None = None
    image_view: AnyImageView = Plain()
    classes: str | tuple[str, ...] = ""
    """The classes of the head: a list, a JSON or text file, or ``imagenet``, …; by default those that the labels name,
    in alphabetical order. Two of one name are one class."""

    def pinned(self) -> Self:
        is_file = isinstance(self.classes, str) and self.classes not in ("", *CLASS_LISTS)
        return dataclasses.replace(self, classes=classes_of(self.classes)) if is_file else self

    def check_pairs(self, pairs: Pairs) -> None:
        _labels(pairs, self.classes)

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        from bezoar.core.seeds import torch_generator
        from bezoar.training.head import width_of
        from bezoar.training.linear_head import LinearHead
        from bezoar.training.state import State

        found = _labels(pairs, self.classes)
        state = State(model, len(pairs))
        state.register_buffer("labels", found.numbers)
        state.head = LinearHead(width_of(model), found.classes, torch_generator(seed, "supervised", "head"))
        return state

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        return (self.whole_pass(state, (self.image_view,), (), _encode, self.loss),)

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``cross_entropy`` of the head with the labels of this process's pairs."""
        from torch.nn import functional as F

        return {"cross_entropy": F.cross_entropy(state.head(features.others["image"]), state.labels[batch.indices])}

    def diagnostics(self, state: Any) -> Diagnostics:
        """``head``: the classifier, with the names of its classes."""
        return {"head": state.head}


def _encode(state: State, batch: Batch) -> Features:
    """The features that the head sees, before normalization."""
    from bezoar.training.batch import Features

    return Features(images=(), texts=(), others={"image": state.model.image_features(batch.images[0])})


class _Labels(NamedTuple):
    """Which of the classes each pair has."""

    classes: tuple[str, ...]
    numbers: Tensor
    """``int64 [n]``."""


def _labels(pairs: Pairs, classes: str | tuple[str, ...]) -> _Labels:
    """The captions of ``pairs`` as labels; raises ``ValueError`` for captions that are none, or outside ``classes``."""
    import torch

    names = tuple(dict.fromkeys(classes_of(classes)))
    found = _of_list(pairs, names) if names else _named(pairs)
    names = names or tuple(sorted(set(found)))
    if len(names) < 2:
        raise ValueError(f"kind: 'supervised' needs two classes at least, and every label is '{names[0]}'")
    number = {name: number for number, name in enumerate(names)}
    return _Labels(names, torch.tensor([number[name] for name in found]))


def _of_list(pairs: Pairs, names: tuple[str, ...]) -> list[str]:
    """The caption of each pair, where it is one of ``names``; else a ``ValueError`` that names the pair."""
    found, known = [], {name: name for name in names}
    for index in range(len(pairs)):
        caption = pairs.caption(index)
        if caption not in known:
            class_index(caption, names, f"classes: the label of pair '{pairs.id(index)}'")
        found.append(known[caption])  # that one string, not one for each pair
    return found


def _named(pairs: Pairs) -> list[str]:
    """The caption of each pair; raises ``ValueError`` where they differ too much to be labels."""
    found, seen, most = [], dict[str, str](), min(max(len(pairs) // 2, _FEW), _MANY)
    for index in range(len(pairs)):
        found.append(seen.setdefault(caption := pairs.caption(index), caption))
        if len(seen) > most:
            raise ValueError(
                f"kind: 'supervised' learns labels, and these {len(pairs):,} pairs have more than {most:,} different "
                "captions: give a labeled set as labels:SOURCE, in a file as {kind: labels, of: …}"
            )
    return found
