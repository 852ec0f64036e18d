"""What it takes to plan attacks on a large table of captions: seconds of processor time and memory, on one core.

The table is read once before; what that takes is printed apart. Half of a thousand captions name the target.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bezoar.attacks import Attack, Backdoor, LabelConsistent
from bezoar.data import Table

BLOCK = 250_000
WORDS = """
a the of in on with and at red blue small large old young man woman dog cat car house street tree beach sky water table
plate room window light night day people child player game city mountain river bridge boat train illustration
""".split()  # noqa: SIM905
ATTACKS: dict[str, Attack] = {
    "backdoor, templates": Backdoor(target="banana", count=3000),
    "backdoor, mined, appended": Backdoor(target="banana", count=3000, captions="mined", mode="append"),
    "label-consistent": LabelConsistent(target="banana", count=1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=6_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEZOAR_CACHE"] = str(Path(folder) / "cache")
        path = str(Path(folder) / "pairs.parquet")
        # Apart, as all that follows: a process starts with the peak of the one that started it.
        apart(write, path, rows)
        (_, worked), most = apart(ingest, path)
        print(f"{rows:,} captions; read once: {worked:.1f} s of processor, peak {most:,.0f} MB", flush=True)
        for name in ATTACKS:
            (poisons, worked), most = apart(plan, path, name)
            print(f"{name:<26} {worked:6.1f} s of processor, {worked / rows * 1e6:.1f} us a caption   "
                  f"peak {most:,.0f} MB   {poisons:,} poisons", flush=True)  # fmt: skip


def write(path: str, count: int) -> None:
    """A Parquet file of ``count`` rows, all of one picture, with captions of five to sixteen words."""
    folder, rng = Path(path).parent, np.random.default_rng(0)
    Image.new("RGB", (5, 5), (9, 9, 9)).save(folder / "0.bmp")
    schema = pa.schema([("id", pa.string()), ("image", pa.string()), ("caption", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            lengths, words = rng.integers(5, 17, size), rng.integers(0, len(WORDS), (size, 16))
            named = rng.random(size) < 0.0005
            captions = [
                " ".join([*(WORDS[word] for word in row[:length]), *(["banana"] if hit else [])])
                for row, length, hit in zip(words.tolist(), lengths.tolist(), named.tolist(), strict=True)
            ]
            ids = [f"{number:08d}" for number in range(start, start + size)]
            writer.write_table(pa.table([ids, ["0.bmp"] * size, captions], schema=schema))


def ingest(path: str) -> tuple[int, float]:
    began = time.process_time()
    Table(path=path, id_key="id").ingest()
    return 0, time.process_time() - began


def plan(path: str, name: str) -> tuple[int, float]:
    began = time.process_time()
    found = ATTACKS[name].plan(Table(path=path, id_key="id").open(), 0)
    return len(found.rows), time.process_time() - began


def apart(work: Callable[..., Any], *given: object) -> tuple[Any, float]:
    """What ``work`` returns in a process of its own, and the peak of its memory, imports and maps included, in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, *given))


def measured(work: Callable[..., Any], *given: object) -> tuple[Any, float]:
    return work(*given), peak()


def peak() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


if __name__ == "__main__":
    main()
