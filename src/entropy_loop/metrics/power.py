"""Power of the claim that c is beyond drift, and the sizes that reach it, by simulating whole studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.chains import LEAST_CHAINS, change_rates, drift_null, mean_over_chains, p_values
from entropy_loop.metrics.nulls import Drift, neutral, sampled_rates

LEVEL = 0.05
_STUDIES = 4000
_REPLICATES = 1599  # 2.5 % of R + 1 is a whole number, so that the test has exactly its nominal level
_MAXIMA = {"images": 16384, "chains": 128, "raters": 1024}


@dataclass(frozen=True)
class Design:
    """A study and its power.

    In each of `chains` chains every generation makes `images` images and feeds back `keep` of them: an int is a number,
    a float in (0, 1] a share of the pool. After `generations` steps V has fallen from `rate` to rate (1 - change).

    rated: images per pool that people look at. raters: people per image. agreement: intraclass correlation of their
    answers to an image. All three are None when a model judge gives every image one yes or no.
    """

    rate: float
    change: float
    images: int
    keep: int | float
    chains: int
    power: float
    generations: int = 1
    rated: int | None = None
    raters: int | None = None
    agreement: float | None = None

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
    agreement: float | None = None,
) -> Design:
    """Solve for the one of images, keep, chains and power that is left out: power, or the smallest number that reaches
    it.

    Giving any of rated, raters and agreement means that people look: raters and agreement default to 1, and rated can
    be the number that is solved for.

    The claim is that of `chains.claim`: the mean over the chains of c from generation 0 to the last, p <= .05 against
    drift. Under the alternative, generation 0 has the true rate `rate`. Each step keeps `keep` images blindly, with
    regime replace. The next model shows the concept at (1 - change)^(1/generations) times the rate of the kept images,
    so E[V(last)] = rate (1 - change), with neutral drift (docs/laws.md, E11) on top. Arms with a memory drift less.
    `_observe` describes people's answers.

    Power comes from 4,000 simulated studies with the same seed for every try, and is accurate to one or two points.
    Raises ConfigError when not exactly one number is left out, when one is out of range, or when no size suffices.
    """
    sizes = {"images": images, "keep": keep, "chains": chains, "power": power}
    people = {"rated": rated, "raters": raters, "agreement": agreement}
    # The unknown starts at its smallest value.
    start: dict[str, Any] = {"images": max(keep if isinstance(keep, int) else 2, rated or 1), "keep": 1}
    start |= {"chains": LEAST_CHAINS, "power": 0.0}
    if people_look := any(value is not None for value in people.values()):
        start |= {"rated": 1, "raters": 1, "agreement": 1.0}
    unknown = _left_out(sizes | ({"rated": rated} if people_look else {}))
    given = {name: value for name, value in (sizes | people).items() if value is not None}
    design = Design(rate, change, generations=generations, **(start | given))
    _check(design)
    if unknown == "power":
        return replace(design, power=_power(design, seed))
    return _smallest(design, unknown, seed)


def _left_out(given: Mapping[str, object]) -> str:
    """The name of the one number that is None."""
    missing = [name for name, value in given.items() if value is None]
    if len(missing) != 1:
        problem = "all are given" if not missing else f"{', '.join(missing)} are left out"
        *names, last = given
        raise ConfigError(f"power: leave out exactly one of {', '.join(names)} and {last}, to solve for; {problem}.")
    return missing[0]


def size(text: str | None) -> int | float | None:
    """Parse `keep` from the command line: '32' is a number, '0.25' a share. Raises ConfigError for anything else."""
    if text is None:
        return None
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise ConfigError(f"power: keep is {text!r}; it takes a number of images or a share such as 0.25.") from None


def _check(design: Design) -> None:
    """Raises ConfigError for a number out of range."""
    keep = design.keep
    ranges = {
        "rate": (0 < design.rate < 1, "between 0 and 1"),
        "change": (0 < design.change <= 1, "above 0 (recognition falls) and at most 1"),
        "images": (1 <= design.images <= _MAXIMA["images"], f"1 to {_MAXIMA['images']}"),
        "keep": (
            1 <= keep <= design.images if isinstance(keep, int) else 0 < keep <= 1,
            "1 to images, or a share in (0, 1]",
        ),
        "chains": (LEAST_CHAINS <= design.chains <= _MAXIMA["chains"], f"{LEAST_CHAINS} to {_MAXIMA['chains']}"),
        "power": (0 <= design.power < 1, "at least 0 and below 1"),
        "generations": (design.generations >= 1, "1 or more"),
    }
    if design.rated is not None and design.raters is not None and design.agreement is not None:
        ranges["rated"] = (1 <= design.rated <= design.images, f"1 to images ({design.images})")
        ranges["raters"] = (1 <= design.raters <= _MAXIMA["raters"], f"1 to {_MAXIMA['raters']}")
        ranges["agreement"] = (0 <= design.agreement <= 1, "0 to 1")
    for name, (valid, allowed) in ranges.items():
        if not valid:
            raise ConfigError(f"power: {name} is {getattr(design, name)}; it must be {allowed}.")


def _smallest(design: Design, unknown: str, seed: int) -> Design:
    """The design with the smallest value of the unknown, from its current value up, that reaches `design.power`: the
    value is doubled until it does, then bisected."""

    def attempt_at(value: int) -> Design:
        attempt = replace(design, **{unknown: value})
        return replace(attempt, power=_power(attempt, seed))

    value, largest = getattr(design, unknown), _MAXIMA.get(unknown, design.images)
    too_small, best = value - 1, attempt_at(value)
    while best.power < design.power:
        if value == largest:
            raise ConfigError(
                f"power: even {unknown} = {value} gives a power of {best.power:.2f}, not {design.power:g}: "
                f"drift through {best.kept} kept images in {best.chains} chains hides a change of {design.change:g}. "
                "Keep more images, run more chains, or ask for a larger change."
            )
        too_small, value = value, min(2 * value, largest)
        best = attempt_at(value)
    while value - too_small > 1:
        middle = (too_small + value) // 2
        attempt = attempt_at(middle)
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
    falling = Drift(d.kept, lambda kept, rng: fall * kept[-1])
    rates = neutral(first.ravel(), d.images, falling, d.generations, rng)
    observed = _observe(d, rates, rng).reshape(_STUDIES, d.chains, -1)
    values = change_rates(observed)
    copier = {"copier": Drift(d.kept, lambda kept, rng: kept[-1])}
    # A study's null depends on its pooled hits. Studies within half a standard error share one null.
    judged = d.images if d.rated is None else d.rated
    n = judged * d.chains
    width = max(1, round(0.5 * np.sqrt(n * d.rate * (1 - d.rate))))
    centres = np.clip(np.round(np.round(observed[..., 0].sum(axis=1) * judged) / width) * width, 0, n)
    claims = 0
    for hits in np.unique(centres):
        start, key = np.full(d.chains, hits / n), seed + int(hits)
        null = drift_null(start, d.images, copier, d.generations, key, _REPLICATES, d.rated)["copier"]
        means = mean_over_chains(values[centres == hits])
        claims += int((p_values(means, mean_over_chains(change_rates(null))) <= LEVEL).sum())
    return claims / _STUDIES


def _observe(design: Design, rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Observed V of pools that show the concept at `rates` (any shape); the rates themselves for a model judge.

    People follow a latent model: an image shows the concept or does not. With probability sqrt(agreement) a rater says
    what the image shows, otherwise yes at the pool's rate. So V is unbiased, and the correlation of two raters' answers
    to an image is `agreement`. Raters' own leniency is left out: it changes c little when the same people rate both
    generations.
    """
    if design.rated is None or design.raters is None or design.agreement is None:
        return rates
    certain = np.sqrt(design.agreement)
    guess = (1 - certain) * np.minimum(rates, 1)
    shown = np.rint(sampled_rates(rates, design.images, design.rated, rng) * design.rated).astype(np.int64)
    yes = rng.binomial(design.raters * shown, np.minimum(certain + guess, 1))
    yes = yes + rng.binomial(design.raters * (design.rated - shown), guess)
    return np.asarray(yes / (design.raters * design.rated))
