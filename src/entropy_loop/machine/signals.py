"""SIGINT and SIGTERM as an exception."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal asked to stop. Not a KeyboardInterrupt, which typer handles itself."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)


def stop_on_signals() -> None:
    """From now on the first SIGINT or SIGTERM raises Stopped in the main thread; the second one ends the process at
    once."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_DFL)
    raise Stopped(number)
