"""Flat vector drawings of the storybook riders, as SVG fragments.

All parts are drawn in one *hip frame*: (0, 0) is the seat, y grows downwards,
the neck is near y = -11 and everyone faces right. A seated rider is placed as
it is; a standing one is lifted by the length of its legs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from entropy_loop.worlds.storybook.ink import INK, shade

SKIN = "#f2bd94"
WHITE = "#fbf8f0"
FUR = "#f0902c"
STEEL = "#a9b3bf"
TEAL = "#7fd6cf"
LEG = 10
FAR = 0.72


def _shape(d: str, fill: str) -> str:
    """A filled path with the common outline."""
    return f'<path d="{d}" fill="{fill}" stroke="{INK}" stroke-width=".8" stroke-linejoin="round"/>'


def _flat(d: str, fill: str) -> str:
    """A filled path without outline, for marks inside a shape."""
    return f'<path d="{d}" fill="{fill}"/>'


def _ball(x: float, y: float, rx: float, ry: float, fill: str) -> str:
    """An outlined ellipse."""
    return f'<ellipse cx="{x}" cy="{y}" rx="{rx}" ry="{ry}" fill="{fill}" stroke="{INK}" stroke-width=".8"/>'


def _dot(x: float, y: float, r: float, fill: str) -> str:
    """A circle without outline, for eyes, noses and buttons."""
    return f'<circle cx="{x}" cy="{y}" r="{r}" fill="{fill}"/>'


def _limb(d: str, width: float, colour: str) -> str:
    """A thick round-ended stroke with the common outline."""
    return "".join(
        f'<path d="{d}" fill="none" stroke="{c}" stroke-width="{w}" stroke-linecap="round" stroke-linejoin="round"/>'
        for c, w in ((INK, width + 1.4), (colour, width))
    )


def _astronaut() -> str:
    return (
        _ball(0.5, -17, 7.2, 6.8, "#f7f7f5")
        + _shape("M-1 -20.4Q3 -22 6.6 -20Q8.2 -17 6.6 -14Q3 -12 -1 -13.6Q-3.4 -17 -1 -20.4Z", "#1f3a8a")
        + _dot(1.4, -18.6, 1.5, "#a9d8ff")
    )


def _knight() -> str:
    return (
        _limb("M1 -23Q-3 -28 -8 -24Q-9.5 -22 -9 -18", 3.4, "#d8262f")
        + _shape("M-5.5 -11V-17Q-5 -23.5 1 -23.5Q6.5 -23.5 7.4 -17.5L7.8 -15L6 -11Z", STEEL)
        + _flat("M-.5 -18.8H7.4L7.6 -16.2H-.5Z", INK)
        + _flat("M2 -14.4H3.4V-12H2ZM4.6 -14.4H6V-12H4.6Z", INK)
    )


def _robot() -> str:
    return (
        _limb("M.6 -22V-24", 1.4, "#5d6b73")
        + _ball(0.6, -25.7, 2, 2, "#f0342f")
        + _shape("M-5.8 -22.6H7.2V-11H-5.8Z", TEAL)
        + _flat("M-3.2 -20H6.4V-15.2H-3.2Z", "#123c46")
        + _dot(-0.4, -17.6, 1.7, "#ffe94a")
        + _dot(4.2, -17.6, 1.7, "#ffe94a")
        + _flat("M-1 -13.8H5V-12.4H-1Z", "#123c46")
    )


def _chef() -> str:
    return (
        _ball(0.8, -15.4, 5.3, 5, SKIN)
        + _shape(
            "M-4.4 -17.8V-21Q-8 -22 -6.6 -25Q-5 -27.6 -2.4 -26.6Q.8 -30 4 -26.6Q7 -27.4 8.2 -24.8Q9 -22 6 -21V-17.8Z",
            WHITE,
        )
        + _dot(0.8, -15.8, 0.9, INK)
        + _dot(4.4, -15.8, 0.9, INK)
        + _flat("M-1.8 -12.4Q.4 -15 2.8 -14Q5.4 -15 7.2 -12.4Q5 -11.6 2.8 -12.6Q.4 -11.6 -1.8 -12.4Z", "#4a2a18")
    )


def _wizard() -> str:
    return (
        _ball(0.8, -15, 5.4, 5, SKIN)
        + _shape("M-4.8 -14.6Q-.5 -11.6 1.2 -13.6Q4 -11.6 6.4 -14.6Q8 -7.6 3 -2.4Q-4 -6.6 -4.8 -14.6Z", WHITE)
        + _dot(0.4, -15.4, 1, INK)
        + _dot(4.4, -15.4, 1, INK)
        + _shape(
            "M-8.6 -17.6Q-4.4 -19.6 -4.2 -20L-1.6 -27.8Q3 -26 5.6 -20Q6.4 -19 10 -18Q.8 -16.4 -8.6 -17.6Z",
            "#4a35b5",
        )
        + _dot(0.8, -21, 1.7, "#ffd84a")
    )


def _clown() -> str:
    return (
        "".join(_ball(x, y, 3.4, 3.4, "#ee3a1f") for x, y in ((-5, -20), (-6, -15), (6.6, -20), (7.4, -15)))
        + _ball(0.8, -16.8, 5.4, 5.8, WHITE)
        + _dot(-0.8, -18.6, 1.1, "#2457c5")
        + _dot(3.6, -18.6, 1.1, "#2457c5")
        + _flat("M-2.4 -14.6Q1.4 -9.8 5.2 -14.6Q1.4 -13.4 -2.4 -14.6Z", "#d8262f")
        + _dot(1.5, -16, 1.9, "#f0141e")
    )


def _pirate() -> str:
    return (
        _ball(0.8, -15.8, 5.8, 5.4, SKIN)
        + _shape("M-5 -14Q-1 -12 1 -13Q4 -12 6.6 -14Q6.6 -7.8 1 -7.8Q-4.4 -7.8 -5 -14Z", "#4a2a18")
        + _flat("M-4 -19.8L6.6 -17.4V-15.8L-4.6 -18.4Z", INK)
        + _dot(4, -16.4, 2.1, INK)
        + _dot(-0.8, -15.8, 1, INK)
        + _shape(
            "M-8.8 -22.4Q-6 -21.8 -4.4 -24Q.8 -30 6 -24Q7.6 -21.8 10.4 -22.4Q9 -18.2 .8 -18.8Q-7.4 -18.2 -8.8 -22.4Z",
            "#23202a",
        )
        + _dot(0.8, -22.8, 2.1, WHITE)
    )


def _cat() -> str:
    return (
        _shape("M-6.4 -17L-6 -26L-.4 -21.4H2L7.6 -26L8 -17Z", FUR)
        + _ball(0.8, -16.4, 7.6, 5.8, FUR)
        + _flat("M-4.8 -23.4L-2 -20.8L-4.8 -19.4ZM6.4 -23.4L3.6 -20.8L6.4 -19.4Z", "#ffb9b0")
        + _flat("M.1 -22H1.5V-18.6H.1ZM-2.4 -21.4H-1.2V-19.4H-2.4ZM2.8 -21.4H4V-19.4H2.8Z", "#a8501a")
        + _flat("M-8.8 -15.6L-4 -14.6L-8.8 -12.6ZM10.6 -15.6L6 -14.6L10.6 -12.6Z", WHITE)
        + _ball(1.2, -13.4, 3.6, 2.3, WHITE)
        + _dot(-2.2, -17, 1.4, INK)
        + _dot(4.4, -17, 1.4, INK)
        + _dot(1.2, -14.6, 1.2, "#e0556b")
    )


@dataclass(frozen=True)
class Rider:
    """A rider's own parts, as SVG fragments, and colours; the body is common to all riders."""

    head: str
    hand: str = SKIN
    boot: str = "#54382a"
    behind: str = ""
    front: str = ""

    def svg(self, pose: str, suit: str) -> str:
        """Return the rider's `<g>` in `pose`, dressed in the hex colour `suit`."""
        draw = {"standing": _standing, "seated": _seated}[pose]
        return f"<g>{draw(self, suit)}</g>"


