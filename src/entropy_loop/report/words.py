"""Numbers and sentences of the report, built from the tables alone. A missing number is an en dash with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from entropy_loop.data import ALL
from entropy_loop.plan import Plan
from entropy_loop.report.view import Chain, Subject, View

SIGN = (
    "c = (V1 − V2)/V1; c > 0 means recognition fell (the essay that proposed it reads a negative c as entropy; "
    "with its own formula a loss of recognition gives a positive c)."
)
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NEEDED = 3  # chains per arm below which nothing is claimed (PROTOCOL 2)


@dataclass(frozen=True)
class Value:
    """A number as it is shown: with its interval and its counts, or missing with the reason."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    counts: str = ""

    def text(self) -> str:
        if self.value is None:
            return f"– ({self.reason})"
        return f"{number(self.value)} {span(self.low, self.high)}".strip()


def number(value: float, digits: int = 2) -> str:
    """Fixed digits and a real minus; never a negative zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    return "" if low is None or high is None else f"[{number(low, digits)}, {number(high, digits)}]"


def rate_value(row: Any) -> Value:
    """V of one generation; `row` is a row of rates.csv or None."""
    if row is None:
        return Value(reason="not made yet")
    if pd.isna(row.rate):
        return Value(reason=_reason(row))
    return Value(_some(row.rate), _some(row.low), _some(row.high), _reason(row), f"{int(row.hits)}/{int(row.n)}")


def change_value(row: Any) -> Value:
    """c of one step; `row` is a row of changes.csv or None."""
    if row is None:
        return Value(reason="not made yet")
    if pd.isna(row.change_rate):
        return Value(reason=_reason(row) or "undefined")
    return Value(_some(row.change_rate), _some(row.low), _some(row.high))


def band(row: Any, name: str) -> Value:
    """A null band of c, 'sampling' or 'drift', in low and high."""
    if row is None:
        return Value(reason="not made yet")
    low, high = _some(getattr(row, f"{name}_low")), _some(getattr(row, f"{name}_high"))
    return Value(low=low, high=high, reason="" if low is not None else _reason(row) or "not simulated")


def _some(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _reason(row: Any) -> str:
    return "" if pd.isna(row.reason) else str(row.reason)


# ---- the header's sentences --------------------------------------------------------------------------


def question(view: View) -> str:
    targets = [p for p in view.prompts if p.role == "target"]
    what = f"“{targets[0].text}”" if len(targets) == 1 else f"{_count(len(targets))} prompts"
    return (
        f"When a text-to-image model is trained on its own images of {what}, "
        "how often are the prompt's concepts still recognised, generation by generation?"
    )


def what_was_run(plan: Plan) -> str:
    """One sentence or two from the config; what the sweep varies is named with its values."""
    configs = [run.config for run in plan.runs]
    arms = list(dict.fromkeys(run.arm for run in plan.runs))
    seeds = sorted({config.seed for config in configs})
    kept = _either(str(getattr(c.policy_plugin(), "k", "all")) for c in configs)
    makers = [c.generator_plugin() for c in configs]
    maker = _either(str(getattr(m, "checkpoint", f"the toy generator {c.generator['use']}")) for m, c in zip(makers, configs, strict=True))
    text = (
        f"{_count(len(arms)).capitalize()} {'arms' if len(arms) > 1 else 'arm'} ({', '.join(arms)}) "
        f"with {_count(len(seeds))} {'chains' if len(seeds) > 1 else 'chain'} each (seed {', '.join(map(str, seeds))}): "
        f"{_either(str(c.generations) for c in configs)} feedback steps from {maker}; in each generation a pool of "
        f"N = {_either(str(c.images) for c in configs)} images per target prompt, of which k = {kept} are kept and fed back "
        f"(regime {_either(str(c.feedback['use']) for c in configs)})"
    )
    if not all(hasattr(maker, "checkpoint") for maker in makers):
        return f"{text}."
    trains = [c.train for c in configs]
    return (
        f"{text}; training starts from {_either(_start(t.start_from) for t in trains)} and takes "
        f"{_either(str(t.max_train_steps) for t in trains)} steps of {_either(str(t.train_batch_size) for t in trains)} images "
        f"at a learning rate of {_either(f'{t.learning_rate:g}' for t in trains)}."
    )


def _start(name: str) -> str:
    return {"previous": "the previous generation's weights", "base": "generation 0's weights"}[name]


def _either(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _count(n: int) -> str:
    return COUNTS[n] if n < len(COUNTS) else str(n)


# ---- the finding -------------------------------------------------------------------------------------


def status(view: View) -> str:
    """Empty when every chain is at its last generation."""
    late = [c for c in view.chains if not c.done]
    if not late:
        return ""
    told = [f"{c.name}: " + ("no pool judged yet" if c.reached is None else f"generation {c.reached} of {c.last}") for c in late]
    return f"Unfinished. {len(view.chains) - len(late)} of {len(view.chains)} chains are at their last generation; " + "; ".join(told) + "."


def no_claim(view: View) -> str:
    chains = min(sum(c.arm == arm for c in view.chains) for arm in view.arms)
    if chains < NEEDED:
        has = "one chain" if chains == 1 else f"{_count(chains)} chains"
        return f"Nothing is claimed: a claim needs at least {_count(NEEDED)} chains per arm, and here an arm has {has}."
    return "Nothing is claimed on this page: it shows the chains one by one, without the test across chains."


def findings(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, its sentence) for the joint concept of a prompt: one chain in full, several as ranges."""
    told = []
    for arm in view.arms:
        chains = [chain for chain in view.chains if chain.arm == arm]
        told.append((arm, _chain(view, subject, chains[0]) if len(chains) == 1 else _chains(view, subject, chains)))
    return told


