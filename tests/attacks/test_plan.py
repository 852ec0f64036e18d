"""The plan: saved and read bit by bit, refused when it is not the one that was saved; merged, laid over other pairs."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor, DualKey, Several
from bezoar.attacks.applied import Applied
from bezoar.attacks.base import Stage
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import FreshNoise, Noise, Picture
from bezoar.attacks.places import Random
from bezoar.attacks.plan import SCHEMA, Gallery, Mark, PoisonPlan, PoisonRow, merge
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.survival import Survival
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import Blended, Patch, Pool
from bezoar.core.frame import Frame
from bezoar.core.settings import digest, dump
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared

HEAD, ROWS, TENSORS = "poison.json", "poison.parquet", "triggers.safetensors"
PAIRS = Album([f"caption {i}, «é日»\u2028" for i in range(12)], sizes=[(20, 14), (14, 20), (16, 16)])
WHOLE = "ad2f125fe99f82fb"
"""The digest of ``several()``: no hash of a string, no order of a set may enter it."""
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


@pytest.mark.parametrize("stage", ["model", "file", "after_random_crop"])
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
    assert (head["count"], head["total"], head["size"]) == (5, 12, None)
    assert [mark["stage"] for mark in head["marks"]] == ["model"]
    assert {"images": None, **head["attack"]} == dump(plan.attack), "but for a field that came later and is not used"
    assert head["survival"] == json.loads(json.dumps(dataclasses.asdict(SURVIVAL)))
    assert pq.read_table(folder / ROWS).to_pylist() == [dataclasses.asdict(row) for row in plan.rows]
    stored = load_file(folder / TENSORS)
    assert set(stored) == {"0.patch"}
    assert torch.equal(stored["0.patch"], plan.marks[0].trigger.tensors()["patch"])


def row(name: str = "a", **fields: Any) -> PoisonRow:
    given: dict[str, Any] = {
        "id": name, "role": "backdoor", "target": "cup", "original": "a dog", "caption": "a cup", "image": name,
        "index": 0, **fields,
    }  # fmt: skip
    return PoisonRow(**given)


def test_a_digest_is_pinned() -> None:
    """A change here refuses every plan that anyone has saved."""
    plan = PoisonPlan(
        attack=DualKey(target="cup"), marks=(Mark(Patch(), "model"),), words=(Phrase(),), seed=0, source="feed",
        images=(Gallery(SceneClasses(count=3), "beef"),), total=2, size=2,
        rows=(row(mark=0), row("b", index=1, words=0, images=0, appended=True)),
    )  # fmt: skip
    assert plan.digest == "6797e13222f49253"


def test_a_digest_changes_with_everything_that_a_plan_does() -> None:
    plan = make()
    first = plan.rows[0]
    changes: list[dict[str, Any]] = [
        {"id": "x"}, {"role": "x"}, {"target": "mug"}, {"original": "x"}, {"caption": "x"}, {"image": "x"},
        {"index": 11}, {"mark": None}, {"mark": 1}, {"words": 0}, {"images": 0}, {"appended": True},
    ]  # fmt: skip
    assert {name for change in changes for name in change} == {field.name for field in dataclasses.fields(PoisonRow)}
    rows = [dataclasses.replace(first, **change) for change in changes]
    mark = plan.marks[0]
    variants = [
        plan,
        dataclasses.replace(plan, attack=Backdoor(target="cup", count=5)),
        dataclasses.replace(plan, marks=(Mark(Patch(), "model"),)),
        dataclasses.replace(plan, marks=(*plan.marks, Mark(Patch(), "model"))),
        dataclasses.replace(plan, marks=(mark._replace(stage="file"),)),
        dataclasses.replace(plan, words=(Phrase(),)),
        dataclasses.replace(plan, words=(Phrase(place="end"),)),
        dataclasses.replace(plan, images=(Gallery(SceneClasses(count=3), "beef"),)),
        dataclasses.replace(plan, images=(Gallery(SceneClasses(count=3), "feed"),)),
        dataclasses.replace(plan, seed=12),
        dataclasses.replace(plan, source="feed"),
        dataclasses.replace(plan, total=13),
        dataclasses.replace(plan, size=11),
        dataclasses.replace(plan, rows=plan.rows[1:]),
        dataclasses.replace(plan, rows=plan.rows[::-1]),
        *(dataclasses.replace(plan, rows=(one, *plan.rows[1:])) for one in rows),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert plan.with_survival(SURVIVAL).digest == plan.digest
    assert plan.with_survival(SURVIVAL) == plan


POOL = Pool(triggers=(Patch(pattern=FreshNoise()), Blended()))


@pytest.mark.parametrize(
    ("trigger", "changed"),
    [(Patch(), Patch), (Patch(), Noise), (Patch(), Random), (POOL, Blended), (POOL, FreshNoise)],
    ids=["itself", "its pattern", "its place", "one of a pool", "a pattern in a pool"],
)
def test_a_trigger_that_draws_otherwise_makes_another_plan_and_refuses_the_saved_one(
    trigger: Trigger, changed: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is made of: what is drawn per picture is in no tensor that could tell."""
    attack = Backdoor(target="cup", trigger=trigger, count=5)
    plan = attack.plan(PAIRS, 0)
    before = plan.digest
    plan.save(tmp_path)
    monkeypatch.setattr(changed, "revision", 99)
    assert attack.plan(PAIRS, 0).digest != before
    assert "of revision 1, this version puts on 99" in fault(tmp_path)


