"""The one loop: it trains any method, and knows none.

Each epoch ends with a state on disk, so the same call continues after a kill with the same bits (on the CPU, with the
same number of threads).
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bezoar.core.files import atomic, sync, write_text
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.records import append_line, mend, read_lines
from bezoar.core.seeds import stream_seed
from bezoar.models.clip import Clip
from bezoar.training.batch import Batch
from bezoar.training.loader import AsLeft, TrainingPairs, batches
from bezoar.training.method import Method, Pass
from bezoar.training.optimizer import adamw
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer
from bezoar.training.state import State

LOG_EVERY = 10
"""Steps between two looks at the loss: between them the device is never waited for."""

EpochEnd = Callable[[int, State, bool], None]


@dataclass
class _Progress:
    """Where training stands."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps taken, over all epochs and passes: the counter of every schedule."""


def train(
    method: Method,
    model: Clip,
    data: TrainingPairs,
    *,
    seed: int,
    folder: Path | None = None,
    workers: int = 0,
    on_epoch: EpochEnd | None = None,
    listen: Listener = silent,
    task: str = "train",
) -> State:
    """Train ``model`` with ``method`` on ``data``; returns the final state.

    ``folder`` takes the step log and the state of the last finished epoch; without it nothing is written and nothing
    can be resumed. ``on_epoch(epochs, state, last)`` is called after each epoch, before its state is written.

    Raises ``ValueError`` when there are fewer pairs than one batch, ``FloatingPointError`` when a loss or a weight is
    not finite.
    """
    check_size(method, len(data))
    # From named streams, once: what a method or a tower draws from the global generator is then the same every time.
    torch.manual_seed(_seed_of(seed))
    state = method.build(model, AsLeft(data), seed)
    state.to(model.device)
    autocast = autocast_for(method.precision, model.device)
    optimizer = adamw(state, method)
    scorer = Scorer(model, data, autocast)
    at = _Progress()
    if folder is not None:
        _resume(folder, state, optimizer, at)
    total = method.total_steps(len(data))
    state.train()
    while not _over(method, at):
        torch.manual_seed(_seed_of(seed, at.epoch))
        method.begin_epoch(state, at.epoch, scorer)
        passes, before = method.passes(state, at.epoch), at.step
        for this in passes:
            log = _Log(folder, listen, task, method.batch_size, total, this.name, at.epoch)
            stream = batches(
                data, model.tokenize, this, batch_size=method.batch_size, seed=seed, epoch=at.epoch, workers=workers
            )
            for batch in stream:
                if method.steps is not None and at.step >= method.steps:
                    break
                rate = this.schedule(at.step)
                terms = _step(method, state, this, batch.to(model.device), optimizer, autocast, rate)
                log.add(at.step, rate, terms)
                at.step += 1
            log.flush()
        _check_epoch(method, state, passes, at.epoch, at.step - before)
        at.epoch += 1
        if on_epoch is not None:
            state.eval()
            on_epoch(at.epoch, state, _over(method, at))
            state.train()
        if folder is not None:
            _write_state(folder, state, optimizer, at)
    return state


def check_size(method: Method, pairs: int, where: str = "method") -> None:
    """Raise ``ValueError`` when ``pairs`` do not fill one batch."""
    if pairs < method.batch_size:
        raise ValueError(f"{where}.batch_size: {method.batch_size} is more than the {pairs} pairs there are")


def _seed_of(seed: int, *names: int) -> int:
    return stream_seed(seed, "training", *names)


def _over(method: Method, at: _Progress) -> bool:
    """Whether the budget is spent: ``steps`` where given, whatever number of epochs they take, else ``epochs``."""
    return at.epoch >= method.epochs if method.steps is None else at.step >= method.steps


def _check_epoch(method: Method, state: State, passes: Sequence[Pass], epoch: int, steps: int) -> None:
    """Raise when an epoch took no step, or left weights that are not finite: its last losses cannot tell."""
    if not steps:
        sizes = ", ".join(f"'{this.name}' has {len(this.indices)}" for this in passes) or "there is none"
        raise ValueError(
            f"method.batch_size: in epoch {epoch + 1} no pass has the {method.batch_size} pairs of a batch ({sizes})"
        )
    if not all(bool(torch.isfinite(weights).all()) for weights in state.parameters()):
        raise FloatingPointError(f"weights are not finite after epoch {epoch + 1}, though its losses were")


