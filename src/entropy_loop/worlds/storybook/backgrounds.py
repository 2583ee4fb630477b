"""Flat, pale places for the storybook scenes, as SVG fragments of 64 x 64 units."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from math import pi, sin


def background_svg(name: str, variant: float) -> str:
    """Draw a whole background; `variant` in [0, 1) moves its parts a little."""
    return f"<g>{BACKGROUNDS[name](variant)}</g>"


def _hue(colour: str, variant: float, span: float = 0.03) -> str:
    """Turn a hex colour's hue by up to half of `span` either way."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    turned = colorsys.hls_to_rgb((hue + (variant - 0.5) * span) % 1, light, saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in turned)


def _slide(variant: float, low: float, high: float, phase: float = 0.0) -> float:
    """Move between two bounds with the variant, each part at its own phase."""
    return low + (high - low) * (0.5 + 0.5 * sin(2 * pi * (0.75 * variant + phase)))


def _band(top: float, bottom: float, colour: str) -> str:
    return f'<rect x="0" y="{top:.2f}" width="64" height="{bottom - top:.2f}" fill="{colour}"/>'


def _block(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}"/>'


def _disc(x: float, y: float, rx: float, colour: str, ry: float | None = None) -> str:
    ry = rx if ry is None else ry
    return f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{rx:.2f}" ry="{ry:.2f}" fill="{colour}"/>'


def _shape(x: float, y: float, path: str, colour: str) -> str:
    return f'<path transform="translate({x:.2f} {y:.2f})" d="{path}" fill="{colour}"/>'


def _cloud(x: float, y: float, colour: str) -> str:
    return _disc(x - 4, y, 4, colour, 2.6) + _disc(x, y - 1.6, 4.2, colour, 3.6) + _disc(x + 4.5, y, 4, colour, 2.4)


def _meadow(v: float) -> str:
    return (
        _band(0, 64, _hue("#bfe3f2", v))
        + _cloud(_slide(v, 8, 22), 9, "#f6fbfd")
        + _disc(_slide(v, 40, 54, 0.3), 44, 26, _hue("#a3cf93", v), 15)
        + _band(40, 64, _hue("#86bd72", v))
        + _disc(_slide(v, 6, 22, 0.6), 63, 26, _hue("#94c981", v), 7)
    )


def _cactus(x: float, y: float) -> str:
    return (
        f'<path transform="translate({x:.2f} {y:.2f})" d="M0 0V-17M0 -6H-4V-12M0 -4H4V-9"'
        ' fill="none" stroke="#6f9468" stroke-width="3.2"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
    )


def _desert(v: float) -> str:
    peak = _slide(v, 16, 36)
    return (
        _band(0, 64, _hue("#fbdcb0", v))
        + _disc(_slide(v, 12, 26, 0.4), 11, 6, "#fdf3d0")
        + _shape(peak, 42, "M-34 0Q-12 -3 0 -13Q8 -3 36 0Z", _hue("#e3b47c", v))
        + _shape(peak, 42, "M0 -13Q8 -3 36 0H6Q-3 -5 0 -13Z", _hue("#d3a06c", v))
        + _band(41, 64, _hue("#edc58d", v))
        + _cactus(_slide(v, 56, 59, 0.2), 45)
    )


def _palm(x: float, y: float) -> str:
    leaves = "M0 0Q-6 -6 -13 1Q-6 -2 0 0Q-8 0 -9 8Q-5 2 0 0Q6 2 8 8Q8 0 0 0Q6 -3 12 0Q6 -7 0 0Z"
    return (
        _shape(x, y, "M-2 22Q-2 8 -1.2 0H1.2Q1.6 10 2 22Z", "#b08d6a")
        + f'<path transform="translate({x:.2f} {y:.2f})" d="{leaves}" fill="#6fa886"'
        ' stroke="#6fa886" stroke-width="1.6" stroke-linejoin="round"/>'
    )


