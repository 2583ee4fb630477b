"""The storybook world: what a scene can show, how often, and how it is drawn.

Every attribute of a scene is sampled from the table `SHARES`. So the true share of each value is known, and its change
over generations can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from entropy_loop.worlds.storybook.backgrounds import background_svg
from entropy_loop.worlds.storybook.mounts import MOUNTS as MOUNT_DRAWINGS
from entropy_loop.worlds.storybook.riders import RIDERS as RIDER_DRAWINGS

SIZE = 64  # pixels, width and height

RIDERS = tuple(RIDER_DRAWINGS)
MOUNTS = tuple(MOUNT_DRAWINGS)

# The true distribution of the world. Riders and mounts, which prompts name, are sampled uniformly, except that an
# unseen pair is sampled again, even if only one of the two is shown (wizard and pirate .112 each, other riders .130).
# The attributes below are long-tailed and mostly not named by prompts: a feedback loop may forget them.
SHARES: dict[str, dict[str, float]] = {
    "relation": {"riding": 0.42, "next_to": 0.26, "rider_alone": 0.12, "mount_alone": 0.12, "empty": 0.08},
    "coat": {"brown": 0.55, "black": 0.20, "white": 0.12, "grey": 0.08, "palomino": 0.04, "blue": 0.01},
    "suit": {"white": 0.50, "orange": 0.20, "blue": 0.14, "green": 0.10, "purple": 0.05, "pink": 0.01},
    "background": {"meadow": 0.45, "desert": 0.20, "beach": 0.15, "snow": 0.10, "city": 0.07, "moon": 0.03},
    "facing": {"right": 0.80, "left": 0.20},
}
BACKGROUNDS = tuple(SHARES["background"])

COLOURS = {
    "coat": {
        "brown": "#8a5a33", "black": "#3a3540", "white": "#efeae2",
        "grey": "#9a9ba3", "palomino": "#e0b25c", "blue": "#4a7fd6",
    },
    "suit": {
        "white": "#ece8e1", "orange": "#e8862e", "blue": "#3f6fd1",
        "green": "#3c9a56", "purple": "#8a4fbf", "pink": "#f08bb4",
    },
}  # fmt: skip

# The concepts that a judge can be asked for, each with the field of a scene that has its truth. `riding` does not
# depend on the rider or the mount.
CONCEPTS = {
    **dict.fromkeys(RIDERS, "rider"), **dict.fromkeys(MOUNTS, "mount"), "riding": "relation",
    **dict.fromkeys(BACKGROUNDS, "background"),
}  # fmt: skip

# Pairs that training data never show together: they test whether a model can combine them.
UNSEEN_PAIRS = (("wizard", "camel"), ("pirate", "cow"))

# Smallest and largest size factor of the figures: every relation fills the frame and fits into it.
SCALES = {
    "riding": (0.86, 1.02), "next_to": (0.76, 0.88), "rider_alone": (1.00, 1.30),
    "mount_alone": (0.95, 1.15), "empty": (1.00, 1.00),
}  # fmt: skip

PLACE_NAMED = 0.35  # share of captions that name the background
PLACES = {
    "meadow": "in a meadow", "desert": "in the desert", "beach": "on a beach",
    "snow": "in the snow", "city": "in a city", "moon": "on the moon",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One scene and its whole truth; '' is an attribute of something that is not in it. Lengths are in pixels.

    x, ground: where the middle of the group stands. scale: size factor of the figures. variant: in [0, 1), moves
    details of the background. side: +1 or -1, the side of its mount on which a rider stands.
    """

    relation: str
    rider: str
    mount: str
    coat: str
    suit: str
    background: str
    facing: str
    place_named: bool
    x: float
    ground: float
    scale: float
    variant: float
    side: int


def noun(name: str) -> str:
    """The name with its article: 'an astronaut', 'a horse', 'the moon'."""
    if name in ("snow", "moon", "desert"):
        return f"the {name}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(scene: Scene) -> str:
    """The scene's caption, such as 'a photograph of an astronaut riding a horse on the moon'."""
    if scene.relation == "empty":
        return f"a photograph of {noun(scene.background)}"
    link = {"riding": " riding ", "next_to": " standing next to "}.get(scene.relation, "")
    figures = link.join(noun(name) for name in (scene.rider, scene.mount) if name)
    place = f" {PLACES[scene.background]}" if scene.place_named else ""
    return f"a photograph of {figures}{place}"


