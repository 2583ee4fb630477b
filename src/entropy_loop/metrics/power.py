"""How large must a study be? Power of the claim that c is beyond drift, by simulating whole studies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.chains import LEAST_CHAINS, Drift, change_rates, drift_null, mean_over_chains, p_values
from entropy_loop.metrics.nulls import glimpsed, neutral

LEVEL = 0.05
_STUDIES = 4000
_REPLICATES = 1599  # 2.5 % of R + 1 is a whole number: the simulated test has the level it says
_MOST = {"images": 16384, "chains": 128, "raters": 100}


@dataclass(frozen=True)
class Design:
    """A study and its power. Of `chains` chains each generation makes `images` images and feeds back `keep` of them
    (a number, or a float in (0, 1]: a share of the pool); after `generations` steps V has fallen from `rate` to
    rate (1 - change). rated: so many images of each pool are judged, by `raters` people each, and two people's answers to
    one image correlate with `agreement`; None: all images, by a judge."""

    rate: float
    change: float
    images: int
    keep: int | float
    chains: int
    power: float
    generations: int = 1
    rated: int | None = None
    raters: int = 1
    agreement: float = 1.0

    @property
    def kept(self) -> int:
        """How many images of a pool are fed back."""
        return self.keep if isinstance(self.keep, int) else max(1, round(self.keep * self.images))


def solve(
    rate: float,
    change: float,
    images: int | None = None,
    keep: int | float | None = None,
    chains: int | None = None,
    power: float | None = None,
    generations: int = 1,
    seed: int = 0,
    rated: int | None = None,
    raters: int | None = None,
    agreement: float = 1.0,
) -> Design:
    """The design with the one of images, keep, chains and power that is left out: power itself, or the smallest
    number that reaches it. With `raters` and all four of them it is `rated` that is solved for.

    The claim is that of `chains.claim`: the mean over the chains of c from 0 to last, p <= .05 against drift.
    The alternative: generation 0 has the true rate `rate`; each step keeps `keep` images blindly, the regime is
    replace, and the next model shows the concept at (1 - change)^(1/generations) times the rate of what was kept,
    so that E[V(last)] = rate (1 - change) and neutral drift (LAWS E11) acts on top. Arms with a memory drift less.
    People: an image's chance of being recognised by one of them is Beta with mean V and the correlation `agreement`, so
    that the mean share of m people has the variance V (1 - V) (agreement + (1 - agreement) / m) per image.
    Found by simulating 4,000 studies, the same seed for every try: power is known to one or two points.
    Raises ConfigError when not exactly one is left out, when a number is out of range, or when no size suffices.
    """
    given = {"images": images, "keep": keep, "chains": chains, "power": power}
    left_out = [name for name, value in given.items() if value is None]
    if raters is not None and rated is None:
        left_out.append("rated")
    if len(left_out) != 1:
        said = "all are given" if not left_out else f"{', '.join(left_out)} are left out"
        raise ConfigError(f"power: leave out exactly one of images, keep, chains and power, to be solved for; {said}.")
    unknown = left_out[0]
    fewest = keep if isinstance(keep, int) else 2
    design = Design(  # what is not known yet starts at its smallest value
        rate,
        change,
        images=fewest if images is None else images,
        keep=1 if keep is None else keep,
        chains=LEAST_CHAINS if chains is None else chains,
        power=0.0 if power is None else power,
        generations=generations,
        rated=2 if unknown == "rated" else rated,
        raters=raters or 1,
        agreement=agreement,
    )
    _check(design)
    if unknown == "power":
        return replace(design, power=_power(design, seed))
    return _smallest(design, unknown, seed)


def size(text: str | None) -> int | float | None:
    """What a command line says of `keep`: '32' is a number, '0.25' a share. Raises ConfigError for anything else."""
    if text is None:
        return None
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise ConfigError(f"power: keep is {text!r}; it takes a number of images or a share such as 0.25.") from None


def _check(design: Design) -> None:
    """Raises ConfigError for a number that makes no study."""
    ranges = {
        "rate": (0 < design.rate < 1, "between 0 and 1"),
        "change": (0 < design.change <= 1, "above 0 (recognition falls) and at most 1"),
        "images": (1 <= design.images <= _MOST["images"], f"1 to {_MOST['images']}"),
        "keep": (_fits(design.keep, design.images), "1 to images, or a share in (0, 1]"),
        "chains": (LEAST_CHAINS <= design.chains <= _MOST["chains"], f"{LEAST_CHAINS} to {_MOST['chains']}"),
        "power": (0 <= design.power < 1, "at least 0 and below 1"),
        "generations": (design.generations >= 1, "1 or more"),
        "rated": (design.rated is None or 1 <= design.rated <= design.images, "1 to images"),
        "raters": (1 <= design.raters <= _MOST["raters"], f"1 to {_MOST['raters']}"),
        "agreement": (0 < design.agreement <= 1, "above 0 and at most 1"),
    }
    for name, (fits, wanted) in ranges.items():
        if not fits:
            raise ConfigError(f"power: {name} is {getattr(design, name)}; it must be {wanted}.")


def _fits(keep: int | float, images: int) -> bool:
    return 1 <= keep <= images if isinstance(keep, int) else 0 < keep <= 1


def _smallest(design: Design, unknown: str, seed: int) -> Design:
    """The design with the smallest value of the unknown, from its present one up, that reaches the wanted power:
    doubled until it does, then bisected."""

    def tried(value: int) -> Design:
        attempt = replace(design, **{unknown: value})
        return replace(attempt, power=_power(attempt, seed))

    value, most = getattr(design, unknown), _MOST.get(unknown, design.images)  # of keep and rated: all images
    too_small, best = value - 1, tried(value)
    while best.power < design.power:
        if value == most:
            raise ConfigError(
                f"power: even {unknown} = {value} gives a power of {best.power:.2f}, not {design.power:g}: "
                f"drift through {best.kept} kept images in {best.chains} chains hides a change of {design.change:g}. "
                "Keep more images, run more chains, or ask for a larger change."
            )
        too_small, value = value, min(2 * value, most)
        best = tried(value)
    while value - too_small > 1:
        middle = (too_small + value) // 2
        attempt = tried(middle)
        if attempt.power < design.power:
            too_small = middle
        else:
            value, best = middle, attempt
    return best


def _power(design: Design, seed: int) -> float:
    """Share of simulated studies whose claim has p <= .05."""
    d = design
    fall = (1 - d.change) ** (1 / d.generations)
    rng = np.random.default_rng(seed)
    first = rng.binomial(d.images, d.rate, (_STUDIES, d.chains))
    rates = neutral(first.ravel(), d.images, d.kept, lambda kept, rng: fall * kept[-1], d.generations, rng)
    rates = rates[:, [0, -1]].reshape(_STUDIES, d.chains, 2)
    if d.rated is not None:
        rates = _as_rated(rates, d, rng)
        first = np.rint(rates[..., 0] * d.images).astype(int)
    values = change_rates(rates)
    copier = {"copier": Drift(d.kept, lambda kept, rng: kept[-1])}
    # A study's null follows from its pooled hits; those half a standard error apart share one.
    n = d.images * d.chains
    width = max(1, round(0.5 * np.sqrt(n * d.rate * (1 - d.rate))))
    centres = np.clip(np.round(first.sum(axis=1) / width) * width, 0, n)
    claims = 0
    for hits in np.unique(centres):
        first_rates = np.full(d.chains, hits / n)
        told = first_rates, d.images, copier, d.generations, seed + int(hits), _REPLICATES, d.rated
        null = drift_null(*told)["copier"]
        observed = mean_over_chains(values[centres == hits])
        claims += int((p_values(observed, mean_over_chains(change_rates(null))) <= LEVEL).sum())
    return claims / _STUDIES


def _as_rated(rates: np.ndarray, d: Design, rng: np.random.Generator) -> np.ndarray:
    """V as people see it, on `rated` images of each pool: every image that shows it, or does not, as the pool has it
    (drawn blindly), then each person's answer, alike with the correlation `agreement`."""
    rated = d.images if d.rated is None else d.rated
    seen = glimpsed(rates, d.images, rated, rng)
    if d.agreement == 1.0:
        return seen
    # A share a of the images has one answer of all people, the others an answer of each: mean and variance are those of
    # the Beta model, and nothing has to be drawn image by image.
    alike = rng.binomial(rated, d.agreement, seen.shape)
    shown = rng.binomial(alike, seen)
    apart = rng.binomial((rated - alike) * d.raters, seen) / d.raters
    return (shown + apart) / rated