RIDERS: Mapping[str, Rider] = MappingProxyType(
    {
        "astronaut": Rider(
            _astronaut(),
            hand="#c9ced6",
            boot="#8b93a0",
            behind=_shape("M-8.6 -11.6H-3V-1.6H-8.6Z", "#aeb6c2"),
            front=_flat("M-.6 -8.6H4V-5.4H-.6Z", "#d8262f"),
        ),
        "knight": Rider(_knight(), hand=STEEL, boot="#77818e"),
        "robot": Rider(_robot(), hand=TEAL, boot="#3f8e8c"),
        "chef": Rider(_chef(), front=_shape("M-3.6 -11.4H5L1.2 -7.2Z", "#d8262f")),
        "wizard": Rider(_wizard()),
        "clown": Rider(
            _clown(),
            boot="#d8262f",
            front=_ball(0.6, -10.4, 5.6, 1.9, "#ffd84a") + _dot(2.6, -6.4, 1.3, "#ffd84a"),
        ),
        "pirate": Rider(_pirate()),
        "cat": Rider(
            _cat(),
            hand=WHITE,
            boot=WHITE,
            behind=_limb("M-3 -1Q-10 0 -9.4 -5Q-8.6 -9 -11 -11", 2.2, FUR),
        ),
    }
)


def _seated(rider: Rider, suit: str) -> str:
    """Astride: only the near leg shows, bent over the animal's flank."""
    return (
        rider.behind
        + _limb("M3 -8.2L7.8 -6.6", 2.6, shade(suit, FAR))
        + _shape("M-5.2 .6L-4.8 -8.6Q-4.4 -11.4 0 -11.4Q4.6 -11.4 4.8 -8.6L5 .6Z", suit)
        + rider.front
        + _ball(6.2, 8.8, 3.8, 2.1, rider.boot)
        + _limb("M-2 -.6L6 1L4.6 6.4", 4.2, suit)
        + rider.head
        + _limb("M-1.4 -8L1.6 -4.2L6.8 -4.6", 2.8, suit)
        + _ball(7.8, -4.9, 2, 2, rider.hand)
    )


def _standing(rider: Rider, suit: str) -> str:
    """Upright, legs apart, near arm at the side."""
    far = shade(suit, FAR)
    return (
        f'<g transform="translate(0 {-LEG})">'
        + rider.behind
        + _limb("M3.6 -8.6L7.4 -3", 2.8, far)
        + _ball(7.8, -2, 1.9, 1.9, rider.hand)
        + _ball(4.7, LEG - 2, 3, 1.8, rider.boot)
        + _limb("M3.2 -1V6", 3.4, far)
        + _ball(-2.1, LEG - 2, 3, 1.8, rider.boot)
        + _limb("M-3.2 -1V6", 3.4, suit)
        + _shape("M-5.2 .4L-4.8 -8.6Q-4.4 -11.4 0 -11.4Q4.6 -11.4 4.8 -8.6L5.2 .4Z", suit)
        + rider.front
        + rider.head
        + _limb("M-4.2 -8.4L-6.4 -2.8", 2.8, suit)
        + _ball(-6.8, -1.6, 1.9, 1.9, rider.hand)
        + "</g>"
    )
