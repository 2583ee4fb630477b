"""Numbers and units for people to read."""

from __future__ import annotations


def plain(value: float, digits: int = 3) -> str:
    """The number with `digits` significant digits, or all digits before the point; never as a power of ten."""
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def size(count: int) -> str:
    """Bytes as MB or GB; empty for 0."""
    return f"{plain(count / 1e9, 2)} GB" if count >= 1e8 else f"{plain(count / 1e6, 2)} MB" if count else ""


def duration(hours: float) -> str:
    """Hours as seconds, minutes or hours, whichever fits."""
    seconds = 3600 * hours
    if seconds < 0.5:
        return "under 1 s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 59.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:,.0f} h"
