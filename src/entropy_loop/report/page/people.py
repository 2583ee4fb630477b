"""The page's section on people: V of people and of judges, agreement between people, and judges against people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, float_or_none, text
from entropy_loop.analysis.people import PEOPLE
from entropy_loop.analysis.rows import AgreementRow
from entropy_loop.data import ALL, POOL, Prompt
from entropy_loop.report.figures import drawing
from entropy_loop.report.figures.drawing import PAPER
from entropy_loop.report.view import View, arm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JUDGE_STATISTICS = ("sensitivity", "specificity", "kappa")


@dataclass(frozen=True)
class PeopleSection:
    """answers, raters, images: numbers of them. panels: an SVG per arm and prompt; figure: all panels. agreement:
    (statistic, a value per concept). judges: (judge, generation or "all", concept, a value per JUDGE_STATISTICS)."""

    answers: int
    raters: int
    images: int
    concepts: list[str]
    panels: list[str]
    figure: drawing.Drawing
    agreement: list[tuple[str, list[Value]]]
    judges: list[tuple[str, str, str, list[Value]]]


def people_section(view: View) -> PeopleSection | None:
    """None if nobody has rated an image."""
    agreement, rates = view.tables.agreement, view.tables.rates
    people_rates = rates[(rates["judge"] == PEOPLE) & (rates["set"] == POOL)]
    if people_rates.empty:
        return None
    judgements = view.tables.judgements
    rated = judgements[(judgements["judge"] == PEOPLE) & judgements["score"].notna()]
    concepts = list(dict.fromkeys(agreement.loc[agreement["statistic"] == "alpha", "concept"]))
    answers = agreement[agreement["statistic"] == "answers"]
    files = rated.merge(view.tables.images, on=["run", "generation", "set", "id"])["file"]
    panels = list(_panels(view, people_rates))
    alt = escape("Share of the pool with all concepts, over generations, as people and judges see it; in rates.csv")
    catches = agreement[agreement["statistic"] == "catch_accuracy"]
    return PeopleSection(
        answers=int(answers["n"].sum()),
        raters=answers["rater"].nunique(),
        images=files.nunique(),
        concepts=concepts,
        panels=[drawing.inline(_drawing([panel]), f"people-{i}", alt) for i, panel in enumerate(panels)],
        figure=_drawing(panels),
        agreement=[
            ("agreement between people (Krippendorff\u2019s alpha)", _values(agreement, "alpha", concepts)),
            ("the same answer when an image is shown twice", _values(agreement, "self_agreement", concepts)),
            ("right where the truth is known, all raters", [_catch(catches, concept) for concept in concepts]),
        ],
        judges=list(_judges(agreement)),
    )


def _values(agreement: pd.DataFrame, statistic: str, concepts: Sequence[str]) -> list[Value]:
    of_people = agreement[(agreement["judge"] == PEOPLE) & (agreement["statistic"] == statistic)]
    by_concept = {row.concept: _value(row) for row in rows.read(of_people.drop_duplicates("concept"), AgreementRow)}
    return [by_concept.get(concept, Value(reason="not asked")) for concept in concepts]


def _catch(catches: pd.DataFrame, concept: str) -> Value:
    trials = catches[catches["concept"] == concept]
    if trials.empty:
        return Value(reason="no catch trial")
    n = int(trials["n"].sum())
    return Value(float((trials["value"] * trials["n"]).sum() / n), counts=f"n = {n}")


def _judges(agreement: pd.DataFrame) -> Iterator[tuple[str, str, str, list[Value]]]:
    models = agreement[(agreement["judge"] != PEOPLE) & agreement["statistic"].isin(JUDGE_STATISTICS)]
    models = models.assign(generation=models["generation"].astype("string").fillna("all"))
    for (judge, concept, generation), group in models.groupby(["judge", "concept", "generation"], sort=False):
        by_statistic = {row.statistic: _value(row) for row in rows.read(group, AgreementRow)}
        yield str(judge), str(generation), str(concept), [by_statistic[name] for name in JUDGE_STATISTICS]


def _value(row: AgreementRow) -> Value:
    low, high = float_or_none(row.low), float_or_none(row.high)
    return Value(float_or_none(row.value), low, high, text(row.reason), counts=f"n = {int(row.n)}")


# ---- the figure --------------------------------------------------------------------------------------


def _panels(view: View, rates: pd.DataFrame) -> Iterator[drawing.Panel]:
    """Per prompt and arm V(all) of people and of each judge, of the arm's first chain. rates: of people."""
    joint = rates[rates["concept"] == ALL]
    for prompt in view.targets:
        for chain in view.first_chains(prompt):
            if ((joint["run"] == chain.planned.name) & (joint["prompt"] == prompt.text)).any():
                yield partial(_panel, view=view, prompt=prompt, chain=chain.planned.name, title=arm_label(chain.arm))


def _drawing(panels: Sequence[drawing.Panel]) -> drawing.Drawing:
    return drawing.drawing(panels, 3.4, 2.7, ["V"], columns=3)


def _panel(ax: Axes, view: View, prompt: Prompt, chain: str, title: str) -> None:
    rates = view.tables.rates
    pools = rates[(rates["run"] == chain) & (rates["set"] == POOL) & (rates["prompt"] == prompt.text)]
    pools = pools[pools["concept"] == ALL].sort_values("generation")
    for judge, group in pools.groupby("judge", sort=False):
        people = judge == PEOPLE
        colour, above = ("#d55e00", 4) if people else ("#0072b2", 3)
        marker, line = ("D", "-") if people else ("o", "--")
        x = group["generation"].to_numpy(float) + (0.06 if people else -0.06)
        ax.plot(
            x, group["rate"], label=str(judge), color=colour, zorder=above, marker=marker, linestyle=line, markersize=6,
            markeredgecolor=PAPER,
        )  # fmt: skip
        ax.vlines(x, group["low"], group["high"], color=colour, zorder=above, linewidth=1.3)
    ax.set(title=title, xlabel="generation", ylim=(-0.03, 1.03), xticks=sorted(pools["generation"].unique()))
    ax.legend(frameon=False, fontsize=8, loc="lower left")
