"""Settings values: what is refused and how it is said, families, plain values there and back, digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from bezoar.cleaning import NAD
from bezoar.core import yaml
from bezoar.core.settings import Family, Settings, digest, dump, explain, kind_of, nearest, settings, validate


@settings
class Medicine(Settings):
    """The base of a family."""


@settings
class Herb(Medicine):
    kind: ClassVar[str] = "herb"
    dose: float = 0.5
    leaves: int = 3
    hours: tuple[int, ...] = (8, 20)


@settings
class Stone(Medicine):
    kind: ClassVar[str] = "stone"
    color: Literal["green", "grey"] = "grey"
    ground: bool = False
    with_herb: Herb = Herb()


@settings
class Salve(Medicine):
    kind: ClassVar[str] = "salve"
    shorthand: ClassVar[str] = "plant"
    plant: str = "yarrow"


@settings
class Mine(Medicine):
    """As a user writes it, in a module of their own."""

    kind: ClassVar[str] = "mine"
    strength: int = 1


class Shelf:
    """Only a place for a class within a class."""

    @settings
    class Jar(Medicine):
        kind: ClassVar[str] = "jar"


class Undecorated(Medicine):
    kind: ClassVar[str] = "undecorated"
    strength: int = 1


@settings
class Kindless(Medicine):
    strength: int = 1


MEDICINES = Family("medicine", Medicine, (Herb, Stone))


CHEST = Family("medicine", Medicine, (Herb, Salve))


@settings
class Bandage(Settings):
    under: Annotated[Medicine, CHEST]


@settings
class Patient(Settings):
    age: int = 40
    name: str = "Avicenna"


@settings
class Cure(Settings):
    """An experiment in small: a tree of values."""

    first: Annotated[Medicine, MEDICINES] = Herb()
    later: tuple[Annotated[Medicine, MEDICINES], ...] = ()
    antidote: Annotated[Medicine, MEDICINES] | None = None
    named: dict[str, Annotated[Medicine, MEDICINES]] = Field(default_factory=dict)
    patient: Patient = Patient()
    doses: tuple[tuple[str, float], ...] = ()
    days: Annotated[int, Field(gt=0)] = 1
    out: Path = Path("out")


herbs = st.builds(Herb, dose=st.floats(allow_nan=False), leaves=st.integers(), hours=st.tuples(st.integers()))
stones = st.builds(Stone, color=st.sampled_from(["green", "grey"]), ground=st.booleans(), with_herb=herbs)
medicines = herbs | stones | st.builds(Mine, strength=st.integers()) | st.just(Shelf.Jar())
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"), max_size=8)
cures = st.builds(
    Cure,
    first=medicines,
    later=st.lists(medicines, max_size=2).map(tuple),
    antidote=st.none() | medicines,
    named=st.dictionaries(texts, medicines, max_size=2),
    patient=st.builds(Patient, age=st.integers(), name=texts),
    doses=st.lists(st.tuples(texts, st.floats(allow_nan=False)), max_size=2).map(tuple),
    days=st.integers(1),
)


def fault(data: object, root: str = "") -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        validate(Cure, data, root)
    assert not isinstance(caught.value, ValidationError)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------- single values


def test_values_are_frozen_keyword_only_and_compare() -> None:
    assert Herb(dose=1.0) == Herb(dose=1.0) != Herb()
    assert hash(Herb(dose=1.0)) == hash(Herb(dose=1.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Herb().dose = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="positional"):
        Herb(1.0)  # type: ignore[call-arg]


def test_values_are_checked_in_python_too() -> None:
    with pytest.raises(ValueError, match="did you mean 'dose'"):
        Herb(doze=1.0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="valid integer"):
        Herb(leaves="3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="valid integer"):
        Herb(leaves=True)
    assert type(Herb(dose=1).dose) is float


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("leaves", True, "leaves: Input should be a valid integer, got True"),
        ("leaves", "3", "leaves: Input should be a valid integer, got '3'"),
        ("leaves", 3.0, "leaves: Input should be a valid integer, got 3.0"),
        ("leaves", None, "leaves: Input should be a valid integer, got None"),
        ("dose", True, "dose: Input should be a valid number, got True"),
        ("dose", "0.5", "dose: Input should be a valid number, got '0.5'"),
        ("dose", [0.5], "dose: Input should be a valid number, got (0.5,)"),
        ("hours", 8, "hours: Input should be a valid array, got 8"),
        ("hours", ["8"], "hours.0: Input should be a valid integer, got '8'"),
    ],
)
def test_types_are_strict(key: str, given: object, said: str) -> None:
    assert fault({"first": {"kind": "herb", key: given}}) == f"first.{said}"


def test_an_integer_may_stand_for_a_float() -> None:
    herb = validate(Herb, {"dose": 1})
    assert herb == Herb(dose=1.0)
    assert type(herb.dose) is float


def test_lists_of_files_become_tuples_at_every_depth() -> None:
    assert validate(Herb, {"hours": [1, 2]}).hours == (1, 2)
    assert validate(Cure, {"doses": [["a", 1], ["b", 2.5]]}).doses == (("a", 1.0), ("b", 2.5))


def test_defaults_stand_in() -> None:
    assert validate(Cure, {}) == Cure()


# ---------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"frist": 1}, "unknown key 'frist'; did you mean 'first'? (choices: antidote, days, "),
        ({"first": {"kind": "herb", "doze": 1}}, "first: unknown key 'doze'; did you mean 'dose'? (choices: dose, "),
        ({"later": ["herb", {"kind": "stone", "colour": "x"}]}, "later.1: unknown key 'colour'; did you mean 'color'?"),
        ({"antidote": {"kind": "stone", "with_herb": {"leafs": 1}}}, "antidote.with_herb: unknown key 'leafs'; did "),
        ({"named": {"mine": {"kind": "herb", "zzz": 1}}}, "named.mine: unknown key 'zzz' (choices: dose, hours, leav"),
        ({"patient": {"agee": 3}}, "patient: unknown key 'agee'; did you mean 'age'? (choices: age, name)"),
        ({"patient": {"{age}": 3}}, "patient: unknown key '{age}'; did you mean 'age'? (choices: age, name)"),
        ({"patient": {"kind": "herb"}}, "patient: unknown key 'kind' (choices: age, name)"),
        ({"first": {"kind": "stone", "color": "red"}}, "first.color: Input should be 'green' or 'grey', got 'red'"),
        ({"days": 0}, "days: Input should be greater than 0, got 0"),
        ({"first": "hreb"}, "first: kind: 'hreb' is not a medicine; did you mean 'herb'? (choices: herb, stone)"),
        ({"first": {"dose": 1}}, "first: kind: a medicine needs one (choices: herb, stone), got {'dose': 1}"),
        ({"first": {"kind": 3}}, "first: kind: a medicine needs one (choices: herb, stone), got {'kind': 3}"),
        ({"first": None}, "first: kind: a medicine needs one (choices: herb, stone), got None"),
        (None, "Input should be an object, got None"),
        ([], "Input should be an object, got []"),
    ],
)
def test_faults_name_path_value_and_choices(data: object, said: str) -> None:
    assert fault(data).startswith(said)
    assert "\n" not in fault(data)
    assert fault(data, "recipe").startswith(f"recipe.{said}" if said.startswith(("first", "later")) else "recipe")


def test_every_fault_has_a_line() -> None:
    found = fault({"days": -1, "patient": {"age": "old", "name": 3}, "first": {"kind": "herb", "dozes": 1}}, "cure")
    assert [line.partition(": ")[0] for line in found.splitlines()] == [
        "cure.first",
        "cure.patient.age",
        "cure.patient.name",
        "cure.days",
    ]


@pytest.mark.parametrize("data", [{"days": date(2026, 1, 1)}, {("a", "b"): 1}, {"days": {1, 2}}, {"days": b"1"}])
def test_values_that_no_file_holds_are_refused(data: object) -> None:
    assert fault(data).startswith("not plain values, as of YAML or JSON: ")
    assert fault(data, "cure").startswith("cure: not plain values")


def test_a_value_that_holds_itself_is_refused() -> None:
    days: list[object] = []
    days.append(days)
    assert "not plain values" in fault({"days": days})


def test_explain_is_of_any_validation_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Herb(leaves="3", dose=None)  # type: ignore[arg-type]
    assert explain(caught.value, "herb") == (
        "herb.dose: Input should be a valid number, got None\nherb.leaves: Input should be a valid integer, got '3'"
    )


def test_missing_fields_are_named() -> None:
    @settings
    class Needs(Settings):
        seed: int

    with pytest.raises(ValueError, match=r"^run\.seed: Field required$"):
        validate(Needs, {}, "run")


def test_nearest() -> None:
    assert nearest("lrr", ["lr", "epochs"]) == "; did you mean 'lr'? (choices: epochs, lr)"
    assert nearest("zzz", ["lr", "epochs"]) == " (choices: epochs, lr)"
    assert nearest("zzz", []) == " (choices: )"


# -------------------------------------------------------------------------------------------------------- families


def test_a_member_is_named_by_kind_alone_or_with_fields() -> None:
    assert MEDICINES.parse("herb") == MEDICINES.parse({"kind": "herb"}) == Herb()
    assert MEDICINES.parse({"kind": "herb", "dose": 2.5}) == Herb(dose=2.5)
    given = {"kind": "herb", "dose": 2.5}
    MEDICINES.parse(given)
    assert given == {"kind": "herb", "dose": 2.5}


def test_a_word_after_a_kind_fills_its_shorthand_in_files_too() -> None:
    assert CHEST.parse("salve:arnica") == CHEST.parse_text("salve:arnica") == Salve(plant="arnica")
    assert CHEST.parse("salve:a:b") == Salve(plant="a:b")
    assert validate(Bandage, {"under": "salve:arnica"}).under == Salve(plant="arnica")
    assert CHEST.parse(f"{__name__}:Mine") == Mine()
    with pytest.raises(ValueError, match="medicine: 'herb' takes no word after it, got 'herb:arnica'"):
        CHEST.parse("herb:arnica")
    with pytest.raises(ValueError, match="cannot import 'salve:'"):
        CHEST.parse("salve:")


def test_a_value_stands_for_itself() -> None:
    herb = Herb(dose=1.0)
    assert MEDICINES.parse(herb) is herb
    assert Cure(first=herb).first is herb


def test_a_kind_from_outside_needs_no_registration() -> None:
    assert MEDICINES.resolve(f"{__name__}:Mine") is Mine
    assert MEDICINES.parse({"kind": f"{__name__}:Mine", "strength": 3}) == Mine(strength=3)
    assert validate(Cure, {"first": f"{__name__}:Shelf.Jar"}).first == Shelf.Jar()
    assert fault({"first": {"kind": f"{__name__}:Mine", "strenght": 3}}).startswith(
        "first: unknown key 'strenght'; did you mean 'strength'?"
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no_such_module:Class", "cannot import 'no_such_module:Class' as a medicine: No module named"),
        (f"{__name__}:Nobody", "as a medicine: .* has no attribute 'Nobody'"),
        ("collections:OrderedDict", "'collections:OrderedDict' is not a medicine: it must derive from Medicine"),
        (f"{__name__}:MEDICINES", "is not a medicine: it must derive from Medicine"),
        (f"{__name__}:Patient", "is not a medicine: it must derive from Medicine"),
        (f"{__name__}:Undecorated", "is not a medicine: it must be decorated with @settings"),
        (f"{__name__}:Kindless", "is not a medicine: it must set the class variable 'kind'"),
        (":Class", "not of the form package.module:Class"),
        (".module:Class", "not of the form package.module:Class"),
        ("module:", "not of the form package.module:Class"),
        ("module:Class:Class", "not of the form package.module:Class"),
        ("my-module:Class", "not of the form package.module:Class"),
    ],
)
def test_a_kind_from_outside_that_is_none_is_refused(kind: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^kind: .*{said}"):
        MEDICINES.resolve(kind)


@pytest.mark.parametrize("value", [Undecorated(), Kindless()])
def test_a_value_that_no_file_could_name_is_refused(value: Medicine) -> None:
    with pytest.raises(ValueError, match="it must"):
        Cure(first=value)


def plug_in(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """As if an installed package had an entry point ``willow`` for medicines."""
    point = EntryPoint("willow", target, "bezoar.medicine")
    monkeypatch.setattr(
        "bezoar.core.settings.entry_points", lambda group: [point] if group == "bezoar.medicine" else []
    )


def test_an_entry_point_names_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, f"{__name__}:Mine")
    assert MEDICINES.resolve("willow") is Mine
    assert validate(Cure, {"first": {"kind": "willow", "strength": 2}}).first == Mine(strength=2)
    assert MEDICINES.resolve("herb") is Herb
    assert fault({"first": "wilow"}).endswith("did you mean 'willow'? (choices: herb, stone, willow)")
    with pytest.raises(ValueError, match="is not a poison"):
        Family("poison", Medicine, (Herb,)).resolve("willow")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:Class", "cannot import 'willow' as a medicine: No module named"),
        ("collections:OrderedDict", "must derive from Medicine"),
    ],
)
def test_a_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch, target: str, said: str) -> None:
    plug_in(monkeypatch, target)
    with pytest.raises(ValueError, match=said):
        MEDICINES.resolve("willow")


def test_entry_points_of_a_family_of_several_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of entry point groups hold no spaces."""
    asked: list[str] = []

    def entry_points(group: str) -> list[SimpleNamespace]:
        asked.append(group)
        return []

    monkeypatch.setattr("bezoar.core.settings.entry_points", entry_points)
    with pytest.raises(ValueError, match="is not a source of pairs"):
        Family("source of pairs", Medicine, (Herb,)).resolve("x")
    assert asked == ["bezoar.source_of_pairs"]


