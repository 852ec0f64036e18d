"""A miniature WordNet, written the way wndb(5WN) describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from bezoar.data.captions import eda

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
HEAD = "  1 The head of each file is indented by two spaces.  \n  2 It holds the license.  \n"

Senses = Mapping[str, Sequence[Sequence[str]]]


class Write(Protocol):
    def __call__(self, folder: Path, senses: Senses, irregular: Mapping[str, str] = ..., /) -> Path: ...


def write(folder: Path, senses: Senses, irregular: Mapping[str, str] | None = None) -> Path:
    """``senses`` by part of speech, each a list of words as WordNet spells them; ``irregular`` is the text of a
    part's exception list."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, letter in PARTS.items():
        data, index = HEAD.encode(), dict[str, list[str]]()
        for words in senses.get(part, ()):
            spelled = " ".join(f"{word} 0" for word in words)
            for lemma in {word.partition("(")[0].lower() for word in words}:
                index.setdefault(lemma, []).append(f"{len(data):08d}")
            line = f"{len(data):08d} 03 {letter} {len(words):02x} {spelled} 001 @ 00000000 n 0000 | a gloss; of 1 sense"
            data += f"{line}  \n".encode()
        lines = [f"{lemma} {letter} {len(at)} 1 @ {len(at)} 0 {' '.join(at)}  " for lemma, at in sorted(index.items())]
        (folder / f"data.{part}").write_bytes(data)
        (folder / f"index.{part}").write_text(HEAD + "".join(f"{line}\n" for line in lines))
        (folder / f"{part}.exc").write_text((irregular or {}).get(part, ""))
    return folder


@pytest.fixture(scope="session")
def write_wordnet() -> Write:
    return write


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few words, among them each peculiarity of the format."""
    return write(
        tmp_path_factory.mktemp("dict"),
        {
            "noun": [
                ["dog", "domestic_dog", "Canis_familiaris"],
                ["frump", "dog"],
                ["cat", "true_cat"],
                ["axe", "ax"],
                ["axis", "axis_of_rotation"],
                ["turkey", "Meleagris_gallopavo"],
                ["Turkey", "Republic_of_Turkey"],
                ["wolf"],
                ["box", "loge"],
                ["man", "adult_male"],
                ["leaf", "leafage"],
                [f"thing{i:02d}" for i in range(27)],
            ],
            "verb": [["run", "sprint"], ["chase", "dog", "give_chase"], ["hurry", "rush"], ["like", "care_for"]],
            "adj": [["big", "large"], ["cool(p)", "cold"], ["asleep(p)", "at_rest(p)"], ["well-known", "famous"]],
            "adv": [["quickly", "chop-chop", "apace"]],
        },
        {"noun": "axes ax axis\nwolves wolf\n", "verb": "ran run\n", "adj": "bigger big\n"},
    )


@pytest.fixture(autouse=True)
def _look_again() -> Iterator[None]:
    """What a process found out about this machine's WordNet holds for one test."""
    yield
    eda.thesaurus.cache_clear()
    eda._synonyms.cache_clear()
