"""Commands around people: the page on which they rate and pick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import app, out


@app.command()
def rate(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder, finished or waiting for people.")],
    links: Annotated[int, typer.Option(min=1, max=1000, help="How many people: one link each, good for one use.")] = 1,
    images: Annotated[int | None, typer.Option(min=1, help="Of every pool; default: the config's.")] = None,
    raters: Annotated[int | None, typer.Option(min=1, help="Of every image; default: the config's.")] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; others than this machine can then join.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Which images of a pool.")] = 0,
) -> None:
    """Open a page on which people say what they recognise, or pick the best k for a run that waits for them."""
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
    out.print("one link for one person; Ctrl-C ends it, what was answered is kept, and raters can come back later")
    try:
        serving.run()
    except Stopped:
        pass
    finally:
        told = serving.close()
    out.print(f"{told}; `entropy-loop report {root}` tells of answers, `entropy-loop run` goes on with picks")


@app.command("import")
def import_(
    root: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A results folder whose images were rated elsewhere.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, or the JSON export of Label Studio.")],
) -> None:
    """Read answers that people gave elsewhere to what `export --to label-studio` or `export --to csv` wrote."""
    from entropy_loop.commands import results_folder
    from entropy_loop.people.book import Book
    from entropy_loop.rating import exchange

    results_folder.planned(root)
    book = Book(root)
    try:
        new = exchange.read(book, file)
    finally:
        book.close()
    out.print(f"{new} new answers; `entropy-loop report {root}` tells of them")


@app.command()
def watch(
    root: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder, while `run` works in it.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
) -> None:
    """Show the report in a browser while it grows. Nothing is written, and the run is not disturbed."""
    from entropy_loop.machine.signals import Stopped
    from entropy_loop.rating import server, watch
    from entropy_loop.rating.guard import Guard

    shown = watch.Watch(root)
    shown.page()
    listening = server.listen("127.0.0.1", port)
    address = server.address_of("127.0.0.1", listening)
    out.print(f"http://{address}/")
    out.print("it reads anew by itself; Ctrl-C ends it, and nothing else")
    try:
        server.serve(Guard(watch.app(shown), server.allowed_hosts(address)), listening)
    except Stopped:
        out.print("no longer shown")