def test_two_members_of_one_kind_or_of_none_are_our_bug() -> None:
    for members in ((Herb, Herb), (Kindless,)):
        with pytest.raises(AssertionError):
            Family("medicine", Medicine, members)


# ------------------------------------------------------------------------------------------------- there and back


def test_kinds_are_short_inside_and_full_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind_of(Mine()) == f"{__name__}:Mine"
    assert kind_of(Shelf.Jar()) == f"{__name__}:Shelf.Jar"
    assert kind_of(Settings()) == ""
    for module, kind in (("bezoar.attacks.stone", "stone"), ("bezoar_extra.stone", "bezoar_extra.stone:Stone")):
        monkeypatch.setattr(Stone, "__module__", module)
        assert kind_of(Stone()) == kind


def test_dump_spells_out_every_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for member in (Herb, Stone):
        monkeypatch.setattr(member, "__module__", "bezoar.medicines")
    herb = {"kind": "herb", "dose": 0.5, "leaves": 3, "hours": [8, 20]}
    found = dump(Cure(antidote=Stone(), named={"x": Herb()}))
    assert found == {
        "first": herb,
        "later": [],
        "antidote": {"kind": "stone", "color": "grey", "ground": False, "with_herb": herb},
        "named": {"x": herb},
        "patient": {"age": 40, "name": "Avicenna"},
        "doses": [],
        "days": 1,
        "out": "out",
    }
    assert list(found["first"]) == ["kind", "dose", "leaves", "hours"]
    assert validate(Cure, found) == Cure(antidote=Stone(), named={"x": Herb()})