def _chain(view: View, subject: Subject, chain: Chain) -> str:
    if chain.reached is None:
        return "V(all) is missing: no pool has been judged yet."
    first, last = (view.rate(chain, subject, ALL, g) for g in (0, chain.reached))
    text = f"V(all) is {_rate(first)} at generation 0"
    if chain.reached == 0:
        return f"{text}; there is no later generation yet, so no c."
    text += f" and {_rate(last)} at generation {chain.reached}."
    row = view.change(chain, subject, ALL, 0, chain.reached)
    c = change_value(row)
    text += f" c(0 → {chain.reached}) = {c.text()}, this chain only"
    if c.value is None:
        return f"{text}."
    places = [f"{_place(row, name)} the {name} band {span(b.low, b.high)}" for name, b in _bands(row)]
    return f"{text}: {' and '.join(places)}."


def _rate(row: Any) -> str:
    value = rate_value(row)
    return f"{value.text()}, n = {int(row.n)}," if value.value is not None else value.text()


def _chains(view: View, subject: Subject, chains: Sequence[Chain]) -> str:
    """Ranges over the chains that have two generations; how many lie outside their own bands."""
    rows = [view.change(c, subject, ALL, 0, c.reached) for c in chains if c.reached]
    rows = [row for row in rows if row is not None and not pd.isna(row.change_rate)]
    if not rows:
        return "c(0 → last) is missing: it is undefined or not made yet in every chain."
    v1, v2, c = (_range([float(getattr(row, name)) for row in rows]) for name in ("v1", "v2", "change_rate"))
    outside = [
        f"outside its {name} band in {sum(_place(row, name) == 'outside' for row in rows)} of {len(rows)} chains"
        for name, _ in _bands(rows[0])
    ]
    return f"V(all) goes from {v1} to {v2} in {len(rows)} of {len(chains)} chains; c(0 → last) of a chain is {c}, {' and '.join(outside)}."


def _range(values: list[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if min(values) < max(values) else number(values[0])


def _bands(row: Any) -> list[tuple[str, Value]]:
    return [(name, b) for name in ("sampling", "drift") if (b := band(row, name)).low is not None]


def _place(row: Any, name: str) -> str:
    b = band(row, name)
    return "inside" if b.low is not None and b.high is not None and b.low <= row.change_rate <= b.high else "outside"
