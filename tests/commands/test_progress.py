import io
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from conftest import environment
from entropy_loop.commands import progress
from entropy_loop.commands.progress import Progress, bar
from entropy_loop.plan import plan
from entropy_loop.study.study import load


@pytest.fixture
def planned(toy):
    return plan(load(toy(sweep={"seed": [0, 1]})))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def make_all(listener: Progress, planned, made_before: int = 0) -> None:
    """Tell the listener of every stage: the first ones as opened, the others as made in two parts."""
    for n, stage in enumerate(planned.stages().values()):
        if n < made_before:
            listener("opened", stage, 1.0)
            continue
        for event, share in (("started", 0.0), ("working", 0.5), ("finished", 1.0)):
            listener(event, stage, share)


@pytest.mark.parametrize("made_before", [0, 1, 7, 1000])
def test_the_work_left_is_all_done_at_the_end(planned, console, made_before):
    """Stages made before are taken off the whole, however many they are; what is left is done at the end."""
    with Progress(planned, console) as listener:
        make_all(listener, planned, made_before)
    assert listener.done == pytest.approx(listener.total, abs=1e-6)


def test_a_stage_that_two_arms_share_counts_once(planned, console):
    """Opened again by another arm, a stage that was just made is not taken off the whole."""
    stage = next(s for s in planned.stages().values() if s.cost)
    with Progress(planned, console) as listener:
        whole = listener.total
        for event in ("started", "finished", "opened", "opened"):
            listener(event, stage, 1.0)
    assert (listener.total, listener.done) == (whole, stage.cost)


def test_without_a_terminal_progress_is_plain_lines(planned, console, monkeypatch):
    """Without a terminal each line has share, generation and verb, and no control characters."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    with Progress(planned, console) as listener:
        make_all(listener, planned)
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith("100%  generation 2: recognise-evaluation")
    assert len(lines) > 20
    assert "\x1b" not in console.file.getvalue()


def test_a_short_run_prints_no_line_of_progress(planned, console):
    """A run that is over before the first interval prints no line of progress at all."""
    with Progress(planned, console) as listener:
        listener.last_line += 1e6
        make_all(listener, planned)
    assert console.file.getvalue() == ""


def test_a_terminal_gets_a_bar(planned):
    """On a terminal the bar shows what is being made."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    with Progress(planned, terminal) as listener:
        make_all(listener, planned)
    assert "recognise-evaluation" in terminal.file.getvalue()


def test_a_finished_run_started_again_ends_at_100_percent(planned):
    """Nothing was left to do, and that is 100 %, not 0."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    with Progress(planned, terminal) as listener:
        make_all(listener, planned, made_before=1000)
    assert listener.bar.tasks[0].percentage == pytest.approx(100)


def test_a_plain_bar_counts_one_piece_of_work():
    """`bar` yields a callback; its text and the share stand on the terminal."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    with bar(terminal, "drawing 3 scenes") as tick:
        tick(1.0)
    assert "drawing 3 scenes" in terminal.file.getvalue()
    assert "100%" in terminal.file.getvalue()


def test_the_pace_is_shown_for_stages_that_make_or_judge_images(planned, console, monkeypatch):
    """Images per second stand in the line of a sampling or judging stage, not of a training."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    stages = {stage.name: stage for stage in planned.stages().values()}
    clock = iter(range(0, 100_000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    listener = Progress(planned, console)
    for verb in ("generate-pool", "train"):
        listener("started", stages[verb], 0.0)
        listener("working", stages[verb], 0.5)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if "generate-pool" in line and "images/s" in line]
    assert not [line for line in lines if "train" in line and "images/s" in line]


def test_no_time_left_is_shown_when_all_is_done(planned, console, monkeypatch):
    """While work is left a line says for how long; the last line of a finished run does not."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    clock = iter(range(0, 1_000_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    make_all(Progress(planned, console), planned)
    lines = console.file.getvalue().splitlines()
    assert any("left" in line for line in lines)
    assert lines[-1].startswith("100%")
    assert "left" not in lines[-1]


def test_a_fast_pace_is_a_plain_number(toy, console, monkeypatch):
    """Tens of thousands of images in a second are shown as such, never as a power of ten."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    large = plan(load(toy(images=200_000)))
    stage = next(stage for stage in large.stages().values() if stage.name == "generate-pool")
    listener = Progress(large, console)
    listener("started", stage, 0.0)
    listener("working", stage, 0.5)
    assert re.search(r"  \d{2,3},\d{3} images/s", console.file.getvalue())


def test_json_has_one_event_a_line(planned, console):
    """Every started and finished stage is a line of JSON with what is done and left; nothing else is printed."""
    with Progress(planned, console, as_json=True) as listener:
        make_all(listener, planned)
    rows = [json.loads(line) for line in console.file.getvalue().splitlines()]
    count = len(planned.stages())
    assert [sum(row["event"] == event for row in rows) for event in ("started", "finished")] == [count, count]
    assert rows[-1]["done"] == 1.0
    assert {"stage", "generation", "key", "images_per_second", "seconds_left"} <= set(rows[0])


def test_a_silent_stage_is_shown_to_be_still_at_work(planned, console, monkeypatch):
    """A stage that says nothing for a while is shown to be still at work."""
    monkeypatch.setattr(progress, "SILENCE", 0.3)
    stage = next(iter(planned.stages().values()))
    with Progress(planned, console) as listener:
        listener("started", stage, 0.0)
        for _ in range(100):
            if "still at work" in console.file.getvalue():
                break
            time.sleep(0.05)
    assert "still at work" in console.file.getvalue()


@pytest.mark.parametrize("wished", ["", "1"])
def test_no_color_is_honoured_on_a_terminal(toy, tmp_path, wished):
    """On a real terminal the bar is coloured, and with NO_COLOR it is not."""
    controller, terminal = pty.openpty()
    line = [sys.executable, "-m", "entropy_loop", "run", str(toy()), "--out", "out"]
    variables = {**environment(), "NO_COLOR": wished, "TERM": "xterm-256color"}
    with subprocess.Popen(line, cwd=tmp_path, env=variables, stdout=terminal, stderr=terminal) as running:
        os.close(terminal)
        seen = b""
        try:
            while part := os.read(controller, 1 << 16):
                seen += part
        except OSError:  # the terminal is gone when the last process has closed it
            pass
    os.close(controller)
    assert running.returncode == 0
    assert b"report: out/report.html" in seen
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9]", seen)) == (not wished)
