"""A source is read once: kills, two readers at a time, files that change, and a cache that cannot be."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from tests.pictures import encoded, parquet, put

from bezoar.core.machine import cache_folder
from bezoar.core.progress import Event
from bezoar.data import Table
from bezoar.data.files import ingest
from bezoar.data.files.store import FACTS, SKIPPED


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEZOAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def table(folder: Path, count: int, missing: int = 0) -> Table:
    """A CSV of ``count`` pictures of which the last few are missing."""
    put(folder, [f"{k}.png" for k in range(count - missing)])
    rows = "".join(f"{k}.png,text {k}\n" for k in range(count))
    (folder / "t.csv").write_text("image,caption\n" + rows)
    return Table(path=str(folder / "t.csv"))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every picture that is looked at."""
    found: list[object] = []
    look = ingest._look

    def noted(picture: bytes | str | None) -> bytes | str:
        found.append(picture)
        return look(picture)

    monkeypatch.setattr(ingest, "_look", noted)
    return found


def folders(cache: Path) -> list[Path]:
    return sorted((cache / "sources").iterdir())


def test_a_source_is_looked_at_once(tmp_path: Path, looks: list[object]) -> None:
    source = table(tmp_path, 3)
    events: list[Event] = []
    source.ingest(events.append)
    assert [(event.done, event.total, event.unit) for event in events] == [(3, 3, "pictures")]
    source.ingest(events.append)
    assert len(source.open()) == len(looks) == 3
    assert len(events) == 1


def test_what_does_not_change_what_is_kept_does_not_read_it_again(
    tmp_path: Path, looks: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, 3).open()
    monkeypatch.chdir(tmp_path)
    assert len(Table(path="t.csv", max_skipped=0.5).open()) == 3
    assert len(looks) == 3


def test_a_changed_table_is_read_again(tmp_path: Path, looks: list[object], own_cache: Path) -> None:
    source = table(tmp_path, 3)
    before = source.open()
    table(tmp_path, 4)
    after = source.open()
    assert (len(before), len(after), len(looks)) == (3, 4, 7)
    assert before.fingerprint != after.fingerprint
    assert len(folders(own_cache)) == 2
    assert before.caption(2) == "text 2"  # what is open stays


def test_a_kill_loses_no_more_than_a_block(
    tmp_path: Path, looks: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "BLOCK", 4)
    source = table(tmp_path, 10)

    def stop(event: Event) -> None:
        if event.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.ingest(stop)
    assert len(looks) == 8
    pairs = source.open()
    assert len(looks) == 10
    assert [pairs.caption(k) for k in range(10)] == [f"text {k}" for k in range(10)]
    monkeypatch.setenv("BEZOAR_CACHE", str(tmp_path / "other"))
    assert source.open().fingerprint == pairs.fingerprint


