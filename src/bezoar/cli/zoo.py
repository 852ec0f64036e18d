"""The verb ``bezoar zoo``: its fields are its flags; calling it does the work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from bezoar.cli.common import listening, say


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """Train and pack micro models whose history is known: clean ones, one poisoned by each attack, cleaned ones."""

    changes: Positional[tuple[str, ...]] = ()
    """path.to.key=value, as for run: model=micro-vit-32, pairs.train.count=20000."""
    experiment: str = "zoo"
    """The recipe, or a YAML file of your own: every stage that keeps a model gives one."""
    out: Path = Path("zoo")
    """Folder of the zoo: models/, zoo.json, README.md, and the run that made them; the same command continues it."""
    seeds: tuple[int, ...] | None = None
    """Instead of the experiment's own: each gives every model once more."""
    jobs: int | None = None
    """Stages that run side by side; cores / threads by default."""
    dry_run: bool = False
    """Print steps, estimated time and disk, and stop."""

    def __call__(self) -> None:
        from bezoar.cli.commands import changed, show_cost, side_by_side

        experiment = changed(self.experiment, self.changes, self.seeds)
        if self.dry_run:
            show_cost(experiment, self.jobs)
            return
        from bezoar.experiment.zoo import RUN, zoo
        from bezoar.experiment.zoo_page import table
        from bezoar.report import write

        with listening() as listen:
            models = zoo(experiment, self.out, jobs=side_by_side(experiment, self.jobs), listen=listen)
        page = write(self.out / RUN)
        say(table(models).rstrip())
        say(f"zoo     {self.out}")
        say(f"report  {page}")
