"""How a poisoned copy is written: in shuffled order, part by part, so that it can be broken off and gone on with."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from bezoar.attacks.copy_forms import Form, Sample
from bezoar.attacks.preview import png
from bezoar.core.files import atomic, exclusive, free_bytes, read_object, sweep, sync, write_json
from bezoar.core.machine import cores
from bezoar.core.progress import Event, Listener
from bezoar.core.seeds import numpy_generator
from bezoar.core.settings import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from bezoar.core.frame import Frame

    Order = NDArray[np.int64]

A = TypeVar("A")
B = TypeVar("B")
REVISION = 1
"""Counts changes of what a copy holds."""
COPY = "copy.json"
"""Says what the copy is; until it is whole it is a hidden file."""
_TOLD, _TRIED, _IDS = 64, 16, 1 << 16
"""Images between two events; images that tell how much room all will take; ids that are written at a time."""


class Poisoned(Protocol):
    """Images as an attacker leaves them; read by several threads at once."""

    def __len__(self) -> int: ...

    def id(self, index: int) -> str: ...

    def stored(self, index: int, frame: Frame) -> Tensor:
        """What stands in the file of image ``index``: uint8 ``[3, height, width]``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Copy:
    """What is to be written where."""

    images: Poisoned
    fields: Callable[[int], tuple[str, ...]]
    """What stands beside image ``index``."""
    form: Form
    kind: str
    """What ``copy.json`` calls the form."""
    out: Path
    ids: Path
    frame: Frame
    plan: str
    seed: int

    def write(self, listen: Listener) -> None:
        """Begin, or go on; does nothing where the copy is whole."""
        total = len(self.images)
        if not total:
            raise ValueError("pairs: there is nothing to copy")
        if self.ids.resolve().is_relative_to(self.out.resolve()):
            raise ValueError(f"ids: {self.ids} lies in the copy, which must not tell who is poisoned: name another")
        self._refuse_other()
        with exclusive(self.out):
            self._refuse_other()
            if (self.out / COPY).exists():
                listen(Event(f"copy to {self.out}", total, total, unit="images"))
                return
            sweep(self.out)
            order = shuffled(total, self.seed)
            self._keep_ids(order)
            if not self._begun.exists():
                write_json(self._begun, self._facts)
            self._write_parts(order, listen)
            self.form.close(self.out, ((_name(k), self.fields(index)) for k, index in enumerate(map(int, order))))
            self._begun.replace(self.out / COPY)
            sync(self.out)

    @property
    def _begun(self) -> Path:
        return self.out / f".{COPY}"

    @property
    def _facts(self) -> dict[str, object]:
        """What ``copy.json`` says: two copies that say the same are the same."""
        of = digest(REVISION, self.plan, self.seed)
        return {"schema": 1, "form": self.kind, **self.frame.plain, "count": len(self.images), "digest": of}

    def _refuse_other(self) -> None:
        """Raise ``ValueError`` where the folder holds anything but a part of this copy."""
        found = sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []
        said = next((self.out / name for name in (COPY, self._begun.name) if name in found), None)
        if said is not None and read_object(said, 1) != self._facts:
            raise ValueError(f"out: {self.out} holds a copy of another plan, form or size: name another folder")
        ours = rf"\.lock|\.?{re.escape(COPY)}|\..*\.part" + (f"|{self.form.names}" if said else "")
        other = next((name for name in found if not re.fullmatch(ours, name)), None)
        if other is not None:
            raise ValueError(f"out: {self.out} holds '{other}', which is no part of this copy: name an empty folder")

    def _keep_ids(self, order: Order) -> None:
        """Write which sample of the copy is which of the plan, where it is not written yet."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema({"copy": pa.string(), "id": pa.string()}, {"digest": str(self._facts["digest"])})
        if self.ids.exists():
            try:
                found = pq.read_schema(self.ids).metadata
            except (OSError, pa.ArrowException) as error:
                raise ValueError(f"ids: {self.ids} cannot be read: {error}") from None
            if found != schema.metadata:
                raise ValueError(f"ids: {self.ids} belongs to a copy of another plan: move it, or name another file")
            return
        with atomic(self.ids) as stream, pq.ParquetWriter(stream, schema) as writer:
            for start in range(0, len(order), _IDS):
                places = order[start : start + _IDS].tolist()
                names = [_name(start + k) for k in range(len(places))]
                writer.write_table(pa.table([names, [self.images.id(index) for index in places]], schema=schema))

    def _write_parts(self, order: Order, listen: Listener) -> None:
        """Write the parts that are missing."""
        part, done = self.form.finished(self.out)
        done = min(done, len(order))
        self._refuse_full(order[done:])
        with closing(self._samples(order, done, listen)) as samples:
            while done < len(order):
                done += self.form.write(self.out, part, samples)
                part += 1

    def _samples(self, order: Order, start: int, listen: Listener) -> Generator[Sample]:
        """The samples from place ``start`` on."""
        with closing(ahead(self._sample, enumerate(map(int, order[start:]), start))) as made:
            for done, sample in enumerate(made, start + 1):
                if done % _TOLD == 0 or done == len(order):
                    listen(Event(f"copy to {self.out}", done, len(order), unit="images"))
                yield sample

    def _sample(self, placed: tuple[int, int]) -> Sample:
        place, index = placed
        return Sample(_name(place), png(self.images.stored(index, self.frame)), self.fields(index))

    def _refuse_full(self, left: Order) -> None:
        """Raise ``ValueError`` where the disk has not the room that the first pictures of ``left`` say is needed."""
        tried = [len(self._sample((0, index)).picture) for index in map(int, left[:_TRIED])]
        needed, free = len(left) * sum(tried) / max(len(tried), 1), free_bytes(self.out)
        if needed > free:
            raise ValueError(
                f"out: the pictures take about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on the disk of "
                f"{self.out}"
            )


def shuffled(count: int, seed: int) -> Order:
    """The order of a copy: which of ``count`` images stands at each place.

    Raw numbers are drawn and sorted: they are the same in every version of NumPy, where permutations need not be.
    """
    import numpy as np

    return np.argsort(numpy_generator(seed, "copy order").bit_generator.random_raw(count), kind="stable")


def _name(place: int) -> str:
    """The id in the copy of what stands at ``place``."""
    return f"{place + 1:08d}"


def ahead(make: Callable[[A], B], given: Iterable[A]) -> Generator[B]:
    """What ``make`` makes of each of ``given``, in order; threads make a little more than was asked for."""
    import torch

    # Else each of them has as many again from torch, which holds for the thread that sets it.
    with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[B]] = deque()
        try:
            for one in given:
                waiting.append(pool.submit(make, one))
                if len(waiting) > 4 * cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