def test_a_torn_last_line_of_what_was_looked_at(
    tmp_path: Path, looks: list[object], monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr(ingest, "BLOCK", 4)
    source = table(tmp_path, 10)

    def stop(event: Event) -> None:
        if event.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.ingest(stop)
    noted = folders(own_cache)[0] / ingest.LOOKED
    noted.write_bytes(noted.read_bytes()[:-10])
    (folders(own_cache)[0] / ".pictures.arrow.x.part").write_bytes(b"left by a kill")
    assert len(source.open()) == 10
    assert len(looks) == 8 + 6
    assert sorted(file.name for file in folders(own_cache)[0].iterdir()) == [
        ".lock", FACTS, "firsts.arrow", "pairs.arrow", "pictures.arrow",
    ]  # fmt: skip


def test_pictures_inside_a_table_are_resumed_too(
    tmp_path: Path, looks: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bezoar.data.files.frame.BLOCK", 4)
    columns = {"image": [encoded(k) for k in range(10)], "caption": [f"text {k}" for k in range(10)]}
    source = Table(path=parquet(tmp_path / "t.parquet", columns))

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.ingest(stop)
    pairs = source.open()
    assert len(looks) == 10
    assert [pairs.content(k) for k in range(10)] == columns["image"]


def test_a_source_of_which_nothing_can_be_used_says_so_plainly(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r": 10 of 10 rows cannot be used, .* the first is row 1, '0.png': missing file"
    ):
        table(tmp_path, 10, missing=10).open()


def test_pictures_that_were_missing_are_looked_for_again(tmp_path: Path, looks: list[object]) -> None:
    source = table(tmp_path, 10, missing=2)
    with pytest.raises(ValueError, match="2 or more of 10 rows cannot be used"):
        source.open()
    put(tmp_path, [f"{k}.png" for k in range(10)])
    pairs = source.open()
    assert (len(pairs), pairs.skips.count, pairs.skips.listed) == (10, 0, None)
    assert len(looks) == 12


def test_killed_for_good_and_started_again(tmp_path: Path, own_cache: Path) -> None:
    """``kill -9`` in the middle, as the system does it."""
    code = (
        "import sys, time; from bezoar.data import Table; from bezoar.data.files import ingest; ingest.BLOCK = 4\n"
        "def wait(event):\n"
        "    print(event.done, flush=True)\n"
        "    time.sleep(60 if event.done == 8 else 0)\n"
        "Table(path=sys.argv[1]).ingest(wait)"
    )
    source = table(tmp_path, 10)
    with subprocess.Popen([sys.executable, "-c", code, source.path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["4\n", "8\n"]
        process.kill()
    assert not (folders(own_cache)[0] / FACTS).exists()
    assert len(source.open()) == 10
    assert not list(folders(own_cache)[0].glob("*.part"))


def _ingest(path: str, start: float) -> str:
    time.sleep(max(0.0, start - time.time()))
    return Table(path=path).open().fingerprint


def test_two_processes_at_once(tmp_path: Path, own_cache: Path) -> None:
    source = table(tmp_path, 40)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_ingest, [(source.path, time.time() + 3)] * 2, chunksize=1)
    assert set(found) == {source.open().fingerprint}
    assert len(folders(own_cache)) == 1
    assert not list(folders(own_cache)[0].glob(".*.part"))


def test_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    from bezoar.core.files import exclusive

    source = table(tmp_path, 3)
    source.open()
    folder = folders(own_cache)[0]
    (folder / FACTS).unlink()
    monkeypatch.setattr(ingest, "PATIENCE", 0.1)
    with exclusive(folder), pytest.raises(ValueError, match=r"is in use by another run \(process \d+\)"):
        source.open()


def test_spawned_processes_share_the_cache() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(cache_folder) == cache_folder()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = table(tmp_path, 3)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BEZOAR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match=r"BEZOAR_CACHE: cannot write to .*: Not a directory"):
        source.open()


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Table(path=parquet(tmp_path / "t.parquet", {"image": [encoded(0)], "caption": ["text"]}))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(ValueError, match=r"which takes about .* GB, and 0.0 GB are free; set BEZOAR_CACHE"):
        source.open()


def test_a_picture_that_is_gone_later(tmp_path: Path) -> None:
    pairs = table(tmp_path, 3).open()
    os.unlink(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"")
    assert pairs.image(0).shape == (7, 9, 3)
    for index, reason in ((1, "No such file"), (2, "zero bytes")):
        for read in (pairs.image, lambda k: pairs.shrunk(k, 4)):
            with pytest.raises(
                ValueError, match=f"image of '{index}.png' could be read before, now it cannot: .*{reason}"
            ):
                read(index)


def test_a_part_of_the_cache_that_is_gone(tmp_path: Path, own_cache: Path) -> None:
    source = table(tmp_path, 3)
    source.open()
    (folders(own_cache)[0] / "pairs.arrow").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"pairs.arrow cannot be read, delete its folder"):
        source.open()


def test_the_list_of_what_was_passed_over_is_in_the_order_of_the_source(tmp_path: Path, own_cache: Path) -> None:
    put(tmp_path, ["1.png", "4.png"])
    (tmp_path / "t.csv").write_text("image,caption\n0.png,a\n1.png,b\n2.png,\n3.png,c\n4.png,d\n,e\n1.png,b,c\n")
    Table(path=str(tmp_path / "t.csv"), max_skipped=0.9).open()
    assert (folders(own_cache)[0] / SKIPPED).read_text() == (
        "row,name,reason\n1,0.png,missing file\n3,2.png,no caption\n4,3.png,missing file\n6,,no image\n7,,broken row\n"
    )
