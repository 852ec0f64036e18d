"""SVG inside a page: the same bytes every time, no address, ids of its own, nothing that hostile words can do."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bezoar.report.looks import COLORS, ENDS, MARKS
from bezoar.report.svg import INK, Plot, Spot, icon, inline, png, standalone, style

HOSTILE = '<script>alert(1)</script> & "quoted" $x_1$'


def plot(name: str = "one", label: str = "a plot", spots: bool = False) -> Plot:
    with style():
        figure = Figure(figsize=(4, 3), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], marker="o", ms=6, color=INK, label=HOSTILE)
        axes.fill_between([0, 1], [0, 1], alpha=0.5)
        axes.set_title(HOSTILE)
        axes.legend()
    found = tuple(Spot(axes, x, x, 0, f"{HOSTILE}\nat {x}") for x in (0, 1)) if spots else ()
    return Plot(name=name, label=label, figure=figure, spots=found)


def drawn(name: str = "one", label: str = "a plot") -> str:
    return inline(plot(name, label))


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


def test_points_lie_where_they_are_drawn() -> None:
    root = ElementTree.fromstring(inline(plot(spots=True)))
    assert root.attrib["role"] == "group"
    circles = list(root.iter("circle"))
    assert [circle.findtext("title") for circle in circles] == [f"{HOSTILE}\nat {x}" for x in (0, 1)]
    marks = [use for group in root.iter("g") if "clip-path" in group.attrib for use in group.iter("use")]
    places = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in marks]
    assert places
    for circle in circles:
        x, y = float(circle.attrib["cx"]), float(circle.attrib["cy"])
        assert any(abs(x - a) < 0.2 and abs(y - b) < 0.2 for a, b in places)


def test_an_svg_file_stands_alone() -> None:
    text = standalone(plot(spots=True, label=HOSTILE))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == HOSTILE
    assert "currentColor" not in text
    assert INK not in text
    assert "circle" not in text
    assert not re.search(r"<script|<style|<metadata|\d{4}-\d\d-\d\d", text.replace("&lt;script", ""))
    assert text == standalone(plot(spots=True, label=HOSTILE))


def test_a_picture_is_white_where_nothing_is_drawn() -> None:
    picture = Image.open(io.BytesIO(png(plot(), dpi=50)))
    assert picture.size == (200, 150)
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(picture.convert("L").getcolors() or []) > 2


@pytest.mark.parametrize("mark", [*MARKS, *ENDS.values(), "line", "ring", "square", "region"])
def test_marks_are_small_pictures(mark: str) -> None:
    found = ElementTree.fromstring(icon(mark, COLORS[0]))
    assert found.attrib["fill"] == COLORS[0]
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", " ".join(child.attrib.get("d", "") for child in found))]
    assert all(0 <= number <= 12 for number in numbers)
    assert "currentColor" in icon(mark, INK)
