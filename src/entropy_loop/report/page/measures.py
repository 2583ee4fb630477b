"""Diversity, distance, noise and tails of every pool, as the page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, some, text
from entropy_loop.analysis.rows import MeasureRow
from entropy_loop.data import Prompt
from entropy_loop.report.figures import attribute_shares, diversity_path
from entropy_loop.report.figures.drawing import Drawing, inline
from entropy_loop.report.view import StyledChain, Subject, View, spoken

HEADS = {
    "vendi": "Vendi score", "mean_pairwise_distance": "mean pairwise distance", "cmmd": "CMMD to generation 0",
    "coverage": "coverage of generation 0", "copied": "copies of its diet",
    "high_frequency_share": "high-frequency share", "bytes_per_pixel": "bytes per pixel",
    "intensity_entropy": "intensity entropy",
}  # fmt: skip
FEW = 3  # arms up to which the table of means has every generation; else it has the first and the last one


@dataclass(frozen=True)
class Cell:
    """A number, and whether it lies outside the band that it would have without any change; a mean, whether most
    of its chains do."""

    value: Value
    outside: bool


Rows = list[tuple[int, list[Cell | None]]]
"""(generation, a cell or None for each column)."""
Cells = Mapping[tuple[str, int, str], Cell]
"""(run, generation, column) -> what stands there."""


@dataclass(frozen=True)
class Table:
    """heads: what is in the columns. arms: means over the chains; empty where every arm has one chain."""

    heads: list[str]
    arms: list[tuple[str, Rows]]
    chains: list[tuple[str, Rows]]


@dataclass(frozen=True)
class Shares:
    """One attribute: its values with their colours, and a drawing per arm."""

    name: str
    colours: dict[str, str]
    drawings: list[str]


@dataclass(frozen=True)
class Decay:
    """What was measured on one prompt's pools. files: by name. paths: SVG for the page, per judge."""

    prompt: Prompt
    files: dict[str, Drawing]
    diversity_path: list[tuple[Subject, list[str]]]
    attribute_shares: list[Shares]
    table: Table
    has_real: bool


def decay(view: View, prompt: Prompt) -> Decay | None:
    """The measures of one prompt's pools; None where nothing but recognition was measured."""
    found = table(view, prompt)
    if found is None:
        return None
    fed_back = prompt.role == "target"
    files: dict[str, Drawing] = {}
    subjects = [subject for subject in view.subjects(fed_back) if subject.prompt == prompt]
    for subject in subjects:
        if numbers := diversity_path.measured(view, subject):
            name = f"diversity-{'' if fed_back else 'measured-'}{subject.number}"
            files[name] = diversity_path.paths(view, subject, numbers, 3.4, 3.1)
    number = next(subject.number.rstrip("abcdefghijklmnopqrstuvwxyz") for subject in subjects)
    where = f"{'' if fed_back else 'measured-'}{number}"
    attributes = attribute_shares.attributes(view, prompt)
    for attribute in attributes:
        files[f"tails-{where}-{attribute.name}"] = attribute_shares.tails(view, attribute, view.begun, 2.4, 3.4)
    diversity = view.tables.diversity
    has_real = bool((diversity["reference"].eq(attribute_shares.REAL) & diversity["metric"].eq("vendi")).any())
    drawn = [(s, list(_paths(view, s, where))) for s in subjects]
    return Decay(prompt, files, drawn, [_shares(view, prompt, a, where) for a in attributes], found, has_real)


def _paths(view: View, subject: Subject, where: str) -> Iterator[str]:
    for i, number in enumerate(diversity_path.measured(view, subject)):
        alt = f"{diversity_path.NUMBERS[number]} against V of all concepts, generation by generation"
        drawn = diversity_path.paths(view, subject, [number], 3.9, 3.3)
        yield inline(drawn, f"p{where}-{subject.number}-{i}", escape(f"{alt}, for the prompt {subject.prompt.text}"))


def _shares(view: View, prompt: Prompt, attribute: attribute_shares.Attribute, where: str) -> Shares:
    drawings = []
    for i, arm in enumerate(view.begun):
        alt = f"Shares of {attribute.name} and their entropy over generations in the arm {spoken(arm)}"
        drawn = attribute_shares.tails(view, attribute, [arm], 3.0, 3.4)
        drawings.append(inline(drawn, f"t{where}-{attribute.name}-{i}", escape(f"{alt}, for the prompt {prompt.text}")))
    return Shares(attribute.name, attribute.colours, drawings)


# ---- the table ---------------------------------------------------------------------------------------


def table(view: View, prompt: Prompt) -> Table | None:
    """Every number of one prompt's pools; None where there is none."""
    tables = view.tables
    named = pd.concat([tables.diversity, tables.noise], ignore_index=True).rename(columns={"metric": "column"})
    entropies = tables.tails[tables.tails["item"] == "entropy"].rename(columns={"attribute": "column"})
    every = pd.concat([named[named["column"].isin(HEADS)], entropies], ignore_index=True)
    mine = every[(every["prompt"] == prompt.text) & (every["reference"] != attribute_shares.REAL)]
    if mine.empty:
        return None
    order = [name for name in (*HEADS, *dict.fromkeys(entropies["column"])) if name in set(mine["column"])]
    cells = {(row.run, row.generation, row.column): _cell(row) for row in rows.read(mine, MeasureRow)}
    heads = [HEADS.get(name, f"entropy of {name}, bits") for name in order]
    chains = [(chain.name, _rows(range(chain.last + 1), order, cells, [chain])) for chain in view.chains]
    return Table(heads, list(_arms(view, order, cells)), chains)


def _arms(view: View, order: list[str], cells: Cells) -> Iterator[tuple[str, Rows]]:
    if all(chain.only for chain in view.chains):
        return
    for arm in view.arms:
        chains = [chain for chain in view.chains if chain.arm == arm]
        last = max((g for run, g, _ in cells if run in {chain.planned.name for chain in chains}), default=0)
        generations = range(view.last(arm) + 1) if len(view.arms) <= FEW else sorted({0, last})
        yield spoken(arm), _rows(generations, order, cells, chains)


def _rows(generations: Sequence[int], order: list[str], cells: Cells, chains: Sequence[StyledChain]) -> Rows:
    return [
        (g, [_mean([cells[key] for c in chains if (key := (c.planned.name, g, name)) in cells]) for name in order])
        for g in generations
    ]


def _mean(cells: list[Cell]) -> Cell | None:
    """One chain as it is; of several the mean, and in brackets the smallest and the largest."""
    if len(cells) < 2:
        return cells[0] if cells else None
    values = [cell.value.value for cell in cells if cell.value.value is not None]
    if not values:
        return cells[0]
    outside = sum(cell.outside for cell in cells)
    told = f"{outside}/{len(cells)} outside" if outside else ""
    value = Value(sum(values) / len(values), min(values), max(values), counts=told)
    return Cell(value, outside > len(cells) / 2)


def _cell(row: MeasureRow) -> Cell:
    value, low, high = some(row.value), some(row.null_low), some(row.null_high)
    outside = value is not None and low is not None and high is not None and not low <= value <= high
    return Cell(Value(value, some(row.low), some(row.high), text(row.reason) if value is None else ""), outside)
