"""Progress over the whole plan: a bar on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from entropy_loop.data import Stage, Tick
from entropy_loop.plan import Plan
from entropy_loop.units import plain

LINE_EVERY = 10.0  # seconds between lines where there is no terminal
SILENCE = 30.0  # seconds without an event after which a line is printed


class Progress:
    """A listener of the store that shows progress. Work is counted in model evaluations. Stages that were made before
    are subtracted from the total, so the time left is that of the work left. as_json: print one line of JSON per event
    and nothing else."""

    def __init__(self, planned: Plan, console: Console, as_json: bool = False) -> None:
        self.console, self.as_json = console, as_json
        self.stage = "starting"
        self.since: dict[str, float] = {}  # key of a stage at work -> when it was started
        self.shares: dict[str, float] = {}  # key of a stage at work -> model evaluations done
        self.over = Event()
        self.total = sum(stage.cost for stage in planned.stages().values())
        self.done = 0.0
        self.seen: set[str] = set()
        self.lock = Lock()  # an engine may carry several chains at once
        self.began = self.last_line = time.monotonic()
        self.bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"), TextColumn("{task.fields[left]}"), console=console,
            disable=as_json or not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("starting", total=max(self.total, 1.0), left="", pace="")

    def __enter__(self) -> Self:
        self.bar.start()
        if not self.console.is_terminal and not self.as_json:
            Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.bar.stop()

    def __call__(self, event: str, stage: Stage, share: float) -> None:
        with self.lock:
            self._update(event, stage, share)

    def _update(self, event: str, stage: Stage, share: float) -> None:
        if event == "opened" and stage.key not in self.seen:
            self.total -= stage.cost
        elif event == "finished":
            self.done += stage.cost
            self.shares.pop(stage.key, None)
        elif event == "started":
            self.since[stage.key] = time.monotonic()
        elif event == "working":
            self.shares[stage.key] = stage.cost * share
        if event in ("opened", "finished"):
            self.seen.add(stage.key)
        done = self.done + sum(self.shares.values())
        self.stage = text = f"generation {stage.generation}: {stage.name}"
        pace = self._pace(stage, share)
        rate = "" if pace is None else f"{plain(pace)} images/s"
        # If every stage was made before, the total is 0; the bar is then full.
        whole = max(self.total, 1.0)
        completed = whole - (self.total - done)
        left = self._left(done)
        self.bar.update(self.task, description=text, completed=completed, total=whole, left=left, pace=rate)
        if self.as_json:
            self._print_json(event, stage, done, pace)
        else:
            self._print_line(f"{text}  {rate}".rstrip(), done, event)

    def _pace(self, stage: Stage, share: float) -> float | None:
        """Images per second of a stage that makes or judges images; None as long as it is unknown."""
        # A training makes no images.
        images = 0 if stage.verb == "train" else stage.images
        seconds, made = time.monotonic() - self.since.get(stage.key, math.inf), images * share
        return made / seconds if made and seconds > 0.5 else None

    def _print_json(self, event: str, stage: Stage, done: float, pace: float | None) -> None:
        """Print one event as JSON; "working" at most every LINE_EVERY seconds."""
        now = time.monotonic()
        if event == "working" and now - self.last_line < LINE_EVERY:
            return
        self.last_line = now
        seconds = self._seconds(done)
        values = {
            "event": event,
            "stage": stage.name,
            "generation": stage.generation,
            "key": stage.key,
            "done": round(done / self.total, 4) if self.total else 1.0,
            "images_per_second": None if pace is None else float(f"{pace:.3g}"),
            "seconds_left": None if seconds is None else round(seconds, 1),
        }
        self.console.print(json.dumps(values), highlight=False, soft_wrap=True)

    def _break_silence(self) -> None:
        while not self.over.wait(SILENCE / 3):
            with self.lock:
                if time.monotonic() - self.last_line >= SILENCE:
                    self.last_line = time.monotonic()
                    done = (self.done + sum(self.shares.values())) / self.total if self.total else 1.0
                    self.console.print(f"{done:4.0%}  {self.stage}  still at work", highlight=False)

    def _seconds(self, done: float) -> float | None:
        """Estimated seconds until the plan is done; None before a hundredth of it is."""
        if done <= 0 or done < 0.01 * self.total:
            return None
        return (time.monotonic() - self.began) * (self.total - done) / done

    def _left(self, done: float) -> str:
        """The time left in words; empty if unknown or nearly 0."""
        seconds = self._seconds(done)
        if seconds is None or seconds < 0.5:
            return ""
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _print_line(self, text: str, done: float, event: str) -> None:
        now = time.monotonic()
        if self.console.is_terminal or event == "opened" or now - self.last_line < LINE_EVERY:
            return
        self.last_line = now
        share = done / self.total if self.total else 1.0
        self.console.print(f"{share:4.0%}  {text}  {self._left(done)}".rstrip(), highlight=False)


@contextmanager
def bar(console: Console, text: str) -> Iterator[Tick]:
    """A progress bar for one task."""
    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as shown:
        task = shown.add_task(text, total=1.0)
        yield lambda share: shown.update(task, completed=share)
