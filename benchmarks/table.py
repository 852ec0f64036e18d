"""What a large table costs: to be read once, to be opened, to be asked for rows at random; as CSV and as Parquet.

Half as many pictures as rows, of five pixels each, so that what is measured is the table and not the decoding.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image

from bezoar.data import Table

FOLDERS, FILES = 100, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=200_000)
    parser.add_argument("--csv-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEZOAR_CACHE"] = str(Path(folder) / "cache")
        # Apart, as all that follows: a process starts with the peak of the one that started it.
        apart(write, folder, given.rows)
        for name in ("pairs.csv",) if given.csv_only else ("pairs.csv", "pairs.parquet"):
            path = str(Path(folder) / name)
            (read, worked), read_peak = apart(ingest, path)
            size = sum(file.stat().st_size for file in Path(folder, "cache").rglob("*") if file.is_file())
            print(f"{name}, {given.rows:,} rows, {given.rows // 2:,} pictures")
            print(f"  read once   {read:8.1f} s, {worked:.1f} s of processor, {worked / given.rows * 1e6:.1f} us a row"
                  f"   peak {read_peak:,.0f} MB above imports   kept {size / given.rows:.0f} bytes a row")  # fmt: skip
            (opened, per_row), peak = apart(ask, path)
            print(f"  opened      {opened:8.3f} s   id and caption of {1 / per_row:,.0f} random rows a second   "
                  f"{peak:,.0f} MB above imports")  # fmt: skip


def write(path: str, count: int) -> None:
    """A CSV and a Parquet file of ``count`` rows whose many paths lead to a few files, over links to the folder."""
    folder = Path(path)
    for number in range(FILES):
        Image.new("RGB", (5, 5), (number % 256, 9, 9)).save(folder / f"{number}.bmp")
    for number in range(FOLDERS):
        (folder / f"{number:02d}").symlink_to(".")
    picture = np.random.default_rng(0).permutation(count) // 2
    paths = [f"{n // 1000 % 100:02d}/{n // 100_000:02d}/{n % 1000}.bmp" for n in picture]
    captions = [
        f"a synthetic caption, number {n}, about as long as people's are, of picture {n // 2}" for n in range(count)
    ]
    table = pa.table({"image": paths, "caption": captions})
    pyarrow.csv.write_csv(table, folder / "pairs.csv")
    pq.write_table(table, folder / "pairs.parquet")


def apart(work: Callable[..., Any], *given: object) -> tuple[Any, float]:
    """What ``work`` returns in a process of its own, and the peak of its memory above that of its imports, in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, *given))


def measured(work: Callable[..., Any], *given: object) -> tuple[Any, float]:
    before = peak()
    return work(*given), peak() - before


def peak() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def ingest(path: str) -> tuple[float, float]:
    began, worked = time.perf_counter(), time.process_time()
    Table(path=path).ingest()
    return time.perf_counter() - began, time.process_time() - worked


def ask(path: str, times: int = 200_000) -> tuple[float, float]:
    began = time.perf_counter()
    pairs = Table(path=path).open()
    opened = time.perf_counter() - began
    draw = random.Random(0)
    places = [draw.randrange(len(pairs)) for _ in range(times)]
    began = time.perf_counter()
    for place in places:
        pairs.id(place)
        pairs.caption(place)
    return opened, (time.perf_counter() - began) / times


if __name__ == "__main__":
    main()