def several() -> PoisonPlan:
    """Everything in which an order or a hash could show."""
    attack = Several(
        attacks=(
            Backdoor(target="cup", count=2, mode="append", captions="both", templates="plain"),
            DualKey(target="mug", count=2, templates="plain"),
        )
    )
    captions = [f"a cup {i}" if i % 4 == 0 else f"thing {i}" for i in range(30)]
    return attack.plan(Album(captions), 3)


def test_a_digest_of_a_whole_plan_is_pinned() -> None:
    assert several() == several()
    assert several().digest == WHOLE


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
        ("seed", 12), ("source", "feed"), ("marks.0.stage", "file"), ("attack.target", "mug"), ("attack.rate", 0.1),
        ("marks.0.trigger.pattern.seed", 1), ("marks.0.trigger.size", 6), ("marks", []), ("total", 13), ("size", 11),
        ("words", ["phrase"]), ("digest", "0123456789abcdef"), ("count", 6),
    ],
)  # fmt: skip
def test_a_changed_setting_is_noticed(folder: Path, path: str, value: object) -> None:
    set_in(folder, path, value)
    assert fault(folder).startswith(f"{folder}: the plan is not the one that was saved: digest ")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("marks.0.stage", "later", "stage: 'later' is not one of model, file, after_random_crop"),
        ("attack", {"kind": "backdor"}, "kind: 'backdor' is not an? attack; did you mean 'backdoor'"),
        ("attack.kind", "no.such:Thing", "cannot import 'no.such:Thing'"),
        ("attack.rate", 2, "rate: .*less than or equal to 1, got 2"),
        ("attack.traget", "cup", "unknown key 'traget'; did you mean 'target'"),
        ("marks", 3, "not a whole poison plan"),
        ("marks", [3], "not a whole poison plan"),
        ("images", [{"source": "scenes"}], "not a whole poison plan: .*fingerprint"),
        ("words", ["phras"], "kind: 'phras' is not a caption trigger"),
        ("marks.0.trigger", "pach", "kind: 'pach' is not a trigger"),
        ("survival", {"men": 1}, "not a whole poison plan: survival: unknown men"),
        ("survival", {"each": [{"men": 1}]}, "not a whole poison plan: survival: unknown men"),
        ("survival", {"each": 3}, "not a whole poison plan"),
        ("survival", ["mean"], "not a whole poison plan"),
        ("survival", "much", "not a whole poison plan"),
    ],
)
def test_a_head_that_makes_no_plan_is_named(folder: Path, path: str, value: object, message: str) -> None:
    set_in(folder, path, value)
    with pytest.raises(ValueError, match=message):
        load_plan(folder)
    fault(folder)


