"""The verb ``bezoar evaluate``: its fields are its flags; calling it does the work."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.attacks.families import CAPTION_TRIGGERS, TRIGGERS
from bezoar.attacks.trigger import Trigger
from bezoar.cli.common import HeldOut, Labeled, say
from bezoar.cli.data import Keys, NamedKeys
from bezoar.cli.families import one_word
from bezoar.experiment.experiment import Device

if TYPE_CHECKING:
    from bezoar.attacks import Aim
    from bezoar.evaluation import AttackSuccess, Captioning, LinearProbe


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model: clean accuracy, and the success of an attack where one is named."""

    model: str
    """A model folder, or a name as for train."""
    data: Labeled = None
    """Labeled set: a table, a folder with one folder a class or a labels.csv, scenes:test, or YAML in braces."""
    held_out: HeldOut = None
    """Pairs to measure retrieval and the contrastive loss on."""
    bank: HeldOut = None
    """Pairs whose captions are said of held-out pictures: how good they are, and how many triggered ones name the
    target."""
    keys: NamedKeys = Keys()
    poison: Path | None = None
    """Poison folder whose trigger and target are measured, or that trigger with another target."""
    trigger: Annotated[Trigger | None, one_word(TRIGGERS)] = None
    """A trigger to measure without a plan: patch, patch:solid, or YAML in braces."""
    target: str | None = None
    """The class that the trigger is to call up."""
    words: Annotated[CaptionTrigger | None, one_word(CAPTION_TRIGGERS)] = None
    """Words in every prompt beside the trigger, for a dual key: phrase:SUDO."""
    stage: Literal["model", "file"] | None = None
    """Where the trigger is put on: after resize and crop (model), or on the file; by default as the plan says."""
    by_class: bool = False
    """Tell the attack's success for each class too."""
    probe: Labeled = None
    """Labeled set to fit a linear classifier to, whose accuracy is told too: never the one that is measured."""
    templates: str = "auto"
    """Prompt templates: the labeled set's own or else CLIP's 80 (auto), openai (80), simple, plain, own."""
    scores: Path | None = None
    """Folder for the per-sample tables."""
    device: Device = "auto"
    """auto is a GPU where there is one."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.core.records import is_share
        from bezoar.evaluation import Evaluator, ZeroShot
        from bezoar.experiment.verbs import ATTACKED, HELD_OUT, evaluate

        self._check()
        self.keys.refuse_idle(self.data, self.held_out, self.bank, self.probe)
        measured: tuple[Evaluator, ...] = ()
        if self.data:
            measured = (ZeroShot(templates=self.templates), *self._success(), *(
                dataclasses.replace(one, templates=self.templates) for one in ATTACKED if not self.trigger
            ), *self._probe())  # fmt: skip
        measures = evaluate(
            model=self.model, data=self.data and self.keys.of(self.data),
            held_out=self.held_out and self.keys.of(self.held_out),
            evaluators=(*measured, *(HELD_OUT if self.held_out else ()), *self._captioning()),
            against=self._against(), scores=self.scores, device=self.device,
        )  # fmt: skip
        if self.json:
            say(json.dumps({"model": self.model, "measures": [dataclasses.asdict(m) for m in measures]}))
            return
        width = max((len(m.metric) for m in measures), default=0)
        for m in measures:
            value, low, high = (f"{v:.2%}" if is_share(m.metric) else f"{v:.3f}" for v in (m.value, m.low, m.high))
            say(f"{m.metric:<{width}} {value:>7}   95 % interval {low} to {high}   n {m.n}   {m.data}")

    def _check(self) -> None:
        if self.poison and self.trigger:
            raise ValueError("trigger: give a poison folder or a trigger, not both")
        if self.trigger and not self.target:
            raise ValueError("target: a trigger needs the class it is to call up")
        if self.target and not (self.trigger or self.poison):
            raise ValueError("trigger: a target needs the trigger that is to call it up")
        for name in ("words", "stage"):
            if getattr(self, name) and not (self.trigger or self.poison):
                raise ValueError(f"{name}: belongs to a trigger: name one with --trigger, or a poison folder")
        if self.by_class and not (self.trigger or self.poison):
            raise ValueError("by-class: tells an attack's success, and none is named")
        if self.bank and not self.held_out:
            raise ValueError("held-out: a bank has the captions for held-out pictures, and none are given")
        if (self.poison or self.trigger) and not (self.data or self.bank):
            raise ValueError("data: an attack is measured on a labeled set, and none is given")
        if self.probe and not self.data:
            raise ValueError("data: a probe is measured on a labeled set, and none is given")

    def _against(self) -> Aim | None:
        """What all evaluators measure: a plan's triggers, with the target, the words and the stage that are named."""
        from bezoar.attacks import Aim
        from bezoar.attacks.base import Threat
        from bezoar.experiment.verbs import planned

        if self.trigger is not None:
            assert self.target is not None
            return Aim(threats=(Threat(self.trigger, self.target, self.stage or "model", self.words),))
        if self.poison is None:
            return None
        aim = planned(self.poison).aim(0)  # whose seed is the plan's own
        given = {name: value for name in ("target", "words", "stage") if (value := getattr(self, name)) is not None}
        if given and not any(threat.trigger for threat in aim.threats):
            raise ValueError(f"{next(iter(given))}: belongs to a trigger, and the plan in {self.poison} has none")
        return aim._replace(
            threats=tuple(threat._replace(**given) if threat.trigger else threat for threat in aim.threats)
        )

    def _probe(self) -> tuple[LinearProbe, ...]:
        from bezoar.evaluation import LinearProbe

        return (LinearProbe(train=self.keys.of(self.probe)),) if self.probe is not None else ()

    def _captioning(self) -> tuple[Captioning, ...]:
        from bezoar.evaluation import Captioning, RetrievalCaptioner

        return (Captioning(captioner=RetrievalCaptioner(bank=self.keys.of(self.bank))),) if self.bank else ()

    def _success(self) -> tuple[AttackSuccess, ...]:
        from bezoar.evaluation import AttackSuccess, AttackSuccessByClass

        kinds = (AttackSuccess, AttackSuccessByClass) if self.by_class else (AttackSuccess,)
        return tuple(kind(templates=self.templates) for kind in kinds)
