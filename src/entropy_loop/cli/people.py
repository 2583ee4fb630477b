"""Commands for raters, and for those who watch a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import app, out


@app.command()
def rate(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder, finished or waiting for people.")],
    links: Annotated[int, typer.Option(min=1, max=1000, help="Links to print: one per person, for one use.")] = 1,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to rate of each pool. Default: people.images of the config.")
    ] = None,
    raters: Annotated[
        int | None, typer.Option(min=1, help="People per image. Default: people.raters of the config.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default only this machine reaches it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random sample of images.")] = 0,
) -> None:
    """Open a page on which people rate or pick images. They say what they recognise, or pick the best k images for a
    run that waits for them."""
    from entropy_loop.machine.signals import Stopped
    from entropy_loop.rating import server

    serving = server.open_desk(root, links, images, raters, host, port, seed)
    if host not in server.LOOPBACK:
        out.print(
            "warning: anybody who reaches this address can read what is sent. Put it behind TLS (a reverse proxy), or "
            "leave --host out and let raters in through an SSH tunnel."
        )
    for link in serving.links:
        out.print(link, soft_wrap=True)
    out.print("one link per person. Ctrl-C closes the page; answers are kept, and raters can come back later")
    try:
        serving.run()
    except Stopped:
        pass
    finally:
        kept = serving.close()
    out.print(f"{kept}. `entropy-loop report {root}` shows the answers, `entropy-loop run` continues with the picks")


@app.command("import")
def import_(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="The results folder whose images were rated.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON export of Label Studio, or a CSV.")],
) -> None:
    """Read answers that people gave on another platform.

    `export --to label-studio` writes the images to rate. A CSV has the columns that `export --to csv` writes.
    """
    from entropy_loop.commands import results_folder
    from entropy_loop.people.book import Book
    from entropy_loop.rating import exchange

    results_folder.planned(root)
    book = Book(root)
    try:
        new = exchange.read(book, file)
    finally:
        book.close()
    out.print(f"{new} new answers; `entropy-loop report {root}` shows them")


@app.command()
def watch(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder; `run` may be working in it.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
) -> None:
    """Show the report in a browser while a run goes on. Writes nothing and does not disturb the run."""
    from entropy_loop.machine.signals import Stopped
    from entropy_loop.rating import server, watch

    watched = watch.Watch(root)
    watched.page()  # raises before anything listens if the folder holds no results
    listening = server.listen("127.0.0.1", port)
    address = server.address_of("127.0.0.1", listening)
    out.print(f"http://{address}/")
    out.print("the page reloads by itself. Ctrl-C closes it and leaves the run alone")
    try:
        server.serve(watch.app(watched), listening, address)
    except Stopped:
        out.print("the page is closed")
