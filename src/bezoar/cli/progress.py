"""Progress for people: bars with rate and time left on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

    from bezoar.core.progress import Event

EVERY = 15.0
"""Seconds between two lines where there is no terminal."""
SHOWN = 12
"""Finished bars that stay on a terminal: a sweep has hundreds."""


def facts_of(event: Event) -> str:
    """The numbers of an event in one short line."""
    return " ".join(
        f"{name} {value:.3g}" if name != "epoch" else f"epoch {value:.0f}" for name, value in event.facts.items()
    )


class _Rate(ProgressColumn):
    """Units a second, times what one unit counts for."""

    def render(self, task: Task) -> Text:
        speed = (task.speed or 0) * task.fields["size"]
        return Text(f"{speed:,.0f} {task.fields['what']}/s" if speed else "", style="cyan")


class Display:
    """Listens to events and shows them while it is open."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.lock = threading.Lock()
        self.tasks: dict[str, TaskID] = {}
        self.since: dict[str, tuple[float, int]] = {}
        self.said: dict[str, float] = {}
        self.last: dict[str, int] = {}
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"),
            _Rate(), TimeRemainingColumn(compact=True), TextColumn("[dim]{task.fields[facts]}"),
            console=console, speed_estimate_period=30,
        )  # fmt: skip

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.console.is_terminal:
            self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; may be called from any thread."""
        with self.lock:
            if event.done < self.last.get(event.task, 0):  # another piece of work of the same name
                self.since.pop(event.task, None)
                self.tasks.pop(event.task, None)
            self.last[event.task] = event.done
            if self.console.is_terminal:
                self._draw(event)
            else:
                self._say(event)

    def _draw(self, event: Event) -> None:
        what = "pairs" if event.unit == "steps" else event.unit
        if event.task not in self.tasks:
            self.tasks[event.task] = self.progress.add_task(
                event.task, total=event.total, facts="", size=event.size, what=what
            )
        self.progress.update(self.tasks[event.task], completed=event.done, total=event.total, facts=facts_of(event))
        over = [task.id for task in self.progress.tasks if task.finished and task.visible]
        for number in over[:-SHOWN]:
            self.progress.update(number, visible=False)

    def _say(self, event: Event) -> None:
        now = time.monotonic()
        start, first = self.since.setdefault(event.task, (now, event.done))
        if event.done < event.total and now - self.said.get(event.task, 0.0) < EVERY:
            return
        self.said[event.task] = now
        speed = (event.done - first) / (now - start) if now > start else 0.0
        left = f", {(event.total - event.done) / speed:.0f} s left" if speed and event.done < event.total else ""
        rate = f", {speed * event.size:,.0f} {'pairs' if event.unit == 'steps' else event.unit}/s" if speed else ""
        facts = f"  {facts_of(event)}" if event.facts else ""
        self.console.print(
            f"{event.task}: {event.done}/{event.total} {event.unit}{rate}{left}{facts}", highlight=False, soft_wrap=True
        )