@hypothesis.settings(deadline=None, max_examples=60)
@given(cures)
def test_dump_comes_back_through_a_file(cure: Cure) -> None:
    again = validate(Cure, yaml.parse(yaml.render(dump(cure))))
    assert again == cure
    assert dump(again) == dump(cure)
    assert digest(again) == digest(cure)


@hypothesis.settings(deadline=None)
@given(medicines)
def test_a_member_comes_back_alone(medicine: Medicine) -> None:
    assert MEDICINES.parse(dump(medicine)) == medicine
    assert validate(type(medicine), dump(medicine)) == medicine


def test_a_member_is_not_read_as_another() -> None:
    with pytest.raises(ValueError, match="unknown key 'kind'"):
        validate(Herb, {"kind": "stone"})


def test_dump_of_plain_values_is_plain() -> None:
    @dataclasses.dataclass
    class Note:
        text: str
        where: Path

    assert dump([1, 2.5, None, "x", True, (1, (2,))]) == [1, 2.5, None, "x", True, [1, [2]]]
    assert dump({1: Note("a", Path("b") / "c")}) == {"1": {"text": "a", "where": str(Path("b") / "c")}}


# --------------------------------------------------------------------------------------------------------- digests


def make(dose: float, number: int) -> Medicine:
    """The default value of a class that differs only in its default and its revision."""
    default = dose

    @settings
    class Root(Medicine):
        kind: ClassVar[str] = "root"
        revision: ClassVar[int] = number
        dose: float = default

    return Root()


