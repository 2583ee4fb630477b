"""Alarms from the checks that test a judge on the loop's own images."""

from __future__ import annotations

from entropy_loop.metrics.rates import newcombe

FALL = 0.10
"""The smallest fall of a share that raises an alarm."""


def alarm(first: tuple[int, int], now: tuple[int, int]) -> str:
    """The text of an alarm, or "" without one. first, now: (hits, n) in generation 0 and in this generation.

    There is an alarm when the share has fallen by at least FALL and Newcombe's 95 % interval of the fall excludes 0.
    There is none when either generation has no images.
    """
    if not (first[1] and now[1]):
        return ""
    fall, interval = first[0] / first[1] - now[0] / now[1], newcombe(first, now)
    if round(fall, 9) < FALL or interval.low <= 0:  # 10/10 - 9/10 must count as .1
        return ""
    return f"fell by {fall:.2f} [{interval.low:.2f}, {interval.high:.2f}] since generation 0"
