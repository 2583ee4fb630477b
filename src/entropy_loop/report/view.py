"""What the report looks at: chains with their style, prompts under a judge, and rows of the tables by place."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.rows import ChangeRow, ClaimRow, RateRow
from entropy_loop.analysis.tables import Tables
from entropy_loop.data import ALL, POOL, Prompt
from entropy_loop.plan import Chain, Plan

# Okabe and Ito's colours (jfly.uni-koeln.de/color), darkest first; markers tell arms apart without colour.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5c00", "#5a5a5a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


def spoken(arm: str) -> str:
    """An arm's name where people read it: `none` alone would pass for missing data."""
    return "no curation" if arm == "none" else arm


@dataclass(frozen=True)
class Style:
    """How an arm is drawn, everywhere."""

    index: int

    @property
    def colour(self) -> str:
        return PALETTE[self.index % len(PALETTE)]

    @property
    def marker(self) -> str:
        # The second round of colours takes other markers.
        return MARKERS[(self.index + self.index // len(PALETTE)) % len(MARKERS)]


@dataclass(frozen=True)
class StyledChain:
    """A run, and the last generation whose pool has been judged (None: none yet)."""

    planned: Chain
    style: Style
    reached: int | None
    only: bool  # the only chain of its arm

    @property
    def arm(self) -> str:
        return self.planned.arm

    @property
    def name(self) -> str:
        return spoken(self.arm) if self.only else f"{spoken(self.arm)}, seed {self.planned.config.seed}"

    @property
    def last(self) -> int:
        return self.planned.config.generations

    @cached_property
    def asks(self) -> set[tuple[Prompt, str]]:
        """(prompt, judge): an arm of a sweep may lack some of the study's."""
        config = self.planned.config
        return {(prompt, judge.label) for prompt in config.pool_prompts() for judge in config.judge_plugins()}

    @property
    def done(self) -> bool:
        return self.reached == self.last

    def steps(self) -> list[tuple[int, int]]:
        """Feedback steps that are planned, and 0 -> the last generation there is."""
        steps = [(g, g + 1) for g in range(self.last)]
        return [*steps, (0, self.reached)] if self.reached and self.reached > 1 else steps


@dataclass(frozen=True)
class Subject:
    """What a figure or table is about: one prompt under one judge."""

    prompt: Prompt
    judge: str
    number: str  # the prompt's among those of its kind, with a letter for the judge if there are several

    @property
    def concepts(self) -> tuple[str, ...]:
        """The joint concept first."""
        return (ALL, *self.prompt.concepts)


@dataclass(frozen=True)
class View:
    """The plan and the tables, by place."""

    plan: Plan
    tables: Tables

    @cached_property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(chain.arm for chain in self.plan.chains))

    @cached_property
    def chains(self) -> list[StyledChain]:
        planned = self.plan.chains
        return [
            StyledChain(
                chain,
                Style(self.arms.index(chain.arm)),
                self._reached(chain),
                sum(r.arm == chain.arm for r in planned) == 1,
            )
            for chain in planned
        ]

    @cached_property
    def begun(self) -> list[str]:
        """The arms that have made a feedback step; all where none has."""
        return list(dict.fromkeys(chain.arm for chain in self.chains if chain.reached)) or self.arms

    def last(self, arm: str) -> int:
        """The last generation that an arm's config asks for."""
        return max(chain.last for chain in self.chains if chain.arm == arm)

    def chains_of(self, subject: Subject) -> list[StyledChain]:
        """The chains whose config names the prompt and the judge."""
        return [chain for chain in self.chains if (subject.prompt, subject.judge) in chain.asks]

    def arms_of(self, subject: Subject) -> dict[str, list[StyledChain]]:
        """The same by arm, in the order of the study."""
        chains = self.chains_of(subject)
        return {arm: [chain for chain in chains if chain.arm == arm] for arm in dict.fromkeys(c.arm for c in chains)}

    def first_chains(self, prompt: Prompt) -> list[StyledChain]:
        """One chain per arm, the first one with the prompt: what picture sheets show."""
        asking = [chain for chain in self.chains if prompt in chain.planned.config.pool_prompts()]
        return list({chain.arm: chain for chain in reversed(asking)}.values())[::-1]

    @cached_property
    def prompts(self) -> list[Prompt]:
        return list(dict.fromkeys(p for chain in self.plan.chains for p in chain.config.pool_prompts()))

    @property
    def targets(self) -> list[Prompt]:
        return [p for p in self.prompts if p.role == "target"]

    @cached_property
    def judges(self) -> list[str]:
        return list(dict.fromkeys(j.label for chain in self.plan.chains for j in chain.config.judge_plugins()))

    def subjects(self, fed_back: bool) -> list[Subject]:
        """Target prompts, or those that are only measured."""
        prompts = self.targets if fed_back else [p for p in self.prompts if p.role != "target"]
        letters = ascii_lowercase if len(self.judges) > 1 else [""]
        subjects = [
            Subject(prompt, judge, f"{i}{letter}")
            for i, prompt in enumerate(prompts, start=1)
            for judge, letter in zip(self.judges, letters, strict=False)
        ]
        return [subject for subject in subjects if self.chains_of(subject)]

    def rate(self, chain: StyledChain, subject: Subject, concept: str, generation: int) -> RateRow | None:
        """A row of rates.csv of a pool, None if there is none."""
        return self._rates.get((chain.planned.name, subject.prompt.text, subject.judge, concept, generation))

    def across(self, arm: str, subject: Subject, concept: str, generation: int) -> ClaimRow | None:
        """The row of summary.csv on V of an arm, None if there is none."""
        return self._across.get((arm, subject.prompt.text, subject.judge, concept, generation))

    def checks(self, chain: StyledChain, subject: Subject, generation: int) -> pd.DataFrame:
        """The rows of checks.csv of one generation."""
        place = (chain.planned.name, subject.prompt.text, subject.judge, generation)
        return self._checks.get(place, self.tables.checks.head(0))

    def change(self, chain: StyledChain, subject: Subject, concept: str, start: int, end: int) -> ChangeRow | None:
        """A row of changes.csv, None if there is none."""
        return self._changes.get((chain.planned.name, subject.prompt.text, subject.judge, concept, start, end))

    @cached_property
    def _rates(self) -> dict[tuple[str, str, str, str, int], RateRow]:
        pools = rows.read(self.tables.rates[self.tables.rates["set"] == POOL], RateRow)
        return {(r.run, r.prompt, r.judge, r.concept, int(r.generation)): r for r in pools}

    @cached_property
    def _across(self) -> dict[tuple[str, str, str, str, int], ClaimRow]:
        claims = rows.read(self.tables.summary[self.tables.summary["statistic"] == "rate"], ClaimRow)
        return {(r.arm, r.prompt, r.judge, r.concept, int(r.generation)): r for r in claims}

    @cached_property
    def _checks(self) -> dict[tuple[Hashable, ...], pd.DataFrame]:
        return dict(iter(self.tables.checks.groupby(["run", "prompt", "judge", "generation"])))

    @cached_property
    def _changes(self) -> dict[tuple[str, str, str, str, int, int], ChangeRow]:
        changes = rows.read(self.tables.changes, ChangeRow)
        return {(r.run, r.prompt, r.judge, r.concept, int(r.from_generation), int(r.to_generation)): r for r in changes}

    def _reached(self, chain: Chain) -> int | None:
        """The last generation that every judge has judged."""
        rates = self.tables.rates
        mine = rates[(rates["run"] == chain.name) & (rates["set"] == POOL)]
        per_judge = [mine.loc[mine["judge"] == judge.label, "generation"] for judge in chain.config.judge_plugins()]
        return min(int(g.max()) for g in per_judge) if all(len(g) for g in per_judge) else None
