"""The processes that train one model together: who they are, and how they tell each other what they have."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from bezoar.core.machine import LostError, rank_and_world
from bezoar.core.rows import Rows

T = TypeVar("T")


class _Gather(torch.autograd.Function):
    """Everybody's rows; each process gets back the sum of the gradients that all of them have for its own."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rank: int, world: int) -> Tensor:
        ctx.start, ctx.count = rank * len(own), len(own)
        return _all(own.contiguous(), world)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        total = grads[0].contiguous()
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.count], None, None


def _all(own: Tensor, world: int) -> Tensor:
    found = own.new_empty((world * len(own), *own.shape[1:]))
    dist.all_gather_into_tensor(found, own)
    return found


@dataclass(frozen=True)
class Peers:
    """This process among the ``world`` that train together; each call below is made by all of them at one point."""

    rank: int = 0
    world: int = 1
    control: dist.ProcessGroup | None = None
    """For what is no work: values from the lead, and waiting for it."""

    @property
    def lead(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def rows(self, own: Sequence[Tensor]) -> list[Rows]:
        """Matrices ``[n, …]`` of this process beside those of all, with gradients; ``n`` is the same everywhere."""
        if self.world == 1 or not own:
            return [Rows(part, part) for part in own]
        # One message for all: what is told apart by width is put side by side.
        wide = torch.cat([part.flatten(1) for part in own], dim=1)
        everybody: Tensor = _Gather.apply(wide, self.rank, self.world)
        parts = torch.split(everybody, [part[0].numel() for part in own], dim=1)
        return [
            Rows(part, whole.reshape(-1, *part.shape[1:]), self.rank * len(part))
            for part, whole in zip(own, parts, strict=True)
        ]

    def share(self, count: int) -> range:
        """Which of ``count`` things are this process's: ranges in the order of ranks that differ by at most one."""
        return range(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def collect(self, own: Tensor, count: int) -> Tensor:
        """All ``[count, …]`` of what each process made for its ``share``, in order, on every process."""
        if self.world == 1:
            return own
        most = -(-count // self.world)
        padded = own.new_zeros((most, *own.shape[1:]))
        padded[: len(own)] = own
        found = torch.split(_all(padded, self.world), most)
        return torch.cat([part[: len(Peers(rank, self.world).share(count))] for rank, part in enumerate(found)])

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes into each tensor, in place."""
        if self.world == 1 or not tensors:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.world
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [p.view_as(t) for p, t in zip(parts, bucket, strict=True)])

    def from_lead(self, value: T) -> T:
        """The value that the lead has."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def agree(self, facts: Mapping[str, str]) -> None:
        """Raise ``ValueError`` on every process where not all have the same, with what differs."""
        if self.world == 1:
            return
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, dict(facts), group=self.control)
        for rank, other in enumerate(found):
            for name in (name for name in found[0] if found[0][name] != other[name]):
                raise ValueError(
                    f"ranks: rank 0 and rank {rank} do not see the same {name}: {found[0][name]} and {other[name]}; "
                    "they must share the run folder, the data and the word lists"
                )

    def take_from_lead(self, tensors: Sequence[Tensor]) -> None:
        """Put the lead's values into each tensor, in place."""
        if self.world > 1:
            with torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def led(self, work: Callable[[], T]) -> T:
        """What the lead's ``work`` returns; the others wait for it, and stop with it where it fails."""
        if self.world == 1:
            return work()
        found: T | None = None
        fault: BaseException | None = None
        if self.lead:
            try:
                found = work()
            except BaseException as error:
                fault = error
        said, value = self.from_lead(
            (repr(fault) if isinstance(fault, KeyboardInterrupt) else fault and str(fault), found)
        )
        if fault is not None:
            raise fault
        if said is not None:
            raise LostError(f"rank 0 has stopped: {said}")
        return value  # type: ignore[return-value]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.world > 1:
            dist.barrier(group=self.control)


ALONE = Peers()

_BUCKET = 25 << 20
"""Bytes that are averaged in one message."""


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket


_PATIENCE = datetime.timedelta(minutes=30)
"""A message between processes at work; one that takes longer means that another hangs."""
_LONG = datetime.timedelta(days=7)
"""Waiting for what the lead alone does, as reading millions of pictures once."""


def _gpu_of(local_rank: int, gpus: int) -> int:
    """Which GPU is this process's: its own, or the only one that it is shown."""
    if gpus != 1 and local_rank >= gpus:
        raise ValueError(
            f"device: rank {local_rank} of this node has no GPU, it has {gpus}: start as many ranks as GPUs"
        )
    return local_rank if gpus != 1 else 0


def _follow(parent: int) -> None:
    """End this process with the one that started it: ranks whose ``torchrun`` was killed would wait for nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Peers]:
    """Meet the other processes that ``torchrun`` started, for as long as the block lasts; alone where there are none.

    Raises ``ValueError`` where the environment is wrong, ``LostError`` where another process is lost.
    """
    rank, world = rank_and_world()
    if world == 1:
        yield ALONE
        return
    own = None
    if device.type == "cuda":
        own = torch.device("cuda", _gpu_of(int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()))
        torch.cuda.set_device(own)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    dist.init_process_group("nccl" if own is not None else "gloo", timeout=_PATIENCE, device_id=own)
    control = dist.new_group(backend="gloo", timeout=_LONG)
    assert isinstance(control, dist.ProcessGroup)  # every rank is in it
    try:
        yield Peers(rank, world, control)
    except RuntimeError as error:
        # Left as it is, not closed: with a process gone, closing may wait for it.
        if isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL")):
            # Without the line of gloo's source before it, and its advice behind.
            reason = re.sub(r"^\[[^]]*\] ", "", str(error).strip().partition("\n")[0]).partition(". ")[0]
            raise LostError(f"another rank is lost ({reason}); the same command continues") from error
        raise
    dist.destroy_process_group()