def _beach(v: float) -> str:
    shore = _slide(v, 45, 48)
    return (
        _band(0, 64, _hue("#d8f1f4", v))
        + _disc(_slide(v, 42, 54, 0.3), 10, 6, "#fff3b8")
        + _band(34, 64, _hue("#6fc3cc", v))
        + _shape(0, shore, "M0 0Q16 -4 32 0T64 0V30H0Z", "#e9f7f4")
        + _shape(0, shore + 2, "M0 0Q16 -4 32 0T64 0V30H0Z", _hue("#f4dda4", v))
        + _palm(_slide(v, 6, 9, 0.6), 27)
    )


def _fir(x: float, y: float, scale: float, colour: str) -> str:
    path = "M0 -20L5 -12H3L7 -5H4L8 2H-8L-4 -5H-7L-3 -12H-5Z"
    return f'<path transform="translate({x:.2f} {y:.2f}) scale({scale})" d="{path}" fill="{colour}"/>'


def _snow(v: float) -> str:
    return (
        _band(0, 64, _hue("#9fb1ca", v))
        + _disc(_slide(v, 16, 48, 0.1), 46, 30, "#bccbde", 14)
        + _fir(_slide(v, 7, 11, 0.2), 40, 1.1, "#728f96")
        + _fir(_slide(v, 54, 58, 0.5), 41, 1.3, "#728f96")
        + _fir(_slide(v, 19, 23, 0.7), 40, 0.7, "#84a1a6")
        + _band(40, 64, _hue("#d6e2f0", v))
        + _disc(_slide(v, 20, 44, 0.8), 63, 34, "#e3ecf6", 8)
    )


def _tower(x: float, top: float, width: float, colour: str) -> str:
    """A building with two columns of windows."""
    windows = "".join(
        _block(x + column * width, y, 0.22 * width, 3, "#f6e7cf")
        for column in (0.18, 0.6)
        for y in (top + 3, top + 9, top + 15)
        if y < 38
    )
    return _block(x, top, width, 46 - top, colour) + windows


def _city(v: float) -> str:
    return (
        _band(0, 64, _hue("#ecd3d6", v))
        + _tower(_slide(v, -2, 1), _slide(v, 10, 18, 0.3), 11, "#b295a6")
        + _tower(_slide(v, 13, 16, 0.2), _slide(v, 18, 26, 0.7), 12, "#c3a9b3")
        + _tower(_slide(v, 33, 37, 0.4), _slide(v, 14, 24, 0.9), 11, "#b295a6")
        + _tower(_slide(v, 50, 53, 0.6), _slide(v, 6, 16, 0.1), 12, "#c3a9b3")
        + _band(42, 46, "#cfc6c8")
        + _band(46, 64, _hue("#a09aa0", v))
        + "".join(_block(x + 8 * v, 60.5, 8, 1.8, "#e2dcd8") for x in (-14, 2, 18, 34, 50))
    )


def _moon(v: float) -> str:
    earth = _slide(v, 46, 55, 0.2)
    stars = ((7, 24), (16, 8), (28, 17), (37, 5), (34, 30), (59, 27), (5, 4))
    shift = _slide(v, -2, 2)
    return (
        _band(0, 64, _hue("#57547f", v, 0.08))
        + "".join(_disc(x + shift, y, 1.0, "#f4f0d8") for x, y in stars)
        + _disc(earth, 13, 7, "#86b8d8")
        + _shape(earth, 13, "M-6 -3Q-2 -7 2 -6Q3 -2 -1 0Q-4 0 -6 -3ZM1 2Q5 0 6 3Q4 6 2 6Z", "#a9d0a0")
        + _shape(0, 41, "M0 0Q18 -5 36 -1T64 -1V23H0Z", "#aeb0ba")
        + _disc(_slide(v, 10, 20, 0.5), 47, 6, "#9496a2", 2)
        + _disc(_slide(v, 46, 56, 0.8), 52, 7, "#9496a2", 2.4)
        + _disc(_slide(v, 20, 32, 0.1), 60, 6, "#9496a2", 2)
    )


BACKGROUNDS: dict[str, Callable[[float], str]] = {
    "meadow": _meadow,
    "desert": _desert,
    "beach": _beach,
    "snow": _snow,
    "city": _city,
    "moon": _moon,
}
