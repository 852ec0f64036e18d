"""The one loop: it trains any method, and knows none.

Its state is on disk every minute or so and at the end of each epoch, so the same call continues after a kill, in the
middle of an epoch too, with the same bits (on the CPU, with the same number of threads and ranks).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from bezoar.core.progress import Listener, silent
from bezoar.core.seeds import stream_seed
from bezoar.models.clip import Clip
from bezoar.training import saved
from bezoar.training.ema import Average
from bezoar.training.loader import AsLeft, TrainingPairs, batches
from bezoar.training.locking import Locks, lock
from bezoar.training.method import Method, Pass
from bezoar.training.optimizer import adamw
from bezoar.training.oracle import Oracle
from bezoar.training.peers import ALONE, Peers
from bezoar.training.precision import autocast_for, resolve
from bezoar.training.saved import Progress
from bezoar.training.scorer import Scorer
from bezoar.training.state import State
from bezoar.training.steplog import StepLog
from bezoar.training.stepping import Stepper, running
from bezoar.training.taught import Taught

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs

SAVE_SECONDS = 60.0
"""At least this long lies between two states written within an epoch."""
_SAVE_SHARE = 0.02
"""And at most this share of the time goes into writing them."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A training at rest, for whoever wants to measure it or keep a copy."""

    epoch: int
    """Epochs finished."""
    step: int
    """Steps taken."""
    seconds: float
    """Spent on steps."""
    processor: float
    """Processor time of this process spent on steps, in seconds."""
    whole: bool
    """Whether an epoch has just ended; otherwise it goes on after the pause."""
    last: bool
    """Whether the training is over."""
    state: State
    model: Clip
    """The model to look at, in evaluation mode: the moving average where there is one."""


OnPause = Callable[[Pause], None]


def train(
    method: Method,
    model: Clip,
    data: TrainingPairs,
    *,
    seed: int,
    folder: Path | None = None,
    workers: int = 0,
    on_pause: OnPause | None = None,
    pause_steps: int | None = None,
    listen: Listener = silent,
    task: str = "train",
    peers: Peers = ALONE,
    teacher: Clip | None = None,
) -> Pause:
    """Train ``model`` with ``method`` on ``data``; returns the last pause, with the trained model.

    ``folder`` takes the step log and the state; without it nothing is written and nothing can be resumed. ``on_pause``
    is called after each epoch, before its state is written, and within epochs whenever ``pause_steps`` more steps were
    taken. With ``peers`` every process makes the same call; only the lead writes. ``teacher``, in evaluation mode on
    the device of ``model``, is for a method that has one.

    Raises ``ValueError`` for what cannot be trained so, ``FloatingPointError`` when a loss or a weight is not finite.
    """
    check(method, model, len(data), workers=workers, world=peers.world)
    check_pairs(method, data.pairs)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        locks = lock(model, method.lock)
        try:
            stepper = _stepper(method, model, data, seed, locks, peers, teacher)
            run = _Run(
                method=method, data=data, seed=seed, folder=folder, workers=workers, on_pause=on_pause,
                pause_steps=pause_steps, listen=listen, task=task, peers=peers, locks=locks, stepper=stepper,
            )  # fmt: skip
            return run.go()
        finally:
            locks.release()


def _stepper(
    method: Method, model: Clip, data: TrainingPairs, seed: int, locks: Locks, peers: Peers, teacher: Clip | None
) -> Stepper:
    """The state of the training, on the model's device, and what takes its steps."""
    # From named streams: what a method draws from the global generator is then the same every time.
    torch.manual_seed(_seed_of(seed))
    if method.shrink_perturb is not None:  # where a training goes on, its state then takes the place of this
        method.shrink_perturb.apply(model, seed)
    with _named("method"):
        state = method.build(model, AsLeft(data), seed)
    if isinstance(method, Oracle):
        method.reveal(state, data.poisoned())
    if isinstance(method, Taught):
        assert teacher is not None, f"{method.kind} has a teacher"
        method.teach(state, teacher)
    state.to(model.device)
    if method.batch_norm == "synchronized" and peers.world > 1:
        # timm's: torch's would drop the activation that some of its normalizations hold.
        model.tower = convert_sync_batchnorm(model.tower)  # type: ignore[no-untyped-call]
    average = Average(model, method.ema) if method.ema is not None else None
    state.train()
    locks.hold()
    if method.chunk_size is not None and method.chunk_size < method.batch_size // peers.world and running(model.tower):
        logging.getLogger(__name__).warning(
            "method.chunk_size: batch normalization sees %d pairs at a time: gradients are not those of the whole",
            method.chunk_size,
        )
    fp16 = resolve(method.precision, model.device) == "fp16"
    return Stepper(
        method=method, state=state, optimizer=adamw(state, method), peers=peers, seed=seed, average=average,
        scaler=torch.amp.GradScaler(model.device.type, enabled=fp16),
        autocast=autocast_for(method.precision, model.device),
    )  # fmt: skip