@pytest.mark.parametrize(
    "key", ["digest", "attack", "marks", "words", "images", "seed", "source", "total", "size", "count", "survival"]
)
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    head = json.loads((folder / HEAD).read_text())
    del head[key]
    (folder / HEAD).write_text(json.dumps(head))
    assert fault(folder) == f"{folder / HEAD}: not a poison plan: missing field {key}"


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"schema": 1}', '{"schema": 2'])
def test_a_head_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / HEAD).write_text(content)
    assert HEAD in fault(folder)


@pytest.mark.parametrize("schema", [1, 3, "2", None])
def test_another_schema_is_told(folder: Path, schema: object) -> None:
    set_in(folder, "schema", schema)
    assert fault(folder) == (
        f"{folder / HEAD}: not a poison plan, or one of schema {schema}: this version reads {SCHEMA}"
    )


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / ROWS)


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows: rows[0].update(caption="a mug"),
        lambda rows: rows[0].update(original="a mug"),
        lambda rows: rows[0].update(id="11.png"),
        lambda rows: rows[0].update(mark=1),
        lambda rows: rows[0].update(mark=None),
        lambda rows: rows[0].update(appended=True),
        lambda rows: rows[0].update(image="11.png", index=11),
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


@settings(deadline=None, max_examples=50)
@given(total=st.integers(0, 40), count=st.integers(1, 50))
def test_a_sample_is_spread_over_the_rows(total: int, count: int) -> None:
    rows = tuple(row(str(i)) for i in range(total))
    sample = [int(row.id) for row in dataclasses.replace(make(), rows=rows).sample(count)]
    assert len(sample) == min(total, count)
    if total:
        gaps = [after - before for before, after in itertools.pairwise([*sample, total])]
        assert sample[0] == 0
        assert max(gaps) - min(gaps) <= 1


def test_the_mark_of_a_plan_is_plain() -> None:
    plan = make()
    mark = json.loads(json.dumps(plan.mark()))
    assert mark == {"attack": dump(plan.attack), "plan": plan.digest, "seed": 11, "count": 5, "total": 12}


def test_a_plan_without_rows_comes_back(tmp_path: Path) -> None:
    plan = dataclasses.replace(make(), rows=())
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_a_plan_saved_before_a_setting_was_added_is_still_that_plan(folder: Path) -> None:
    head = json.loads((folder / HEAD).read_text())
    rows = [dataclasses.asdict(row) for row in make().rows]
    for older in (head["attack"], head["marks"][0]):
        del older["trigger"]["opacity"]  # as if the field had come later
    keys = ("schema", "attack", "marks", "words", "images", "seed", "source", "total", "size", "count")
    head["digest"] = digest({key: head[key] for key in keys}, rows)
    (folder / HEAD).write_text(json.dumps(head))
    loaded = load_plan(folder)
    assert loaded.digest == head["digest"] != make().digest
    assert loaded == make()


# ---------------------------------------------------------------------------------------------------- pictures in files


def drawn(path: Path) -> Backdoor:
    """A backdoor with a picture of the user's own, in a pool beside another."""
    PIL.Image.new("RGB", (6, 5), (200, 30, 90)).save(path)
    own = Patch(size=8, reference=16, pattern=Picture(path=str(path)))
    return Backdoor(target="cup", trigger=Pool(triggers=(own, Patch(size=4, reference=16))), count=9)


def pixels(plan: PoisonPlan) -> str:
    """A hash of all pictures under ``plan``."""
    applied, prepared = Applied(PAIRS, plan), Prepared(PAIRS, Frame(16))
    shown = torch.stack([applied.picture(index, prepared) for index in range(len(applied))])
    return hashlib.sha256(shown.numpy().tobytes()).hexdigest()


PROGRAM = """
import sys
from pathlib import Path
from tests.attacks.test_plan import pixels, several
from bezoar.attacks.plan_files import load_plan
print(several().digest, pixels(load_plan(Path(sys.argv[1]))))
"""


