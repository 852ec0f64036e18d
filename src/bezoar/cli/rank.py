"""One process of a job: what submitit starts on a node, and again after the job was requeued."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class Rank:
    """A command line of ``bezoar`` as one of the ranks of a job."""

    words: tuple[str, ...]

    def __call__(self) -> None:
        """Run it with what ``torchrun`` would have set; ends the process with its exit code."""
        from submitit.helpers import TorchDistributedEnvironment

        from bezoar.cli.main import main

        logging.getLogger("submitit").propagate = False  # it has its own way to the logs
        _leave_at_once()
        # LOCAL_RANK counts through all GPUs of the node, so all stay visible.
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        code = main(list(self.words))
        if code:
            sys.exit(code)  # an exception would make submitit print a traceback under the one line

    def checkpoint(self) -> DelayedSubmission:
        """What submitit runs when the job comes out of the queue again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _leave_at_once() -> None:
    """End this process, where submitit has requeued its job, as a kill does, which a run survives at any moment.

    submitit raises ``SystemExit`` wherever the run is: a write of torch's makes another error of that, and other ranks
    may be waited for.
    """
    from submitit import JobEnvironment

    number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
    requeue = signal.getsignal(number)
    assert callable(requeue), "submitit listens for the end of the time before it runs anything"

    def leave(number: int, frame: FrameType | None) -> None:
        try:
            requeue(number, frame)
        except SystemExit as stop:
            os._exit(stop.code % 256 if isinstance(stop.code, int) else 1)

    signal.signal(number, leave)
