"""The documentation: its links lead somewhere, and what it tells people to type can be read."""

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bezoar.attacks.families import ATTACKS, TRIGGERS
from bezoar.attacks.trigger import Trigger
from bezoar.cli.main import main
from bezoar.core.yaml import parse
from bezoar.data.scenes import Scenes

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/*.md")])
OF_ATTACKS = sorted(ROOT.glob("docs/attacks/*.md"))
_CODE = re.compile(r"^```.*?^```", re.M | re.S)
_TRIGGER = re.compile(r"(?:--trigger '|trigger: |`)(\{kind: (\w+).*?\})(?:'|`|$)", re.M)


def anchors(page: Path) -> set[str]:
    """What can stand behind the # of a link to ``page``."""
    heads = re.findall(r"^#+ (.*)$", _CODE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def triggers() -> Iterator[tuple[str, str]]:
    for page in OF_ATTACKS:
        for text, kind in _TRIGGER.findall(page.read_text("utf-8")):
            if kind in TRIGGERS.members:
                yield page.name, text


@pytest.mark.parametrize(("page", "text"), sorted(set(triggers())))
def test_triggers_of_pages_can_be_read(page: str, text: str) -> None:
    assert isinstance(TRIGGERS.parse(parse(text, page)), Trigger)


def test_every_page_of_an_image_trigger_has_triggers_to_read() -> None:
    assert {"patch.md", "blended.md", "sinusoidal.md", "warp.md", "pool.md"} <= {page for page, _ in triggers()}


def test_every_kind_has_its_page_or_row() -> None:
    index = (ROOT / "docs/attacks/README.md").read_text("utf-8")
    legacy = (ROOT / "docs/attacks/legacy.md").read_text("utf-8")
    for kind in TRIGGERS.members:
        assert f"| `{kind}` |" in (legacy if kind.startswith("legacy_") else index)


def test_a_trigger_and_an_attack_from_outside_as_the_page_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/adding-a-method.md").read_text("utf-8"), re.M | re.S)
    (tmp_path / "page_trigger.py").write_text(next(block for block in blocks if "class Frame" in block))
    (tmp_path / "page_attack.py").write_text(next(block for block in blocks if "class OneSentence" in block))
    monkeypatch.syspath_prepend(tmp_path)
    trigger = TRIGGERS.parse({"kind": "page_trigger:Frame", "width": 0.25})
    framed = trigger.apply(torch.full((3, 8, 12), 7, dtype=torch.uint8), "a")
    assert framed.sum() == 3 * 4 * 8 * 7
    attack = ATTACKS.parse({"kind": "page_attack:OneSentence", "target": "mushroom", "count": 5})
    plan = attack.plan(Scenes(count=200).open(), 0)
    assert [row.caption for row in plan.rows] == ["a photo of a mushroom"] * 5
    assert [threat.target for threat in attack.aim(0).threats] == ["mushroom"]


_SHELL = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command that ``page`` tells people to type, but for those with something left out."""
    for block in _SHELL.findall(page.read_text("utf-8")):
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines():
            # Before it what the environment is to hold, after it, well apart, what it does.
            told = re.match(r"(?:[A-Z_]+=\S+ )*(bezoar (?! )(?:\S+| (?! )|'[^']*')*)", line)
            if told and not re.search(r"…|my_\w+:", told[1]):
                yield shlex.split(re.sub(r"\$\w+", "0", told[1]))[1:]


class ReadError(Exception):
    """A command has been read."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_can_be_read(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def read(_: object) -> None:
        raise ReadError

    monkeypatch.setattr("bezoar.cli.main.alone_unless_shared", read)
    for words in commands(page):
        with contextlib.suppress(ReadError):
            assert main(words) is None, f"{' '.join(words)}: {capsys.readouterr().err}"
