"""Serves the rating page, by default on this machine alone."""

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
from entropy_loop.rating.guard import protect

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_CONNECTIONS = 1024


@dataclass(frozen=True)
class RatingServer:
    """A rating page on a listening socket. links: one per rater, each for one use."""

    desk: Desk
    listener: socket.socket
    address: str
    links: list[str]

    def run(self) -> None:
        """Serve until a signal stops it."""
        serve(app(self.desk), self.listener, self.address)

    def close(self) -> str:
        """Close the database and return a summary of what it holds."""
        book = self.desk.book
        (answers, people), (pools,) = (
            book.rows("SELECT count(*), count(DISTINCT rater) FROM answers JOIN asks USING (ask)")[0],
            book.rows("SELECT count(*) FROM finished")[0],
        )
        book.close()
        return f"kept: {answers} answers of {people} people, {pools} pools picked from"


def open_desk(
    root: Path, links: int, images: int | None, raters: int | None, host: str, port: int, seed: int
) -> RatingServer:
    """Choose the images to ask about, create the links and listen on the address; `RatingServer.run` then serves.

    images, raters: in place of the config's. Raises ConfigError when there is nothing to ask about or the address
    is not available, StorageError when the database cannot be opened.
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
    listener = listen(host, port)
    address = address_of(host, listener)
    urls = [f"http://{address}/#{book.link()}" for _ in range(links)]
    return RatingServer(Desk(root, book, queue, people.intro), listener, address, urls)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free port. Raises ConfigError when the address is not available."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error}).") from None


def address_of(host: str, listener: socket.socket) -> str:
    """host:port as it stands in a URL."""
    return f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def allowed_hosts(address: str) -> list[str]:
    """The hosts that a request may name: that of the address, and localhost for a loopback address."""
    host = address.rpartition(":")[0]
    return [host, "localhost"] if host.strip("[]") in LOOPBACK else [host]


def serve(page: ASGIApp, listener: socket.socket, address: str) -> None:
    """Serve an app, to requests for its own address alone, until a signal stops it."""
    import uvicorn

    config = uvicorn.Config(
        protect(page, allowed_hosts(address)), access_log=False, log_level="warning", server_header=False,
        date_header=False, lifespan="off", ws="none", limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=30,
        timeout_graceful_shutdown=3, h11_max_incomplete_event_size=16384,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
