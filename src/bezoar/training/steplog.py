"""The step log: loss terms kept on the device, read every few steps, written, told, and refused if not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bezoar.core.progress import Event, Listener
from bezoar.core.records import append_line
from bezoar.training.optimizer import facts
from bezoar.training.peers import Peers

LOG_EVERY = 10
"""Steps between two looks at the loss: between them the device is never waited for."""


@dataclass
class StepLog:
    """The steps of one pass of one epoch."""

    path: Path | None
    listen: Listener
    task: str
    batch_size: int
    total: int
    name: str
    epoch: int
    peers: Peers
    optimizer: torch.optim.Optimizer
    seconds: float = 0.0
    """Spent since the log began, up to the last look."""
    processor: float = 0.0
    """Processor time of this process, likewise."""
    _rows: list[tuple[int, float, Mapping[str, Tensor]]] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)
    _worked: float = field(default_factory=time.process_time)

    @property
    def empty(self) -> bool:
        """Whether all that was noted has been read."""
        return not self._rows

    def rest(self) -> None:
        """Go on timing from here: what lies between was no training."""
        self._since, self._worked = time.perf_counter(), time.process_time()

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Note one step; a mean is over steps with the same terms."""
        if self._rows and self._rows[0][2].keys() != terms.keys():
            self.flush()
        self._rows.append((step, self.optimizer.param_groups[0]["lr"], terms))
        if len(self._rows) == LOG_EVERY:
            self.flush()

    def flush(self) -> None:
        """Read what was noted; raises ``FloatingPointError`` with the first step whose loss is not finite."""
        if not self._rows:
            return
        names = list(self._rows[0][2])
        values = torch.stack([torch.stack([terms[name].float() for name in names]) for _, _, terms in self._rows])
        self.peers.average_([values])
        values = values.cpu()
        for (step, rate, _), row in zip(self._rows, values, strict=True):
            if not torch.isfinite(row).all():
                terms = ", ".join(f"{name} {value:g}" for name, value in zip(names, row.tolist(), strict=True))
                raise FloatingPointError(f"the loss is not finite at step {step} (learning rate {rate:g}): {terms}")
        step, rate, _ = self._rows[-1]
        means = {name: float(value) for name, value in zip(names, values.mean(0), strict=True)}
        took = time.perf_counter() - self._since
        self.seconds += took
        self.processor += time.process_time() - self._worked
        if self.path is not None and self.peers.lead:
            line = {"step": step, "epoch": self.epoch, "pass": self.name, "lr": rate, "terms": means}
            speed = round(len(self._rows) * self.batch_size / max(took, math.ulp(1)), 1)
            append_line(self.path, {**line, "groups": facts(self.optimizer), "pairs_per_second": speed})
        told = {"epoch": self.epoch + 1, "lr": rate, **means}
        self.listen(Event(self.task, step + 1, self.total, size=self.batch_size, facts=told))
        self._rows = []
        self.rest()
