"""Diversity, distance, noise and tails of every pool on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, float_or_none, text
from entropy_loop.analysis.rows import MeasureRow
from entropy_loop.data import Prompt
from entropy_loop.report.figures import attribute_shares, diversity_path
from entropy_loop.report.figures.attribute_shares import Attribute
from entropy_loop.report.figures.drawing import Drawing, inline
from entropy_loop.report.view import StyledChain, Subject, View, arm_label

HEADS = {
    "vendi": "Vendi score", "mean_pairwise_distance": "mean pairwise distance", "cmmd": "CMMD to generation 0",
    "coverage": "coverage of generation 0", "copied": "copies of its diet",
    "high_frequency_share": "high-frequency share", "bytes_per_pixel": "bytes per pixel",
    "intensity_entropy": "intensity entropy",
}  # fmt: skip
FEW_ARMS = 3  # up to this many arms the page shows each in full: every generation of its means, sentences unfolded


@dataclass(frozen=True)
class Cell:
    """A number, and whether it lies outside its null band; of a mean, whether most of its chains do."""

    value: Value
    outside: bool


Rows = list[tuple[int, list[Cell | None]]]
"""(generation, a cell or None per column)."""
Cells = Mapping[tuple[str, int, str], Cell]
"""(run, generation, column) -> cell."""


@dataclass(frozen=True)
class Table:
    """heads: of the columns. arms: means over the chains; empty if every arm has one chain. chains: every chain."""

    heads: list[str]
    arms: list[tuple[str, Rows]]
    chains: list[tuple[str, Rows]]


@dataclass(frozen=True)
class AttributePanels:
    """One attribute: its values with their colours, and an SVG per started arm."""

    name: str
    colours: dict[str, str]
    drawings: list[str]


@dataclass(frozen=True)
class PromptMeasures:
    """The measures of one prompt's pools. files: figures by name. paths: SVGs of diversity against recognition, per
    judge. attributes: SVGs of the tails."""

    prompt: Prompt
    files: dict[str, Drawing]
    paths: list[tuple[Subject, list[str]]]
    attributes: list[AttributePanels]
    table: Table
    has_real: bool


def prompt_measures(view: View, prompt: Prompt) -> PromptMeasures | None:
    """The measures of one prompt's pools; None if only recognition was measured."""
    measures_table = table(view, prompt)
    if measures_table is None:
        return None
    fed_back = prompt.role == "target"
    files: dict[str, Drawing] = {}
    subjects = [subject for subject in view.subjects(fed_back) if subject.prompt == prompt]
    for subject in subjects:
        if metrics := diversity_path.available(view, subject):
            name = f"diversity-{'' if fed_back else 'measured-'}{subject.number}"
            files[name] = diversity_path.draw(view, subject, metrics, 3.4, 3.1)
    number = next(subject.number.rstrip("abcdefghijklmnopqrstuvwxyz") for subject in subjects)
    prefix = f"{'' if fed_back else 'measured-'}{number}"
    attributes = attribute_shares.attributes(view, prompt)
    for attribute in attributes:
        files[f"tails-{prefix}-{attribute.name}"] = attribute_shares.tails(view, attribute, view.started_arms, 2.4, 3.4)
    diversity = view.tables.diversity
    has_real = bool((diversity["reference"].eq(attribute_shares.REAL) & diversity["metric"].eq("vendi")).any())
    paths = [(subject, list(_paths(view, subject, prefix))) for subject in subjects]
    panels = [_attribute_panels(view, prompt, attribute, prefix) for attribute in attributes]
    return PromptMeasures(prompt, files, paths, panels, measures_table, has_real)


def _paths(view: View, subject: Subject, prefix: str) -> Iterator[str]:
    for i, metric in enumerate(diversity_path.available(view, subject)):
        alt = f"{diversity_path.METRICS[metric]} against V of all concepts in one image, generation by generation"
        drawn = diversity_path.draw(view, subject, [metric], 3.9, 3.3)
        yield inline(drawn, f"p{prefix}-{subject.number}-{i}", escape(f"{alt}, for the prompt {subject.prompt.text}"))


def _attribute_panels(view: View, prompt: Prompt, attribute: Attribute, prefix: str) -> AttributePanels:
    drawings = []
    for i, arm in enumerate(view.started_arms):
        alt = f"Shares of {attribute.name} and their entropy over generations in the arm {arm_label(arm)}"
        drawn = attribute_shares.tails(view, attribute, [arm], 3.0, 3.4)
        name = f"t{prefix}-{attribute.name}-{i}"
        drawings.append(inline(drawn, name, escape(f"{alt}, for the prompt {prompt.text}")))
    return AttributePanels(attribute.name, attribute.colours, drawings)


# ---- the table ---------------------------------------------------------------------------------------


def table(view: View, prompt: Prompt) -> Table | None:
    """Every measure of one prompt's pools; None if there is none."""
    tables = view.tables
    metrics = pd.concat([tables.diversity, tables.noise], ignore_index=True).rename(columns={"metric": "column"})
    entropies = tables.tails[tables.tails["item"] == "entropy"].rename(columns={"attribute": "column"})
    values = pd.concat([metrics[metrics["column"].isin(HEADS)], entropies], ignore_index=True)
    values = values[(values["prompt"] == prompt.text) & (values["reference"] != attribute_shares.REAL)]
    if values.empty:
        return None
    order = [name for name in (*HEADS, *dict.fromkeys(entropies["column"])) if name in set(values["column"])]
    cells = {(row.run, row.generation, row.column): _cell(row) for row in rows.read(values, MeasureRow)}
    heads = [HEADS.get(name, f"entropy of {name}, bits") for name in order]
    chains = [(chain.name, _rows(range(chain.last + 1), order, cells, [chain])) for chain in view.chains]
    return Table(heads, list(_arms(view, order, cells)), chains)


def _arms(view: View, order: list[str], cells: Cells) -> Iterator[tuple[str, Rows]]:
    if all(chain.only for chain in view.chains):
        return
    for arm in view.arms:
        chains = [chain for chain in view.chains if chain.arm == arm]
        last = max((g for run, g, _ in cells if run in {chain.planned.name for chain in chains}), default=0)
        generations = range(view.last(arm) + 1) if len(view.arms) <= FEW_ARMS else sorted({0, last})
        yield arm_label(arm), _rows(generations, order, cells, chains)


def _rows(generations: Sequence[int], order: list[str], cells: Cells, chains: Sequence[StyledChain]) -> Rows:
    return [
        (g, [_mean([cells[key] for c in chains if (key := (c.planned.name, g, name)) in cells]) for name in order])
        for g in generations
    ]


def _mean(cells: list[Cell]) -> Cell | None:
    """A single cell as it is; of several the mean with the smallest and the largest."""
    if len(cells) < 2:
        return cells[0] if cells else None
    values = [cell.value.value for cell in cells if cell.value.value is not None]
    if not values:
        return cells[0]
    outside = sum(cell.outside for cell in cells)
    counts = f"{outside}/{len(cells)} outside" if outside else ""
    return Cell(Value(sum(values) / len(values), min(values), max(values), counts=counts), outside > len(cells) / 2)


def _cell(row: MeasureRow) -> Cell:
    value, low, high = float_or_none(row.value), float_or_none(row.null_low), float_or_none(row.null_high)
    outside = value is not None and low is not None and high is not None and not low <= value <= high
    reason = text(row.reason) if value is None else ""
    return Cell(Value(value, float_or_none(row.low), float_or_none(row.high), reason), outside)
