"""The report's sentences, from the config and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from entropy_loop.analysis.formatting import MINUS, NULLS, Null, Value, band, change_value, number, rate_value, span
from entropy_loop.analysis.rows import ChangeRow, RateRow
from entropy_loop.data import ALL
from entropy_loop.plan import Plan
from entropy_loop.report.view import StyledChain, Subject, View, arm_label
from entropy_loop.study.config import Config

SIGN = f"c = (V1 {MINUS} V2)/V1; c > 0 means recognition fell."
ESSAY = (
    "(An essay of 2022 proposed c. It calls a negative c entropy, but by its formula, and here, a loss gives c > 0.)"
)
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LISTED = 6  # up to this many unfinished chains are named


# ---- the header --------------------------------------------------------------------------------------


def question(view: View) -> str:
    """What the experiment asks, in one sentence."""
    targets = view.targets
    single, several = len(targets) == 1, any(len(target.concepts) > 1 for target in targets)
    model = "toy generator" if view.draws_nothing else "text-to-image model"
    asked, where = ("are all concepts", " in one image") if several else ("is the concept", "")
    prompts = f"\u201c{targets[0].text}\u201d" if single else f"{counted(len(targets))} prompts"
    return (
        f"When a {model} is trained on its own images of {prompts}, "
        f"how often {asked} of {'the' if single else 'a'} prompt still recognised{where}?"
    )


def toy(view: View) -> str:
    """What an image is where the generator draws nothing; else empty."""
    if not view.draws_nothing:
        return ""
    lists = all(chain.config.generator["use"] == "categorical" for chain in view.plan.chains)
    image = "a list of the concepts that it shows" if lists else "made of numbers"
    return f"The toy generator draws no pictures: each \u201cimage\u201d is {image}."


def what_was_run(plan: Plan) -> str:
    """The experiment in a few sentences; a value that differs between arms is followed by its arms."""
    arms = list(dict.fromkeys(arm_label(chain.arm) for chain in plan.chains))
    seeds = sorted({chain.config.seed for chain in plan.chains})
    setup = (
        f"{counted(len(arms)).capitalize()} {'arms' if len(arms) > 1 else 'arm'} ({', '.join(arms)}) "
        f"with {counted(len(seeds))} {'chains' if len(seeds) > 1 else 'chain'} each "
        f"({'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}): "
        f"{_each(plan, _steps)} from {_each(plan, _maker)}. Each generation makes "
        f"a pool of N\u00a0=\u00a0{_each(plan, lambda c: str(c.images))} images per target prompt. "
        f"It keeps {_each(plan, _kept)}, and the next generation is trained on {_each(plan, _fed)}"
    )
    if taught := _each(plan, _taught):
        setup += f"; in addition, {taught}"
    if trained := _each(plan, _trained):
        setup += f". Training starts from {trained}"
    trained_arms = {arm_label(chain.arm) for chain in plan.chains if _trained(chain.config)}
    steps = {chain.config.train.max_train_steps for chain in plan.chains if _trained(chain.config)}
    same = " All arms that train take the same number of training steps, however many images they are trained on."
    return f"{setup}.{same if len(trained_arms) > 1 and len(steps) == 1 else ''}"


def _each(plan: Plan, describe: Callable[[Config], str]) -> str:
    """The value of all arms, or each value followed by its arms; arms with an empty value are left out."""
    by_value: dict[str, list[str]] = {}
    for chain in plan.chains:
        if value := describe(chain.config):
            by_value.setdefault(value, []).append(arm_label(chain.arm))
    if len(by_value) < 2:
        return next(iter(by_value), "")
    return ", ".join(f"{value} ({', '.join(dict.fromkeys(arms))})" for value, arms in by_value.items())


def _steps(config: Config) -> str:
    return f"{config.generations} feedback {'steps' if config.generations > 1 else 'step'}"


def _maker(config: Config) -> str:
    origin = config.generator_plugin().origin
    return origin.checkpoint if origin else f"the toy generator {config.generator['use']}"


def _kept(config: Config) -> str:
    return "nothing" if config.train.method == "none" else config.policy_plugin().kept(config.images)


def _fed(config: Config) -> str:
    regime = config.regime_plugin()
    if config.train.method == "none":
        return "nothing, so every generation is generation 0\u2019s model"
    real = f"real images ({'new ones in every step' if regime.fresh else 'one fixed set'})"
    if regime.real_fraction == 1:
        return f"{real} instead of the kept ones"
    return (
        f"{regime.fed()} and, as {regime.real_fraction:.0%} of the training images, {real}"
        if regime.real_fraction
        else regime.fed()
    )


def _taught(config: Config) -> str:
    """Empty if no concept is taught again."""
    if config.reteach is None:
        return ""
    every, concepts, images = config.reteach.every, config.reteach.concepts, config.reteach.images
    when = "in every step" if every == 1 else f"in every step whose number is a multiple of {every}"
    return f"{when}, on {images} real images {'each ' if len(concepts) > 1 else ''}of {', '.join(concepts)}"


def _trained(config: Config) -> str:
    """Empty if no weights are trained."""
    train = config.train
    if train.method == "none" or config.generator_plugin().origin is None:
        return ""
    start = "the previous generation\u2019s" if train.start_from == "previous" else "generation 0\u2019s"
    return (
        f"{start} weights and takes {train.max_train_steps} steps of {train.train_batch_size} images "
        f"at a learning rate of {train.learning_rate:g}"
    )


def counted(n: int) -> str:
    """A number, up to ten as a word."""
    return COUNTS[n] if n < len(COUNTS) else str(n)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


# ---- the finding -------------------------------------------------------------------------------------


def status(view: View) -> str:
    """Which chains are not finished; empty if all are."""
    late = [chain for chain in view.chains if not chain.done]
    if not late:
        return ""
    finished = f"{len(view.chains) - len(late)} of {len(view.chains)} chains are at their last generation"
    where = f" {'; '.join(f'{chain.name}: {_where(chain)}' for chain in late)}." if len(late) <= LISTED else ""
    return f"Unfinished: {finished}.{where}"


def _where(chain: StyledChain) -> str:
    return "no pool judged yet" if chain.reached is None else f"generation {chain.reached} of {chain.last}"


def findings(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, sentence) on the concept `all`: a single chain in full, several as ranges."""
    return [
        (arm_label(arm), _chain(view, subject, chains[0]) if len(chains) == 1 else _chains(view, subject, chains))
        for arm, chains in view.arms_of(subject).items()
    ]


