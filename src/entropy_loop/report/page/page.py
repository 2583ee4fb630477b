"""The page: tables and pictures of a results folder as one self-contained HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_loop.analysis.checks import ALARM_RULE
from entropy_loop.analysis.degraded import degradation_series
from entropy_loop.analysis.tables import Tables
from entropy_loop.data import Prompt
from entropy_loop.errors import as_storage_error
from entropy_loop.plan import Plan
from entropy_loop.report.page import appendix, measures, template
from entropy_loop.report.text import conclusions, sentences
from entropy_loop.report.view import Style, View, arm_label
from entropy_loop.storage.disk import write_bytes, write_text
from entropy_loop.storage.store import Store
from entropy_loop.study.settings import settings

if TYPE_CHECKING:
    from entropy_loop.report.figures.drawing import Drawing
    from entropy_loop.report.page.gallery import Picture
    from entropy_loop.report.page.images import Album
    from entropy_loop.report.page.people import PeopleSection
    from entropy_loop.report.page.prompt_section import Measured, Section

FIGURE = re.compile(
    r"(recognition|change|measured|diversity|tails|filmstrip|evaluation|pool|check|people)(-.*)?\.(svg|png)"
)


@dataclass(frozen=True)
class Sheets:
    """The picture sheets of one target prompt. first: those of the first screen, which shows the first prompt alone."""

    prompt: Prompt
    first: list[Picture]
    strips: list[Picture]
    sheets: list[Picture]
    pools: list[Picture]


@dataclass(frozen=True)
class Parts:
    """The parts of the page. pictures: empty if the generator makes no images. checks: a sheet of the check prompts per
    arm."""

    view: View
    sections: list[Section]
    measured: list[Measured]
    prompt_measures: list[measures.PromptMeasures]
    pictures: list[Sheets]
    checks: list[Picture]
    album: Album
    people: PeopleSection | None


def text(plan: Plan, store: Store, tables: Tables) -> str:
    """The page as text, without writing files; its links lead to files that `write` and `Tables.write` make."""
    return _render(plan, store, _parts(plan, store, tables))


def write(plan: Plan, store: Store, tables: Tables) -> Path:
    """Writes report.html and figures/ into the results folder; returns the path of the page."""
    parts = _parts(plan, store, tables)
    _write_figures(store.root / "figures", dict(_figures(parts)))
    page = store.root / "report.html"
    write_text(page, _render(plan, store, parts))
    return page


def _parts(plan: Plan, store: Store, tables: Tables) -> Parts:
    from entropy_loop.analysis.judgements import ImageJudgements
    from entropy_loop.report.page import prompt_section
    from entropy_loop.report.page.gallery import Gallery
    from entropy_loop.report.page.images import Album
    from entropy_loop.report.page.people import people_section

    view, judgements = View(plan, tables), ImageJudgements(tables.judgements)
    gallery, album = Gallery(view, store.root, judgements), Album(view, store.root, judgements)
    pictures = [
        Sheets(
            prompt,
            gallery.first_screen(prompt) if number == 1 else [],
            list(gallery.filmstrips(prompt, number)),
            list(gallery.contact_sheets(prompt, number)),
            list(gallery.pools(prompt, number)),
        )
        for number, prompt in enumerate(view.targets if gallery.has_images else [], start=1)
    ]
    checks = list(gallery.checks())
    _fill(album, pictures, checks)
    return Parts(
        view,
        [prompt_section.section(view, subject) for subject in view.subjects(fed_back=True)],
        [prompt_section.measured(view, subject) for subject in view.subjects(fed_back=False)],
        [part for prompt in view.prompts if (part := measures.prompt_measures(view, prompt))],
        pictures,
        checks,
        album,
        people_section(view),
    )


def _fill(album: Album, pictures: list[Sheets], checks: list[Picture]) -> None:
    """Embeds the most important sheets first, so that the budget leaves out check prompts before the others."""
    kinds = {
        "first screen": [group.first for group in pictures],
        "filmstrip": [group.strips for group in pictures],
        "evaluation set": [group.sheets for group in pictures],
        "pool": [group.pools for group in pictures],
        "check prompts": [checks],
    }
    for kind, groups in kinds.items():
        for picture in chain.from_iterable(groups):
            album.take(picture, kind)


def _render(plan: Plan, store: Store, parts: Parts) -> str:
    receipts = appendix.receipts(plan, store)
    view, configs, script = parts.view, [chain.config for chain in plan.chains], template.script()
    return template.render(
        "report.html.jinja",
        name=plan.study.config.name,
        view=view,
        parts=parts,
        script=script,
        policy=template.policy(script),
        styles=[(arm_label(arm), Style(i)) for i, arm in enumerate(view.arms)],
        many=len(view.arms) > measures.FEW_ARMS,
        several=len(view.chains) > len(view.arms),
        question=sentences.question(view),
        verdict=conclusions.verdict(view, parts.sections[0].subject),
        what_was_run=sentences.what_was_run(plan),
        status=sentences.status(view),
        warnings=view.tables.warnings,
        toy=sentences.toy(view),
        sign=sentences.SIGN,
        essay=sentences.ESSAY,
        alarm_rule=ALARM_RULE,
        curator_judges=any(map(appendix.curator_judges, configs)),
        settings=settings(plan.study),
        command=appendix.command(plan),
        judges=appendix.judges(plan),
        uncalibrated=appendix.uncalibrated(plan),
        degraded=degradation_series(plan),
        corrected=bool(view.tables.rates["corrected"].notna().any()),
        provenance=appendix.provenance(store.provenance, receipts),
        timings=appendix.timings(plan, receipts),
        people=parts.people,
    )


# ---- figures -----------------------------------------------------------------------------------------


def _figures(parts: Parts) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file in figures/."""
    for name, drawn in _charts(parts):
        yield from drawn.files(name)
    pictures = (p for group in parts.pictures for p in (*group.strips, *group.sheets, *group.pools))
    yield from ((f"{picture.name}.png", picture.png) for picture in (*pictures, *parts.checks))


def _charts(parts: Parts) -> Iterator[tuple[str, Drawing]]:
    """(name, figure) of everything that matplotlib draws."""
    for files in (*(part.files for part in parts.sections), *(part.files for part in parts.prompt_measures)):
        yield from files.items()
    if parts.people:
        yield "people", parts.people.figure
    for part in parts.measured:
        yield f"measured-{part.subject.number}", part.figure


def _write_figures(folder: Path, figures: dict[str, bytes]) -> None:
    """Writes the figures and deletes those of an earlier config; other files stay."""
    for name, data in figures.items():
        write_bytes(folder / name, data)
    with as_storage_error(folder):
        for old in folder.iterdir() if folder.is_dir() else ():
            if FIGURE.fullmatch(old.name) and old.name not in figures:
                old.unlink()