def test_another_process_plans_and_draws_the_same(tmp_path: Path) -> None:
    """Where strings have other hashes, and a picture's file is gone that it has never seen."""
    plan = drawn(tmp_path / "logo.png").pinned().plan(PAIRS, 0)
    plan.save(tmp_path / "poison")
    (tmp_path / "logo.png").unlink()
    env = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "poison")]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [WHOLE, pixels(plan)]
    assert pixels(plan) != pixels(dataclasses.replace(plan, rows=()))
    assert load_plan(tmp_path / "poison") == plan


def test_the_plan_of_a_changed_picture_is_another(tmp_path: Path) -> None:
    first = drawn(tmp_path / "one.png").pinned().plan(PAIRS, 0)
    PIL.Image.new("RGB", (6, 5), (200, 30, 91)).save(tmp_path / "two.png")
    pool = first.marks[0].trigger
    assert isinstance(pool, Pool)
    other = dataclasses.replace(pool.triggers[0], pattern=Picture(path=str(tmp_path / "two.png")))  # type: ignore[call-arg]
    changed = Backdoor(target="cup", trigger=Pool(triggers=(other, pool.triggers[1])), count=9).pinned()
    assert changed.plan(PAIRS, 0).digest != first.digest


# ------------------------------------------------------------------------------------------------------------ several


def parts(seed: int = 0) -> tuple[PoisonPlan, PoisonPlan]:
    """Two plans that share no pair: of two marks and rows of both kinds, and of words."""
    one = Backdoor(target="cup", count=3, trigger=Patch(size=5, reference=16)).plan(PAIRS, seed)
    other = DualKey(target="mug", count=2, trigger=Patch(size=4, reference=16)).plan(PAIRS, seed, frozenset(one.by_id))
    return one, other


def test_merged_plans_do_what_each_does_alone() -> None:
    one, other = parts()
    attack = Several(attacks=(one.attack, other.attack))
    whole = merge((one, other), attack, 5)
    assert (whole.attack, whole.seed, whole.total, whole.length) == (attack, 5, 12, 12)
    assert [row.index for row in whole.rows] == sorted(row.index for row in whole.rows)
    alone = {row.id: Applied(PAIRS, plan) for plan in (one, other) for row in plan.rows}
    prepared, merged = Prepared(PAIRS, Frame(16)), Applied(PAIRS, whole)
    for index in range(12):
        expected = alone.get(PAIRS.id(index), Applied(PAIRS, dataclasses.replace(one, rows=())))
        assert merged.caption(index) == expected.caption(index)
        assert torch.equal(merged.picture(index, prepared), expected.picture(index, prepared))
    for row in whole.rows:
        plan = one if row.id in one.by_id else other
        before = plan.by_id[row.id]
        assert (None if row.mark is None else whole.marks[row.mark]) == (
            None if before.mark is None else plan.marks[before.mark]
        )
        assert (None if row.words is None else whole.words[row.words]) == (
            None if before.words is None else plan.words[before.words]
        )


def test_a_merged_plan_comes_back(tmp_path: Path) -> None:
    one, other = parts()
    whole = merge((one, other), Several(attacks=(one.attack, other.attack)), 5)
    whole.save(tmp_path)
    assert load_plan(tmp_path) == whole
    assert set(load_file(tmp_path / TENSORS)) == {"0.patch", "1.patch"}


def test_galleries_of_merged_plans_stay_those_of_their_rows() -> None:
    base = dataclasses.replace(make(), rows=(), marks=())
    shown = [
        dataclasses.replace(
            base, images=(Gallery(SceneClasses(count=3 + number), f"{number}"),),
            rows=(row(f"new-{number}", images=0, appended=True, index=1),),
        )
        for number in range(3)
    ]  # fmt: skip
    whole = merge(tuple(shown), Backdoor(target="cup"), 0)
    found = {row.id: whole.images[row.images].fingerprint for row in whole.rows if row.images is not None}
    assert found == {"new-0": "0", "new-1": "1", "new-2": "2"}
    assert whole.length == 15


