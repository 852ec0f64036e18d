"""The page in a real browser: nothing asked of the network, no complaint, points that answer, every size and scheme."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.report.browser import Browser, browser, chromium
from tests.report.handmade import (
    ATTACKS,
    HEAD,
    WHOLE,
    add_data,
    add_plan,
    add_records,
    add_stage,
    add_untouched,
    batches,
    make_run,
    many_attacks,
    preview_row,
    seeded,
)

from bezoar.report import write

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="needs Chromium or Chrome"),
    pytest.mark.xdist_group("browser"),
]

LONG = "averyveryverylongwordwithoutanyplacetobreakit" * 4


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one run that has all a run can have, with long and hostile words."""
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    changes: dict[str, Any] = {"seeds": [0, 1], "about": f"About {LONG}", "held_out": {"test": pairs}}
    measured = {**WHOLE, **seeded(WHOLE, 1, 0.013)}
    folder = make_run(tmp_path_factory.mktemp("browser") / "one", measured, **changes)
    rows = [preview_row("<script>document.title = 'owned'</script>", LONG), preview_row()]
    for seed in (0, 1):
        add_plan(folder, seed, rows=rows)
    add_stage(folder, "victim")
    add_data(folder, f"note {LONG}", skipped=5)
    add_records(folder, "text_recall_top1", 0.4)
    return write(folder, by=["lr", "seed"])


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs."""
    home = tmp_path_factory.mktemp("browser")
    folders = [make_run(home / "a", WHOLE), make_run(home / "b", WHOLE, batches(64))]
    return write(*folders, out=home / "report.html")


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    program = chromium()
    assert program
    with browser(program) as found:
        yield found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one run of many attacks, one of a name that is as long as a name can be."""
    home = tmp_path_factory.mktemp("browser") / "many"
    attacks = {f"a{n}": {**ATTACKS["patch"], "rate": n / 100} for n in range(1, 9)} | {LONG[:80]: ATTACKS["dual"]}
    many_attacks(home, {(name, 0, 2): (0.6, 0.5, 0.6, 0.5) for name in attacks}, attacks)
    for number, name in enumerate(attacks, 1):
        add_plan(home, name=name, count=40 * number, **HEAD)
        add_untouched(home, name, 0.04)
    add_records(home, "asr_top1/picture", 0.1)
    return write(home)


