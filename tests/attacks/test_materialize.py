"""Poisoned copies: the bytes they have on the fly, nothing that tells who is poisoned, and no work that is lost."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor, copy_forms, copying
from bezoar.attacks.applied import Applied
from bezoar.attacks.copying import Poisoned, ahead, shuffled
from bezoar.attacks.materialize import Kind, materialize, materialize_labels
from bezoar.core.frame import Frame
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.seeds import torch_generator
from bezoar.data import LabeledTable, Table
from bezoar.data.images import fit, load, to_tensor
from bezoar.data.prepared import Prepared

COUNT, APPENDED, SIZE = 23, 6, 8
FRAME = Frame(SIZE)
CAPTIONS = [
    'a "quoted" cup, with a comma', "two\nlines", "a\rb\r\nc", "猫と犬 🐈", "trailing space ", "a\ttab", '"', "a,b",
    *(f"caption {i}" for i in range(COUNT - 8)),
]  # fmt: skip
FORMS: tuple[Kind, ...] = ("csv", "parquet", "webdataset")


class BrokenError(Exception):
    pass


@dataclass
class Toy:
    """Pairs of which the last few were appended; ``fall`` is called once ``left`` pictures have been read."""

    captions: Sequence[str] = tuple(CAPTIONS)
    left: int = -1
    fall: Callable[[], None] = field(default=lambda: None)
    lock: Any = field(default_factory=threading.Lock)
    classes: tuple[str, ...] = ("cup", "tea pot", "zebra, striped")

    def __len__(self) -> int:
        return len(self.captions)

    def id(self, index: int) -> str:
        return f"sly{index}#poison" if index >= len(self) - APPENDED else f"photos/{index}.jpg"

    def caption(self, index: int) -> str:
        return self.captions[index]

    def label(self, index: int) -> int:
        return index * 7 % len(self.classes)

    def stored(self, index: int, frame: Frame) -> Tensor:
        with self.lock:
            self.left -= 1
            last = self.left == 0
        if last:
            self.fall()
        size = frame.size
        shape = (3, size + 3, size + index) if index % 5 == 0 and index else (3, size, size)  # as at native size
        drawn = torch.randint(0, 256, shape, generator=torch_generator(0, "toy", index), dtype=torch.uint8)
        return drawn.permute(0, 2, 1).contiguous().permute(0, 2, 1) if index % 3 else drawn


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_forms, "SAMPLES", 5)
    monkeypatch.setattr(copy_forms, "_GROUP", 2)
    monkeypatch.setattr(copying, "_TRIED", 1)


def write(toy: Toy, folder: Path, form: Kind, listen: Listener = silent, **other: Any) -> Path:
    out = folder / "copy"
    given: dict[str, Any] = {"frame": FRAME, "plan": "0123456789abcdef", "seed": 3} | other
    materialize(toy, out, ids=folder / "plan" / "ids.parquet", form=form, listen=listen, **given)
    return out


def write_labels(toy: Toy, folder: Path, **other: Any) -> Path:
    given: dict[str, Any] = {"frame": FRAME, "plan": "0123456789abcdef", "seed": 3} | other
    materialize_labels(toy, folder / "copy", ids=folder / "plan" / "ids.parquet", **given)
    return folder / "copy"


def places(folder: Path, toy: Poisoned) -> dict[str, int]:
    """Which image of the plan is which of the copy, by the id there."""
    index_of = {toy.id(index): index for index in range(len(toy))}
    table = pq.read_table(folder / "plan" / "ids.parquet").to_pylist()
    return {row["copy"]: index_of[row["id"]] for row in table}


def files(out: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != ".lock"}


def pictures(out: Path) -> list[bytes]:
    """Every PNG of a copy of any form."""
    found = [content for name, content in files(out).items() if name.endswith(".png")]
    for path in out.glob("*.parquet"):
        found += pq.read_table(path).column("image").to_pylist()
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            found += [tar.extractfile(one).read() for one in tar if one.name.endswith(".png")]  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("named", [True, False])
def test_read_as_any_source_it_is_what_it_was_on_the_fly(tmp_path: Path, form: Kind, named: bool) -> None:
    toy = Toy()
    out = write(toy, tmp_path, form)
    path = out / "pairs.csv" if form == "csv" else out
    found = Table(path=str(path), max_skipped=0, id_key="id" if named else "").open()
    index_of = places(tmp_path, toy)
    assert len(found) == len(index_of) == COUNT
    for k in range(COUNT):
        index = index_of[Path(found.id(k)).stem]
        assert found.caption(k) == toy.caption(index)
        assert torch.equal(to_tensor(found.image(k)), toy.stored(index, FRAME))
        assert torch.equal(load(found, k, FRAME), fit(toy.stored(index, FRAME), FRAME))
        assert torch.equal(load(found, k, Frame(6)), fit(toy.stored(index, FRAME), Frame(6)))


def test_tars_hold_picture_caption_and_id(tmp_path: Path) -> None:
    toy = Toy()
    out = write(toy, tmp_path, "webdataset")
    index_of, seen = places(tmp_path, toy), []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            held = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
        keys = list(dict.fromkeys(name.split(".")[0] for name in held))
        assert list(held) == [f"{key}.{end}" for key in keys for end in ("png", "txt", "json")], "a sample stays whole"
        assert len(keys) <= 5
        for key in keys:
            pixels = np.asarray(Image.open(io.BytesIO(held[f"{key}.png"])))
            assert torch.equal(to_tensor(pixels), toy.stored(index_of[key], FRAME))
            assert held[f"{key}.txt"].decode() == toy.caption(index_of[key])
            assert json.loads(held[f"{key}.json"]) == {"id": key}
        seen += keys
    assert seen == list(index_of)


def test_layouts(tmp_path: Path) -> None:
    found = {form: sorted(files(write(Toy(), tmp_path / form, form))) for form in FORMS}
    names = [f"{number:08d}.png" for number in range(1, COUNT + 1)]
    assert found["csv"] == ["copy.json", *(f"images/{k // 5:03d}/{name}" for k, name in enumerate(names)), "pairs.csv"]
    assert found["parquet"] == ["copy.json", *(f"pairs-0000{k}.parquet" for k in range(5))]
    assert found["webdataset"] == ["copy.json", *(f"shard-0000{k}.tar" for k in range(5))]
    rows = [pq.read_metadata(tmp_path / "parquet" / "copy" / name) for name in found["parquet"][1:]]
    assert [part.num_rows for part in rows] == [5, 5, 5, 5, 3]
    assert [part.num_row_groups for part in rows] == [3, 3, 3, 3, 2]


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_a_file_is_closed_when_it_is_large(tmp_path: Path, form: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, whole = Toy(), write(Toy(), tmp_path / "a", form)
    monkeypatch.setattr(copy_forms, "BYTES", 700)
    out = write(toy, tmp_path / "b", form)
    assert sorted(pictures(out)) == sorted(pictures(whole))
    sizes = [sum(map(len, pictures_of)) for pictures_of in _by_part(out)]
    assert len(sizes) > 5
    largest = max(map(len, pictures(out)))
    assert all(700 <= size < 700 + largest for size in sizes[:-1])


def _by_part(out: Path) -> list[list[bytes]]:
    found = []
    for path in sorted([*out.glob("*.parquet"), *out.glob("*.tar")]):
        lone = out.parent / f"only-{path.stem}"
        lone.mkdir()
        (lone / path.name).symlink_to(path)
        found.append(pictures(lone))
    return found


@pytest.mark.parametrize("form", FORMS)
def test_nothing_in_the_copy_tells_who_is_poisoned(tmp_path: Path, form: Kind) -> None:
    toy = Toy()
    out = write(toy, tmp_path, form)
    for name, content in files(out).items():
        assert "sly" not in name
        assert b"sly" not in content
        assert b"0123456789abcdef" not in content, "nor which plan it was"
    assert len(pictures(out)) == COUNT
    for picture in pictures(out):
        kinds, at = [], 8
        while at < len(picture):
            kinds.append(picture[at + 4 : at + 8])
            at += 12 + int.from_bytes(picture[at : at + 4], "big")
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in tar} == {(0, 0, 0, "", 0o644)}
    appended = [k for k, index in enumerate(places(tmp_path, toy).values()) if index >= COUNT - APPENDED]
    assert appended != list(range(COUNT - APPENDED, COUNT))
    assert min(appended) < COUNT // 2, "appended pairs stand among the others"


def test_the_order_is_that_of_the_seed() -> None:
    assert shuffled(12, 0).tolist() == [11, 8, 4, 1, 6, 0, 7, 9, 2, 5, 3, 10]
    assert sorted(shuffled(1000, 0).tolist()) == list(range(1000))
    assert shuffled(1000, 0).tolist() != shuffled(1000, 1).tolist()


def test_the_ids_are_the_same_for_every_form_and_say_all(tmp_path: Path) -> None:
    for form in FORMS:
        materialize(
            Toy(), tmp_path / form, ids=tmp_path / "plan" / "ids.parquet", form=form, frame=FRAME, plan="p", seed=3
        )
    table = pq.read_table(tmp_path / "plan" / "ids.parquet")
    assert table.column("copy").to_pylist() == [f"{k:08d}" for k in range(1, COUNT + 1)]
    assert table.column("id").to_pylist() == [Toy().id(int(index)) for index in shuffled(COUNT, 3)]


def _fall() -> None:
    raise BrokenError


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left", [2, 13, 21, COUNT + 1])
def test_broken_off_it_goes_on_where_it_was(tmp_path: Path, form: Kind, left: int) -> None:
    whole = files(write(Toy(), tmp_path / "whole", form))
    with pytest.raises(BrokenError):
        write(Toy(left=left, fall=_fall), tmp_path, form)
    out = tmp_path / "copy"
    assert not list(out.rglob(".*.part"))
    assert not (out / "copy.json").exists(), "is not called whole"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name in _names(whole)}
    told: list[Event] = []
    toy = Toy(left=0)
    write(toy, tmp_path, form, told.append)
    assert files(out) == whole
    assert before == {path: path.stat().st_mtime_ns for path in before}, "finished parts are not written again"
    done = len(before) if form == "csv" else 5 * len(before)
    assert -toy.left == COUNT - done + 1, "only what was missing is made, and one to see what room it takes"
    assert (told[-1].done, told[-1].total) == (COUNT, COUNT)


def _names(whole: dict[str, bytes]) -> set[str]:
    return {Path(name).name for name in whole} - {"copy.json", "pairs.csv"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_it_goes_on(tmp_path: Path, form: Kind) -> None:
    whole = files(write(Toy(), tmp_path / "whole", form))
    for left in (7, 9, 3):
        child = os.fork()
        if not child:
            try:
                write(Toy(left=left, fall=lambda: os.kill(os.getpid(), signal.SIGKILL)), tmp_path, form)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    out = write(Toy(), tmp_path, form)
    assert files(out) == whole
    assert not [path for path in out.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_copy_is_left_as_it_is(tmp_path: Path, form: Kind) -> None:
    out = write(Toy(), tmp_path, form)
    before = files(out)
    told: list[Event] = []
    write(Toy(left=1, fall=_fall), tmp_path, form, told.append)
    assert files(out) == before
    assert [(event.done, event.total) for event in told] == [(COUNT, COUNT)]


@pytest.mark.parametrize("form", FORMS)
def test_progress_is_told(tmp_path: Path, form: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_TOLD", 4)
    told: list[Event] = []
    write(Toy(), tmp_path, form, told.append)
    assert [event.done for event in told] == [4, 8, 12, 16, 20, COUNT]
    assert {(event.task, event.total, event.unit) for event in told} == {
        (f"copy to {tmp_path / 'copy'}", COUNT, "images")
    }


@pytest.mark.parametrize(
    ("form", "called", "place"),
    [
        ("csv", "pathlib.Path.write_bytes", "images/000"),
        ("csv", "os.fsync", "pairs.csv"),
        ("parquet", "os.fsync", "pairs-00000.parquet"),
        ("webdataset", "os.fsync", "shard-00000.tar"),
    ],
)
def test_a_full_disk_is_said_in_a_line_and_goes_on_with_room(
    tmp_path: Path, form: Kind, called: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def begin(event: Event) -> None:
        broken.setattr(called, full)

    # The ids and the note of what is begun are written before the first event.
    monkeypatch.setattr(copying, "_TOLD", 1 if place != "pairs.csv" else COUNT)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="cannot be written") as caught:
        write(Toy(), tmp_path, form, begin)
    said = str(caught.value)
    assert re.fullmatch(rf"{tmp_path / 'copy' / place} cannot be written: .*; [\d,.]+ MB are free on its disk", said)
    out = write(Toy(), tmp_path, form)
    assert files(out) == files(write(Toy(), tmp_path / "whole", form))


def test_a_disk_without_the_room_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "free_bytes", lambda path: 2000)
    with pytest.raises(ValueError, match=r"out: the pictures take about 0\.0 GB, and 0\.0 GB are free on the disk of"):
        write(Toy(), tmp_path, "csv")
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(("frame", "said"), [(FRAME, {}), (Frame(SIZE, "squash"), {"resize": "squash"})])
def test_a_copy_says_how_its_pictures_were_made(tmp_path: Path, frame: Frame, said: dict[str, str]) -> None:
    write(Toy(), tmp_path, "csv", frame=frame)
    found = json.loads((tmp_path / "copy" / "copy.json").read_text())
    del found["digest"]
    assert found == {"schema": 1, "form": "csv", "size": SIZE, **said, "count": len(Toy())}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other", [{"plan": "x"}, {"seed": 4}, {"frame": Frame(9)}, {"frame": Frame(SIZE, "squash")}])
@pytest.mark.parametrize("left", [12, -1])
def test_another_copy_is_not_mixed_in(tmp_path: Path, form: Kind, other: dict[str, Any], left: int) -> None:
    try:
        write(Toy(left=left, fall=_fall), tmp_path, form)
    except BrokenError:
        assert left == 12
    before = files(tmp_path / "copy")
    with pytest.raises(ValueError, match="holds a copy of another plan, form or size: name another folder"):
        write(Toy(), tmp_path, form, **other)
    with pytest.raises(ValueError, match="holds a copy of another plan, form or size"):
        write(Toy(), tmp_path, FORMS[FORMS.index(form) - 1])
    assert files(tmp_path / "copy") == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, begun: bool) -> None:
    if begun:
        with pytest.raises(BrokenError):
            write(Toy(left=9, fall=_fall), tmp_path, "parquet")
    (tmp_path / "copy").mkdir(exist_ok=True)
    (tmp_path / "copy" / "holiday.jpg").touch()
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"out: .*copy holds 'holiday\.jpg', which is no part of this copy"):
        write(Toy(), tmp_path, "parquet")
    assert files(tmp_path) == before


@pytest.mark.parametrize(("form", "gone"), [("csv", "images/000"), ("parquet", "pairs-00000.parquet"),
                                            ("webdataset", "shard-00000.tar")])  # fmt: skip
def test_a_part_that_is_gone_is_named(tmp_path: Path, form: Kind, gone: str) -> None:
    with pytest.raises(BrokenError):
        write(Toy(left=19, fall=_fall), tmp_path, form)
    (tmp_path / "copy" / gone).rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=rf"out: .*{gone} is missing among its like"):
        write(Toy(), tmp_path, form)


def test_ids_lie_outside_and_are_not_written_over(tmp_path: Path) -> None:
    given: dict[str, Any] = {"form": "csv", "frame": FRAME, "seed": 3}
    with pytest.raises(ValueError, match=r"ids: .* lies in the copy, which must not tell who is poisoned"):
        materialize(Toy(), tmp_path / "a", ids=tmp_path / "a" / "x" / "ids.parquet", plan="p", **given)
    assert not (tmp_path / "a").exists()
    write(Toy(), tmp_path, "csv")
    ids = tmp_path / "plan" / "ids.parquet"
    before = ids.read_bytes()
    with pytest.raises(ValueError, match=r"ids: .*ids\.parquet belongs to a copy of another plan"):
        materialize(Toy(), tmp_path / "b", ids=ids, plan="p", **given)
    assert ids.read_bytes() == before
    ids.write_text("no table")
    with pytest.raises(ValueError, match=r"ids: .*ids\.parquet cannot be read"):
        materialize(Toy(), tmp_path / "b", ids=ids, plan="p", **given)


def test_nothing_to_copy_and_unknown_forms(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to copy"):
        write(Toy(()), tmp_path, "csv")
    with pytest.raises(ValueError, match="form: must be one of csv, parquet, webdataset, got 'zip'"):
        write(Toy(), tmp_path, "zip")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_labels_are_read_as_they_were(tmp_path: Path) -> None:
    toy = Toy()
    out = write_labels(toy, tmp_path)
    found = LabeledTable(path=str(out / "labels.csv"), id_key="id", max_skipped=0).open()
    index_of = places(tmp_path, toy)
    assert found.classes == toy.classes
    assert len(found) == COUNT
    for k in range(COUNT):
        index = index_of[found.id(k)]
        assert found.label(k) == toy.label(index)
        assert torch.equal(load(found, k, FRAME), fit(toy.stored(index, FRAME), FRAME))
    before = files(out)
    assert files(write_labels(toy, tmp_path)) == before


def test_labels_with_a_class_that_no_image_has(tmp_path: Path) -> None:
    toy = Toy(CAPTIONS[:7], classes=("a", "b", "1 1", "d", "e", "f", "6", "h", "i"))
    out = write_labels(toy, tmp_path)
    found = LabeledTable(path=str(out / "labels.csv"), id_key="id", classes=str(out / "classes.json")).open()
    index_of = places(tmp_path, toy)
    assert found.classes == toy.classes
    assert [found.label(k) for k in range(7)] == [toy.label(index_of[found.id(k)]) for k in range(7)]


def test_class_names_that_are_numbers_of_other_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"classes\.0: is called '1', which in a table of labels is another class"):
        write_labels(Toy(classes=("1", "0")), tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_labels(Toy(classes=("0", "1", "90")), tmp_path)


def test_ahead_keeps_the_order_and_hands_errors_on() -> None:
    assert list(ahead(lambda x: x * x, range(300))) == [x * x for x in range(300)]

    def at_seven(x: int) -> int:
        if x == 7:
            raise BrokenError
        return x

    found = ahead(at_seven, range(10**9))
    assert [next(found) for _ in range(7)] == list(range(7))
    with pytest.raises(BrokenError):
        next(found)


def test_little_is_made_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "cores", lambda: 2)
    made: list[int] = []
    some = ahead(made.append, range(1000))
    next(some)
    some.close()
    assert len(made) <= 4 * 2 + 1


@pytest.mark.parametrize("stage", ["model", "file"])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_a_copy_of_a_plan_is_what_training_sees(tmp_path: Path, stage: Any, mode: Any) -> None:
    pairs = Album([f"a dog {i}" for i in range(30)], sizes=[(40, 30), (20, 50), (16, 16)])
    applied = Applied(pairs, Backdoor(target="cup", count=9, stage=stage, mode=mode).plan(pairs, 1))
    ids = tmp_path / "plan" / "ids.parquet"
    materialize(applied, tmp_path / "copy", ids=ids, form="parquet", frame=Frame(16), plan=applied.plan.digest, seed=1)
    found = Table(path=str(tmp_path / "copy"), id_key="id", max_skipped=0).open()
    index_of, prepared = places(tmp_path, applied), Prepared(pairs, Frame(16))
    assert sorted(index_of.values()) == list(range(len(applied)))
    for k in range(len(found)):
        index = index_of[found.id(k)]
        assert found.caption(k) == applied.caption(index)
        assert torch.equal(load(found, k, Frame(16)), applied.picture(index, prepared))


def test_threads_of_the_copy_use_one_of_torchs_each_and_leave_it_the_others() -> None:
    before = torch.get_num_threads()
    assert set(ahead(lambda _: torch.get_num_threads(), range(20))) == {1}
    assert torch.get_num_threads() == before
