"""The page: tables and pictures of a results folder as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_loop.errors import as_storage_error
from entropy_loop.plan import Plan
from entropy_loop.report import decay, degraded, facts, words
from entropy_loop.report.settings import settings
from entropy_loop.report.tables import Tables
from entropy_loop.report.template import render
from entropy_loop.report.view import Style, View, spoken
from entropy_loop.store import Store, write_bytes, write_text

if TYPE_CHECKING:
    from entropy_loop.report.gallery import Gallery
    from entropy_loop.report.sections import Measured, Section

FEW = decay.FEW  # arms up to which each is told in a sentence and shown whole
FIGURE = re.compile(r"(recognition|change|measured|diversity|tails|filmstrip|evaluation|pool)-.*\.(svg|png)")


def write(plan: Plan, store: Store, tables: Tables) -> Path:
    """Writes report.html and figures/ below the results folder; returns the page's path."""
    from entropy_loop.report import sections as parts
    from entropy_loop.report.gallery import Gallery

    view = View(plan, tables)
    gallery = Gallery(view, store.root)
    sections = [parts.section(view, subject) for subject in view.subjects(fed_back=True)]
    measured = [parts.measured(view, subject) for subject in view.subjects(fed_back=False)]
    decays = [found for prompt in view.prompts if (found := decay.decay(view, prompt))]
    pictures = _pictures(gallery)
    drawn = [part.files for part in sections] + [part.files for part in decays]
    figures = {name: text.encode() for files in drawn for name, text in files.items()}
    figures |= {f"measured-{one.subject.number}.svg": one.file.encode() for one in measured}
    for group in pictures:
        shown = (*group["strips"], *group["sheets"], *group["pools"])
        figures |= {f"{picture.name}.png": picture.png for picture in shown}
    _write_figures(store.root / "figures", figures)
    page = store.root / "report.html"
    write_text(page, _render(plan, store, view, sections, measured, decays, pictures))
    return page


def _render(
    plan: Plan,
    store: Store,
    view: View,
    sections: list[Section],
    measured: list[Measured],
    decays: list[decay.Decay],
    pictures: list[dict[str, Any]],
) -> str:
    configs = [run.config for run in plan.runs]
    return render(
        "report.html.jinja",
        name=plan.study.config.name,
        view=view,
        styles=[(spoken(arm), Style(i)) for i, arm in enumerate(view.arms)],
        many=len(view.arms) > FEW,
        several=len(view.chains) > len(view.arms),
        question=words.question(view),
        what_was_run=words.what_was_run(plan),
        status=words.status(view),
        no_claim=words.no_claim(view),
        sign=words.SIGN,
        curator_judges=any(map(facts.curator_judges, configs)),
        sections=sections,
        measured=measured,
        decays=decays,
        pictures=pictures,
        settings=settings(plan.study),
        command=facts.command(plan),
        judges=facts.judges(plan),
        degraded=degraded.degraded(plan),
        corrected=bool(view.tables.rates["corrected"].notna().any()),
        provenance=facts.provenance(plan, store),
        timings=facts.timings(plan, store),
    )


# ---- pictures ----------------------------------------------------------------------------------------


def _pictures(gallery: Gallery) -> list[dict[str, Any]]:
    """Per target prompt; empty when the generator makes no images."""
    if not gallery.has_images:
        return []
    targets = list(enumerate(gallery.view.targets, start=1))
    # Filmstrips first: what does not fit into the page any more is the last pool.
    strips = {n: list(gallery.filmstrips(p, n)) for n, p in targets}
    sheets = {n: list(gallery.contact_sheets(p, n)) for n, p in targets}
    pools = {n: list(gallery.pools(p, n)) for n, p in targets}
    return [{"prompt": p, "strips": strips[n], "sheets": sheets[n], "pools": pools[n]} for n, p in targets]


def _write_figures(folder: Path, figures: dict[str, bytes]) -> None:
    """Figures that an earlier config left behind go; a file that is none of ours stays."""
    for name, data in figures.items():
        write_bytes(folder / name, data)
    with as_storage_error(folder):
        for old in folder.iterdir() if folder.is_dir() else ():
            if FIGURE.fullmatch(old.name) and old.name not in figures:
                old.unlink()
