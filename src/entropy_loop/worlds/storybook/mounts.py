"""Animals to ride, seen from the side and facing right, as SVG fragments.

The unit is a scene pixel; (0, 0) is the ground under the middle of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entropy_loop.worlds.storybook.ink import INK, shade

IVORY = "#fff4d6"
PINK = "#f0a3a3"


@dataclass(frozen=True)
class Mount:
    """An animal. svg: its drawing, by the hex colour of its coat. saddle: the point where a rider sits."""

    svg: Callable[[str], str]
    saddle: tuple[float, float]


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue < 128


def _marking(coat: str) -> str:
    """A colour for stripes and patches that stands out on the coat."""
    return shade(coat, 1.8) if _is_dark(coat) else shade(coat, 0.3)


def _hair(coat: str) -> str:
    """A colour for manes and tails: a softer contrast than a marking's."""
    return shade(coat, 1.5) if _is_dark(coat) else shade(coat, 0.5)


def _far(coat: str) -> str:
    return shade(coat, 0.68)


def _solid(fill: str, *paths: str) -> str:
    """Paths of one colour merged into one silhouette, outlined as a whole."""
    d = " ".join(paths)
    # The outline lies under the fill: no line is left where two paths overlap.
    return (
        f'<path d="{d}" fill="{fill}" stroke="{INK}" stroke-width="1.6"'
        f' stroke-linejoin="round"/><path d="{d}" fill="{fill}"/>'
    )


def _flat(fill: str, *paths: str) -> str:
    return f'<path d="{" ".join(paths)}" fill="{fill}"/>'


def _stroke(path: str, width: float, colour: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
    )


def _rope(path: str, width: float, colour: str) -> str:
    """A round-ended line with an outline."""
    return _stroke(path, width + 1.6, INK) + _stroke(path, width, colour)


def _oval(x: float, y: float, rx: float, ry: float) -> str:
    """The path of an ellipse."""
    return f"M{x - rx} {y}a{rx} {ry} 0 1 1 {2 * rx} 0a{rx} {ry} 0 1 1 {-2 * rx} 0Z"


def _eye(x: float, y: float, coat: str) -> str:
    return _flat(IVORY if _is_dark(coat) else INK, _oval(x, y, 0.9, 0.9))


def _leg(x: float, top: float, width: float) -> str:
    """The path of a straight leg from `top` down to the ground, centred on `x`."""
    half = width / 2
    return f"M{x - half - 0.4} {top}H{x + half + 0.4}L{x + half} 0H{x - half}Z"


def _legs(xs: tuple[float, ...], top: float, width: float) -> str:
    return " ".join(_leg(x, top, width) for x in xs)


def _hooves(xs: tuple[float, ...], width: float, colour: str = INK) -> str:
    return _flat(colour, *(f"M{x - width / 2} -2H{x + width / 2}V0H{x - width / 2}Z" for x in xs))


EQUINE = (
    "M-13 -17Q-13 -23 -7 -22.5Q-2 -21 4 -22.5Q9 -25 11 -31L13 -36L15 -33Q17 -32 18 -30L22 -25"
    "Q23 -22 20 -21.5Q17 -22 15.5 -25Q14.5 -19 11.5 -14Q9 -10.5 4 -11Q-2 -9.5 -8 -11Q-13 -12 -13 -17Z"
)


def _equine(coat: str) -> str:
    """The body that the horse and the zebra share."""
    return (
        _solid(_far(coat), _legs((-5, 3.2), -13, 2.6))
        + _solid(coat, EQUINE, _legs((-11, 9), -14, 3))
        + _hooves((-5, 3.2, -11, 9), 3.2)
        + _eye(16.4, -28.6, coat)
    )


def _horse(coat: str) -> str:
    hair = _hair(coat)
    tail = "M-12 -22Q-19 -23 -19 -14Q-19 -8 -21 -5Q-15 -4 -14.5 -11Q-14.5 -16 -12 -18Z"
    mane = "M14 -35Q8 -35 6 -29Q5 -24 1 -22.5Q4 -18 8 -17.5Q11.5 -20 11.5 -25Q12 -29 14.5 -30Z"
    return _solid(hair, tail) + _equine(coat) + _solid(hair, mane)


def _zebra(coat: str) -> str:
    mark = _marking(coat)
    bars = (
        "M-10.5 -21V-14M-6 -22V-12M6 -22L3.5 -12M9 -23L7.5 -14"
        "M8.6 -25.5L12.5 -21.5M10.6 -29.5L14 -26.5M-1.2 -21.5V-11.5M19 -27.5L17 -24.5"
    )
    rings = "M-12 -9H-10M-12 -5H-10M8 -9H10M8 -5H10"
    mane = "M2 -22.5Q5.5 -27 6.5 -31L7.5 -36.5L13.5 -37.5L12 -31Q10 -25 5.5 -22Z"
    return (
        _rope("M-13 -20Q-16.5 -19 -16.5 -13", 1.2, coat)
        + _solid(mark, _oval(-16.6, -10.5, 1.4, 2.6))
        + _solid(mark, mane)
        + _equine(coat)
        + _stroke(bars, 2.1, mark)
        + _stroke(rings, 1.5, mark)
    )


