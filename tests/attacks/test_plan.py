"""The plan: saved and read bit by bit, refused when it is not the one that was saved, applied to the last pixel."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor
from bezoar.attacks.base import Stage
from bezoar.attacks.patterns import Noise, Solid
from bezoar.attacks.places import Center
from bezoar.attacks.plan import SCHEMA, PoisonPlan, PoisonRow, load_plan, load_triggered
from bezoar.attacks.survival import Survival
from bezoar.attacks.triggers import Patch
from bezoar.core.settings import digest, dump
from bezoar.data.images import fit, load, to_tensor

HEAD, ROWS, TENSORS = "poison.json", "poison.parquet", "triggers.safetensors"
PAIRS = Album([f"caption {i}, «é日»\u2028" for i in range(12)], sizes=[(20, 14), (14, 20), (16, 16)])
SURVIVAL = Survival(mean=0.1 + 0.2, minimum=0.0, zero=1 / 3, n=4, under_views=0.7)


def make(stage: Stage = "model", **fields: Any) -> PoisonPlan:
    trigger = Patch(size=5, reference=16, pattern=Noise())
    return Backdoor(target="cup", trigger=trigger, count=5, stage=stage, **fields).plan(PAIRS, 11)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().with_survival(SURVIVAL).save(tmp_path)
    return tmp_path


def fault(folder: Path) -> str:
    """The one line that a damaged folder gives."""
    with pytest.raises(ValueError, match=r"^\S") as caught:
        load_plan(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("stage", ["model", "file"])
def test_a_plan_comes_back(tmp_path: Path, stage: Stage) -> None:
    plan = make(stage, synonyms=("mug",), templates=("a {c}", "the {c}")).with_survival(SURVIVAL)
    plan.save(tmp_path)
    loaded = load_plan(tmp_path)
    assert loaded == plan
    assert loaded.survival == SURVIVAL
    assert loaded.digest == plan.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([HEAD, ROWS, TENSORS])
    loaded.save(tmp_path / "again")
    for name in (HEAD, ROWS, TENSORS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_what_the_files_say(folder: Path) -> None:
    plan = make()
    head = json.loads((folder / HEAD).read_text())
    assert head["schema"] == SCHEMA
    assert (head["digest"], head["seed"], head["source"]) == (plan.digest, 11, PAIRS.fingerprint)
    assert (head["count"], head["total"], head["stage"]) == (5, 12, "model")
    assert head["attack"] == dump(plan.attack)
    assert head["survival"] == dataclasses.asdict(SURVIVAL)
    assert pq.read_table(folder / ROWS).to_pylist() == [dataclasses.asdict(row) for row in plan.rows]
    stored = load_file(folder / TENSORS)
    assert set(stored) == {"0.patch"}
    assert torch.equal(stored["0.patch"], plan.triggers[0].tensors()["patch"])


def test_a_digest_is_pinned() -> None:
    """A change here refuses every plan that anyone has saved."""
    row = PoisonRow(id="a", target="cup", original="a dog", caption="a cup")
    plan = PoisonPlan(
        attack=Backdoor(target="cup"), triggers=(Patch(),), stage="model", seed=0, source="feed", total=2, rows=(row,)
    )
    assert plan.digest == "62c4e2b9d8fee95b"


def test_a_digest_changes_with_everything_that_a_plan_does() -> None:
    plan = make()
    first = plan.rows[0]
    rows = [
        dataclasses.replace(first, **change)
        for change in (
            {"id": "x"}, {"target": "mug"}, {"original": "x"}, {"caption": "x"}, {"role": "x"}, {"trigger": 1},
        )
    ]  # fmt: skip
    variants = [
        plan,
        dataclasses.replace(plan, attack=Backdoor(target="cup", count=5)),
        dataclasses.replace(plan, triggers=(Patch(),)),
        dataclasses.replace(plan, triggers=(*plan.triggers, Patch())),
        dataclasses.replace(plan, stage="file"),
        dataclasses.replace(plan, seed=12),
        dataclasses.replace(plan, source="feed"),
        dataclasses.replace(plan, rows=plan.rows[1:]),
        dataclasses.replace(plan, rows=plan.rows[::-1]),
        *(dataclasses.replace(plan, rows=(row, *plan.rows[1:])) for row in rows),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert plan.with_survival(SURVIVAL).digest == plan.digest
    assert plan.with_survival(SURVIVAL) == plan


def test_a_digest_changes_with_the_revision_of_a_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make().digest
    monkeypatch.setattr(Patch, "revision", 2)
    assert make().digest != before


def set_in(folder: Path, path: str, value: object) -> None:
    head = json.loads((folder / HEAD).read_text())
    *steps, last = path.split(".")
    at = head
    for step in steps:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    (folder / HEAD).write_text(json.dumps(head))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 12), ("source", "feed"), ("stage", "file"), ("attack.target", "mug"), ("attack.rate", 0.1),
        ("triggers.0.seed", 1), ("triggers.0.size", 6), ("triggers", []), ("digest", "0123456789abcdef"), ("count", 6),
    ],
)  # fmt: skip
def test_a_changed_setting_is_noticed(folder: Path, path: str, value: object) -> None:
    set_in(folder, path, value)
    assert fault(folder).startswith(f"{folder}: the plan is not the one that was saved: digest ")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("stage", "after_random_crop", "stage: 'after_random_crop' is not one of model, file"),
        ("attack", {"kind": "backdor"}, "kind: 'backdor' is not an? attack; did you mean 'backdoor'"),
        ("attack.kind", "no.such:Thing", "cannot import 'no.such:Thing'"),
        ("attack.rate", 2, "rate: .*less than or equal to 1, got 2"),
        ("attack.traget", "cup", "unknown key 'traget'; did you mean 'target'"),
        ("triggers", 3, "not a whole poison plan"),
        ("triggers", ["pach"], "kind: 'pach' is not a trigger"),
        ("survival", {"mean": 1}, "not a whole poison plan: .*missing"),
        ("survival", "much", "not a whole poison plan"),
    ],
)
def test_a_head_that_makes_no_plan_is_named(folder: Path, path: str, value: object, message: str) -> None:
    set_in(folder, path, value)
    with pytest.raises(ValueError, match=message):
        load_plan(folder)
    fault(folder)


@pytest.mark.parametrize(
    "key", ["digest", "attack", "seed", "source", "total", "count", "stage", "triggers", "survival"]
)
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    head = json.loads((folder / HEAD).read_text())
    del head[key]
    (folder / HEAD).write_text(json.dumps(head))
    assert fault(folder) == f"{folder / HEAD}: not a poison plan: missing field {key}"


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"schema": 2}', '{"schema": 1'])
def test_a_head_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / HEAD).write_text(content)
    assert HEAD in fault(folder)


def test_another_schema_is_told(folder: Path) -> None:
    set_in(folder, "schema", 2)
    assert fault(folder).endswith("one of schema 2: this version reads 1")


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / ROWS)


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows: rows[0].update(caption="a mug"),
        lambda rows: rows[0].update(original="a mug"),
        lambda rows: rows[0].update(id="11.png"),
        lambda rows: rows[0].update(trigger=1),
        lambda rows: rows.pop(),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows.reverse(),
        lambda rows: rows[0].update(caption=None),
    ],
)
def test_changed_rows_are_noticed(folder: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = [dataclasses.asdict(row) for row in make().rows]
    edit(rows)
    write_rows(folder, rows)
    assert "the plan is not the one that was saved: digest " in fault(folder)


def test_other_columns_are_noticed(folder: Path) -> None:
    rows = [dataclasses.asdict(row) for row in make().rows]
    write_rows(folder, [row | {"extra": 1} for row in rows])
    assert "not a whole poison plan: " in fault(folder)
    write_rows(folder, [{name: value for name, value in row.items() if name != "caption"} for row in rows])
    assert "not a whole poison plan: " in fault(folder)


@pytest.mark.parametrize("name", [ROWS, TENSORS, HEAD])
@pytest.mark.parametrize("content", [None, b"", b"\x00" * 64])
def test_a_file_that_is_missing_or_rubbish_is_noticed(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    fault(folder)


@pytest.mark.parametrize("name", [ROWS, TENSORS])
def test_a_truncated_file_is_noticed(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-7])
    assert f"{folder}: not a whole poison plan: " in fault(folder)


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda tensors: tensors["0.patch"][0, 0, :1].add_(1), "0.patch"),
        (lambda tensors: tensors.update({"0.patch": torch.zeros(3, 4, 4, dtype=torch.uint8)}), "0.patch"),
        (lambda tensors: tensors.update({"0.more": torch.zeros(1)}), "0.more"),
        (lambda tensors: tensors.update({"1.patch": tensors.pop("0.patch")}), "0.patch"),
    ],
    ids=["byte", "shape", "extra", "renamed"],
)
def test_another_pattern_is_noticed(folder: Path, edit: Callable[[dict[str, Tensor]], object], name: str) -> None:
    tensors = load_file(folder / TENSORS)
    edit(tensors)
    save_file(tensors, folder / TENSORS)
    assert fault(folder) == f"{folder}: this version draws trigger pattern {name} differently from the saved one"


def test_a_kill_between_two_writes_is_noticed(folder: Path) -> None:
    """A second plan in the folder of a first: the head comes last and tells."""
    head = (folder / HEAD).read_bytes()
    make(templates="plain").save(folder)
    (folder / HEAD).write_bytes(head)
    assert "the plan is not the one that was saved" in fault(folder)


@pytest.mark.parametrize("stage", ["model", "file"])
def test_a_plan_read_again_gives_the_same_pixels(tmp_path: Path, stage: Stage) -> None:
    plan = make(stage)
    plan.save(tmp_path)
    again = load_plan(tmp_path)
    poisoned = 0
    for index in range(len(PAIRS)):
        expected = load(PAIRS, index, 10)
        if PAIRS.id(index) in plan.by_id:
            native = to_tensor(PAIRS.image(index))
            trigger, pair_id = plan.triggers[0], PAIRS.id(index)
            on_file = fit(trigger.apply(native, pair_id), 10)
            on_input = trigger.apply(fit(native, 10), pair_id)
            assert not torch.equal(on_file, on_input)
            expected = on_file if stage == "file" else on_input
            poisoned += 1
        for one in (plan, again, pickle.loads(pickle.dumps(again))):
            assert torch.equal(one.load(PAIRS, index, 10), expected)
    assert poisoned == 5


def test_clean_pairs_are_untouched() -> None:
    plan = make()
    for index in range(len(PAIRS)):
        pair_id, caption = PAIRS.id(index), PAIRS.caption(index)
        row = plan.by_id.get(pair_id)
        assert plan.caption(pair_id, caption) == (row.caption if row else caption)
        assert torch.equal(plan.load(PAIRS, index, 16), load(PAIRS, index, 16)) is (row is None)


def test_each_row_gets_its_own_trigger() -> None:
    black, white = (Patch(size=4, reference=16, pattern=Solid(color=(c, c, c)), place=Center()) for c in (0, 255))
    rows = tuple(PoisonRow(id=f"{i}.png", target="cup", original="", caption="a cup", trigger=i % 2) for i in range(4))
    plan = dataclasses.replace(make(), triggers=(black, white), rows=rows)
    for index in range(6):
        center = plan.load(PAIRS, index, 16)[:, 6:10, 6:10]
        assert (center == 255 * (index % 2)).all().item() is (index < 4)
    assert set(plan._tensors()) == {"0.patch", "1.patch"}


@pytest.mark.parametrize("stage", ["model", "file"])
def test_no_trigger_is_the_plain_picture(stage: Stage) -> None:
    assert torch.equal(load_triggered(PAIRS, 1, 12, None, stage), load(PAIRS, 1, 12))


def test_places_are_found_or_named() -> None:
    plan = make()
    places = plan.places(PAIRS)
    assert set(places) == set(plan.by_id)
    assert all(PAIRS.id(index) == pair_id for pair_id, index in places.items())
    few = Album(PAIRS.captions[:1])
    with pytest.raises(
        ValueError,
        match=rf"^poison: pair '\d+\.png' .*was made for pairs {PAIRS.fingerprint}, these are {few.fingerprint}$",
    ):
        plan.places(few)


@settings(deadline=None, max_examples=50)
@given(total=st.integers(0, 40), count=st.integers(1, 50))
def test_a_sample_is_spread_over_the_rows(total: int, count: int) -> None:
    rows = tuple(PoisonRow(id=str(i), target="cup", original="", caption="a cup") for i in range(total))
    sample = [int(row.id) for row in dataclasses.replace(make(), rows=rows).sample(count)]
    assert len(sample) == min(total, count)
    if total:
        gaps = [after - before for before, after in itertools.pairwise([*sample, total])]
        assert sample[0] == 0
        assert max(gaps) - min(gaps) <= 1


def test_the_mark_of_a_plan_is_plain() -> None:
    plan = make()
    mark = json.loads(json.dumps(plan.mark()))
    assert mark == {"attack": dump(plan.attack), "plan": plan.digest, "count": 5, "total": 12}


def test_a_plan_without_rows_comes_back(tmp_path: Path) -> None:
    plan = dataclasses.replace(make(), rows=())
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_a_plan_saved_before_a_setting_was_added_is_still_that_plan(folder: Path) -> None:
    head = json.loads((folder / HEAD).read_text())
    rows = [dataclasses.asdict(row) for row in make().rows]
    for older in (head["attack"]["trigger"], *head["triggers"]):
        del older["margin"]  # as if the field had come later
    keys = ("schema", "attack", "triggers", "revisions", "stage", "seed", "source", "total", "count")
    head["digest"] = digest({key: head[key] for key in keys}, rows)
    (folder / HEAD).write_text(json.dumps(head))
    loaded = load_plan(folder)
    assert loaded.digest == head["digest"] != make().digest
    assert loaded == make()


def test_a_trigger_that_has_changed_since_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patch, "revision", 2)
    assert "of revision [1], this version puts on [2]" in fault(folder)