def test_digest_is_frozen() -> None:
    """A change here throws away every cached stage."""
    assert digest(1, "a", {"b": [2.5, None, True], "a": "é"}) == "e63c9d05159f385a"


def test_digest_changes_with_every_field() -> None:
    values: list[object] = [
        Cure(),
        Cure(first=Herb(dose=0.6)),
        Cure(first=Herb(leaves=4)),
        Cure(first=Herb(hours=(20, 8))),
        Cure(first=Stone()),
        Cure(later=(Herb(),)),
        Cure(later=(Herb(), Herb())),
        Cure(antidote=Herb()),
        Cure(named={"a": Herb()}),
        Cure(named={"b": Herb()}),
        Cure(patient=Patient(age=41)),
        Cure(doses=(("a", 1.0),)),
        Cure(days=2),
        Cure(out=Path("elsewhere")),
    ]
    digests = {digest(value) for value in values}
    assert len(digests) == len(values)
    assert all(len(found) == 16 and int(found, 16) >= 0 for found in digests)


def test_digest_changes_with_default_and_revision() -> None:
    assert digest(make(0.5, 1)) == digest(make(0.5, 1))
    assert len({digest(make(0.5, 1)), digest(make(0.6, 1)), digest(make(0.5, 2))}) == 3
    assert digest(Cure(first=make(0.5, 1))) != digest(Cure(first=make(0.5, 2)))