def _camel(coat: str) -> str:
    body = (
        "M-17.5 -15Q-18.5 -19 -17.5 -23Q-16.5 -32 -12.5 -32Q-8.5 -32 -6.5 -22.5Q-1.5 -20 3.5 -22.5"
        "Q4.5 -31.5 8 -31.5Q11 -31.5 12 -22Q12.3 -19 13 -19Q14 -20 14 -24V-31"
        "Q14 -35.5 17.5 -35.5Q22.5 -35 23.5 -32.5Q24 -29.5 21 -29.5L18 -30V-22"
        "Q17.5 -13 11 -12.5Q0 -10 -13 -12Q-17 -12.5 -17.5 -15Z"
    )
    tufts = "M-17 -26Q-16 -32 -12.5 -32Q-9 -32 -7.5 -26ZM4 -26Q5 -31.5 8 -31.5Q10.7 -31.5 11.5 -26Z"
    return (
        _rope("M-17.5 -18Q-20 -16 -19.7 -11", 1.4, coat)
        + _solid(_far(coat), _legs((-8.5, 4), -14, 2.5))
        + _solid(coat, body, _legs((-14.5, 10), -14, 2.8))
        + _flat(_hair(coat), tufts)
        + _flat(_hair(coat), _oval(-19.6, -10, 1.4, 2))
        + _eye(18.9, -33, coat)
    )


def _elephant(coat: str) -> str:
    body = (
        "M-17 -14Q-18 -26 -6 -26Q0 -26 4 -25Q8 -31 14 -30Q20 -29 20.5 -21L21 -9Q21 -6 24 -6.5V-3"
        "Q17 -1.5 16.6 -8L16 -15Q13 -13 10 -14V-8Q-4 -5 -17 -8Z"
    )
    ear = "M3.5 -27Q10 -31 12.5 -25Q14 -19 9.5 -13.5Q7 -12 4.5 -15Q0 -20 3.5 -27Z"
    return (
        _rope("M-16.5 -20Q-19.5 -17 -19 -11", 1.2, coat)
        + _solid(_far(coat), _legs((-6.6, 0.8), -12, 3.6))
        + _solid(coat, body, _legs((-13.5, 7.8), -12, 5.4))
        + _flat(IVORY, "".join(f"M{x} -1.8h1.6v1.8h-1.6Z" for x in (-13, -11, 8, 10)))
        + _solid(shade(coat, 1.3) if _is_dark(coat) else shade(coat, 0.82), ear)
        + _rope("M15.5 -15.5Q17 -11.5 21 -12.5", 1.7, IVORY)
        + _eye(16.2, -24, coat)
    )


def _cow(coat: str) -> str:
    mark = _marking(coat)
    body = "M-15 -14V-20Q-15 -23 -12 -23H8Q12 -22 11 -14Q10 -9 6 -9H-10Q-15 -9 -15 -14Z"
    head = "M8 -25Q8 -29 12 -29H16Q18.5 -29 18.8 -26L19.5 -18Q18 -15 13 -16Q9 -18 8 -25Z"
    patches = (
        "M-15 -22Q-9 -25 -6.5 -21Q-5.5 -16 -10 -14.5Q-13 -13 -15 -16Z",
        "M3.5 -23Q8 -23 8.5 -18Q7 -13 4.5 -14.5Q1.5 -17 3.5 -23Z",
        "M-9 -9Q-8 -12.5 -5.5 -12.5Q-3 -12 -2 -9Z",
    )
    return (
        _rope("M-15 -21Q-18 -20 -18 -11", 1.2, coat)
        + _solid(mark, _oval(-18, -8.5, 1.4, 2.2))
        + _solid(_far(coat), _legs((-6.3, 2.3), -11, 3))
        + _solid(PINK, _oval(-2, -8.5, 4, 3))
        + _rope("M10 -29Q7 -31 8.5 -34M16 -29Q19 -31 17.8 -34", 1.7, IVORY)
        + _solid(coat, body, head, _legs((-12.4, 8.2), -12, 3.6))
        + _flat(mark, *patches)
        + _solid(mark, "M8.5 -27Q3.5 -28.5 3 -25.5Q5 -23 8.8 -24.5Z")
        + _solid(PINK, "M12.5 -20.5H20Q22 -20.5 22 -17.5Q22 -14.5 19.5 -14.5H13.5Q11 -14.5 11 -17.5Z")
        + _flat(INK, _oval(18.8, -17.8, 0.9, 1))
        + _hooves((-6.3, 2.3, -12.4, 8.2), 3.8)
        + _eye(15.4, -24.5, coat)
    )


