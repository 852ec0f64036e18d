"""SVG inside a page: the same bytes every time, no address, ids of its own, nothing that hostile words can do."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from bezoar.report.svg import INK, inline, style

HOSTILE = '<script>alert(1)</script> & "quoted" $x_1$'


def drawn(name: str = "one", label: str = "a plot") -> str:
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], marker="o", color=INK, label=HOSTILE)
        axes.fill_between([0, 1], [0, 1], alpha=0.5)
        axes.set_title(HOSTILE)
        axes.legend()
        return inline(figure, name, label)


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert drawn() == drawn()


def test_it_is_one_element_without_addresses_or_styles_of_its_own() -> None:
    text = drawn()
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib["role"]) == ("svg", "img")
    assert not re.search(r"https?:|xmlns|<\?xml|<!|<style|<metadata|\d{4}-\d\d-\d\d", text)


def test_ids_are_its_own_and_all_references_meet_them() -> None:
    text = drawn("one")
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert ids
    assert len(ids) == len(set(ids))
    assert all(found.startswith("one-") for found in ids)
    uses = re.findall(r'href="#([^"]*)"', text) + re.findall(r"url\(#([^)]*)\)", text)
    assert uses
    assert set(uses) <= set(ids)
    assert not set(ids) & set(re.findall(r'\sid="([^"]*)"', drawn("two")))


def test_words_stay_words() -> None:
    root = ElementTree.fromstring(drawn(label=HOSTILE))
    assert root.attrib["aria-label"] == HOSTILE
    assert [element.text for element in root.iter("text")].count(HOSTILE) == 2
    assert not list(root.iter("script"))


def test_ink_is_the_color_of_the_page() -> None:
    text = drawn()
    assert "currentColor" in text
    assert INK not in text
    assert "#000000" not in text
    assert "DejaVu" not in text


def test_the_style_ends_where_it_ends() -> None:
    before = dict(matplotlib.rcParams)
    drawn()
    assert dict(matplotlib.rcParams) == before
