"""The report's sentences, built from the config and the tables alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from entropy_loop.analysis.formatting import MINUS, NULLS, Null, Value, band, change_value, number, rate_value, span
from entropy_loop.analysis.rows import ChangeRow, RateRow
from entropy_loop.data import ALL
from entropy_loop.metrics.chains import LEAST_CHAINS
from entropy_loop.plan import Plan
from entropy_loop.report.view import StyledChain, Subject, View, spoken
from entropy_loop.study.config import Config

SIGN = (
    f"c = (V1 {MINUS} V2)/V1; c > 0 means recognition fell (the essay that proposed it reads a negative c as entropy; "
    "with its own formula a loss of recognition gives a positive c)."
)
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LISTED = 6  # chains that are told one by one


# ---- the header --------------------------------------------------------------------------------------


def question(view: View) -> str:
    """What the experiment asks, in one sentence."""
    targets = view.targets
    one = len(targets) == 1
    what = f"\u201c{targets[0].text}\u201d" if one else f"{counted(len(targets))} prompts"
    return (
        f"When a text-to-image model is trained on its own images of {what}, "
        f"how often is each concept of {'the' if one else 'a'} prompt still recognised?"
    )


def what_was_run(plan: Plan) -> str:
    """One sentence from the config; what differs between arms is told with its arms."""
    arms = list(dict.fromkeys(spoken(chain.arm) for chain in plan.chains))
    seeds = sorted({chain.config.seed for chain in plan.chains})
    told = (
        f"{counted(len(arms)).capitalize()} {'arms' if len(arms) > 1 else 'arm'} ({', '.join(arms)}) "
        f"with {counted(len(seeds))} {'chains' if len(seeds) > 1 else 'chain'} each "
        f"({'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}): "
        f"{_each(plan, _steps)} from {_each(plan, _maker)}. Each generation makes "
        f"a pool of N\u00a0=\u00a0{_each(plan, lambda c: str(c.images))} images per target prompt; "
        f"kept: {_each(plan, _kept)}; fed back: {_each(plan, _fed)}"
    )
    if taught := _each(plan, _taught):
        told += f"; beside that {taught}"
    if trained := _each(plan, _trained):
        told += f"; {trained}"
    fed = {spoken(chain.arm) for chain in plan.chains if _trained(chain.config)}
    steps = {chain.config.train.max_train_steps for chain in plan.chains if _trained(chain.config)}
    fixed = " The number of training steps is the same in all arms that train, however much they are fed."
    return f"{told}.{fixed if len(fed) > 1 and len(steps) == 1 else ''}"


def _each(plan: Plan, tell: Callable[[Config], str]) -> str:
    """One value, or every value with the arms that have it; nothing of those without one."""
    by_value: dict[str, list[str]] = {}
    for chain in plan.chains:
        if value := tell(chain.config):
            by_value.setdefault(value, []).append(spoken(chain.arm))
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
        return f"{real} in the place of the kept ones"
    return (
        f"{regime.fed()} and, as {regime.real_fraction:.0%} of the diet, {real}"
        if regime.real_fraction
        else regime.fed()
    )


def _taught(config: Config) -> str:
    """Empty where no concept is taught again."""
    if config.reteach is None:
        return ""
    every, concepts, images = config.reteach.every, config.reteach.concepts, config.reteach.images
    when = "in every step" if every == 1 else f"in every step whose number {every} divides"
    return f"{when} {images} real images {'each ' if len(concepts) > 1 else ''}of {', '.join(concepts)}"


def _trained(config: Config) -> str:
    """Empty where nothing with weights is trained."""
    train = config.train
    if train.method == "none" or config.generator_plugin().origin is None:
        return ""
    start = "the previous generation\u2019s" if train.start_from == "previous" else "generation 0\u2019s"
    return (
        f"trained from {start} weights for {train.max_train_steps} steps of {train.train_batch_size} images "
        f"at a learning rate of {train.learning_rate:g}"
    )


def counted(n: int) -> str:
    """A number in words up to ten."""
    return COUNTS[n] if n < len(COUNTS) else str(n)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


# ---- the finding -------------------------------------------------------------------------------------


def status(view: View) -> str:
    """Empty when every chain is at its last generation."""
    late = [chain for chain in view.chains if not chain.done]
    if not late:
        return ""
    there = f"{len(view.chains) - len(late)} of {len(view.chains)} chains are at their last generation"
    where = f" {'; '.join(f'{chain.name}: {_where(chain)}' for chain in late)}." if len(late) <= LISTED else ""
    return f"Unfinished: {there}.{where}"


def _where(chain: StyledChain) -> str:
    return "no pool judged yet" if chain.reached is None else f"generation {chain.reached} of {chain.last}"


def no_claim(view: View) -> str:
    """Why the page claims nothing."""
    chains = min(sum(chain.arm == arm for chain in view.chains) for arm in view.arms)
    if chains < LEAST_CHAINS:
        return (
            f"Nothing is claimed: a claim needs at least {counted(LEAST_CHAINS)} chains per arm, and here there "
            f"{'is one' if chains == 1 else f'are {counted(chains)}'}."
        )
    return "What is claimed, and what is not, stands under \u201cAcross chains\u201d."


def findings(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, its sentence) for the joint concept of a prompt: one chain in full, several as ranges."""
    told = []
    asking = view.chains_of(subject)
    for arm in dict.fromkeys(chain.arm for chain in asking):
        chains = [chain for chain in asking if chain.arm == arm]
        text = _chain(view, subject, chains[0]) if len(chains) == 1 else _chains(view, subject, chains)
        told.append((spoken(arm), text))
    return told


def _chain(view: View, subject: Subject, chain: StyledChain) -> str:
    if chain.reached is None:
        return "V(all) is missing: no pool has been judged yet."
    first, last = (view.rate(chain, subject, ALL, g) for g in (0, chain.reached))
    text = f"V(all) is {_rate(first)} at generation 0"
    if chain.reached == 0:
        return f"{text}; there is no later generation yet, so no c."
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
    """Ranges over the chains that have two generations; how many lie outside their own bands."""
    found = [view.change(chain, subject, ALL, 0, chain.reached) for chain in chains if chain.reached]
    rows = [row for row in found if row is not None and not pd.isna(row.change_rate)]
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
    """Where c of a row of changes.csv lies: 'inside' its null band of that name, or 'outside'."""
    b = band(row, name)
    inside = b.low is not None and b.high is not None and b.low <= row.change_rate <= b.high
    return "inside" if inside else "outside"