def _pig(coat: str) -> str:
    return (
        _rope("M-14 -12Q-18 -11 -18.5 -14Q-18 -17 -16 -15.5Q-15 -13 -20 -11.5", 1.2, PINK)
        + _solid(_far(coat), _legs((-5, 2.5), -6, 3.4))
        + _solid(coat, _oval(-2, -11.5, 14, 8.5), _oval(11, -13, 7, 7), _legs((-11, 8.5), -7, 4))
        + _hooves((-5, 2.5, -11, 8.5), 4)
        + _solid(PINK, "M15.5 -15.5Q20.5 -17 21 -12Q20.5 -7.5 15.5 -9Z")
        + _flat(INK, _oval(17.3, -12.2, 0.7, 1.2), _oval(19.4, -12.2, 0.7, 1.2))
        + _solid(PINK, "M5.5 -20Q9 -21.5 12 -19L9 -12.5Q4.5 -14 5.5 -20Z")
        + _eye(13.6, -15.6, coat)
    )


def _reindeer(coat: str) -> str:
    body = (
        "M-13 -18Q-12 -22 -7 -22H5Q8 -23 9.5 -28Q11 -32 15 -31.5L21 -28Q22.5 -25 20 -24.5"
        "L15.5 -24.5Q14.5 -17 11 -13.5Q8 -11.5 4 -12.5Q-3 -11 -8 -12.5Q-13 -13 -13 -18Z"
    )
    antlers = "M14 -32V-36L10 -43M14 -36L18.5 -40V-44M11.3 -40.5L6.5 -39.5M17.5 -39L22.5 -39.5"
    return (
        _solid(_far(coat), _legs((-5.5, 2.8), -14, 2.2))
        + _solid(IVORY, "M-12 -22Q-17 -24 -17.5 -20Q-16.5 -16 -12 -17Z")
        + _rope(antlers, 1.7, "#c9a06a")
        + _solid(coat, body, _legs((-11, 8.5), -15, 2.6), "M11 -29L5.5 -31Q6 -27.5 10.5 -27Z")
        + _solid(IVORY, "M9 -24Q12 -22 15.3 -24Q15.5 -17 12 -12.5L10.5 -15L8.5 -13.5Q6.5 -18 9 -24Z")
        + _hooves((-5.5, 2.8, -11, 8.5), 2.8)
        + _solid("#e2403f", _oval(21, -27, 2, 2))
        + _eye(15.8, -28.6, coat)
    )


def _turtle(coat: str) -> str:
    skin = shade(coat, 1.45) if _is_dark(coat) else shade(coat, 0.72)
    shell = "M-17.5 -5Q-17 -20 -2 -20Q13 -20 13.5 -5Z"
    plates = (
        "M-4.2 -18.4H0.2L2 -14.5L0.2 -10.6H-4.2L-6 -14.5Z",
        "M-9.4 -16.6L-7.2 -13L-9.4 -9.4H-12.8L-14.6 -11.2Q-13 -15 -9.4 -16.6Z",
        "M5.4 -16.6L3.2 -13L5.4 -9.4H8.8L10.6 -11.2Q9 -15 5.4 -16.6Z",
        "M-7.4 -9.8H-5.6L-3.6 -6.5H-9.2ZM3.4 -9.8H1.6L-0.4 -6.5H5.2Z",
    )
    return (
        _solid(_far(skin), "M-8 -5H-3L-4 0H-9ZM3 -5H8L7 0H2Z", "M-15 -5L-21 -2.5L-15 -2.5Z")
        + _solid(
            skin,
            "M9 -4Q13 -6 13.5 -10Q14 -16 18.5 -16Q23.5 -15.5 23 -11.5Q22.5 -9 19 -9Q18 -4 11 -2.5Z",
            "M-15 -5H-9L-9.5 0H-15.5ZM7 -5H13L13.5 0H8Z",
        )
        + _solid(coat, shell)
        + _flat(_marking(coat), *plates)
        + _solid(skin, "M-18 -6H14Q15 -3 12 -3H-16Q-19 -3 -18 -6Z")
        + _eye(19.4, -12.8, skin)
    )


MOUNTS: dict[str, Mount] = {
    "horse": Mount(_horse, (-2.0, -21.5)),
    "zebra": Mount(_zebra, (-2.0, -21.5)),
    "camel": Mount(_camel, (-2.0, -21.5)),
    "elephant": Mount(_elephant, (-5.0, -25.5)),
    "cow": Mount(_cow, (-2.0, -22.5)),
    "pig": Mount(_pig, (-2.0, -19.0)),
    "reindeer": Mount(_reindeer, (-2.0, -21.5)),
    "turtle": Mount(_turtle, (-2.0, -19.5)),
}
