"""Serving the pages to browsers: on this machine alone, unless told otherwise."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from entropy_loop.commands import experiment
from entropy_loop.errors import ConfigError
from entropy_loop.people import picks
from entropy_loop.people.book import Book
from entropy_loop.people.queue import Queue
from entropy_loop.rating import items
from entropy_loop.rating.app import Desk, app
from entropy_loop.rating.guard import Guard

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CONNECTIONS = 1024  # at once


@dataclass(frozen=True)
class Serving:
    """A socket that listens, and what is to be served on it. links: one for each rater, good for one use."""

    desk: Desk
    listening: socket.socket
    address: str
    links: list[str]

    def run(self) -> None:
        """Serve until a signal stops it."""
        serve(Guard(app(self.desk), names(self.address)), self.listening)

    def kept(self) -> str:
        """What is in the book, which is closed with this."""
        book = self.desk.book
        (answers, people), (pools,) = (
            book.rows("SELECT count(*), count(DISTINCT rater) FROM answers JOIN asks USING (ask)")[0],
            book.rows("SELECT count(*) FROM finished")[0],
        )
        book.close()
        return f"kept: {answers} answers of {people} people, {pools} pools picked from"


def open_desk(
    root: Path, links: int, images: int | None, raters: int | None, host: str, port: int, seed: int
) -> Serving:
    """Everything but serving: what is asked about stands in the book, the socket listens.

    images, raters: in place of the config's. Raises ConfigError where there is nothing to ask about, StorageError
    where the address cannot be had.
    """
    plan, tables = experiment.read(root)
    people = plan.study.config.people.model_copy(
        update={name: value for name, value in {"images": images, "raters": raters}.items() if value is not None}
    )
    book = Book(root)
    if not picks.waiting(book):
        config = plan.study.config.model_copy(update={"people": people})
        items.ask(plan, config, tables.images, root, book, seed)
    queue = Queue(book, people.raters, people.repeats, people.catch_trials)
    listening = listen(host, port)
    address = where(host, listening)
    made = [f"http://{address}/#{book.link()}" for _ in range(links)]
    return Serving(Desk(root, book, queue, people.intro), listening, address, made)


def listen(host: str, port: int) -> socket.socket:
    """A socket on that address; port 0: a free one. Raises ConfigError when it cannot be had."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: cannot be had ({error.strerror or error}).") from None


def where(host: str, listening: socket.socket) -> str:
    """host:port as it stands in a link."""
    return f"{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def names(address: str) -> set[str]:
    """The hosts that requests may name: the address itself, and for this machine its usual name."""
    host, _, port = address.rpartition(":")
    return {address, f"localhost:{port}"} if host.strip("[]") in LOOPBACK else {address}


def serve(guarded: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until a signal stops it."""
    import uvicorn

    config = uvicorn.Config(
        guarded, access_log=False, log_level="warning", server_header=False, date_header=False, lifespan="off",
        ws="none", limit_concurrency=CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16384,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])
