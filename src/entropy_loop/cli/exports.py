"""`export`: results as a data set, or as tasks for people on another platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import app, out

ANSWERS = ("label-studio", "csv")


@app.command("export")
def export_(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    to: Annotated[str, typer.Option(help="imagefolder, parquet, label-studio or csv.")],
    out_dir: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Default: DIR-<format>.")] = None,
    arm: Annotated[str | None, typer.Option(help="Images of one arm alone.")] = None,
    generation: Annotated[int | None, typer.Option(min=0, help="Of one generation alone.")] = None,
    stream: Annotated[str | None, typer.Option("--set", metavar="SET", help="pool or evaluation.")] = None,
) -> None:
    """Write every image with what is known of it as a data set (imagefolder, parquet), the images that people are asked
    about as tasks for Label Studio, or what people answered as CSV."""
    place = out_dir or root.with_name(f"{root.name}-{to}")
    if to in ANSWERS:
        written = _answers(root, to, place)
        out.print("\n".join(str(path) for path in written))
        return
    from entropy_loop.commands import export

    count = export.export(root, to, place, export.Wanted(arm, generation, stream))
    out.print(f"{place}: {count} images; README.md there tells what they are and how to load them")


def _answers(root: Path, to: str, place: Path) -> list[Path]:
    from entropy_loop.commands import experiment
    from entropy_loop.people.book import Book
    from entropy_loop.rating import exchange, items

    plan, tables = experiment.read(root)
    if to == "csv":
        return exchange.write_csv(root, place)
    book = Book(root)
    try:
        items.ask(plan, plan.study.config, tables.images, root, book, seed=0)
        return exchange.write_label_studio(book, root, place)
    finally:
        book.close()
