"""People against judges on the page: V side by side, agreement, and what the judges see, generation by generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, some, text
from entropy_loop.analysis.people import PEOPLE
from entropy_loop.analysis.rows import AgreementRow
from entropy_loop.data import ALL, POOL, Prompt
from entropy_loop.report.figures import drawing
from entropy_loop.report.figures.drawing import PAPER
from entropy_loop.report.view import View, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OF_JUDGES = ("sensitivity", "specificity", "kappa")


@dataclass(frozen=True)
class Opinions:
    """answers, raters, images: how many. panels: SVG for the page, one per arm; file: all of them. among: (statistic,
    one value per concept). judges: (judge, generation or "all", concept, one value per OF_JUDGES)."""

    answers: int
    raters: int
    images: int
    concepts: list[str]
    panels: list[str]
    file: drawing.Drawing
    among: list[tuple[str, list[Value]]]
    judges: list[tuple[str, str, str, list[Value]]]


def opinions(view: View) -> Opinions | None:
    """None where nobody has rated anything."""
    told, rates = view.tables.agreement, view.tables.rates
    mine = rates[(rates["judge"] == PEOPLE) & (rates["set"] == POOL)]
    if mine.empty:
        return None
    said = view.tables.judgements
    rated = said[(said["judge"] == PEOPLE) & said["score"].notna()]
    concepts = list(dict.fromkeys(told.loc[told["statistic"] == "alpha", "concept"]))
    answers = told[told["statistic"] == "answers"]
    files = rated.merge(view.tables.images, on=["run", "generation", "set", "id"])["file"]
    panels = list(_panels(view, mine))
    alt = escape("Share of the pool with all concepts, over generations, as people and judges see it; in rates.csv")
    catches = told[(told["statistic"] == "catch_accuracy")]
    return Opinions(
        answers=int(answers["n"].sum()),
        raters=answers["rater"].nunique(),
        images=files.nunique(),
        concepts=concepts,
        panels=[drawing.inline(_drawn([one]), f"people-{i}", alt) for i, one in enumerate(panels)],
        file=_drawn(panels),
        among=[
            ("agreement between people (Krippendorff\u2019s alpha)", _values(told, PEOPLE, "alpha", concepts)),
            ("the same again, shown twice", _values(told, PEOPLE, "self_agreement", concepts)),
            ("right where the truth is known, all raters", [_catch(catches, concept) for concept in concepts]),
        ],
        judges=list(_judges(told)),
    )


def _values(told: pd.DataFrame, judge: str, statistic: str, concepts: Sequence[str]) -> list[Value]:
    mine = told[(told["judge"] == judge) & (told["statistic"] == statistic)].drop_duplicates("concept")
    by = {row.concept: _value(row) for row in rows.read(mine, AgreementRow)}
    return [by.get(concept, Value(reason="not asked")) for concept in concepts]


def _catch(catches: pd.DataFrame, concept: str) -> Value:
    mine = catches[catches["concept"] == concept]
    if mine.empty:
        return Value(reason="no catch trial")
    n = int(mine["n"].sum())
    return Value(float((mine["value"] * mine["n"]).sum() / n), counts=f"n = {n}")


def _judges(told: pd.DataFrame) -> Iterator[tuple[str, str, str, list[Value]]]:
    models = told[(told["judge"] != PEOPLE) & told["statistic"].isin(OF_JUDGES)]
    models = models.assign(generation=models["generation"].astype("string").fillna("all"))
    for (judge, concept, generation), mine in models.groupby(["judge", "concept", "generation"], sort=False):
        by = {row.statistic: _value(row) for row in rows.read(mine, AgreementRow)}
        yield str(judge), str(generation), str(concept), [by[name] for name in OF_JUDGES]


def _value(row: AgreementRow) -> Value:
    return Value(some(row.value), some(row.low), some(row.high), text(row.reason), counts=f"n = {int(row.n)}")


# ---- the figure --------------------------------------------------------------------------------------


def _panels(view: View, mine: pd.DataFrame) -> Iterator[drawing.Panel]:
    """One per arm and prompt: V(all) of people with its interval and of each judge, of the arm's first chain."""
    for prompt in view.targets:
        for chain in view.first_chains(prompt):
            its = (mine["run"] == chain.planned.name) & (mine["prompt"] == prompt.text) & (mine["concept"] == ALL)
            if its.any():
                yield partial(_panel, view=view, prompt=prompt, chain=chain.planned.name, title=spoken(chain.arm))


def _drawn(panels: Sequence[drawing.Panel]) -> drawing.Drawing:
    return drawing.drawing(panels, 3.4, 2.7, ["V"], columns=3)


def _panel(ax: Axes, view: View, prompt: Prompt, chain: str, title: str) -> None:
    rates = view.tables.rates
    pools = rates[(rates["run"] == chain) & (rates["set"] == POOL) & (rates["prompt"] == prompt.text)]
    pools = pools[pools["concept"] == ALL].sort_values("generation")
    for judge, mine in pools.groupby("judge", sort=False):
        people = judge == PEOPLE
        colour, above = ("#d55e00", 4) if people else ("#0072b2", 3)
        marker, line = ("D", "-") if people else ("o", "--")
        x = mine["generation"].to_numpy(float) + (0.06 if people else -0.06)
        ax.plot(
            x, mine["rate"], label=str(judge), color=colour, zorder=above, marker=marker, linestyle=line, markersize=6,
            markeredgecolor=PAPER,
        )  # fmt: skip
        ax.vlines(x, mine["low"], mine["high"], color=colour, zorder=above, linewidth=1.3)
    ax.set(title=title, xlabel="generation", ylim=(-0.03, 1.03), xticks=sorted(pools["generation"].unique()))
    ax.legend(frameon=False, fontsize=8, loc="lower left")
