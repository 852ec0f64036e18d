"""The state of a training on disk: written in between, found again, and gone on from with the same bits."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from bezoar.core.files import atomic, sync, write_text
from bezoar.core.records import mend, read_lines
from bezoar.core.settings import dump

if TYPE_CHECKING:
    from bezoar.training.method import Method
    from bezoar.training.state import State
    from bezoar.training.stepping import Stepper

T = TypeVar("T")

STATE = "training_state"
SCHEMA = 2


@dataclass
class Progress:
    """Where training stands."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps taken, over all epochs and passes: the counter of every schedule."""
    number: int = 0
    """Which pass of the epoch comes next, or is going on."""
    batch: int = 0
    """Batches of that pass that were taken."""
    began: int = 0
    """Steps that had been taken when the epoch began."""
    seconds: float = 0.0
    """Spent on steps."""
    processor: float = 0.0
    """Processor time that this process spent on steps, in seconds; its loader processes are not in it."""

    @property
    def within(self) -> bool:
        """Whether it stands inside an epoch, whose beginning is over."""
        return self.number > 0 or self.batch > 0

    def next_pass(self) -> None:
        """The pass is over."""
        self.number, self.batch = self.number + 1, 0

    def next_epoch(self) -> None:
        """The epoch is over."""
        self.epoch, self.number, self.batch, self.began = self.epoch + 1, 0, 0, self.step


def identity(method: Method, seed: int, fingerprint: str, plan: str | None) -> dict[str, Any]:
    """What a state may only be gone on from with: plain values."""
    return {"method": dump(method), "seed": seed, "pairs": fingerprint, "plan": plan}


def write(folder: Path, stepper: Stepper, at: Progress, who: Mapping[str, Any]) -> None:
    """Write all that an exact resume needs to ``folder``; every process has the same, so one of them writes."""
    sync(folder / "steps.jsonl")  # a state that outlasts a power cut must not go on from a log that does not
    with atomic(folder / STATE) as stream:
        torch.save(
            {
                "schema": SCHEMA,
                "who": json.dumps(who),
                "progress": dataclasses.asdict(at),
                "threads": torch.get_num_threads(),
                "ranks": stepper.peers.world,
                "state": stepper.state.state_dict(),
                "optimizer": stepper.optimizer.state_dict(),
                "scaler": stepper.scaler.state_dict(),
                "average": stepper.average.state_dict() if stepper.average is not None else None,
            },
            stream,
        )


def resume(folder: Path, stepper: Stepper, at: Progress, who: Mapping[str, Any]) -> None:
    """Continue from the state in ``folder``, if there is one, and drop what was logged after it.

    Raises ``ValueError`` for a state that is damaged, of another schema, or of other settings.
    """
    path = folder / STATE
    if path.exists():
        saved = _reading(path, lambda: torch.load(path, weights_only=True, map_location="cpu"))
        _check_same(path, saved, who, _places(stepper.method))
        _reading(path, lambda: _restore(stepper, at, saved))
        _say_others(saved["threads"], saved["ranks"], stepper.peers.world)
    if stepper.peers.lead:
        trim_log(folder / "steps.jsonl", at.step)


def _reading(path: Path, work: Callable[[], T]) -> T:
    """Do something with what a state holds; whatever is wrong with it is told in one line."""
    try:
        return work()
    except torch.OutOfMemoryError:
        raise
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: cannot be continued from (delete it to begin the stage anew): {reason}") from error


def _restore(stepper: Stepper, at: Progress, saved: Mapping[str, Any]) -> None:
    _fit_buffers(stepper.state, saved["state"])
    stepper.state.load_state_dict(saved["state"])
    stepper.optimizer.load_state_dict(saved["optimizer"])
    if stepper.scaler.is_enabled():
        stepper.scaler.load_state_dict(saved["scaler"])
    if stepper.average is not None:
        stepper.average.load_state_dict(saved["average"])
    for name, value in saved["progress"].items():
        setattr(at, name, value)


def trim_log(log: Path, steps: int) -> None:
    """Drop the lines of a step log that come after ``steps`` steps, and what of a line a kill has left."""
    if log.exists():
        mend(log)
        kept = [line for line in read_lines(log) if line["step"] < steps]
        write_text(log, "".join(json.dumps(line) + "\n" for line in kept))


def _places(method: Method) -> set[str]:
    """What only says where the method's files lie; what is in them is a setting of its own."""
    return {f"method.{place}" for place, content in type(method).places.items() if getattr(method, content)}


def _check_same(path: Path, saved: Any, now: Mapping[str, Any], aside: Collection[str]) -> None:
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
        raise ValueError(
            f"{path}: was written by another version of Bezoar, which cannot be continued from; delete it to begin anew"
        )
    flat, wanted = _flat(json.loads(saved["who"])), _flat(json.loads(json.dumps(now)))
    differ = [
        f"{name} was {flat.get(name)!r} and is {wanted.get(name)!r}"
        for name in sorted((flat | wanted).keys() - aside)
        if flat.get(name) != wanted.get(name)
    ]
    if differ:
        raise ValueError(f"{path}: was begun with other settings: {'; '.join(differ)}; go back to them, or delete it")


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= _flat(part, f"{before}{key}.") if isinstance(part, dict) else {f"{before}{key}": part}
    return found


def _say_others(threads: int, ranks: int, world: int) -> None:
    log = logging.getLogger(__name__)
    if threads != torch.get_num_threads():
        log.warning(
            "resuming with %d threads what began with %d: the weights will differ in their last bits",
            torch.get_num_threads(), threads,
        )  # fmt: skip
    if ranks != world:
        log.warning(
            "resuming on %d ranks what began on %d: the weights will differ in their last bits, and by more where "
            "batch normalization sees other pairs together",
            world, ranks,
        )  # fmt: skip


def _fit_buffers(state: State, saved: Mapping[str, Tensor]) -> None:
    """Give buffers the shapes they were saved with: a split or a pool that a method keeps may have grown since."""
    for name, buffer in list(state.named_buffers()):
        if name in saved and saved[name].shape != buffer.shape:
            owner, _, leaf = name.rpartition(".")
            setattr(state.get_submodule(owner), leaf, torch.empty_like(saved[name], device=buffer.device))
