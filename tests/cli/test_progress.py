"""Progress: bars on a terminal, a line now and then elsewhere, never on stdout."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from bezoar.cli.progress import SHOWN, Display, facts_of
from bezoar.core.progress import Event


def event(done: int, total: int = 100, task: str = "victim") -> Event:
    return Event(task, done, total, size=128, facts={"epoch": 2, "lr": 0.00012345, "contrastive": 1.23456})


def shown(events: list[Event], terminal: bool) -> str:
    stream = io.StringIO()
    with Display(Console(file=stream, force_terminal=terminal, width=200)) as display:
        for one in events:
            display(one)
    return stream.getvalue()


def test_facts_are_short() -> None:
    assert facts_of(event(1)) == "epoch 2 lr 0.000123 contrastive 1.23"
    assert facts_of(Event("pictures", 1, 2)) == ""


def test_lines_are_said_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("bezoar.cli.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    with Display(Console(file=stream, width=20)) as display:
        for step in range(0, 101, 10):
            display(event(step))
            now += 10
    lines = stream.getvalue().splitlines()
    assert lines[0] == "victim: 0/100 steps  epoch 2 lr 0.000123 contrastive 1.23"
    assert lines[1] == "victim: 20/100 steps, 128 pairs/s, 80 s left  epoch 2 lr 0.000123 contrastive 1.23"
    assert len(lines) == 6
    assert lines[-1] == "victim: 100/100 steps, 128 pairs/s  epoch 2 lr 0.000123 contrastive 1.23"


def test_every_task_has_a_clock_of_its_own() -> None:
    out = shown([event(50), event(50, task="control"), event(60), event(60, task="control")], terminal=False)
    assert [line.partition(":")[0] for line in out.splitlines()] == ["victim", "control"]


def test_a_second_piece_of_work_of_one_name_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("bezoar.cli.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    with Display(Console(file=stream, width=200)) as display:
        for done, total in ((1000, 6000), (6000, 6000), (500, 1000), (1000, 1000)):
            display(Event("look at a.csv", done, total, unit="pictures"))
            now += 10
    assert stream.getvalue().splitlines()[-1] == "look at a.csv: 1000/1000 pictures, 50 pictures/s"


def test_bars_on_a_terminal() -> None:
    out = shown([event(50), event(100), Event("pictures", 3, 7, unit="pictures")], terminal=True)
    assert "100/100" in out
    assert "3/7" in out
    assert "contrastive 1.23" in out


def test_events_from_several_threads() -> None:
    stream = io.StringIO()
    with Display(Console(file=stream, width=200)) as display:
        threads = [threading.Thread(target=display, args=(event(100, task=f"stage {i}"),)) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line.partition(":")[0] for line in stream.getvalue().splitlines()) == sorted(
        f"stage {i}" for i in range(20)
    )


def test_old_bars_make_room_on_a_terminal() -> None:
    with Display(Console(file=io.StringIO(), force_terminal=True)) as display:
        for number in range(SHOWN + 3):
            display(Event(f"stage {number}", 5, 5))
        display(Event("going on", 1, 5))
        seen = [task.description for task in display.progress.tasks if task.visible]
    assert seen == [*(f"stage {number}" for number in range(3, SHOWN + 3)), "going on"]