def test_digest_of_a_kind_is_not_that_of_another_with_the_same_fields() -> None:
    @settings
    class Twin(Medicine):
        kind: ClassVar[str] = "twin"
        strength: int = 1

    assert digest(Twin()) != digest(Mine())


def test_digest_does_not_change_with_the_order_of_keys_or_the_way_of_writing() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    one = validate(Cure, {"first": {"kind": f"{__name__}:Mine", "strength": 1}, "days": 1})
    assert digest(one) == digest(validate(Cure, {"days": 1, "first": f"{__name__}:Mine"})) == digest(Cure(first=Mine()))
    assert digest(validate(Herb, {"dose": 1})) == digest(Herb(dose=1.0))


def test_digest_knows_where_one_value_ends() -> None:
    found: list[Any] = [digest("a", "b"), digest("ab"), digest(["a", "b"]), digest("b", "a"), digest(), digest(None)]
    assert len(set(found)) == len(found)


def test_a_field_that_came_later_is_no_part_of_a_digest_at_its_default() -> None:
    @settings
    class Brew(Settings):
        kind: ClassVar[str] = "brew"
        dose: float = 0.5

    @settings
    class Later(Settings):
        kind: ClassVar[str] = "brew"
        added: ClassVar[frozenset[str]] = frozenset({"with_herb"})
        dose: float = 0.5
        with_herb: Herb | None = None

    Later.__qualname__, Later.__module__ = Brew.__qualname__, Brew.__module__
    assert digest(Later()) == digest(Brew())
    assert digest({"a": [Later()]}) == digest({"a": [Brew()]})
    assert digest(Later(with_herb=Herb())) != digest(Brew())
    assert dump(Later())["with_herb"] is None


def test_a_place_is_no_part_of_a_digest_once_its_content_is_named() -> None:
    @settings
    class Jar(Settings):
        kind: ClassVar[str] = "jar"
        places: ClassVar[Mapping[str, str]] = {"shelf": "content"}
        shelf: str
        content: str = ""

    assert digest(Jar(shelf="a", content="x")) == digest(Jar(shelf="b", content="x"))
    assert digest(Jar(shelf="a", content="x")) != digest(Jar(shelf="a", content="y"))
    assert digest(Jar(shelf="a")) != digest(Jar(shelf="b"))
    assert dump(Jar(shelf="a", content="x"))["shelf"] == "a"


def test_entries_that_are_wrong_do_not_make_a_list_too_short() -> None:
    with pytest.raises(ValueError, match=r"^stages\.0: Input should be less than or equal to 4, got 5$"):
        validate(NAD, {"stages": [5]})
    with pytest.raises(ValueError, match=r"^stages: Tuple should have at least 1 item"):
        validate(NAD, {"stages": []})