def check(method: Method, model: Clip, pairs: int, *, workers: int = 0, world: int = 1, where: str = "method") -> None:
    """Raise ``ValueError`` for a method that cannot train this model on so many pairs with these processes."""
    check_size(method, pairs, where)
    if workers > pairs:
        raise ValueError(f"workers: {workers} loader processes are more than the {pairs} pairs there are")
    method.check_ranks(world, where)
    if method.max_scale is not None and not isinstance(getattr(model.tower, "logit_scale", None), nn.Parameter):
        raise ValueError(f"{where}: {model.architecture} has no logit scale, which {method.kind} trains")
    if method.batch_norm == "synchronized" and world > 1 and model.device.type != "cuda":
        raise ValueError(f"{where}.batch_norm: 'synchronized' needs GPUs (choices here: local)")
    with _named(where):
        resolve(method.precision, model.device)
        lock(model, method.lock).release()
        method.check(model)


def check_pairs(method: Method, pairs: Pairs, where: str = "method") -> None:
    """Raise ``ValueError`` for a method that cannot train on these pairs, whatever their number."""
    with _named(where):
        method.check_pairs(pairs)


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """Put ``where`` before a field that is refused."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def check_size(method: Method, pairs: int, where: str = "method") -> None:
    """Raise ``ValueError`` when ``pairs`` do not fill one batch."""
    if pairs < method.batch_size:
        raise ValueError(f"{where}.batch_size: {method.batch_size} is more than the {pairs} pairs there are")


@dataclass(kw_only=True)
class _Run:
    """One call of ``train``."""

    method: Method
    data: TrainingPairs
    seed: int
    folder: Path | None
    workers: int
    on_pause: OnPause | None
    pause_steps: int | None
    listen: Listener
    task: str
    peers: Peers
    locks: Locks
    stepper: Stepper
    at: Progress = field(default_factory=Progress)
    wrote: float = field(default_factory=time.monotonic)
    writing: float = 0.0

    def __post_init__(self) -> None:
        plan = self.data.plan
        self.total = self.method.total_steps(len(self.data))
        self.who = saved.identity(self.method, self.seed, self.data.pairs.fingerprint, plan.digest if plan else None)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            saved.resume(self.folder, self.stepper, self.at, self.who)
        # A rank that reads another disk, or draws other weights, would be averaged with the others all the same.
        where = {"folder": str(self.folder), "step": self.at.step, **self.who}
        self.peers.agree({name: str(value) for name, value in where.items()})
        average = self.stepper.average
        every = [self.stepper.state, *([average.model] if average is not None else [])]
        self.peers.take_from_lead([t for module in every for t in (*module.parameters(), *module.buffers())])

    def go(self) -> Pause:
        """All that is left to do."""
        self._at_work()
        while not self._over() or self.at.within:
            self._epoch()
        return self._rest(whole=True)

    def _epoch(self) -> None:
        method, state, at = self.method, self.stepper.state, self.at
        if not at.within:
            torch.manual_seed(_seed_of(self.seed, at.epoch))
            method.begin_epoch(state, at.epoch, self._scorer())
            self._forget(method.renewed(state))
        self.total = method.known_steps(state)
        passes = method.passes(state, at.epoch)
        for this in passes[at.number :]:
            self._pass(this, this is passes[-1])
            at.next_pass()
        self._check_epoch(passes)
        at.next_epoch()
        self._pause(whole=True)
        self._write()

    def _forget(self, renewed: Sequence[nn.Parameter]) -> None:
        """Begin anew with parameters that the method has just made anew."""
        self.peers.take_from_lead(renewed)
        for parameter in renewed:
            self.stepper.optimizer.state.pop(parameter, None)

    def _pass(self, this: Pass, last: bool) -> None:
        at, model = self.at, self.stepper.state.model
        end = len(this.indices) // self.method.batch_size if last else None
        log = StepLog(
            path=self.folder / "steps.jsonl" if self.folder is not None else None, listen=self.listen, task=self.task,
            batch_size=self.method.batch_size, total=self.total, name=this.name, epoch=at.epoch, peers=self.peers,
            optimizer=self.stepper.optimizer,
        )  # fmt: skip
        seconds, processor = at.seconds, at.processor
        stream = batches(
            self.data, model.tokenize, this, batch_size=self.method.batch_size, seed=self.seed, epoch=at.epoch,
            workers=self.workers, start=at.batch, peers=self.peers, pin=model.device.type == "cuda",
        )  # fmt: skip
        for batch in stream:
            if self.method.steps is not None and at.step >= self.method.steps:
                break
            log.add(at.step, self.stepper(this, batch.to(model.device), at.step))
            at.step, at.batch = at.step + 1, at.batch + 1
            # At its end the epoch pauses anyway.
            inside = at.batch != end and at.step != self.method.steps
            if self.pause_steps is not None and at.step % self.pause_steps == 0 and inside:
                log.flush()
                self._pause(whole=False)
                log.rest()
            at.seconds, at.processor = seconds + log.seconds, processor + log.processor
            if log.empty and self._due():
                self._write()
                log.rest()
        log.flush()
        at.seconds, at.processor = seconds + log.seconds, processor + log.processor

    def _scorer(self) -> Scorer:
        return Scorer(self.stepper.state.model, self.data, self.stepper.autocast, self.peers, self.workers)

    def _over(self) -> bool:
        """Whether the budget is spent: ``steps`` where given, whatever number of epochs they take, else ``epochs``."""
        return self.at.epoch >= self.method.epochs if self.method.steps is None else self.at.step >= self.method.steps

    def _check_epoch(self, passes: Sequence[Pass]) -> None:
        """Raise when an epoch took no step, or left weights that are not finite: its last losses cannot tell."""
        epoch, size = self.at.epoch + 1, self.method.batch_size
        if self.at.step == self.at.began:
            sizes = ", ".join(f"'{this.name}' has {len(this.indices)}" for this in passes) or "there is none"
            raise ValueError(f"method.batch_size: in epoch {epoch} no pass has the {size} pairs of a batch ({sizes})")
        if not all(bool(torch.isfinite(weights).all()) for weights in self.stepper.state.parameters()):
            raise FloatingPointError(f"weights are not finite after epoch {epoch}, though its losses were")

    def _at_work(self) -> None:
        self.stepper.state.train()
        self.locks.hold()

    def _rest(self, whole: bool) -> Pause:
        average = self.stepper.average
        model = self.stepper.state.model if average is None else average.model
        self.stepper.state.eval()
        model.eval()
        self.locks.release()
        return Pause(
            epoch=self.at.epoch, step=self.at.step, seconds=self.at.seconds, processor=self.at.processor,
            whole=whole, last=self._over(), state=self.stepper.state, model=model,
        )  # fmt: skip

    def _pause(self, whole: bool) -> None:
        if self.on_pause is not None:
            self.on_pause(self._rest(whole))
            self._at_work()

    def _due(self) -> bool:
        if self.folder is None or not self.peers.lead:
            return False
        return time.monotonic() - self.wrote >= max(SAVE_SECONDS, self.writing / _SAVE_SHARE)

    def _write(self) -> None:
        if self.folder is None or not self.peers.lead:
            return
        began = time.monotonic()
        saved.write(self.folder, self.stepper, self.at, self.who)
        self.wrote = time.monotonic()
        self.writing = self.wrote - began


def _seed_of(seed: int, *names: int) -> int:
    return stream_seed(seed, "training", *names)
