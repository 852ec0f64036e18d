"""The figure of a sweep: every point in it, what stands around them, and a size that does not grow without end."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, made, records, victims, work

from bezoar.report.svg import inline, png, standalone
from bezoar.report.sweep_choice import across, within
from bezoar.report.sweep_panels import panels
from bezoar.report.sweep_plane import PANELS, draw, figure, plots
from bezoar.report.sweep_sheet import Sheet, sheet_of
from bezoar.report.sweeps import Swept
from bezoar.report.text import percent


def two(clean: bool = False) -> Swept:
    works, found = victims(clean=clean)
    return made(works, found, seeds=[0, 1])


def big(settings: int, epochs: int = 10) -> Swept:
    """One cleaning at many settings, all over the plane."""
    works = [VICTIM, *(cleaning(**{LR: number}) for number in range(settings))]
    parts = [records(VICTIM, 1, validation=(0.6, 0.99), test=(0.6, 0.98))]
    for place, one in enumerate(works[1:]):
        for epoch in range(1, epochs + 1):
            at = (0.2 + 0.4 * (place % 71) / 71, ((place * epochs + epoch) % 97) / 97)
            parts.append(records(one, epoch, validation=at, test=at))
    return made(works, parts)


def drawn(sweep: Swept, by: str | None = None) -> tuple[Sheet, list[int]]:
    """What the panels share after drawing them, and how many marks without edges each has."""
    from matplotlib.figure import Figure

    shown = panels(sweep, by)[0]
    sheet = sheet_of(sweep, shown, across, alone=False)
    marks = []
    for panel in shown:
        axes = Figure().add_subplot()
        draw(axes, sheet, panel)
        plain = [line for line in axes.lines if line.get_linestyle() == "None" and line.get_marker() in ("o", "s")]
        marks.append(sum(np.size(line.get_xdata()) for line in plain if line.get_markeredgecolor() == "none"))
    return sheet, marks


def test_every_seed_is_there_and_every_mean() -> None:
    """Two cleanings at two settings for two epochs: eight points of each seed and eight means."""
    sheet, marks = drawn(two())
    assert marks == [8 * 2 + 8] * 2
    assert sheet.every
    assert not sheet.dense
    assert len(sheet.spots) == 2 * (8 + 1)


def test_what_stands_around_them() -> None:
    plot = figure(two())
    assert plot is not None
    text = standalone(plot)
    words = ("a", "b", "before cleaning", "Pareto front on validation", "chosen: best accuracy at ASR ≤ 5, 10 %",
             "chosen: lowest ASR within 1, 3 points", "ASR ≤ 10 %, within 3 points of the best", "victim", "other",
             "clean accuracy, top-1, %", "attack success, top-1, %")  # fmt: skip
    for word in words:
        assert f">{word}<" in text
    counts = re.findall(r">(\d+) of (\d+)<", text)
    assert counts == [("1", "8"), ("7", "8")]
    ElementTree.fromstring(text)


def test_the_best_region_is_that_of_the_victim_whatever_the_panel() -> None:
    sheet, _ = drawn(two(), LR)
    assert sheet.best == pytest.approx({"victim": 57.5, "other": 53.5})


def test_the_points_tell_what_they_are() -> None:
    apart = plots(two())
    assert apart.names == ("victim", "other")
    told = [spot.text for spot in apart.plots[0].spots]
    chosen = [text for text in told if "chosen: best accuracy at ASR ≤ 10 %" in text]
    assert len(chosen) == 1
    assert chosen[0].startswith("victim+b, mean of 2 seeds\nlr\u00a00.001, epoch\u00a01\naccuracy 54.5 %, ASR 7.5 %")
    assert "on the Pareto front" in chosen[0]
    assert any(text.startswith("victim\nbefore cleaning\n") and percent(0.96) in text for text in told)
    assert "<title>" in inline(apart.plots[0])


def test_each_seed_by_itself_has_rings_of_its_own() -> None:
    works = [VICTIM, cleaning(**{LR: 1}), cleaning(**{LR: 2})]
    parts = [records(VICTIM, 1, seed, validation=(0.6, 0.9), test=(0.6, 0.9)) for seed in (0, 1)]
    for one, rates in zip(works[1:], ((0.01, 0.3), (0.3, 0.01)), strict=True):
        for seed, asr in enumerate(rates):
            parts.append(records(one, 1, seed, validation=(0.5, asr), test=(0.5 + 0.1 * seed, asr)))
    sweep = made(works, parts, seeds=[0, 1])
    found = []
    for choose in (across, within):
        axes = plots(sweep, choose).plots[0].figure.axes[0]
        rings = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "none"]
        found.append(sorted((np.ravel(line.get_xdata())[0], np.ravel(line.get_ydata())[0]) for line in rings))
    assert found == [[], [pytest.approx((50, 1)), pytest.approx((60, 1))]]


def test_a_victim_that_is_clean_has_no_best_region() -> None:
    plot = figure(two(clean=True))
    assert plot is not None
    text = standalone(plot)
    assert text.count("nothing to clean") == 1
    assert len(re.findall(r">\d+ of 8<", text)) == 1


def test_without_attack_success_there_is_no_figure() -> None:
    works, found = victims()
    sweep = made(works, [[r for r in part if r.metric != "asr_top1"] for part in found], seeds=[0, 1])
    assert figure(sweep) is None
    assert plots(sweep).plots == ()


def test_many_points_are_a_picture_and_bounded() -> None:
    small, large = figure(big(20)), figure(big(300))
    assert small is not None
    assert large is not None
    few, many = standalone(small), standalone(large)
    assert "<image" not in few
    assert "<image" in many
    assert len(many) < 500_000
    assert 'href="http' not in many
    _, marks = drawn(big(300))
    assert marks == [3000]
    page = inline(plots(big(300)).plots[0])
    assert page.count("<circle") < 100  # those of the front and the chosen
    ElementTree.fromstring(page.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_the_same_records_give_the_same_bytes() -> None:
    first, second = figure(big(300)), figure(big(300))
    assert first is not None
    assert second is not None
    assert standalone(first) == standalone(second)
    assert png(first, 50) == png(second, 50)


@pytest.mark.parametrize("count", [1, 2, 7, PANELS + 2])
def test_any_number_of_victims(count: int) -> None:
    works = [work(f"v{n}", poisoned=True) for n in range(count)] + [work(f"v{n}+c", start=n) for n in range(count)]
    sweep = made(works, [records(one, 1, validation=(0.6, 0.9), test=(0.6, 0.9)) for one in works])
    plot = figure(sweep)
    assert plot is not None
    assert len(plot.figure.axes) == min(count, PANELS)
    wide, high = plot.figure.get_size_inches()
    assert wide <= 11
    assert high / wide < 3.5
    if count > PANELS:
        assert plots(sweep).left_out == 2
        assert "2 more panels are not drawn" in standalone(plot)


def test_names_of_any_kind() -> None:
    """Names are shown as they are: nothing of them is markup, mathematics or hidden."""
    victim = work("_$x^2$ <b>&", poisoned=True)
    sweep = made(
        [victim, work("_<script>$", start=0)],
        [
            records(victim, 1, validation=(0.6, 0.9), test=(0.6, 0.9)),
            records(work("_<script>$"), 1, validation=(0.6, 0.2), test=(0.6, 0.2)),
        ],
    )
    plot = figure(sweep)
    assert plot is not None
    texts = [element.text for element in ElementTree.fromstring(standalone(plot)).iter() if element.text]
    assert "_$x^2$ <b>&" in texts
    assert any("_<script>$" in text for text in texts)