def _chain(view: View, subject: Subject, chain: StyledChain) -> str:
    if chain.reached is None:
        return "V(all) is missing: no pool has been judged yet."
    first, last = (view.rate(chain, subject, ALL, g) for g in (0, chain.reached))
    text = f"V(all) is {_rate(first)} at generation 0"
    if chain.reached == 0:
        return f"{text}; c needs a later generation, which is not made yet."
    text += f" and {_rate(last)} at generation {chain.reached}."
    row = view.change(chain, subject, ALL, 0, chain.reached)
    c = change_value(row)
    text += f" This chain only: c(0\u00a0\u2192\u00a0{chain.reached}) = {c.text()}"
    if row is None or c.value is None:
        return f"{text}."
    places = [f"{place(row, name)} the {name} band {span(b.low, b.high)}" for name, b in _bands(row)]
    return f"{text}, {' and '.join(places)}."


def _rate(row: RateRow | None) -> str:
    value = rate_value(row)
    return value.text() if value.value is None else f"{value.text()} ({value.counts} images)"


def _chains(view: View, subject: Subject, chains: Sequence[StyledChain]) -> str:
    """Ranges over the chains that have a c, and how many lie outside their bands."""
    changes = [view.change(chain, subject, ALL, 0, chain.reached) for chain in chains if chain.reached]
    rows = [row for row in changes if row is not None and not pd.isna(row.change_rate)]
    if not rows:
        return "c(0 \u2192 last) is missing: it is undefined or not made yet in every chain."
    v1, v2, c = map(_range, zip(*((row.v1, row.v2, row.change_rate) for row in rows), strict=True))
    outside = [
        f"outside its {name} band in {sum(place(row, name) == 'outside' for row in rows)} of {len(rows)} chains"
        for name, _ in _bands(rows[0])
    ]
    return (
        f"{len(rows)} of {len(chains)} chains have a c: V(all) is {v1} at generation 0 and {v2} at the last; "
        f"c(0\u00a0\u2192\u00a0last) within a chain is {c}, {' and '.join(outside)}."
    )


def _range(values: Sequence[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if min(values) < max(values) else number(values[0])


def _bands(row: ChangeRow) -> list[tuple[Null, Value]]:
    return [(name, b) for name in NULLS if (b := band(row, name)).low is not None]


def place(row: ChangeRow, name: Null) -> str:
    """Whether c of a row of changes.csv lies 'inside' or 'outside' its null band of that name."""
    b = band(row, name)
    inside = b.low is not None and b.high is not None and b.low <= row.change_rate <= b.high
    return "inside" if inside else "outside"
