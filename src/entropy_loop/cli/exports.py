"""`export`: results as a data set, or as tasks for raters on another platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import app, out


@app.command("export")
def export_(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.")],
    to: Annotated[str, typer.Option(help="imagefolder, parquet, label-studio or csv.")],
    out_dir: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Default: RESULTS-<format>.")] = None,
    arm: Annotated[str | None, typer.Option(help="Only images of this arm.")] = None,
    generation: Annotated[int | None, typer.Option(min=0, help="Only images of this generation.")] = None,
    image_set: Annotated[
        str | None, typer.Option(metavar="SET", help="Only images of this set: pool or evaluation.")
    ] = None,
) -> None:
    """Write images as a data set, or tasks and answers of raters. imagefolder, parquet: the images with scores and
    judgements. label-studio: the images to rate, as tasks. csv: the answers that people gave."""
    from entropy_loop.commands import export
    from entropy_loop.errors import ConfigError

    folder = out_dir or root.with_name(f"{root.name}-{to}")
    if to in export.ANSWERS:
        if (arm, generation, image_set) != (None, None, None):
            raise ConfigError(
                f"--to {to}: takes no --arm, --generation or --image-set; which images people rate is the config's "
                "`people`."
            )
        out.print("\n".join(str(path) for path in _answers(root, to, folder)))
        return
    count = export.export(root, to, folder, export.Wanted(arm, generation, image_set))
    out.print(f"{folder}: {count} images; its README.md describes them and shows how to load them")


def _answers(root: Path, to: str, folder: Path) -> list[Path]:
    """Write tasks for Label Studio, or answers as CSV, and return the files."""
    from entropy_loop.commands import experiment
    from entropy_loop.people.book import Book
    from entropy_loop.rating import exchange, items

    plan, tables = experiment.read(root)
    if to == "csv":
        return exchange.write_csv(root, folder)
    book = Book(root)
    try:
        items.ask(plan, plan.study.config, tables.images, root, book, seed=0)
        return exchange.write_label_studio(book, root, folder)
    finally:
        book.close()
