"""Numbers with their units as people read them."""

from __future__ import annotations


def plain(value: float, digits: int = 3) -> str:
    """So many digits that count, or all before the point; large numbers never as a power of ten."""
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def size(count: int) -> str:
    """Bytes; empty for none."""
    return f"{plain(count / 1e9, 2)} GB" if count >= 1e8 else f"{plain(count / 1e6, 2)} MB" if count else ""


def duration(hours: float) -> str:
    """Seconds under a minute, minutes under an hour, hours from there on."""
    seconds = 3600 * hours
    if seconds < 0.5:
        return "under 1 s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 59.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:,.0f} h"
