"""Which models of a stage are kept: none, the last, the best on validation, or every few epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import read_json, write_json
from bezoar.core.records import Measure
from bezoar.core.settings import dump
from bezoar.experiment.layout import training_digest

if TYPE_CHECKING:
    from bezoar.experiment.stages import Job
    from bezoar.training.loader import TrainingPairs
    from bezoar.training.loop import Pause

MODEL, BEST = "model", "best.json"


@dataclass(frozen=True)
class Keeper:
    """Writes the models of one stage; only the lead of several processes has one."""

    job: Job
    data: TrainingPairs

    def after(self, pause: Pause, measures: Sequence[Measure] | None) -> None:
        """Keep what the stage wants kept of this pause; ``measures`` where it was measured."""
        keep = self.job.stage.keep
        if keep == "best" and measures is not None:
            self._keep_if_best(pause, measures)
        every = self.job.stage.keep_every
        if every is not None and pause.whole and pause.epoch % every == 0:
            self._save(pause, self.job.folder / "models" / f"epoch-{pause.epoch:03d}")

    def finish(self, pause: Pause) -> str | None:
        """Keep the stage's model, when it is over; returns the digest of its weights, where it is kept."""
        from bezoar.models.checkpoint import read_card

        keep = self.job.stage.keep
        if keep == "none":
            return None
        if keep == "best":
            return read_card(self.job.folder / MODEL).weights
        return self._save(pause, self.job.folder / MODEL)

    def _keep_if_best(self, pause: Pause, measures: Sequence[Measure]) -> None:
        from bezoar.evaluation.choosing import score

        experiment, path = self.job.experiment, self.job.folder / BEST
        value = score(measures, experiment.select_on, self.job.stage.best_by)
        if path.exists() and read_json(path)["score"] >= value:
            return
        self._save(pause, self.job.folder / MODEL)
        told = {"metric": self.job.stage.best_by, "data": experiment.select_on, "score": value}
        # Last: a model without it is written once more.
        write_json(path, {**told, "epoch": pause.epoch, "step": pause.step})

    def _save(self, pause: Pause, folder: Path) -> str:
        """Write the model with where it comes from and a mark of poison, if any; returns the digest of its weights."""
        import torch

        from bezoar.models.checkpoint import save
        from bezoar.models.opening import place

        job, data = self.job, self.data
        ancestors = place(job.origin).lineage()
        parent = ancestors[-1] if ancestors else None
        before = parent.poison if parent else None
        own = data.plan.mark() if data.plan else None
        card = save(
            pause.model,
            folder,
            measures=self._measures(pause),
            ancestors=ancestors,
            method=dump(job.stage.method),
            settings=training_digest(job.experiment, job.stage, job.seed),
            parent=parent.weights if parent else None,
            data=data.pairs.fingerprint,
            # A model that was cleaned on pairs with poison left in them is still the victim it was.
            poison={**own, "before": before} if own and before else own or before,
            training={"seed": job.seed, "threads": torch.get_num_threads(), "stage": job.stage.name},
        )
        return card.weights

    def _measures(self, pause: Pause) -> list[Measure]:
        """What was measured of the model, as it was written down: a stage that goes on may not measure it again."""
        return [
            Measure(**{entry.name: getattr(record, entry.name) for entry in dataclasses.fields(Measure)})
            for record in self.job.records()
            if (record.epoch, record.step) == (pause.epoch, pause.step)
        ]
