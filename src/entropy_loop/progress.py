"""Progress over the whole plan: a bar on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from entropy_loop.data import Stage, Tick
from entropy_loop.plan import Plan

LINE_EVERY = 10.0  # seconds between lines when nobody watches a terminal


class Progress:
    """A listener of the store. Work is counted in model evaluations; stages that were made before are taken
    off the whole, so the time left is that of the work left."""

    def __init__(self, planned: Plan, console: Console) -> None:
        self.console = console
        self.total = sum(stage.cost for stage in planned.stages().values())
        self.done = 0.0
        self.seen: set[str] = set()
        self.lock = Lock()  # an engine may carry several runs at once
        self.began = self.last_line = time.monotonic()
        self.bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("starting", total=max(self.total, 1.0), left="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, event: str, stage: Stage, share: float) -> None:
        with self.lock:
            self._hear(event, stage, share)

    def _hear(self, event: str, stage: Stage, share: float) -> None:
        if event == "opened" and stage.key not in self.seen:
            self.total -= stage.cost
        elif event == "finished":
            self.done += stage.cost
        if event in ("opened", "finished"):
            self.seen.add(stage.key)
        done = self.done + (stage.cost * share if event == "working" else 0.0)
        text = f"generation {stage.generation}: {stage.verb}"
        # Where every stage was made before, nothing is left of nothing: that is all of it.
        whole = max(self.total, 1.0)
        completed = whole - (self.total - done)
        self.bar.update(self.task, description=text, completed=completed, total=whole, left=self._left(done))
        self._line(text, done, event)

    def _left(self, done: float) -> str:
        if done <= 0 or done < 0.01 * self.total:
            return ""
        seconds = (time.monotonic() - self.began) * (self.total - done) / done
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _line(self, text: str, done: float, event: str) -> None:
        now = time.monotonic()
        if self.console.is_terminal or event == "opened" or now - self.last_line < LINE_EVERY:
            return
        self.last_line = now
        share = done / self.total if self.total else 1.0
        self.console.print(f"{share:4.0%}  {text}  {self._left(done)}".rstrip(), highlight=False)


@contextmanager
def bar(console: Console, text: str) -> Iterator[Tick]:
    """A plain bar for one piece of work."""
    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as shown:
        task = shown.add_task(text, total=1.0)
        yield lambda share: shown.update(task, completed=share)
