"""What the report shows: styled chains, subjects (a prompt under a judge), and rows of the tables looked up by key."""

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

# Okabe and Ito's colours (jfly.uni-koeln.de/color), darkest first. Markers distinguish arms without colour.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5c00", "#5a5a5a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


def arm_label(arm: str) -> str:
    """An arm's name for people, who would read `none` as missing data."""
    return "no curation" if arm == "none" else arm


@dataclass(frozen=True)
class Style:
    """Colour and marker of an arm; index: its place among the arms."""

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
    """A chain with its arm's style. reached: the last generation that every judge has judged, None before the first.
    only: whether its arm has no other chain."""

    planned: Chain
    style: Style
    reached: int | None
    only: bool

    @property
    def arm(self) -> str:
        return self.planned.arm

    @property
    def name(self) -> str:
        return arm_label(self.arm) if self.only else f"{arm_label(self.arm)}, seed {self.planned.config.seed}"

    @property
    def last(self) -> int:
        return self.planned.config.generations

    @cached_property
    def prompts_and_judges(self) -> set[tuple[Prompt, str]]:
        """The (prompt, judge) pairs of its config; an arm may lack some of the study's."""
        config = self.planned.config
        return {(prompt, judge.label) for prompt in config.pool_prompts() for judge in config.judge_plugins()}

    @property
    def done(self) -> bool:
        return self.reached == self.last

    def steps(self) -> list[tuple[int, int]]:
        """The planned feedback steps as (from, to), then (0, reached)."""
        steps = [(g, g + 1) for g in range(self.last)]
        return [*steps, (0, self.reached)] if self.reached and self.reached > 1 else steps


@dataclass(frozen=True)
class Subject:
    """One prompt under one judge. number: of the prompt among those of its kind, and a letter per judge where there are
    several."""

    prompt: Prompt
    judge: str
    number: str

    @property
    def concepts(self) -> tuple[str, ...]:
        """`all`, then the prompt's own."""
        return (ALL, *self.prompt.concepts)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table on this prompt and judge."""
        return table[(table["prompt"] == self.prompt.text) & (table["judge"] == self.judge)]


@dataclass(frozen=True)
class View:
    """The plan and the tables of a results folder, looked up by arm, chain, subject and generation."""

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
                sum(other.arm == chain.arm for other in planned) == 1,
            )
            for chain in planned
        ]

    @cached_property
    def started_arms(self) -> list[str]:
        """The arms that have made a feedback step; all arms if none has."""
        return list(dict.fromkeys(chain.arm for chain in self.chains if chain.reached)) or self.arms

    def last(self, arm: str) -> int:
        """The last planned generation of an arm."""
        return max(chain.last for chain in self.chains if chain.arm == arm)

    def chains_of(self, subject: Subject) -> list[StyledChain]:
        """The chains whose config names the prompt and the judge."""
        return [chain for chain in self.chains if (subject.prompt, subject.judge) in chain.prompts_and_judges]

    def arms_of(self, subject: Subject) -> dict[str, list[StyledChain]]:
        """Arm -> its chains of `chains_of`, in the order of the study."""
        chains = self.chains_of(subject)
        return {arm: [chain for chain in chains if chain.arm == arm] for arm in dict.fromkeys(c.arm for c in chains)}

    def first_chains(self, prompt: Prompt) -> list[StyledChain]:
        """Of each arm the first chain with the prompt, for the picture sheets."""
        chains = [chain for chain in self.chains if prompt in chain.planned.config.pool_prompts()]
        return list({chain.arm: chain for chain in reversed(chains)}.values())[::-1]

    @cached_property
    def draws_nothing(self) -> bool:
        """Whether images have been made, and none has a file: the generator is a toy."""
        files = self.tables.images["file"]
        return bool(len(files)) and not (files.fillna("") != "").any()

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
        """Target prompts under each judge, or those that are only measured."""
        prompts = self.targets if fed_back else [p for p in self.prompts if p.role != "target"]
        letters = ascii_lowercase if len(self.judges) > 1 else [""]
        subjects = [
            Subject(prompt, judge, f"{i}{letter}")
            for i, prompt in enumerate(prompts, start=1)
            for judge, letter in zip(self.judges, letters, strict=False)
        ]
        return [subject for subject in subjects if self.chains_of(subject)]

    def rate(self, chain: StyledChain, subject: Subject, concept: str, generation: int) -> RateRow | None:
        """The row of rates.csv on a pool, if there is one."""
        return self._rates.get((chain.planned.name, subject.prompt.text, subject.judge, concept, generation))

    def mean_rate(self, arm: str, subject: Subject, concept: str, generation: int) -> ClaimRow | None:
        """The row of summary.csv on the mean V over an arm's chains, if there is one."""
        return self._mean_rates.get((arm, subject.prompt.text, subject.judge, concept, generation))

    def checks(self, chain: StyledChain, subject: Subject, generation: int) -> pd.DataFrame:
        """The rows of checks.csv of one generation."""
        key = (chain.planned.name, subject.prompt.text, subject.judge, generation)
        return self._checks.get(key, self.tables.checks.head(0))

    def change(self, chain: StyledChain, subject: Subject, concept: str, start: int, end: int) -> ChangeRow | None:
        """The row of changes.csv on a step, if there is one."""
        return self._changes.get((chain.planned.name, subject.prompt.text, subject.judge, concept, start, end))

    @cached_property
    def _rates(self) -> dict[tuple[str, str, str, str, int], RateRow]:
        pools = rows.read(self.tables.rates[self.tables.rates["set"] == POOL], RateRow)
        return {(r.run, r.prompt, r.judge, r.concept, int(r.generation)): r for r in pools}

    @cached_property
    def _mean_rates(self) -> dict[tuple[str, str, str, str, int], ClaimRow]:
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
        rates = self.tables.rates
        pools = rates[(rates["run"] == chain.name) & (rates["set"] == POOL)]
        per_judge = [pools.loc[pools["judge"] == judge.label, "generation"] for judge in chain.config.judge_plugins()]
        return min(int(g.max()) for g in per_judge) if all(len(g) for g in per_judge) else None