@pytest.fixture(params=["one", "several", "many"])
def page(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


def test_nothing_is_asked_for_and_nothing_complains(tab: Browser, page: Path) -> None:
    tab.width(1280)
    tab.open(page)
    assert tab.complaints() == []
    assert [url for url in tab.requests() if not url.startswith("data:")] == [page.absolute().as_uri()]
    assert tab.run("document.title").endswith("– Bezoar report")
    assert tab.run("document.querySelectorAll('img').length") == tab.run(
        "[...document.querySelectorAll('img')].filter((i) => i.complete && i.naturalWidth > 0).length"
    )


def test_the_policy_holds_against_a_script_that_got_in(tab: Browser, one: Path, tmp_path: Path) -> None:
    """The test above can fail: a page that does run foreign code or asks for something is noticed."""
    text = one.read_text("utf-8")
    bad = tmp_path / "bad.html"
    bad.write_text(text.replace("</main>", "<script>document.title = 'owned'</script></main>"), "utf-8")
    tab.open(bad)
    assert tab.run("document.title") != "owned"
    assert tab.complaints()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_scrolls_sideways(tab: Browser, page: Path, width: int) -> None:
    tab.width(width)
    tab.open(page)
    assert tab.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    tab.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert tab.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def point(tab: Browser, number: int) -> tuple[float, float]:
    """Bring a point of the first plot to the middle of the screen; where it is."""
    x, y = tab.run(
        f"(() => {{ const c = document.querySelectorAll('.spots circle')[{number}];"
        "c.scrollIntoView({block: 'center', behavior: 'instant'}); const r = c.getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    return x, y


def test_a_pointer_is_told_what_it_points_at(tab: Browser, page: Path) -> None:
    tab.width(1280)
    tab.open(page)
    assert tab.run("tip.hidden")
    x, y = point(tab, 2)
    tab.mouse("mouseMoved", x, y)
    expected = tab.run("document.querySelectorAll('.spots circle')[2].getAttribute('aria-label')")
    tab.wait("!tip.hidden")
    assert tab.run("tip.textContent") == expected
    of_a_model = () if "many" in page.parts else ("seed ", "lr", "epoch")  # there the first plot is a dose
    for part in (*of_a_model, "clean accuracy", "attack success", "n\u00a01,000"):
        assert part in expected
    assert tab.run("tip.getBoundingClientRect().left >= 0 && tip.getBoundingClientRect().right <= innerWidth")
    tab.mouse("mouseMoved", 5, 5)
    tab.wait("tip.hidden")


def test_a_finger_is_told_what_it_touches(tab: Browser, one: Path) -> None:
    tab.width(360)
    tab.open(one)
    tab.tap(*point(tab, 3))
    tab.wait("!tip.hidden")
    box = tab.run("(() => { const b = tip.getBoundingClientRect(); return [b.left, b.right, b.top]; })()")
    assert box[0] >= 0
    assert box[1] <= 360
    assert box[2] >= 0


def test_keys_walk_through_the_points(tab: Browser, one: Path) -> None:
    tab.width(1280)
    tab.open(one)
    at = "[...document.querySelector('.spots').children].indexOf(document.activeElement)"
    assert tab.run("document.querySelectorAll('.spots circle[tabindex=\"0\"]').length") == tab.run(
        "document.querySelectorAll('.spots').length"
    )
    tab.run("document.querySelector('.spots circle').focus()")
    assert not tab.run("tip.hidden")
    tab.key("ArrowRight")
    assert tab.run(at) == 1
    assert tab.run("tip.textContent") == tab.run("document.activeElement.getAttribute('aria-label')")
    tab.key("ArrowDown")
    assert tab.run(at) == 3  # the same epoch of the next line
    tab.key("ArrowUp")
    assert tab.run(at) == 1
    tab.key("Home")
    tab.key("ArrowLeft")
    assert tab.run(f"{at} === document.querySelector('.spots').children.length - 1")
    tab.key("Escape")
    assert tab.run("tip.hidden")
    tab.key("Home")
    tab.key("Tab")
    assert tab.run(at) == -1  # one stop for all points of a plot
    assert tab.run("document.activeElement === document.querySelectorAll('.spots')[1].firstChild")


def test_the_first_stop_is_the_way_to_the_result(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.key("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left >= 0")
    assert tab.run("!!document.querySelector(document.activeElement.getAttribute('href'))")


def ground(tab: Browser) -> str:
    return str(tab.run("getComputedStyle(document.body).backgroundColor"))


def test_light_and_dark(tab: Browser, one: Path) -> None:
    tab.width(1280)
    tab.media("light")
    tab.open(one)
    light = ground(tab)
    tab.media("dark")
    dark = ground(tab)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    assert tab.run("getComputedStyle(document.querySelector('.plot svg text')).fill") == "rgb(232, 229, 223)"
    label, press = "document.querySelector('.theme').textContent", "document.querySelector('.theme').click()"
    assert tab.run(label) == "Theme: automatic"
    tab.run(press)
    assert (tab.run(label), ground(tab)) == ("Theme: light", light)
    tab.media("light")
    tab.run(press)
    assert (tab.run(label), ground(tab)) == ("Theme: dark", dark)
    tab.media("dark", "print")
    assert ground(tab) == "rgb(255, 255, 255)"
    tab.media("light")
    tab.run(press)
    assert (tab.run(label), ground(tab)) == ("Theme: automatic", light)


def test_paper(tab: Browser, page: Path) -> None:
    tab.width(1280)
    tab.open(page)
    tab.run("for (const d of document.querySelectorAll('details')) d.open = true")
    paper = tab.pdf()
    assert paper.startswith(b"%PDF-")
    assert len(paper) > 20_000
    tab.width(720)  # about what A4 is wide
    tab.media("light", "print")
    assert tab.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    cut = "(e) => e.scrollWidth > e.clientWidth + 1 && !e.matches('.hidden, .hidden *')"
    assert tab.run(f"[...document.querySelectorAll('.wide, pre, table')].filter({cut}).map((e) => e.className)") == []
    tab.media("light")


def test_it_is_not_an_empty_page(tab: Browser, page: Path) -> None:
    tab.width(1280)
    tab.open(page)
    picture = Image.open(io.BytesIO(tab.picture())).convert("RGB")
    assert picture.height > 1500
    assert len(picture.getcolors(1 << 24) or []) > 100
