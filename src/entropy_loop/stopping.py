"""Signals that ask to stop, as an exception."""

from __future__ import annotations

import signal
from typing import Any


class Stopped(BaseException):
    """A signal asked to stop. Not a KeyboardInterrupt, which typer would take for itself."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)


def stop_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise Stopped in the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, frame: Any) -> None:
    raise Stopped(number)