def _step(
    method: Method,
    state: State,
    this: Pass,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    autocast: Callable[[], torch.autocast],
    rate: float,
) -> Mapping[str, Tensor]:
    for group in optimizer.param_groups:
        group["lr"] = rate
    with autocast():
        terms = this.loss(state, batch)
        total = torch.stack([term.float() for term in terms.values()]).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    with torch.no_grad():
        state.model.tower.logit_scale.clamp_(0, math.log(method.max_scale))  # type: ignore[operator]
    return {name: term.detach() for name, term in terms.items()}


class _Log:
    """Loss terms, kept on the device and read every ``LOG_EVERY`` steps: written, told, and refused if not finite."""

    def __init__(
        self, folder: Path | None, listen: Listener, task: str, batch_size: int, total: int, name: str, epoch: int
    ) -> None:
        self.path = folder / "steps.jsonl" if folder is not None else None
        self.listen, self.task, self.batch_size, self.total = listen, task, batch_size, total
        self.name, self.epoch = name, epoch
        self.rows: list[tuple[int, float, Mapping[str, Tensor]]] = []
        self.since = time.perf_counter()

    def add(self, step: int, rate: float, terms: Mapping[str, Tensor]) -> None:
        """Note one step; a mean is over steps with the same terms."""
        if self.rows and self.rows[0][2].keys() != terms.keys():
            self.flush()
        self.rows.append((step, rate, terms))
        if len(self.rows) == LOG_EVERY:
            self.flush()

    def flush(self) -> None:
        """Read what was noted; raises ``FloatingPointError`` with the first step whose loss is not finite."""
        if not self.rows:
            return
        names = list(self.rows[0][2])
        values = torch.stack([torch.stack([terms[name].float() for name in names]) for _, _, terms in self.rows]).cpu()
        for (step, rate, _), row in zip(self.rows, values, strict=True):
            if not torch.isfinite(row).all():
                terms = ", ".join(f"{name} {value:g}" for name, value in zip(names, row.tolist(), strict=True))
                raise FloatingPointError(f"the loss is not finite at step {step} (learning rate {rate:g}): {terms}")
        step, rate, _ = self.rows[-1]
        means = {name: float(value) for name, value in zip(names, values.mean(0), strict=True)}
        seconds = time.perf_counter() - self.since
        speed = len(self.rows) * self.batch_size / seconds
        if self.path is not None:
            line = {"step": step, "epoch": self.epoch, "pass": self.name, "lr": rate, "terms": means}
            append_line(self.path, {**line, "pairs_per_second": round(speed, 1)})
        facts = {"epoch": self.epoch + 1, "lr": rate, **means}
        self.listen(Event(self.task, step + 1, self.total, size=self.batch_size, facts=facts))
        self.rows, self.since = [], time.perf_counter()


def _write_state(folder: Path, state: State, optimizer: torch.optim.Optimizer, at: _Progress) -> None:
    sync(folder / "steps.jsonl")  # a state that outlasts a power cut must not go on from a log that does not
    with atomic(folder / "training_state") as stream:
        torch.save(
            {
                "epoch": at.epoch,
                "step": at.step,
                "threads": torch.get_num_threads(),
                "state": state.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
            stream,
        )


def _resume(folder: Path, state: State, optimizer: torch.optim.Optimizer, at: _Progress) -> None:
    """Continue from the last whole epoch in ``folder``, if there is one, and drop what was logged after it.

    Raises ``ValueError`` for a state that is damaged or of another method.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "training_state", folder / "steps.jsonl"
    if path.exists():
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
            _fit_buffers(state, saved["state"])
            state.load_state_dict(saved["state"])
            optimizer.load_state_dict(saved["optimizer"])
            at.epoch, at.step, threads = saved["epoch"], saved["step"], saved["threads"]
        except torch.OutOfMemoryError:
            raise
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"{path}: cannot be continued from (delete it to begin the stage anew): {reason}"
            ) from error
        if threads != torch.get_num_threads():
            logging.getLogger(__name__).warning(
                "resuming with %d threads what began with %d: the weights will differ in their last bits",
                torch.get_num_threads(), threads,
            )  # fmt: skip
    if log.exists():
        mend(log)
        kept = [line for line in read_lines(log) if line["step"] < at.step]
        write_text(log, "".join(json.dumps(line) + "\n" for line in kept))


def _fit_buffers(state: State, saved: Mapping[str, Tensor]) -> None:
    """Give buffers the shapes they were saved with: a split or a pool that a method keeps may have grown since."""
    for name, buffer in list(state.named_buffers()):
        if name in saved and saved[name].shape != buffer.shape:
            owner, _, leaf = name.rpartition(".")
            setattr(state.get_submodule(owner), leaf, torch.empty_like(saved[name], device=buffer.device))