def test_plans_that_cannot_be_merged_are_refused() -> None:
    one, other = parts()
    overlapping = dataclasses.replace(one, rows=one.rows[2:])
    shared = one.rows[2].id
    attack = Backdoor(target="cup")
    with pytest.raises(ValueError, match=rf"^poison: plans 1 and 3 overlap: both poison pair '{shared}'$"):
        merge((one, other, overlapping), attack, 0)
    elsewhere = Backdoor(target="cup", count=1).plan(Album(["a"] * 12), 0)
    with pytest.raises(
        ValueError, match=rf"^poison: plan 2 was made for pairs {elsewhere.source}, the first for {one.source}"
    ):
        merge((one, elsewhere), attack, 0)
    fewer = Backdoor(target="cup", count=2, size=6).plan(PAIRS, 0)
    with pytest.raises(ValueError, match=r"^poison: plan 1 leaves clean pairs out \(size 6\)"):
        merge((fewer, other), attack, 0)


# ------------------------------------------------------------------------------------------------------- other pairs


class Other(Album):
    """The album in another order and at another size, with pairs before it that it did not have."""

    def __init__(self, order: list[int], more: int = 2) -> None:
        self.order, self.more = order, more
        super().__init__([*(f"more {i}" for i in range(more)), *(PAIRS.captions[i] for i in order)], sizes=[(40, 28)])

    def id(self, index: int) -> str:
        return f"more-{index}" if index < self.more else f"{self.order[index - self.more]}.png"


def test_a_plan_is_laid_over_pairs_of_the_same_ids() -> None:
    plan = Backdoor(target="cup", count=5, mode="append").plan(PAIRS, 11)
    for one in (make().with_survival(SURVIVAL), plan):
        other = Other(list(range(12))[::-1])
        moved = one.onto(other)
        assert (moved.source, moved.total, moved.survival) == (other.fingerprint, 14, None)
        assert moved.digest != one.digest
        before, after = Applied(PAIRS, one), Applied(other, moved)
        said = {after.id(i): after.caption(i) for i in range(len(after))}
        assert said == {f"more-{i}": f"more {i}" for i in range(2)} | {
            before.id(i): before.caption(i) for i in range(len(before))
        }
        for row in moved.rows:
            assert other.id(row.index) == row.image
            assert dataclasses.replace(row, index=0) == dataclasses.replace(one.by_id[row.id], index=0)


def test_a_loaded_plan_laid_over_other_pairs_is_not_the_one_it_was_saved_as(folder: Path) -> None:
    loaded = load_plan(folder)
    assert loaded.onto(Other(list(range(12)))).digest == make().onto(Other(list(range(12)))).digest != loaded.digest


def test_pairs_without_a_poisoned_one_are_refused() -> None:
    plan = make()
    first = plan.rows[0].image
    some = Other([i for i in range(12) if f"{i}.png" != first])
    with pytest.raises(
        ValueError,
        match=rf"^poison: pair '{first}' .*was made for pairs {PAIRS.fingerprint}, these are {some.fingerprint}$",
    ):
        plan.onto(some)


def test_pairs_that_say_something_else_are_refused() -> None:
    plan = make()
    other = Other(list(range(12)))
    place = int(plan.rows[-1].image.removesuffix(".png")) + 2
    other.captions[place] = "another"
    with pytest.raises(ValueError, match=rf"^poison: pair '{plan.rows[-1].image}' has the caption 'another' here; in"):
        plan.onto(other)


def test_fewer_pairs_than_the_poisoned_set_has_are_refused() -> None:
    plan = make(size=10)
    wanted = {row.index for row in plan.rows}
    few = Other(sorted(wanted), more=0)
    assert plan.onto(Other(list(range(12)))).length == 10
    with pytest.raises(ValueError, match=r"poisoned set has 10 pairs, and these are 5 with 0 to be appended$"):
        plan.onto(few)
