"""When a check of a judge on the loop's own pictures is an alarm."""

from __future__ import annotations

from entropy_loop.metrics.rates import newcombe

FALL = 0.10
"""The least fall that is worth an alarm."""


def alarm(first: tuple[int, int], now: tuple[int, int]) -> str:
    """Words where a share stands below that of generation 0, else nothing; both are given as (hits, n).

    An alarm stands where the share has fallen by at least FALL and Newcombe's 95 % interval of the fall excludes 0.
    Where one of them has no images there is nothing to compare, and no alarm.
    """
    if not (first[1] and now[1]):
        return ""
    fall, interval = first[0] / first[1] - now[0] / now[1], newcombe(first, now)
    if round(fall, 9) < FALL or interval.low <= 0:  # 10/10 - 9/10 is .1, not a little less
        return ""
    return f"fell by {fall:.2f} [{interval.low:.2f}, {interval.high:.2f}] since generation 0"
