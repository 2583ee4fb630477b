"""Colours of the drawings: that of every outline, and lighter and darker shades."""

from __future__ import annotations

INK = "#2b2433"


def shade(colour: str, factor: float) -> str:
    """A hex colour, darkened (factor below 1) or mixed with white (factor from 1 to 2)."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    mixed = (c * factor if factor <= 1 else c + (255 - c) * (factor - 1) for c in channels)
    return "#" + "".join(f"{min(255, max(0, round(c))):02x}" for c in mixed)