def shows(scene: Scene) -> dict[str, bool]:
    """Concept -> whether the scene shows it, for each of CONCEPTS."""
    return {concept: getattr(scene, field) == concept for concept, field in CONCEPTS.items()}


VOCABULARY = tuple(
    sorted(
        {"a", "an", "the", "photograph", "of", "riding", "standing", "next", "to"}
        | {*RIDERS, *MOUNTS, *BACKGROUNDS}
        | {word for place in PLACES.values() for word in place.split()}
    )
)


def sample(seed: int, index: int, **fixed: str) -> Scene:
    """Scene `index` of the endless album `seed`. fixed: attributes that are set, not sampled.

    Each scene has its own random numbers, so scene i does not depend on the album's length. An unseen pair is sampled
    only when both rider and mount are fixed.
    """
    rng = np.random.default_rng([seed, index])
    drawn = {name: _choose(rng, shares) for name, shares in SHARES.items()}
    drawn |= {"rider": str(rng.choice(RIDERS)), "mount": str(rng.choice(MOUNTS))} | fixed
    while (drawn["rider"], drawn["mount"]) in UNSEEN_PAIRS and not {"rider", "mount"} <= fixed.keys():
        drawn["mount" if "rider" in fixed else "rider"] = str(rng.choice(MOUNTS if "rider" in fixed else RIDERS))
    smallest, largest = SCALES[drawn["relation"]]
    scene = Scene(
        **drawn,
        place_named=bool(rng.random() < PLACE_NAMED),
        x=float(rng.uniform(29, 35)),
        ground=float(rng.uniform(56, 61)),
        scale=float(rng.uniform(smallest, largest)),
        variant=float(rng.random()),
        side=int(rng.choice((-1, 1))),
    )
    return _without_absent(scene)


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _without_absent(scene: Scene) -> Scene:
    if scene.relation in ("mount_alone", "empty"):
        scene = replace(scene, rider="", suit="")
    if scene.relation in ("rider_alone", "empty"):
        scene = replace(scene, mount="", coat="")
    return scene if scene.relation != "empty" else replace(scene, facing="")


def svg(scene: Scene) -> str:
    """The scene as an SVG document of 64 x 64 units."""
    mirror = -1 if scene.facing == "left" else 1
    frame = f"translate({scene.x:.2f} {scene.ground:.2f}) scale({mirror * scene.scale:.3f} {scene.scale:.3f})"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}" viewBox="0 0 {SIZE} {SIZE}">'
        f'{background_svg(scene.background, scene.variant)}<g transform="{frame}">{_figures(scene)}</g></svg>'
    )


def _figures(scene: Scene) -> str:
    suit = COLOURS["suit"].get(scene.suit, "")
    coat = COLOURS["coat"].get(scene.coat, "")
    if scene.relation == "riding":
        mount = MOUNT_DRAWINGS[scene.mount]
        rider = RIDER_DRAWINGS[scene.rider].svg("seated", suit)
        return mount.svg(coat) + _moved(rider, *mount.saddle)
    if scene.relation == "next_to":
        rider = RIDER_DRAWINGS[scene.rider].svg("standing", suit)
        beside = 27.0 if scene.side > 0 else -26.0
        return _moved(MOUNT_DRAWINGS[scene.mount].svg(coat), -0.3 * beside, 0) + _moved(rider, 0.7 * beside, 0)
    if scene.relation == "rider_alone":
        return RIDER_DRAWINGS[scene.rider].svg("standing", suit)
    return MOUNT_DRAWINGS[scene.mount].svg(coat) if scene.relation == "mount_alone" else ""


def _moved(fragment: str, x: float, y: float) -> str:
    return f'<g transform="translate({x:.2f} {y:.2f})">{fragment}</g>'


def render(scene: Scene) -> np.ndarray:
    """The scene as pixels, uint8 of shape (64, 64, 3)."""
    import io

    import resvg_py
    from PIL import Image

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg(scene)))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def album(n: int, seed: int) -> Iterator[Scene]:
    """The first n scenes of album `seed`, from the training distribution."""
    return (sample(seed, index) for index in range(n))


def truth(scenes: list[Scene]) -> pd.DataFrame:
    """The truth table: one row per scene, one column per field of `Scene`."""
    return pd.DataFrame([asdict(scene) for scene in scenes])


def dataset(n: int, seed: int) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """n scenes of album `seed`: pixels uint8 (n, 64, 64, 3), captions, truth table."""
    scenes = list(album(n, seed))
    return np.stack([render(scene) for scene in scenes]), [caption(scene) for scene in scenes], truth(scenes)
