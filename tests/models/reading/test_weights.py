"""Reading: only through readers that run nothing, of a file that stays as it was skimmed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.models.reading.corpus import CASES, torch_zip

from bezoar.models.reading import Skim, read, skim, weights
from bezoar.models.reading.inert import Storage
from bezoar.models.reading.opcodes import take_apart
from bezoar.models.reading.plain import difference, plain, tensors
from bezoar.models.reading.refusal import RefusedError
from bezoar.models.reading.torch_legacy import LaterRecords
from bezoar.models.reading.workshop import Workshop

TREE = {
    "epoch": 3,
    "state_dict": {"module.visual.w": torch.arange(12.0).reshape(3, 4), "module.n": torch.tensor(7)},
    "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3, "params": [0, 1]}]},
}
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def evil(path: Path, canary: Path) -> None:
    next(case for case in CASES if case.name == "pickle_2.pt").write(path, canary)


@pytest.mark.parametrize("forced", ["1", "true"])
def test_the_environment_cannot_turn_unpickling_on(
    forced: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the skim had missed what the file asks for."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    evil(tmp_path / "a.pt", tmp_path / "sang")
    with pytest.raises(ValueError, match=r"posix.system"):
        read(tmp_path / "a.pt")
    monkeypatch.setattr(weights, "skim", lambda path: Skim(path=path, form="torch", bytes=1, tree={"w": None}))
    with pytest.raises(ValueError, match=r"a.pt: its numbers cannot be read") as caught:
        read(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's own words advise to load it unsafely
    assert not (tmp_path / "sang").exists()


def test_what_others_allow_torch_to_load_is_still_refused(tmp_path: Path) -> None:
    evil(tmp_path / "a.pt", tmp_path / "sang")
    with (
        torch.serialization.safe_globals([(os.system, "posix.system")]),
        pytest.raises(ValueError, match=r"posix.system"),
    ):
        read(tmp_path / "a.pt")
    assert not (tmp_path / "sang").exists()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save(TREE, path)

    def slow(at: Path) -> Skim:
        seen = skim(at)
        torch.save({**TREE, "epoch": 4, "more": 1}, at)
        return seen

    monkeypatch.setattr(weights, "skim", slow)
    with pytest.raises(ValueError, match=r"a.pt was changed while it was read"):
        read(path)


def test_two_readers_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save(TREE, path)
    other = skim(path)
    other.tree["state_dict"]["module.visual.w"] = torch.empty(4, 3, device="meta")
    monkeypatch.setattr(weights, "skim", lambda _: other)
    with pytest.raises(ValueError, match=r"differently by two readers, at state_dict.module.visual.w"):
        read(path)


def test_numbers_are_mapped_and_the_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(TREE, path)
    before = path.read_bytes()
    read(path)["state_dict"]["module.visual.w"].fill_(5)
    assert path.read_bytes() == before


def test_records_of_any_alignment_are_read(tmp_path: Path) -> None:
    torch.save(TREE, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            if name != "a/.format_version":
                new.writestr(name, old.read(name))
    assert difference(read(tmp_path / "b.pt"), read(tmp_path / "a.pt")) is None
    pairs = zip(tensors(read(tmp_path / "a.pt")), tensors(read(tmp_path / "b.pt")), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def good(kind: str, folder: Path) -> bytes:
    path = folder / "good"
    if kind == "torch":
        torch.save(TREE, path)
    elif kind == "legacy":
        torch.save(TREE, path, _use_new_zipfile_serialization=False)
    elif kind == "script":
        next(case for case in CASES if case.name == "script_good.pt").write(path, folder)
    else:
        save_file({name: tensor.clone() for name, tensor in TREE["state_dict"].items()}, path)  # type: ignore[attr-defined]
    return path.read_bytes()


def read_or_refused(path: Path) -> None:
    seen = skim(path)
    try:
        found = read(path)
    except ValueError as error:
        said = str(error)
    else:
        assert difference(found, seen.tree) is None
        return
    assert "\n" not in said
    assert path.name in said


@pytest.mark.parametrize("kind", ["torch", "legacy", "script", "safetensors"])
@RELAXED
@given(data=st.data())
def test_damaged_files_are_read_or_refused(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(good(kind, tmp_path))
    place = st.integers(0, len(content) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
        content[at] = value
    if data.draw(st.booleans()):
        del content[data.draw(place) :]
    (tmp_path / "damaged.pt").write_bytes(content)
    read_or_refused(tmp_path / "damaged.pt")


@RELAXED
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_pickles_in_good_archives_are_read_or_refused(flips: list[tuple[int, int]], tmp_path: Path) -> None:
    torch.save(TREE, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as archive:
        content = bytearray(archive.read("good/data.pkl"))
        storages = {name[10:]: archive.read(name) for name in archive.namelist() if name.startswith("good/data/")}
    for at, value in flips:
        content[at % len(content)] = value
    torch_zip(tmp_path / "damaged.pt", bytes(content), storages)
    read_or_refused(tmp_path / "damaged.pt")


_OPCODES = bytes(range(128, 153)) + b"()]}.0125NacdeghijklopqrstubBCDFGIJKLMPQRSTUVX"


@settings(max_examples=500, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from(_OPCODES), max_size=60).map(bytes),
        st.lists(
            st.sampled_from(
                [b"]", b"}", b"(", b")", b"t", b"\x85", b"a", b"e", b"u", b"q\1", b"h\1", b"K\1", b"2", b"0"]
            )
        ).map(b"".join),
    )
)
def test_any_bytes_are_taken_apart_or_refused(content: bytes) -> None:
    try:
        value = take_apart(io.BytesIO(content + b"."), Workshop(LaterRecords()), "x")
        plain(value, [])
    except RefusedError:
        return


names = st.text() | st.integers(-(2**60) + 1, 2**60 - 1)
"""Wider numbers are refused as names: they could all have one hash."""
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(value=plain_values, protocol=st.integers(0, 5))
def test_plain_values_come_out_as_pickle_put_them_in(value: Any, protocol: int) -> None:
    shop = Workshop(LaterRecords())
    found = plain(take_apart(io.BytesIO(pickle.dumps(value, protocol)), shop, ""), [])
    if not (protocol < 3 and shop.faults):  # bytes are a call before protocol 3, and empty ones one of builtins.bytes
        assert difference(found, value) is None


def test_odd_escapes_in_old_texts_are_no_warning() -> None:
    """Warnings are errors in these tests."""
    assert take_apart(io.BytesIO(b"S'a\\q'\n."), Workshop(LaterRecords()), "") == "a\\q"


def test_storages_are_as_large_as_their_numbers() -> None:
    assert Storage("0", torch.float16, 3).bytes == 6
