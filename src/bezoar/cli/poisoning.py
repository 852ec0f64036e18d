"""The verb ``bezoar poison``: its fields are its flags; calling it does the work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bezoar.attacks import ATTACKS, Attack
from bezoar.cli.common import Labeled, listening, say
from bezoar.cli.data import Keys, NamedKeys
from bezoar.cli.families import one_word, subcommands
from bezoar.data import PAIRS_SOURCES, PairsSource


@dataclass(frozen=True, kw_only=True)
class Poison:
    """Plan an attack on pairs, or on a labeled set: who gets which trigger and which caption."""

    attack: Annotated[Attack, tyro.conf.arg(constructor=subcommands(ATTACKS))]
    pairs: Annotated[PairsSource | None, one_word(PAIRS_SOURCES)] = None
    """A .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces."""
    labeled: Labeled = None
    """A labeled set instead of pairs, for poison in labels."""
    keys: NamedKeys = Keys()
    out: Path | None = None
    """Poison folder; a dry run needs none."""
    image_size: int = 224
    """Resolution of the model that will see the pairs: survival of the trigger is measured there."""
    seed: int = 0
    allow_dead_trigger: bool = False
    """Write a plan none of whose triggers reaches the model."""
    dry_run: bool = False
    """Count, measure survival, and write nothing."""
    preview: bool = False
    """Write preview.png too: clean, triggered, ten times the difference, old and new caption."""
    materialize: Literal["none", "csv", "parquet", "webdataset"] = "none"
    """Write a poisoned copy with lossless pictures too, in this form."""
    copy: Path | None = None
    """Folder of the copy; OUT/copy by default."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.attacks.applied import refuse_uncopied
        from bezoar.cli.plan_facts import Facts
        from bezoar.experiment import verbs

        facts = Facts(self.attack, self._source(), self.image_size)
        if self.out is None and not self.dry_run:
            raise ValueError("out: name the poison folder, or look first with --dry-run")
        if self.copy is not None and self.materialize == "none":
            raise ValueError("copy: names the folder of a copy: choose its form with --materialize")
        if self.dry_run and (self.preview or self.materialize != "none"):
            raise ValueError(f"{'preview' if self.preview else 'materialize'}: writes files, and a dry run writes none")
        if self.labeled is not None and self.materialize not in ("none", "csv"):
            raise ValueError(f"materialize: a labeled set is written as csv (labels.csv), not as {self.materialize}")
        if self.materialize != "none":
            refuse_uncopied({threat.stage for threat in self.attack.aim(self.seed).threats if threat.trigger})
        out, copy = None if self.dry_run else self.out, None
        if out is None:
            plan = verbs.draft(
                self.attack, pairs=facts.source, image_size=self.image_size, seed=self.seed,
                allow_dead_trigger=self.allow_dead_trigger,
            )  # fmt: skip
        else:
            plan = verbs.poison(
                self.attack, pairs=facts.source, out=out, image_size=self.image_size, seed=self.seed,
                allow_dead_trigger=self.allow_dead_trigger, sheet=self.preview,
            )  # fmt: skip
        if out is not None and self.materialize != "none":
            copy = self.copy or out / "copy"
            with listening() as listen:
                verbs.materialize(
                    out, pairs=facts.source, labeled=self.labeled and self.keys.of(self.labeled), copy=copy,
                    form=self.materialize, image_size=self.image_size, listen=listen,
                )  # fmt: skip
        say(json.dumps(facts.plain(plan, out, copy)) if self.json else "\n".join(facts.lines(plan, out, copy)))

    def _source(self) -> PairsSource:
        from bezoar.attacks.labels import Labels
        from bezoar.data import LabelPairs

        if self.image_size < 1:
            raise ValueError(f"image-size: must be at least 1, got {self.image_size}")
        if (self.pairs is None) == (self.labeled is None):
            raise ValueError("pairs: give pairs to poison, or a labeled set with --labeled, one of them")
        self.keys.refuse_idle(self.pairs, self.labeled)
        if self.labeled is not None:
            if not isinstance(self.attack, Labels):
                raise ValueError(f"labeled: attack '{self.attack.kind}' poisons pairs; labels are poisoned by 'labels'")
            return LabelPairs(of=self.keys.of(self.labeled))
        assert self.pairs is not None
        return self.keys.of(self.pairs)
